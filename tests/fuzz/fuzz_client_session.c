/*
 * A client session at the mercy of its server and its network. The first byte of each line of the input says what happens: a line
 * that begins with '{' is a message of the server's, '!' loses the connection, 'x' closes it with the code that follows, '+' lets so many
 * milliseconds pass, 'p' publishes, 's' subscribes, 'S' with presence, and 'u' unsubscribes, 'h' asks for history, 'm' for members and 'i' for a pong, 'c' calls with the line's payload, 't' shows it as a
 * token, '~' sends the line raw into the connection. 'a' has the next upgrade answered by a 401 with the line as its body. 'n'
 * tells of the network by a number: its last bit is offline, the rest to base 3 the slots' paths. 'w' is a wake-up, 'b' and 'f' the background and the foreground,
 * 'k' output that does not move. 'B' and 'J' let the server pick the binary form, or JSON, from the next connection on; messages that are given in JSON then go
 * out as records. 'r' sends the line's bytes as a binary message.
 * Whatever it does, the session keeps its own rules (its assertions), answers within its bounds, and frees all.
 */
#include "../unit/transcode.h"

#include "base/assert.h"
#include "base/buf.h"
#include "session/client_session.h"
#include "session/heartbeat_adaptive.h"
#include "session/link.h"
#include "ws/frame.h"
#include "ws/handshake.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { LINES_MAX = 200, TURNS_MAX = 10000 };

struct play {
    struct hf_client_session *s;
    uint64_t now_ms;
    uint64_t next_offset; /* of `demo`, as the application was told */
    uint64_t published, done;
    enum hf_client_session_state state;
    enum hf_encoding picks; /* the server */
    enum hf_encoding encoding[HF_CLIENT_SESSION_SLOTS];
    struct transcode_names names;
    const char *body; /* of the refusal that the next upgrade gets; NULL: it is accepted */
    size_t body_len;
    uint64_t asked, answered; /* requests */
};

/* The promise to the application: in order, each once, unless a gap tells otherwise. */
static void on_event(void *ctx, const struct hf_client_session_event *ev)
{
    struct play *p = ctx;

    if (ev->type == HF_CSE_STATE) {
        hf_assert(ev->from == p->state && hf_client_state_may_follow(ev->from, ev->to));
        hf_assert(ev->cause != HF_BY_NONE && ev->why != NULL);
        p->state = ev->to;
    }
    if (ev->type == HF_CSE_ACKED || ev->type == HF_CSE_REFUSED || ev->type == HF_CSE_UNCERTAIN)
        hf_assert(++p->done <= p->published && ev->publish_id <= p->published);
    if (ev->type == HF_CSE_HISTORY || ev->type == HF_CSE_MEMBERS || ev->type == HF_CSE_REPLY ||
        ev->type == HF_CSE_PONG) /* Each once. */
        hf_assert(++p->answered <= p->asked && ev->request_id <= p->asked);
    if (ev->channel.len != 4 || memcmp(ev->channel.data, "demo", 4) != 0)
        return;
    if (ev->type == HF_CSE_SUBSCRIBED || ev->type == HF_CSE_UNSUBSCRIBED)
        p->next_offset = 0;
    if (ev->type == HF_CSE_GAP)
        p->next_offset = ev->to_offset + 1;
    if (ev->type == HF_CSE_MESSAGE) {
        hf_assert(p->next_offset == 0 || ev->offset == p->next_offset);
        p->next_offset = ev->offset + 1;
    }
}

static void feed(struct play *p, unsigned slot, const void *data, size_t len)
{
    uint8_t *copy = malloc(len + 1);

    hf_assert(copy != NULL);
    if (len > 0)
        memcpy(copy, data, len);
    hf_client_session_recv(p->s, slot, copy, len, p->now_ms);
    free(copy);
}

static void refuse_upgrade(struct play *p, unsigned slot)
{
    struct hf_buf answer;

    hf_buf_init(&answer, (1u << 20));
    hf_assert(hf_buf_putf(&answer, "HTTP/1.1 401 No\r\nContent-Length: %zu\r\n\r\n", p->body_len) == 0);
    hf_assert(hf_buf_put(&answer, p->body, p->body_len) == 0);
    p->body = NULL;
    feed(p, slot, answer.data, answer.len / 2);
    feed(p, slot, answer.data + answer.len / 2, answer.len - answer.len / 2);
    hf_client_session_lost(p->s, slot, "closed", p->now_ms);
    hf_buf_release(&answer);
}

