/*
 * session_player.h - plays a vector of events (tests/vectors/README.md, "session") into a client session: it is driver, server and
 * application in one, as the vector tells. What the session wants, says and tells is put into the timeline in the vector's own words,
 * which are not this library's: connections are named by their attempt, messages are JSON objects, times begin with the session.
 */
#ifndef TEST_SESSION_PLAYER_H
#define TEST_SESSION_PLAYER_H

#include "vector_file.h"

#include "base/buf.h"
#include "session/client_session.h"
#include "session/heartbeat_adaptive.h"
#include "session/heartbeat_classic.h"
#include "ws/frame.h"
#include "ws/handshake.h"

#include "memory_store.h"

enum {
    PLAYER_TEXT_MAX = 1 << 20,
    PLAYER_BEGIN_MS = 1000000, /* the session's clock at the vector's 0 */
    PLAYER_TURNS_MAX = 10000,
};

/* One connection as its driver and its server see it. */
struct player_connection {
    uint32_t attempt; /* 0: there is none */
    bool upgraded;    /* the request has been read */
    bool over;        /* its end has been told, or said */
    bool full;        /* the socket takes nothing */
    char key[HF_WS_KEY_LEN];
    struct hf_ws ws;
};

struct player {
    struct vector *v;
    json_t *config; /* borrowed */
    struct hf_client_session *s;
    uint64_t now_ms;
    bool drip; /* the server's bytes come one by one */
    struct player_connection connections[HF_CLIENT_SESSION_SLOTS];
    struct memory_store store;
    struct hf_heartbeat_classic classic;
    struct hf_heartbeat_adaptive adaptive;
    json_t *kept;    /* the messages of a history that is being told */
    json_t *members; /* of an answer that is being told */
};

/* --- small things --- */

static inline uint64_t player_at(const struct player *p)
{
    return p->now_ms - PLAYER_BEGIN_MS;
}

static inline json_t *player_str(struct hf_str s)
{
    return json_stringn(s.len > 0 ? s.data : "", s.len);
}

static inline json_t *player_number(uint64_t n)
{
    return n == UINT64_MAX ? json_null() : json_integer((json_int_t)n);
}

static inline void player_out(struct player *p, const char *name, json_t *members)
{
    vector_out(p->v, player_at(p), name, members);
}

/* A connection's name: the number of its attempt; those of probes are counted apart. */
static inline json_t *player_name(unsigned slot, uint32_t attempt)
{
    if (slot == HF_CLIENT_SESSION_PROBE_SLOT)
        return json_sprintf("probe %u", attempt);
    return json_integer(attempt);
}

static inline void player_on(struct player *p, const char *name, unsigned slot)
{
    player_out(p, name, json_pack("{s:o}", "on", player_name(slot, p->connections[slot].attempt)));
}

static inline struct hf_str player_string(const json_t *object, const char *name)
{
    const char *text = vector_text(object, name);

    return text == NULL ? (struct hf_str){NULL, 0} : hf_str_from(text);
}

/* --- what the application is told --- */

static inline json_t *player_payload(const struct hf_client_session_event *ev)
{
    json_t *payload = json_loadb(ev->payload.data, ev->payload.len, JSON_DECODE_ANY, NULL);

    assert_non_null(payload);
    return payload;
}

static inline json_t *player_message(const struct hf_client_session_event *ev)
{
    json_t *m = json_pack("{s:I, s:o, s:o, s:I}", "offset", (json_int_t)ev->offset, "id", player_str(ev->id),
                          "payload", player_payload(ev), "timestamp", (json_int_t)ev->timestamp_ms);

    if (ev->from_user.len > 0)
        json_object_set_new(m, "from", player_str(ev->from_user));
    return m;
}

static inline json_t *player_ending(const struct hf_client_session_event *ev)
{
    json_t *m = json_pack("{s:s}", "cause", hf_client_session_cause_name(ev->cause));

    if (ev->close_code > 0)
        json_object_set_new(m, "code", json_integer(ev->close_code));
    if (ev->http_status > 0)
        json_object_set_new(m, "status", json_integer(ev->http_status));
    return m;
}

static inline json_t *player_retry(const struct hf_client_session_event *ev)
{
    json_t *m = player_ending(ev);

    json_object_set_new(m, "delay", player_number(ev->delay_ms));
    return m;
}

