/*
 * exchange.c - what workers say to each other over the rings.
 *
 * Requests: OPEN, PUBLISH, TAKE, DISCONNECT, ORDER. Handling one may need room in the answer ring of the other direction, and for PUBLISH room in the log; without
 * it the request stays in its ring, and that ring waits. Answers, and NOTICE, are always handled at once. So answer rings always drain,
 * therefore request rings do, and two workers that publish to each other with everything full still move on.
 *
 * A request may be handled twice when its handler dies in between: OPEN, TAKE and DISCONNECT do not mind, and a PUBLISH is recognised by
 * its seq or key; one that has neither gets its place in the ring for a seq.
 */
#include "server/hub_state.h"

#include "base/assert.h"

#include <stdlib.h>
#include <string.h>

enum kind {
    REQUEST_OPEN = 1,
    REQUEST_PUBLISH,
    REQUEST_TAKE,
    REQUEST_DISCONNECT,
    REQUEST_ORDER,
    ANSWER_OPENED,
    ANSWER_PUBLISHED,
    ANSWER_TAKEN,
    ANSWER_DISCONNECTED,
    ANSWER_ORDERED,
    NOTICE,
};

/* Every record. Which fields count depends on its kind; three strings may follow. */
struct letter {
    uint32_t kind;
    uint16_t close_code;
    uint8_t act, has_timestamp, has_key, has_id, from_service, repeated, conflict, raw;
    int32_t err;
    uint32_t name_len, id_len, from_len, payload_len;
    uint64_t token, session, generation, seq;
    uint64_t timestamp, key[2], body_hash;
    uint64_t cid, offset;
    uint64_t received_us;
};

static char *letter_text(struct letter *l)
{
    return (char *)(l + 1);
}

static struct letter *write_letter(struct hf_hub *hub, enum hf_ring_class class, uint32_t to, size_t text_len)
{
    struct letter *l =
        hf_ring_reserve(hf_region_ring_to(hub->region, class, hub->slot, to), sizeof(*l) + text_len);

    if (l == NULL) {
        hf_count(hub->counters, HF_COUNT_RING_FULL, 1);
        return NULL;
    }
    memset(l, 0, sizeof(*l));
    return l;
}

static void send_letter(struct hf_hub *hub, enum hf_ring_class class, uint32_t to, size_t text_len)
{
    hf_ring_commit(hf_region_ring(hub->region, class, hub->slot, to), sizeof(struct letter) + text_len);
    hub->bells[to / 64] |= UINT64_C(1) << (to % 64);
}

/* ---- Requests to others ---- */

bool hf_exchange_open(struct hf_hub *hub, uint32_t to, struct hf_str name, uint64_t token)
{
    struct letter *l = write_letter(hub, HF_RING_REQUEST, to, name.len);

    if (l == NULL)
        return false;
    l->kind = REQUEST_OPEN;
    l->token = token;
    l->name_len = (uint32_t)name.len;
    memcpy(letter_text(l), name.data, name.len);
    send_letter(hub, HF_RING_REQUEST, to, name.len);
    return true;
}

/* Returns what is behind it. A part may be empty. */
static char *put_text(char *to, struct hf_str text)
{
    if (text.len > 0)
        memcpy(to, text.data, text.len);
    return to + text.len;
}

bool hf_exchange_publish(struct hf_hub *hub, uint32_t to, const struct hf_publish *p, uint64_t token,
                         uint64_t generation)
{
    size_t text_len = p->channel.len + p->id.len + p->from.len + p->payload.len;
    struct letter *l = write_letter(hub, HF_RING_REQUEST, to, text_len);
    char *text;

    if (l == NULL)
        return false;
    l->kind = REQUEST_PUBLISH;
    l->token = token;
    l->session = p->session;
    l->generation = generation;
    l->seq = p->seq;
    l->has_timestamp = p->has_timestamp;
    l->timestamp = p->timestamp;
    l->has_key = p->has_key;
    l->key[0] = p->key[0];
    l->key[1] = p->key[1];
    l->body_hash = p->body_hash;
    l->has_id = p->id.data != NULL;
    l->raw = p->raw;
    l->from_service = p->session == 0 && generation == 0;
    l->cid = p->cid;
    l->received_us = p->received_us;
    l->name_len = (uint32_t)p->channel.len;
    l->id_len = (uint32_t)p->id.len;
    l->from_len = (uint32_t)p->from.len;
    l->payload_len = (uint32_t)p->payload.len;
    text = put_text(letter_text(l), p->channel);
    text = put_text(text, p->id);
    text = put_text(text, p->from);
    (void)put_text(text, p->payload);
    send_letter(hub, HF_RING_REQUEST, to, text_len);
    return true;
}