/* Answer the upgrade request that lies in the output. */
static void accept_upgrade(struct play *p, unsigned slot)
{
    struct hf_str out = hf_client_session_output(p->s, slot, p->now_ms);
    struct hf_handshake h;
    struct hf_buf answer;
    char head[8192];

    if (out.len < 4 || out.len > sizeof(head) || memcmp(out.data, "GET ", 4) != 0)
        return;
    memcpy(head, out.data, out.len);
    hf_assert(hf_handshake_parse(&h, head, out.len) == (int)out.len);
    if (p->body != NULL) {
        refuse_upgrade(p, slot);
        return;
    }
    hf_buf_init(&answer, 4096);
    hf_assert(hf_handshake_put_accept(&answer, h.key,
                                      p->picks == HF_ENCODING_BINARY ? HF_STR(HF_PROTOCOL_BINARY)
                                                                     : HF_STR(HF_PROTOCOL_JSON),
                                      NULL) == 0);
    p->encoding[slot] = p->picks;
    hf_client_session_sent(p->s, slot, out.len, p->now_ms);
    feed(p, slot, answer.data, answer.len);
    hf_buf_release(&answer);
}

/* The driver's part: connect, write, close. */
static void obey(struct play *p)
{
    unsigned slot;

    for (slot = 0; slot < HF_CLIENT_SESSION_SLOTS; slot++) {
        switch (hf_client_session_want(p->s, slot).wish) {
        case HF_WISH_NONE:
            break;
        case HF_WISH_CONNECT:
            hf_client_session_connected(p->s, slot, p->now_ms);
            accept_upgrade(p, slot);
            break;
        case HF_WISH_CARRY:
            accept_upgrade(p, slot);
            hf_client_session_sent(p->s, slot, hf_client_session_output(p->s, slot, p->now_ms).len,
                                   p->now_ms);
            break;
        case HF_WISH_CLOSE:
            hf_client_session_lost(p->s, slot, "closed", p->now_ms);
            break;
        }
    }
}

static void pass(struct play *p, uint64_t ms)
{
    uint64_t until = p->now_ms + ms;
    unsigned turns;

    for (turns = 0; turns < TURNS_MAX; turns++) {
        uint64_t at = hf_client_session_deadline_ms(p->s);

        if (at > until)
            break;
        p->now_ms = at > p->now_ms ? at : p->now_ms;
        hf_client_session_tick(p->s, p->now_ms);
        obey(p);
    }
    hf_assert(turns < TURNS_MAX); /* A deadline that stays in the past would spin. */
    p->now_ms = until;
}

static void serve_frame(struct play *p, unsigned slot, enum hf_ws_opcode opcode, const void *data, size_t len)
{
    struct hf_buf out;

    hf_buf_init(&out, len + HF_WS_HEADER_MAX);
    hf_assert(hf_ws_put_frame(&out, opcode, data, len, NULL) == 0);
    feed(p, slot, out.data, out.len);
    hf_buf_release(&out);
}

static void serve(struct play *p, const char *text, size_t len)
{
    struct hf_buf record;
    unsigned slot;

    hf_buf_init(&record, 1u << 24);
    transcode_to_binary(&p->names, text, len, &record);
    for (slot = 0; slot < HF_CLIENT_SESSION_SLOTS; slot++) {
        if (p->encoding[slot] == HF_ENCODING_BINARY)
            serve_frame(p, slot, HF_WS_BINARY, record.data, record.len);
        else
            serve_frame(p, slot, HF_WS_TEXT, text, len);
    }
    hf_buf_release(&record);
}

static void serve_bytes(struct play *p, const void *data, size_t len)
{
    for (unsigned slot = 0; slot < HF_CLIENT_SESSION_SLOTS; slot++)
        serve_frame(p, slot, HF_WS_BINARY, data, len);
}

static void serve_close(struct play *p, uint64_t code)
{
    struct hf_buf out;
    unsigned slot;

    if (code > UINT16_MAX || !hf_ws_close_code_valid((uint16_t)code))
        return;
    hf_buf_init(&out, 256);
    hf_assert(hf_ws_put_close(&out, (uint16_t)code, HF_STR(""), NULL) == 0);
    for (slot = 0; slot < HF_CLIENT_SESSION_SLOTS; slot++)
        feed(p, slot, out.data, out.len);
    hf_buf_release(&out);
}

static uint64_t number(const char *text, size_t len)
{
    uint64_t n = 0;

    for (; len > 0 && *text >= '0' && *text <= '9' && n < 1000000; text++, len--)
        n = 10 * n + (uint64_t)(*text - '0');
    return n;
}

static void publish(struct play *p, struct hf_str payload)
{
    uint64_t id;

    if (hf_client_session_publish(p->s, HF_STR("demo"), (struct hf_str){NULL, 0}, payload, &id, p->now_ms) ==
        0)
        hf_assert(id == ++p->published);
}

static void tell_network(struct play *p, uint64_t n)
{
    struct hf_network_facts facts = {.offline = (n & 1) != 0};

    facts.paths[0] = (enum hf_session_path)(n / 2 % 3);
    facts.paths[1] = (enum hf_session_path)(n / 6 % 3);
    hf_client_session_network(p->s, &facts, p->now_ms);
}