static inline json_t *player_state(const struct hf_client_session_event *ev)
{
    json_t *m = json_pack("{s:s, s:s}", "from", hf_client_session_state_name(ev->from), "to",
                          hf_client_session_state_name(ev->to));
    json_t *ending = player_retry(ev);

    assert_true(ev->why != NULL && ev->why[0] != '\0');
    json_object_update(m, ending);
    json_decref(ending);
    return m;
}

static inline json_t *player_history(struct player *p, const struct hf_client_session_event *ev)
{
    json_t *kept = p->kept == NULL ? json_array() : p->kept;

    p->kept = NULL;
    if (ev->code.len > 0) {
        json_decref(kept);
        return json_pack("{s:I, s:o, s:o}", "request", (json_int_t)ev->request_id, "channel",
                         player_str(ev->channel), "code", player_str(ev->code));
    }
    return json_pack("{s:I, s:o, s:o, s:I, s:o}", "request", (json_int_t)ev->request_id, "channel",
                     player_str(ev->channel), "epoch", player_str(ev->epoch), "offset",
                     (json_int_t)ev->offset, "messages", kept);
}

static inline json_t *player_member(const struct hf_client_session_event *ev)
{
    json_t *m = json_pack("{s:o, s:o}", "session", player_str(ev->session), "user", player_str(ev->user));

    if (ev->info.data != NULL)
        json_object_set_new(m, "info", json_loadb(ev->info.data, ev->info.len, JSON_DECODE_ANY, NULL));
    return m;
}

static inline json_t *player_answer(const struct hf_client_session_event *ev, const char *name, json_t *value)
{
    json_t *m = json_pack("{s:I}", "request", (json_int_t)ev->request_id);

    if (ev->code.len == 0) {
        json_object_set_new(m, name, value);
        return m;
    }
    json_decref(value);
    json_object_set_new(m, "code", player_str(ev->code));
    return m;
}

static inline json_t *player_members(struct player *p)
{
    json_t *members = p->members == NULL ? json_array() : p->members;

    p->members = NULL;
    return members;
}

static inline json_t *player_with_channel(const struct hf_client_session_event *ev, json_t *others)
{
    json_t *m = json_pack("{s:o}", "channel", player_str(ev->channel));

    json_object_update(m, others);
    json_decref(others);
    return m;
}

static inline void player_on_event(void *ctx, const struct hf_client_session_event *ev)
{
    struct player *p = ctx;

    switch (ev->type) {
    case HF_CSE_CONNECTED:
        player_out(p, "connected",
                   json_pack("{s:o, s:b, s:I}", "session", player_str(ev->session), "resumed", ev->resumed,
                             "retries", (json_int_t)ev->count));
        break;
    case HF_CSE_CAUGHT_UP:
        player_out(p, "caught_up", json_pack("{s:I}", "count", (json_int_t)ev->count));
        break;
    case HF_CSE_DISCONNECTED:
        player_out(p, "disconnected", player_retry(ev));
        break;
    case HF_CSE_RETRYING:
        player_out(p, "retrying", player_retry(ev));
        break;
    case HF_CSE_ENDED:
        player_out(p, "ended", player_ending(ev));
        break;
    case HF_CSE_SUBSCRIBED:
        player_out(
            p, "subscribed",
            player_with_channel(ev, json_pack("{s:o, s:I, s:b}", "epoch", player_str(ev->epoch), "offset",
                                              (json_int_t)ev->offset, "recovered", ev->recovered)));
        break;
    case HF_CSE_UNSUBSCRIBED:
        player_out(p, "unsubscribed",
                   player_with_channel(ev, json_pack("{s:o}", "code", player_str(ev->code))));
        break;
    case HF_CSE_MESSAGE:
        player_out(p, "message", player_with_channel(ev, player_message(ev)));
        break;
    case HF_CSE_GAP:
        player_out(
            p, "gap",
            player_with_channel(ev, json_pack("{s:o, s:I, s:I, s:o}", "epoch", player_str(ev->epoch), "from",
                                              (json_int_t)ev->from_offset, "to", (json_int_t)ev->to_offset,
                                              "code", player_str(ev->code))));
        break;
    case HF_CSE_ACKED:
        player_out(p, "acked",
                   json_pack("{s:I, s:o}", "publish", (json_int_t)ev->publish_id, "offset",
                             ev->offset == 0 ? json_null() : json_integer((json_int_t)ev->offset)));
        break;
    case HF_CSE_REFUSED:
        player_out(
            p, "refused",
            json_pack("{s:I, s:o}", "publish", (json_int_t)ev->publish_id, "code", player_str(ev->code)));
        break;
    case HF_CSE_UNCERTAIN:
        player_out(p, "uncertain",
                   json_pack("{s:I, s:o, s:o}", "publish", (json_int_t)ev->publish_id, "channel",
                             player_str(ev->channel), "payload", player_payload(ev)));
        break;
    case HF_CSE_PONG:
        player_out(p, "pong", json_pack("{s:I}", "request", (json_int_t)ev->request_id));
        break;
    case HF_CSE_KEPT:
        if (p->kept == NULL)
            p->kept = json_array();
        json_array_append_new(p->kept, player_message(ev));
        break;
    case HF_CSE_HISTORY:
        player_out(p, "history", player_history(p, ev));
        break;
    case HF_CSE_MEMBER:
        if (p->members == NULL)
            p->members = json_array();
        json_array_append_new(p->members, player_member(ev));
        break;
    case HF_CSE_MEMBERS:
        player_out(p, "members", player_with_channel(ev, player_answer(ev, "members", player_members(p))));
        break;
    case HF_CSE_REPLY:
        player_out(p, "reply",
                   player_answer(ev, "payload", ev->code.len > 0 ? json_null() : player_payload(ev)));
        break;
    case HF_CSE_JOIN:
    case HF_CSE_LEAVE:
        player_out(p, ev->type == HF_CSE_JOIN ? "join" : "leave", player_with_channel(ev, player_member(ev)));
        break;
    case HF_CSE_PRESENCE_MISSED:
        break; /* The vectors do not know it: the other client tells it otherwise. */
    case HF_CSE_ERROR:
        player_out(p, "error", player_with_channel(ev, json_pack("{s:o}", "code", player_str(ev->code))));
        break;
    case HF_CSE_STATE:
        player_out(p, "state", player_state(ev));
        break;
    }
}