bool hf_exchange_take(struct hf_hub *hub, uint32_t to, uint64_t session, uint64_t attempt, uint64_t token)
{
    struct letter *l = write_letter(hub, HF_RING_REQUEST, to, 0);

    if (l == NULL)
        return false;
    l->kind = REQUEST_TAKE;
    l->session = session;
    l->seq = attempt;
    l->token = token;
    send_letter(hub, HF_RING_REQUEST, to, 0);
    return true;
}

bool hf_exchange_disconnect(struct hf_hub *hub, uint32_t to, uint64_t session, uint16_t code, uint64_t token)
{
    struct letter *l = write_letter(hub, HF_RING_REQUEST, to, 0);

    if (l == NULL)
        return false;
    l->kind = REQUEST_DISCONNECT;
    l->session = session;
    l->close_code = code;
    l->token = token;
    send_letter(hub, HF_RING_REQUEST, to, 0);
    return true;
}

bool hf_exchange_order(struct hf_hub *hub, uint32_t to, uint64_t session, uint8_t act, uint16_t close_code,
                       struct hf_str channel, uint64_t token)
{
    struct letter *l = write_letter(hub, HF_RING_REQUEST, to, channel.len);

    if (l == NULL)
        return false;
    l->kind = REQUEST_ORDER;
    l->session = session;
    l->act = act;
    l->close_code = close_code;
    l->token = token;
    l->name_len = (uint32_t)channel.len;
    if (channel.len > 0)
        memcpy(letter_text(l), channel.data, channel.len);
    send_letter(hub, HF_RING_REQUEST, to, channel.len);
    return true;
}

/* ---- Notices ---- */

static bool send_notice(struct hf_hub *hub, uint32_t to, hf_cid cid)
{
    struct letter *l = write_letter(hub, HF_RING_ANSWER, to, 0);

    if (l == NULL)
        return false;
    l->kind = NOTICE;
    l->cid = cid;
    send_letter(hub, HF_RING_ANSWER, to, 0);
    return true;
}

/* At most one for each channel and worker, because its `notified` bit stays set until it has been told. */
static void retell_later(struct hf_hub *hub, uint32_t to, hf_cid cid)
{
    if (hub->retell_count == hub->retell_cap) {
        uint32_t cap = hub->retell_cap == 0 ? 64 : hub->retell_cap * 2;
        void *more = realloc(hub->retell, cap * sizeof(*hub->retell));

        hf_assert(more != NULL); /* Whoever succeeds us tells everybody again. */
        hub->retell = more;
        hub->retell_cap = cap;
    }
    hub->retell[hub->retell_count].cid = cid;
    hub->retell[hub->retell_count++].slot = to;
}

static void retell(struct hf_hub *hub)
{
    uint32_t left = 0;

    for (uint32_t i = 0; i < hub->retell_count; i++)
        if (!send_notice(hub, hub->retell[i].slot, hub->retell[i].cid))
            hub->retell[left++] = hub->retell[i];
    hub->retell_count = left;
}

static void tell(struct hf_hub *hub, uint32_t to, struct hf_channel *channel, hf_cid cid)
{
    struct hf_topic *t;

    if (to == hub->slot) {
        t = hf_topic_of(hub, cid);
        if (t != NULL)
            hf_topic_dirty(hub, t);
        return;
    }
    if (!hf_channel_untold(channel, to))
        return;
    hf_channel_set_told(channel, to);
    if (!send_notice(hub, to, cid))
        retell_later(hub, to, cid);
}

void hf_exchange_told(void *ctx, uint32_t shard, struct hf_channel *channel)
{
    struct hf_hub *hub = ctx;
    hf_cid cid = atomic_load_explicit(&channel->cid, memory_order_relaxed);

    (void)shard;
    for (uint32_t word = 0; word < HF_WORKER_WORDS; word++)
        for (uint64_t bits = atomic_load(&channel->interest[word]); bits != 0; bits &= bits - 1)
            tell(hub, word * 64 + (uint32_t)__builtin_ctzll(bits), channel, cid);
}

/* ---- Requests of others ---- */

