#include "session/client_session_impl.h"

#include "wire/items.h"
#include "wire/json.h"

#include <stdlib.h>
#include <string.h>

/* --- towards the server --- */

/* Large ones wait until the socket has taken what lies before them. */
static bool has_room(const struct hf_client_session *s)
{
    return s->live != HF_NO_SLOT && s->links[s->live].out.len < HF_PUBLISHES_BELOW_BYTES;
}

void hf_cs_put_questions(struct hf_client_session *s, uint64_t now_ms)
{
    struct hf_request *r;

    if (!hf_client_state_connected(s->state) || s->greeting || s->superseded)
        return;
    while (has_room(s) && (r = hf_requests_next(&s->requests)) != NULL) {
        struct hf_msg m = hf_request_message(r);

        hf_cs_put(s, &m);
        hf_cs_awaiting_answer(s, now_ms);
    }
}

static int ask(struct hf_client_session *s, const struct hf_request *like, uint64_t *request_id,
               uint64_t now_ms)
{
    int err = hf_cs_closing(s) ? HF_ESTATE : hf_requests_add(&s->requests, like, request_id);

    if (err < 0)
        return err;
    hf_heartbeat_sending(&s->heartbeat, now_ms);
    hf_cs_put_questions(s, now_ms);
    return 0;
}

int hf_client_session_history(struct hf_client_session *s, struct hf_str channel,
                              const struct hf_client_session_history *what, uint64_t *request_id,
                              uint64_t now_ms)
{
    const struct hf_request like = {.type = HF_MSG_HISTORY,
                                    .channel = channel,
                                    .since = what->since_epoch.data != NULL,
                                    .epoch = what->since_epoch,
                                    .since_offset = what->since_offset,
                                    .limit = what->limit,
                                    .reverse = what->reverse};

    return ask(s, &like, request_id, now_ms);
}

int hf_client_session_ping(struct hf_client_session *s, uint64_t stamp, uint64_t *request_id, uint64_t now_ms)
{
    const struct hf_request like = {.type = HF_MSG_PING, .stamp = stamp};

    return ask(s, &like, request_id, now_ms);
}

int hf_client_session_presence(struct hf_client_session *s, struct hf_str channel, uint64_t *request_id,
                               uint64_t now_ms)
{
    const struct hf_request like = {.type = HF_MSG_PRESENCE, .channel = channel};

    return ask(s, &like, request_id, now_ms);
}

int hf_client_session_call(struct hf_client_session *s, struct hf_str method, struct hf_str payload,
                           uint64_t timeout_ms, uint64_t *request_id, uint64_t now_ms)
{
    bool for_ever = timeout_ms == 0 || timeout_ms > HF_NEVER - now_ms;
    struct hf_request like = {
        .type = HF_MSG_CALL, .method = method, .until_ms = for_ever ? HF_NEVER : now_ms + timeout_ms};
    const char *reason;

    if (hf_json_check(payload, true, &like.payload, &reason) < 0)
        return HF_EINVAL;
    if (like.payload.len > s->config.outbox_bytes_max ||
        (s->payload_bytes_max > 0 && like.payload.len > s->payload_bytes_max))
        return HF_ETOOLARGE;
    return ask(s, &like, request_id, now_ms);
}

/* --- the answers --- */

bool hf_cs_on_app_pong(struct hf_client_session *s, const struct hf_msg *m, uint64_t now_ms)
{
    struct hf_request *r = hf_requests_find(&s->requests, HF_MSG_PING, m->id);
    struct hf_client_session_event ev = {.type = HF_CSE_PONG};

    if (r == NULL)
        return false;
    ev.request_id = r->id;
    ev.stamp = r->stamp;
    hf_requests_take(&s->requests, r);
    free(r);
    hf_cs_answered(s, now_ms);
    hf_cs_emit(s, &ev);
    return true;
}

struct hf_str hf_cs_default_id(char *room, struct hf_str epoch, uint64_t offset)
{
    memcpy(room, epoch.data, epoch.len);
    room[epoch.len] = '-';
    return (struct hf_str){room, epoch.len + 1 + hf_u64_digits(room + epoch.len + 1, offset)};
}