/* --- what the server is told --- */

/* The upgrade request: which session, which attempt, and by what right. */
static inline void player_read_upgrade(struct player *p, unsigned slot, char *head, size_t len)
{
    struct player_connection *c = &p->connections[slot];
    struct hf_handshake h;
    json_t *m = json_pack("{s:o, s:n}", "on", player_name(slot, c->attempt), "resume");
    char list[1024], *entry = list;
    size_t entry_len;

    assert_int_equal(hf_handshake_parse(&h, head, len), (int)len);
    (void)snprintf(list, sizeof(list), "%.*s", (int)h.protocols.len, h.protocols.data);
    while ((entry_len = strcspn(entry, ", ")) > 0) {
        char *next = entry + entry_len + strspn(entry + entry_len, ", ");

        entry[entry_len] = '\0';
        if (strncmp(entry, "hf.resume.", 10) == 0)
            json_object_set_new(m, "resume", json_string(entry + 10));
        else if (strncmp(entry, "hf.attempt.", 11) == 0)
            json_object_set_new(m, "attempt", json_integer(strtol(entry + 11, NULL, 10)));
        else if (strncmp(entry, "hf.token.", 9) == 0)
            json_object_set_new(m, "token", json_string(entry + 9));
        entry = next;
    }
    memcpy(c->key, h.key.data, HF_WS_KEY_LEN);
    c->upgraded = true;
    player_out(p, "upgrade", m);
}

static inline void player_read_frame(struct player *p, unsigned slot, const struct hf_ws_event *ev)
{
    struct player_connection *c = &p->connections[slot];
    json_t *message;

    assert_int_not_equal(ev->type, HF_WS_EV_ERROR);
    if (ev->type == HF_WS_EV_TEXT) {
        message = json_loadb((const char *)ev->data, ev->len, JSON_REJECT_DUPLICATES, NULL);
        assert_non_null(message);
        player_out(p, "send",
                   json_pack("{s:o, s:o}", "on", player_name(slot, c->attempt), "message", message));
    } else if (ev->type == HF_WS_EV_CLOSE && !c->over) {
        c->over = true;
        player_out(p, "close",
                   json_pack("{s:o, s:i}", "on", player_name(slot, c->attempt), "code", ev->close_code));
    }
}