/* The numbers of requests are 1, 2, 3 … */
static void asked(struct play *p, int err, const uint64_t *id)
{
    if (err == 0)
        hf_assert(*id == ++p->asked);
}

static void show_token(struct play *p, const char *text, size_t len)
{
    char token[64];
    int ignored;

    (void)snprintf(token, sizeof(token), "%.*s", (int)(len < sizeof(token) ? len : sizeof(token) - 1), text);
    ignored = hf_client_session_set_token(p->s, token, p->now_ms);
    (void)ignored;
}

static void act(struct play *p, const char *line, size_t len)
{
    const struct hf_client_session_start start = {.last = len > 1 ? number(line + 1, len - 1) : 0};
    const struct hf_client_session_history history = {.limit = 2};
    const struct hf_client_session_start with_presence = {.presence = true};
    struct hf_str rest = {line + 1, len > 0 ? len - 1 : 0};
    uint64_t id = 0;
    unsigned slot;
    int ignored = 0;

    if (len == 0)
        return;
    switch (*line) {
    case '!':
        for (slot = 0; slot < HF_CLIENT_SESSION_SLOTS; slot++)
            hf_client_session_lost(p->s, slot, "lost", p->now_ms);
        break;
    case 'x':
        serve_close(p, number(line + 1, len - 1));
        break;
    case '+':
        pass(p, number(line + 1, len - 1));
        break;
    case 'p':
        publish(p, (struct hf_str){line + 1, len - 1});
        break;
    case 's':
        ignored = hf_client_session_subscribe(p->s, HF_STR("demo"), &start, p->now_ms);
        break;
    case 'u':
        ignored = hf_client_session_unsubscribe(p->s, HF_STR("demo"), p->now_ms);
        break;
    case 'h':
        asked(p, hf_client_session_history(p->s, HF_STR("demo"), &history, &id, p->now_ms), &id);
        break;
    case 'i':
        asked(p, hf_client_session_ping(p->s, 1, &id, p->now_ms), &id);
        break;
    case 'S':
        ignored = hf_client_session_subscribe(p->s, HF_STR("demo"), &with_presence, p->now_ms);
        break;
    case 'm':
        asked(p, hf_client_session_presence(p->s, HF_STR("demo"), &id, p->now_ms), &id);
        break;
    case 'c':
        asked(p, hf_client_session_call(p->s, HF_STR("m"), rest, 700, &id, p->now_ms), &id);
        break;
    case 't':
        show_token(p, rest.data, rest.len);
        break;
    case 'a':
        p->body = rest.data;
        p->body_len = rest.len;
        break;
    case 'n':
        tell_network(p, number(line + 1, len - 1));
        break;
    case 'w':
        hf_client_session_woke_up(p->s, p->now_ms);
        break;
    case 'b':
    case 'f':
        hf_client_session_background(p->s, *line == 'b', p->now_ms);
        break;
    case 'k':
        for (slot = 0; slot < HF_CLIENT_SESSION_SLOTS; slot++)
            hf_client_session_output_stuck(p->s, slot, p->now_ms);
        break;
    case 'B':
    case 'J':
        p->picks = *line == 'B' ? HF_ENCODING_BINARY : HF_ENCODING_JSON;
        break;
    case 'r':
        serve_bytes(p, line + 1, len - 1);
        break;
    case '~':
        for (slot = 0; slot < HF_CLIENT_SESSION_SLOTS; slot++)
            feed(p, slot, line + 1, len - 1);
        break;
    default:
        serve(p, line, len);
        break;
    }
    (void)ignored;
    obey(p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct play p = {.now_ms = 1000};
    struct hf_heartbeat_adaptive adaptive;
    const struct hf_client_session_config config = {.host = "h",
                                                    .target = "/ws",
                                                    .outbox_messages_max = 8,
                                                    .outbox_bytes_max = 4096,
                                                    .window = 4,
                                                    .subscriptions_max = 2,
                                                    .recv_bytes_max = 65536,
                                                    .heartbeat_policy = &adaptive.base,
                                                    .token_source = true,
                                                    .seed = 1,
                                                    .on_event = on_event,
                                                    .ctx = &p};
    const char *at = (const char *)data;
    unsigned lines;

    hf_heartbeat_adaptive_init(&adaptive, HF_ADAPTIVE_IDLE_MS, NULL, 1);
    hf_assert(hf_client_session_new(&config, p.now_ms, &p.s) == 0);
    for (lines = 0; lines < LINES_MAX && size > 0; lines++) {
        const char *end = memchr(at, '\n', size);
        size_t len = end == NULL ? size : (size_t)(end - at);

        act(&p, at, len);
        at += len + (end != NULL);
        size -= len + (end != NULL);
    }
    hf_client_session_close(p.s, p.now_ms);
    pass(&p, 100000);
    hf_assert(hf_client_session_state(p.s) == HF_CLIENT_ENDED && p.state == HF_CLIENT_ENDED);
    hf_client_session_free(p.s);
    return 0;
}