/* Room for an answer, or NULL: then the request must wait. */
static struct letter *begin_answer(struct hf_hub *hub, uint32_t to, enum kind kind,
                                   const struct letter *request, size_t text_len)
{
    struct letter *l = write_letter(hub, HF_RING_ANSWER, to, text_len);

    if (l == NULL)
        return NULL;
    l->kind = kind;
    l->token = request->token;
    l->session = request->session;
    l->generation = request->generation;
    l->seq = request->seq;
    l->from_service = request->from_service;
    return l;
}

static bool handle_open(struct hf_hub *hub, uint32_t from, struct letter *request)
{
    struct hf_str name = {letter_text(request), request->name_len};
    uint64_t hash = hf_channel_hash(name);
    struct letter *answer = begin_answer(hub, from, ANSWER_OPENED, request, 0);
    struct hf_channel *channel;

    if (answer == NULL)
        return false;
    answer->err = hub->engine->ops->open(hub->engine, hf_channel_shard(hash, hub->shards), name, hash,
                                         hub->now, &channel);
    send_letter(hub, HF_RING_ANSWER, from, 0);
    return true;
}

static struct hf_publish publish_of(struct letter *l)
{
    const char *text = letter_text(l);

    return (struct hf_publish){.channel = {text, l->name_len},
                               .cid = l->cid,
                               .id = {l->has_id ? text + l->name_len : NULL, l->id_len},
                               .from = {text + l->name_len + l->id_len, l->from_len},
                               .payload = {text + l->name_len + l->id_len + l->from_len, l->payload_len},
                               .raw = l->raw,
                               .has_timestamp = l->has_timestamp,
                               .timestamp = l->timestamp,
                               .session = l->session,
                               .seq = l->seq,
                               .has_key = l->has_key,
                               .key = {l->key[0], l->key[1]},
                               .body_hash = l->body_hash,
                               .received_us = l->received_us};
}

/*
 * Whether an answer with that much text will find room after the publish, which may put a notice into the same ring before it. Nothing
 * is kept reserved over the publish: a reservation ends with the next one.
 */
static bool answer_will_fit(struct hf_hub *hub, uint32_t to, size_t text_len)
{
    size_t both = 2 * sizeof(struct letter) + HF_RING_RECORD_EXTRA + text_len;

    if (hf_ring_reserve(hf_region_ring_to(hub->region, HF_RING_ANSWER, hub->slot, to), both) != NULL)
        return true;
    hf_count(hub->counters, HF_COUNT_RING_FULL, 1);
    return false;
}

static void answer_publish(struct hf_hub *hub, uint32_t to, const struct letter *request,
                           const struct hf_publish *p, size_t text_len, int err,
                           const struct hf_published *result)
{
    struct letter *answer = begin_answer(hub, to, ANSWER_PUBLISHED, request, text_len);

    hf_assert(answer != NULL); /* answer_will_fit() */
    answer->id_len = (uint32_t)text_len;
    if (text_len > 0)
        memcpy(letter_text(answer), p->id.data, text_len);
    answer->err = err;
    answer->cid = result->cid;
    answer->offset = result->offset;
    answer->repeated = result->repeated;
    answer->conflict = result->conflict;
    send_letter(hub, HF_RING_ANSWER, to, text_len);
}

/* No session has such a number: see hf_sessions_add(). */
#define RING_AS_SESSION (UINT64_C(1) << 63)

/* Returns false where it must wait. */
static bool handle_publish(struct hf_hub *hub, uint32_t from, struct hf_ring *ring, struct letter *request)
{
    struct hf_publish p = publish_of(request);
    uint64_t hash = hf_channel_hash(p.channel);
    uint32_t shard = p.channel.len > 0 ? hf_channel_shard(hash, hub->shards) : hf_cid_shard(p.cid);
    size_t text_len = p.seq == 0 ? p.id.len : 0;
    bool wants_answer = p.seq != 0 || request->has_id || request->from_service;
    struct hf_published result;
    int err;

    if (shard >= hub->shards || hf_region_owner(hub->region, shard) != hub->slot)
        return true; /* Not ours: a worker would have to be broken to send it. */
    if (wants_answer && !answer_will_fit(hub, from, text_len))
        return false;
    if (p.seq == 0 &&
        !p.has_key) { /* Should we die before it has left the ring, our successor knows it by this. */
        p.session = RING_AS_SESSION | from;
        p.seq = hf_ring_position(ring) + 1;
    }
    err = hub->engine->ops->publish(hub->engine, shard, &p, hash, hub->now, &result);
    if (err == HF_EAGAIN)
        return false;
    if (err == 0 && !result.repeated)
        hf_busy_count(&hub->busy, result.cid, HF_BUSY_PUBLISHES, 1);
    if (wants_answer)
        answer_publish(hub, from, request, &p, text_len, err, &result);
    return true;
}