/* Take what the session has to write there. */
static inline void player_read(struct player *p, unsigned slot)
{
    struct player_connection *c = &p->connections[slot];
    struct hf_str out = hf_client_session_output(p->s, slot, p->now_ms);
    size_t at = 0, len = out.len;
    struct hf_ws_event ev;
    uint8_t *copy;

    if (len == 0 || c->full)
        return;
    copy = malloc(len);
    assert_non_null(copy);
    memcpy(copy, out.data, len);
    hf_client_session_sent(p->s, slot, len, p->now_ms);
    if (!c->upgraded) {
        player_read_upgrade(p, slot, (char *)copy, len);
        at = len;
    }
    do {
        at += hf_ws_recv(&c->ws, copy + at, len - at, &ev);
        player_read_frame(p, slot, &ev);
    } while (at < len || ev.type != HF_WS_EV_NONE);
    free(copy);
}

/* --- what the session wants --- */

static inline void player_forget(struct player *p, unsigned slot)
{
    struct player_connection *c = &p->connections[slot];

    hf_ws_release(&c->ws);
    *c = (struct player_connection){.attempt = 0};
}

/* Obey what it wants of a slot. */
static inline void player_obey(struct player *p, unsigned slot)
{
    struct player_connection *c = &p->connections[slot];
    struct hf_client_session_want want = hf_client_session_want(p->s, slot);

    if (c->attempt != 0 && c->attempt != want.attempt) {
        if (!c->over)
            player_on(p, "drop", slot);
        player_forget(p, slot);
    }
    if (want.wish == HF_WISH_CONNECT && c->attempt != want.attempt) {
        c->attempt = want.attempt;
        hf_ws_init(&c->ws, HF_WS_SERVER, PLAYER_TEXT_MAX);
        player_on(p, "connect", slot);
    } else if (want.wish == HF_WISH_CARRY) {
        player_read(p, slot);
    } else if (want.wish == HF_WISH_CLOSE) {
        player_read(p, slot);
        c->over = true;
        hf_client_session_lost(p->s, slot, "closed", p->now_ms);
    }
}

/* Until there is nothing more to do at this time. */
static inline void player_settle(struct player *p)
{
    unsigned turns, slot;

    for (turns = 0; turns < PLAYER_TURNS_MAX; turns++) {
        for (slot = 0; slot < HF_CLIENT_SESSION_SLOTS; slot++)
            player_obey(p, slot);
        if (hf_client_session_deadline_ms(p->s) > p->now_ms)
            return;
        hf_client_session_tick(p->s, p->now_ms);
    }
    fail_msg("%s: at %u it never comes to rest", p->v->path, (unsigned)player_at(p));
}

/* Let time pass up to this moment. */
static inline void player_advance(struct player *p, uint64_t until_ms, bool waiting)
{
    uint64_t at;
    unsigned turns;

    for (turns = 0; turns < PLAYER_TURNS_MAX && (at = hf_client_session_deadline_ms(p->s)) <= until_ms;
         turns++) {
        if (at == until_ms && !waiting)
            fail_msg("%s: at %u a timer is due at the time of an input: which is first? Move the input by a "
                     "millisecond",
                     p->v->path, (unsigned)(until_ms - PLAYER_BEGIN_MS));
        p->now_ms = at;
        hf_client_session_tick(p->s, p->now_ms);
        player_settle(p);
    }
    assert_true(turns < PLAYER_TURNS_MAX);
    p->now_ms = until_ms;
}

/* --- making a session --- */

static inline struct hf_heartbeat_policy *player_policy(struct player *p)
{
    const json_t *policy = json_object_get(p->config, "policy");

    if (policy == NULL)
        return NULL;
    if (vector_is(policy, "name", "classic")) {
        hf_heartbeat_classic_init(&p->classic);
        return &p->classic.base;
    }
    assert_true(vector_is(policy, "name", "adaptive"));
    hf_heartbeat_adaptive_init(&p->adaptive, vector_u64(policy, "tolerance", 0), NULL,
                               vector_hex(policy, "seed"));
    return &p->adaptive.base;
}