/* One message of the answer. */
static void emit_kept(struct hf_client_session *s, const struct hf_request *r, const struct hf_msg *m)
{
    struct hf_client_session_event ev = {.type = HF_CSE_KEPT, .request_id = r->id};

    ev.channel = r->channel;
    ev.offset = m->offset;
    ev.id = m->id;
    ev.timestamp_ms = m->timestamp;
    ev.from_user = m->from_user;
    ev.payload = m->payload;
    ev.payload_base64 = (m->has & HF_HAS_PAYLOAD64) != 0;
    ev.payload_raw = m->payload_raw;
    hf_cs_emit(s, &ev);
}

static void emit_history(struct hf_client_session *s, const struct hf_request *r, const struct hf_msg *m)
{
    struct hf_client_session_event ev = {.type = HF_CSE_HISTORY, .request_id = r->id, .channel = r->channel};
    struct hf_items it = hf_items(m, m->messages);
    /* What KEPT lends is good until HISTORY, and so are ids that are made here. */
    size_t id_bytes = m->epoch.len + HF_CS_ID_MAX - HF_LABEL_BYTES_MAX;
    char *ids = m->encoding == HF_ENCODING_BINARY ? malloc(HF_HISTORY_LIMIT_MAX * id_bytes) : NULL;
    struct hf_msg kept;
    int found = m->encoding == HF_ENCODING_BINARY && ids == NULL ? HF_ENOMEM : 0;

    while (found >= 0 && (found = hf_items_message(&it, &kept)) == 1) {
        if (ids != NULL && ev.count == HF_HISTORY_LIMIT_MAX)
            found = HF_EBADMSG; /* More than any client may ask for. */
        if (found < 0)
            break;
        if ((kept.has & HF_HAS_ID) == 0 && ids != NULL)
            kept.id = hf_cs_default_id(ids + ev.count * id_bytes, m->epoch, kept.offset);
        emit_kept(s, r, &kept);
        ev.count++;
    }
    if (found < 0) {
        ev.code = hf_str_from(hf_code_name(found == HF_ENOMEM ? HF_CODE_INTERNAL : HF_CODE_BAD_MESSAGE));
        ev.reason = found == HF_ENOMEM ? HF_STR("no memory for the server's answer")
                                       : HF_STR("the server's answer cannot be understood");
    }
    ev.epoch = m->epoch;
    ev.offset = m->offset;
    hf_cs_emit(s, &ev);
    free(ids);
}

void hf_cs_on_history(struct hf_client_session *s, struct hf_msg *m, uint64_t now_ms)
{
    struct hf_request *r = hf_requests_find(&s->requests, HF_MSG_HISTORY, m->id);

    if (r == NULL)
        return;
    hf_requests_take(&s->requests, r);
    hf_cs_answered(s, now_ms);
    emit_history(s, r, m);
    free(r);
}

static void emit_members(struct hf_client_session *s, const struct hf_request *r, const struct hf_msg *m)
{
    struct hf_client_session_event ev = {.type = HF_CSE_MEMBERS, .request_id = r->id, .channel = r->channel};
    struct hf_items it = hf_items(m, m->members);
    struct hf_items_member member;
    int found;

    while ((found = hf_items_member(&it, &member)) == 1) {
        const struct hf_client_session_event one = {.type = HF_CSE_MEMBER,
                                                    .request_id = r->id,
                                                    .channel = r->channel,
                                                    .session = member.session,
                                                    .user = member.user,
                                                    .info = member.info};

        hf_cs_emit(s, &one);
        ev.count++;
    }
    if (found < 0) {
        ev.code = hf_str_from(hf_code_name(HF_CODE_BAD_MESSAGE));
        ev.reason = HF_STR("the server's answer cannot be understood");
    }
    hf_cs_emit(s, &ev);
}

void hf_cs_on_presence(struct hf_client_session *s, struct hf_msg *m, uint64_t now_ms)
{
    struct hf_request *r = hf_requests_find(&s->requests, HF_MSG_PRESENCE, m->id);

    if (r == NULL)
        return;
    hf_requests_take(&s->requests, r);
    hf_cs_answered(s, now_ms);
    emit_members(s, r, m);
    free(r);
}