/* The asker looked at the session before this attempt took it: he is late, and finds out when he looks again. */
static bool is_newer(const struct hf_conn *c, uint64_t attempt)
{
    return attempt != 0 && atomic_load(&c->session->attempt) >= attempt;
}

static bool handle_take(struct hf_hub *hub, uint32_t from, struct letter *request)
{
    struct hf_conn *c = hf_conns_by_session(&hub->conns, request->session);
    struct hf_session *s = c == NULL ? hf_sessions_get(&hub->sessions, request->session) : NULL;

    if (c != NULL && !is_newer(c, request->seq))
        hf_attach_supersede(c);
    if (s != NULL)
        hf_attach_orphan(hub, s);
    if (begin_answer(hub, from, ANSWER_TAKEN, request, 0) == NULL)
        return false;
    send_letter(hub, HF_RING_ANSWER, from, 0);
    return true;
}

static bool handle_disconnect(struct hf_hub *hub, uint32_t from, struct letter *request)
{
    struct letter *answer = begin_answer(hub, from, ANSWER_DISCONNECTED, request, 0);

    if (answer == NULL)
        return false;
    answer->err = hf_service_end_local(hub, request->session, request->close_code);
    send_letter(hub, HF_RING_ANSWER, from, 0);
    return true;
}

/*
 * What it does may put letters of its own into the answer ring, before the answer: as for a publish. Done twice where we die behind it, it finds it done, but for a count: an
 * unsubscribe or a disconnect that was done already is told as not found.
 */
static bool handle_order(struct hf_hub *hub, uint32_t from, struct letter *request)
{
    struct hf_str channel = {letter_text(request), request->name_len};
    struct letter *answer;
    int err;

    if (!answer_will_fit(hub, from, 0))
        return false;
    err = hf_grant(hub, request->session, request->act, request->close_code, channel);
    answer = begin_answer(hub, from, ANSWER_ORDERED, request, 0);
    hf_assert(answer != NULL); /* answer_will_fit() */
    answer->err = err;
    send_letter(hub, HF_RING_ANSWER, from, 0);
    return true;
}

static bool handle_request(struct hf_hub *hub, uint32_t from, struct hf_ring *ring, struct letter *l)
{
    switch (l->kind) {
    case REQUEST_OPEN:
        return handle_open(hub, from, l);
    case REQUEST_PUBLISH:
        return handle_publish(hub, from, ring, l);
    case REQUEST_TAKE:
        return handle_take(hub, from, l);
    case REQUEST_DISCONNECT:
        return handle_disconnect(hub, from, l);
    case REQUEST_ORDER:
        return handle_order(hub, from, l);
    default:
        return true;
    }
}

/* ---- Answers of others ---- */

static void handle_opened(struct hf_hub *hub, const struct letter *l)
{
    struct hf_conn *c = hf_conns_by_serial(&hub->conns, l->token);

    if (c == NULL) {
        hf_service_opened(hub, l->token, l->err);
    } else if (c->stall != NULL && c->stall->opening) {
        c->stall->opening = false;
        c->stall->open_err = l->err == HF_ELIMIT ? l->err : 0;
    }
}

static void handle_answer(struct hf_hub *hub, struct letter *l)
{
    struct hf_published result = {l->cid, l->offset, l->repeated != 0, l->conflict != 0};
    struct hf_str id = {letter_text(l), l->id_len};
    struct hf_conn *c;
    struct hf_topic *t;

    switch (l->kind) {
    case ANSWER_OPENED:
        handle_opened(hub, l);
        break;
    case ANSWER_PUBLISHED:
        if (l->from_service)
            hf_service_published(hub, l->token, l->err == 0 ? &result : NULL);
        else
            hf_publish_answered(hub, l->session, l->generation, l->seq, id, l->token, l->err, &result);
        break;
    case ANSWER_TAKEN:
        c = hf_conns_by_serial(&hub->conns, l->token);
        if (c != NULL)
            hf_attach_taken(c);
        break;
    case ANSWER_DISCONNECTED:
        hf_service_disconnected(hub, l->token, l->err);
        break;
    case ANSWER_ORDERED:
        hf_service_ordered(hub, l->token, l->session, l->err);
        break;
    case NOTICE:
        t = hf_topic_of(hub, l->cid);
        if (t != NULL)
            hf_topic_dirty(hub, t);
        break;
    default:
        break;
    }
}