static inline void player_begin(struct player *p)
{
    const json_t *c = p->config;
    const struct hf_client_session_config config = {
        .host = "server:8000",
        .target = "/ws",
        .token = vector_text(c, "token"),
        .token_source = vector_true(c, "tokenSource"),
        .outbox_messages_max = (uint32_t)vector_u64(c, "outboxMessages", 100),
        .outbox_bytes_max = vector_u64(c, "outboxBytes", 100000),
        .window = (uint32_t)vector_u64(c, "window", 50),
        .subscriptions_max = (uint32_t)vector_u64(c, "subscriptions", 4),
        .recv_bytes_max = PLAYER_TEXT_MAX,
        .heartbeat_interval_ms = vector_u64(c, "heartbeatInterval", 0),
        .heartbeat_policy = player_policy(p),
        .background = vector_true(c, "background"),
        .seed = vector_hex(c, "seed"),
        .store = vector_true(c, "store") ? &p->store.store : NULL,
        .on_event = player_on_event,
        .ctx = p,
    };

    assert_int_equal(hf_client_session_new(&config, p->now_ms, &p->s), 0);
}

/* The process ends: in order, or between two instructions, when it can save nothing more. */
static inline void player_end(struct player *p, bool crash)
{
    unsigned slot;

    p->store.fail = crash ? HF_EIO : 0;
    hf_client_session_free(p->s);
    p->store.fail = 0;
    for (slot = 0; slot < HF_CLIENT_SESSION_SLOTS; slot++)
        player_forget(p, slot);
}

/* --- inputs: the network --- */

static inline unsigned player_slot(struct player *p, const json_t *in)
{
    json_t *on = json_object_get(in, "on");
    unsigned slot;

    for (slot = 0; slot < HF_CLIENT_SESSION_SLOTS; slot++) {
        json_t *name = player_name(slot, p->connections[slot].attempt);
        bool same = p->connections[slot].attempt != 0 && json_equal(name, on);

        json_decref(name);
        if (same)
            return slot;
    }
    fail_msg("%s: at %u there is no such connection", p->v->path, (unsigned)player_at(p));
    return 0;
}

static inline void player_feed(struct player *p, unsigned slot, struct hf_buf *bytes)
{
    size_t at, step = p->drip ? 1 : bytes->len;

    for (at = 0; at < bytes->len; at += step)
        hf_client_session_recv(p->s, slot, bytes->data + at, step, p->now_ms);
    hf_buf_release(bytes);
}

static inline void player_put_messages(struct hf_buf *out, const json_t *in)
{
    json_t *message;
    size_t i;

    json_array_foreach(json_object_get(in, "messages"), i, message)
    {
        /* What is no object is sent as it is written, to be something that no server sends. */
        char *text =
            json_is_string(message) ? strdup(json_string_value(message)) : json_dumps(message, JSON_COMPACT);

        assert_non_null(text);
        assert_int_equal(hf_ws_put_frame(out, HF_WS_TEXT, text, strlen(text), NULL), 0);
        free(text);
    }
}

static inline void player_connected(struct player *p, json_t *in)
{
    hf_client_session_connected(p->s, player_slot(p, in), p->now_ms);
}

static inline void player_accept(struct player *p, json_t *in)
{
    unsigned slot = player_slot(p, in);
    struct hf_buf out;

    hf_buf_init(&out, PLAYER_TEXT_MAX);
    assert_int_equal(hf_handshake_put_accept(&out, (struct hf_str){p->connections[slot].key, HF_WS_KEY_LEN},
                                             HF_STR("holdfast.v1.json"), NULL),
                     0);
    player_put_messages(&out, in);
    player_feed(p, slot, &out);
}

static inline void player_receive(struct player *p, json_t *in)
{
    struct hf_buf out;

    hf_buf_init(&out, PLAYER_TEXT_MAX);
    player_put_messages(&out, in);
    player_feed(p, player_slot(p, in), &out);
}

static inline void player_refuse(struct player *p, json_t *in)
{
    unsigned slot = player_slot(p, in);
    struct hf_buf out;

    hf_buf_init(&out, PLAYER_TEXT_MAX);
    assert_int_equal(hf_handshake_put_refusal(&out, (int)vector_u64(in, "status", 503), "unavailable", "no",
                                              (unsigned)vector_u64(in, "retryAfter", 0)),
                     0);
    p->connections[slot].over = true;
    player_feed(p, slot, &out);
    hf_client_session_lost(p->s, slot, "closed", p->now_ms);
}

static inline void player_closed(struct player *p, json_t *in)
{
    unsigned slot = player_slot(p, in);
    struct hf_buf out;

    hf_buf_init(&out, PLAYER_TEXT_MAX);
    assert_int_equal(hf_ws_put_close(&out, (uint16_t)vector_u64(in, "code", 1000), HF_STR(""), NULL), 0);
    p->connections[slot].over = true; /* That the close is answered is WebSocket's affair. */
    player_feed(p, slot, &out);
}