void hf_cs_on_reply(struct hf_client_session *s, struct hf_msg *m, uint64_t now_ms)
{
    struct hf_request *r = hf_requests_find(&s->requests, HF_MSG_CALL, m->id);
    struct hf_client_session_event ev = {.type = HF_CSE_REPLY};

    if (r == NULL)
        return;
    ev.request_id = r->id;
    ev.code = m->code;
    ev.reason = m->reason;
    if (m->code.len == 0) {
        ev.payload = m->payload;
        ev.payload_raw = m->payload_raw;
    }
    hf_requests_take(&s->requests, r);
    free(r);
    hf_cs_answered(s, now_ms);
    hf_cs_emit(s, &ev);
}

/* --- what cannot be had --- */

/* For this reason; the request is out of the list, and freed. */
static void tell_refused(struct hf_client_session *s, struct hf_request *r, struct hf_str code,
                         struct hf_str reason)
{
    static const enum hf_client_session_event_type answers[HF_MSG_TYPES] = {
        [HF_MSG_HISTORY] = HF_CSE_HISTORY,
        [HF_MSG_PRESENCE] = HF_CSE_MEMBERS,
        [HF_MSG_CALL] = HF_CSE_REPLY,
    };
    const struct hf_client_session_event ev = {
        .type = answers[r->type], .request_id = r->id, .channel = r->channel, .code = code, .reason = reason};

    hf_cs_emit(s, &ev);
    free(r);
}

static void refuse(struct hf_client_session *s, struct hf_request *r, struct hf_str code,
                   struct hf_str reason)
{
    hf_requests_take(&s->requests, r);
    tell_refused(s, r, code, reason);
}

bool hf_cs_question_refused(struct hf_client_session *s, const struct hf_msg *m, uint64_t now_ms)
{
    enum hf_msg_type re = hf_msg_type(m->re);
    struct hf_request *r = NULL;

    if (re == HF_MSG_HISTORY || re == HF_MSG_PRESENCE || re == HF_MSG_CALL)
        r = hf_requests_find(&s->requests, re, m->id);
    if (r == NULL)
        return false;
    refuse(s, r, m->code, m->reason);
    hf_cs_answered(s, now_ms);
    return true;
}

void hf_cs_question_too_large(struct hf_client_session *s)
{
    struct hf_request *r = hf_requests_oldest_question(&s->requests);

    if (r != NULL)
        refuse(s, r, HF_STR("too_large"),
               HF_STR("the answer is larger than this client takes: ask for fewer"));
}

/* "a `call` is reported as uncertain" (PROTOCOL.md "Resume" 6). At the session's end nothing is told of any request. */
void hf_cs_tell_lost_calls(struct hf_client_session *s)
{
    struct hf_request *r;

    while (s->state != HF_CLIENT_ENDED && (r = hf_requests_take_lost(&s->requests)) != NULL)
        tell_refused(s, r, HF_STR("uncertain"),
                     HF_STR("the connection broke before the answer: the call may have reached the backend. "
                            "Make it again only if twice does no harm"));
}

/* --- time --- */

uint64_t hf_cs_calls_deadline_ms(const struct hf_client_session *s)
{
    const struct hf_request *r = s->state == HF_CLIENT_ENDED ? NULL : hf_requests_first_due(&s->requests);

    return r == NULL ? HF_NEVER : r->until_ms;
}

void hf_cs_tick_calls(struct hf_client_session *s, uint64_t now_ms)
{
    while (hf_cs_calls_deadline_ms(s) <= now_ms) {
        struct hf_request *r = hf_requests_first_due(&s->requests);

        refuse(s, r, HF_STR("timeout"),
               r->asked ? HF_STR("no answer in time: the call may have reached the backend. Make it again "
                                 "only if twice does no harm")
                        : HF_STR("there was no connection in time: the call was not made"));
        hf_cs_answered(s, now_ms);
    }
}