/* ---- A turn ---- */

static struct letter *peek_letter(struct hf_ring *ring)
{
    size_t len;
    struct letter *l = hf_ring_peek(ring, &len);

    hf_assert(l == NULL || (len >= sizeof(*l) &&
                            len == sizeof(*l) + l->name_len + l->id_len + l->from_len + l->payload_len));
    return l;
}

static void tell_producer(struct hf_hub *hub, struct hf_ring *ring, uint32_t from)
{
    if (hf_ring_producer_due(ring))
        hub->bells[from / 64] |= UINT64_C(1) << (from % 64);
}

static void receive_answers(struct hf_hub *hub, uint32_t from)
{
    struct hf_ring *ring = hf_region_ring(hub->region, HF_RING_ANSWER, from, hub->slot);
    struct letter *l;

    while ((l = peek_letter(ring)) != NULL) {
        handle_answer(hub, l);
        hf_ring_consume(ring);
    }
    tell_producer(hub, ring, from);
}

/* Returns whether all of that ring was handled. */
static bool receive_requests(struct hf_hub *hub, uint32_t from)
{
    struct hf_ring *ring = hf_region_ring(hub->region, HF_RING_REQUEST, from, hub->slot);
    struct letter *l;
    bool all = true;

    while (all && (l = peek_letter(ring)) != NULL) {
        all = handle_request(hub, from, ring, l);
        if (all)
            hf_ring_consume(ring);
    }
    tell_producer(hub, ring, from);
    return all;
}

/*
 * A bell is rung at the end of the turn that needs it. So what another worker put into a ring in its present turn may stand there unheard, though
 * that turn began long ago; only what it had put there before its `rung_ms` is known to have been heard by now.
 */
static uint64_t begin_settling(struct hf_hub *hub)
{
    atomic_store(&hub->self->rung_ms, hub->now.mono_ms);
    return hub->now.mono_ms < hub->settle_ms ? 0 : hf_region_rung_ms(hub->region);
}

void hf_exchange_receive(struct hf_hub *hub)
{
    uint64_t rung_ms = begin_settling(hub);
    bool settled = true;

    for (uint32_t word = 0; word < HF_WORKER_WORDS; word++)
        hub->bells_heard[word] |= hf_region_take_bells(hub->region, hub->slot, word);
    for (uint32_t word = 0; word < HF_WORKER_WORDS; word++) {
        for (uint64_t bits = hub->bells_heard[word]; bits != 0; bits &= bits - 1) {
            uint32_t from = word * 64 + (uint32_t)__builtin_ctzll(bits);

            receive_answers(hub, from);
            if (receive_requests(hub, from))
                hub->bells_heard[word] &= ~(UINT64_C(1) << (from % 64));
            else
                settled = false; /* Its bell stays heard: the next turn goes on there. */
        }
    }
    if (settled && rung_ms > 0) {
        atomic_store(&hub->self->settled_ms, rung_ms);
        hub->settle_ms = hub->now.mono_ms + HF_SETTLE_MS + hub->workers;
    }
    retell(hub);
}

bool hf_exchange_busy(const struct hf_hub *hub)
{
    for (uint32_t word = 0; word < HF_WORKER_WORDS; word++)
        if (hub->bells_heard[word] != 0)
            return true;
    return hub->retell_count > 0;
}

/* What this turn has left in the rings to that worker. */
static void note_fill(struct hf_hub *hub, uint32_t to)
{
    for (int each = 0; each < HF_RING_CLASSES && hf_region_talks(hub->region, hub->slot, to); each++)
        hf_busy_ring(&hub->busy,
                     hf_ring_waiting(hf_region_ring(hub->region, (enum hf_ring_class)each, hub->slot, to)));
}

void hf_exchange_ring_bells(struct hf_hub *hub)
{
    for (uint32_t word = 0; word < HF_WORKER_WORDS; word++) {
        for (uint64_t bits = hub->bells[word]; bits != 0; bits &= bits - 1) {
            uint32_t to = word * 64 + (uint32_t)__builtin_ctzll(bits);

            note_fill(hub, to);
            if (hf_region_ring_bell(hub->region, hub->slot, to))
                hub->transport->wake(hub->transport->ctx, to);
        }
        hub->bells[word] = 0;
    }
}