static inline void player_lost(struct player *p, json_t *in)
{
    unsigned slot = player_slot(p, in);

    p->connections[slot].over = true;
    hf_client_session_lost(p->s, slot, "reset", p->now_ms);
}

static inline void player_full(struct player *p, json_t *in)
{
    p->connections[player_slot(p, in)].full = true;
}

static inline void player_drained(struct player *p, json_t *in)
{
    p->connections[player_slot(p, in)].full = false;
}

/* --- inputs: the application --- */

static inline void player_result(json_t *in, int err, const char *name, uint64_t number)
{
    static const struct {
        int err;
        const char *name;
    } names[] = {
        {0, "ok"},
        {HF_EAGAIN, "full"},
        {HF_ETOOLARGE, "too_large"},
        {HF_EINVAL, "invalid"},
        {HF_EEXIST, "exists"},
        {HF_ENOTFOUND, "not_found"},
        {HF_ELIMIT, "limit"},
        {HF_ESTATE, "closed"},
    };
    size_t i = 0;

    while (names[i].err != err)
        assert_true(++i < sizeof(names) / sizeof(names[0]));
    json_object_set_new(in, "result", json_string(names[i].name));
    if (err == 0 && name != NULL)
        json_object_set_new(in, name, json_integer((json_int_t)number));
}

static inline void player_publish(struct player *p, json_t *in)
{
    char *payload = json_dumps(json_object_get(in, "payload"), JSON_ENCODE_ANY | JSON_COMPACT);
    uint64_t publish_id = 0;
    int err;

    assert_non_null(payload);
    err = hf_client_session_publish(p->s, player_string(in, "channel"), player_string(in, "id"),
                                    hf_str_from(payload), &publish_id, p->now_ms);
    free(payload);
    player_result(in, err, "publish", publish_id);
}

static inline void player_subscribe(struct player *p, json_t *in)
{
    const json_t *since = json_object_get(in, "since");
    const struct hf_client_session_start start = {.since_epoch = player_string(since, "epoch"),
                                                  .since_offset = vector_u64(since, "offset", 0),
                                                  .last = vector_u64(in, "last", 0),
                                                  .latest = vector_is(in, "mode", "latest"),
                                                  .presence = vector_true(in, "presence")};

    player_result(in, hf_client_session_subscribe(p->s, player_string(in, "channel"), &start, p->now_ms),
                  NULL, 0);
}

static inline void player_unsubscribe(struct player *p, json_t *in)
{
    player_result(in, hf_client_session_unsubscribe(p->s, player_string(in, "channel"), p->now_ms), NULL, 0);
}

static inline void player_ask_history(struct player *p, json_t *in)
{
    const json_t *since = json_object_get(in, "since");
    const struct hf_client_session_history what = {.since_epoch = player_string(since, "epoch"),
                                                   .since_offset = vector_u64(since, "offset", 0),
                                                   .limit = vector_u64(in, "limit", 100),
                                                   .reverse = vector_true(in, "reverse")};
    uint64_t request_id = 0;
    int err = hf_client_session_history(p->s, player_string(in, "channel"), &what, &request_id, p->now_ms);

    player_result(in, err, "request", request_id);
}

static inline void player_ask_presence(struct player *p, json_t *in)
{
    uint64_t request_id = 0;
    int err = hf_client_session_presence(p->s, player_string(in, "channel"), &request_id, p->now_ms);

    player_result(in, err, "request", request_id);
}

static inline void player_call(struct player *p, json_t *in)
{
    char *payload = json_dumps(json_object_get(in, "payload"), JSON_ENCODE_ANY | JSON_COMPACT);
    uint64_t request_id = 0;
    int err;

    assert_non_null(payload);
    err = hf_client_session_call(p->s, player_string(in, "method"), hf_str_from(payload), 0, &request_id,
                                 p->now_ms);
    free(payload);
    player_result(in, err, "request", request_id);
}

static inline void player_token(struct player *p, json_t *in)
{
    player_result(in, hf_client_session_set_token(p->s, vector_text(in, "token"), p->now_ms), NULL, 0);
}

static inline void player_ping(struct player *p, json_t *in)
{
    uint64_t request_id = 0;
    int err = hf_client_session_ping(p->s, 0, &request_id, p->now_ms);

    player_result(in, err, "request", request_id);
}

static inline void player_close(struct player *p, json_t *in)
{
    (void)in;
    hf_client_session_close(p->s, p->now_ms);
}

static inline void player_background(struct player *p, json_t *in)
{
    hf_client_session_background(p->s, vector_true(in, "background"), p->now_ms);
}

/* --- inputs: the system --- */

static inline void player_network(struct player *p, json_t *in)
{
    struct hf_network_facts facts = {.offline = vector_true(in, "offline")};
    json_t *entry;
    size_t i;

    json_array_foreach(json_object_get(in, "paths"), i, entry)
    {
        facts.paths[player_slot(p, entry)] = vector_is(entry, "path", "gone") ? HF_PATH_GONE : HF_PATH_MOVED;
    }
    hf_client_session_network(p->s, &facts, p->now_ms);
}

static inline void player_woke_up(struct player *p, json_t *in)
{
    (void)in;
    hf_client_session_woke_up(p->s, p->now_ms);
}

static inline void player_network_key(struct player *p, json_t *in)
{
    hf_client_session_set_network(p->s, vector_hex(in, "key"), p->now_ms);
}

static inline void player_restart(struct player *p, json_t *in)
{
    player_end(p, vector_true(in, "crash"));
    player_begin(p);
}

static inline void player_start(struct player *p, json_t *in)
{
    (void)in;
    assert_null(p->s);
    player_begin(p);
}

static inline void player_wait(struct player *p, json_t *in)
{
    (void)p;
    (void)in;
}

/* --- playing --- */

static inline void player_apply(struct player *p, json_t *in)
{
    static const struct {
        const char *name;
        void (*apply)(struct player *, json_t *);
    } inputs[] = {
        {"start", player_start},
        {"wait", player_wait},
        {"connected", player_connected},
        {"accept", player_accept},
        {"refuse", player_refuse},
        {"receive", player_receive},
        {"closed", player_closed},
        {"lost", player_lost},
        {"full", player_full},
        {"drained", player_drained},
        {"publish", player_publish},
        {"subscribe", player_subscribe},
        {"unsubscribe", player_unsubscribe},
        {"history", player_ask_history},
        {"ping", player_ping},
        {"presence", player_ask_presence},
        {"call", player_call},
        {"token", player_token},
        {"close", player_close},
        {"background", player_background},
        {"network", player_network},
        {"woke_up", player_woke_up},
        {"network_key", player_network_key},
        {"restart", player_restart},
    };
    size_t i;

    for (i = 0; i < sizeof(inputs) / sizeof(inputs[0]); i++)
        if (vector_is(in, "in", inputs[i].name)) {
            inputs[i].apply(p, in);
            return;
        }
    fail_msg("%s: there is no input \"%s\"", p->v->path, vector_text(in, "in"));
}

static inline void player_step(struct player *p, const json_t *entry)
{
    json_t *in = json_deep_copy(entry);
    uint64_t deadline_ms;

    if (vector_true(in, "slept")) /* No timer has run. */
        p->now_ms = PLAYER_BEGIN_MS + vector_u64(in, "at", 0);
    else if (p->s != NULL)
        player_advance(p, PLAYER_BEGIN_MS + vector_u64(in, "at", 0), vector_is(in, "in", "wait"));
    json_array_append_new(p->v->seen, in);
    json_object_del(in, "deadline");
    player_apply(p, in);
    player_settle(p);
    deadline_ms = hf_client_session_deadline_ms(p->s);
    json_object_set_new(in, "deadline",
                        deadline_ms == UINT64_MAX ? json_null()
                                                  : player_number(deadline_ms - PLAYER_BEGIN_MS));
}

static inline void player_play(struct vector *v, bool drip)
{
    struct player p = {.v = v, .now_ms = PLAYER_BEGIN_MS, .drip = drip};
    json_t *entry;
    size_t i;

    p.config = json_object_get(v->root, "config");
    memory_store_init(&p.store);
    json_array_foreach(v->wanted, i, entry)
    {
        if (json_object_get(entry, "in") != NULL)
            player_step(&p, entry);
    }
    player_end(&p, false);
    assert_null(p.kept);
    assert_null(p.members);
    memory_store_release(&p.store);
}

#endif
