#include "holdfast/holdfast.h"

#include "base/buf.h"
#include "base/err.h"
#include "client/handover.h"
#include "client/heartbeats.h"
#include "client/outbox_file.h"
#include "client/servers.h"
#include "client/signals.h"
#include "client/socket.h"
#include "session/client_session.h"
#include "wire/json.h"
#include "wire/message.h"
#include "ws/utf8.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

/* The public errors are ours, less those that a caller cannot meet. */
static_assert((int)HF_CLIENT_ENOMEM == HF_ENOMEM && (int)HF_CLIENT_ELIMIT == HF_ELIMIT, "as in base/err.h");
static_assert((int)HF_CLIENT_EAGAIN == HF_EAGAIN && (int)HF_CLIENT_EINVAL == HF_EINVAL, "as in base/err.h");
static_assert((int)HF_CLIENT_ENOTFOUND == HF_ENOTFOUND && (int)HF_CLIENT_EEXIST == HF_EEXIST,
              "as in base/err.h");
static_assert((int)HF_CLIENT_ESTATE == HF_ESTATE && (int)HF_CLIENT_ETOOLARGE == HF_ETOOLARGE,
              "as in base/err.h");
static_assert((int)HF_CLIENT_EIO == HF_EIO && (int)HF_CLIENT_ECERT == HF_ECERT, "as in base/err.h");
static_assert((int)HF_CLIENT_ETIMEOUT == HF_ETIMEOUT && (int)HF_CLIENT_ENOSPACE == HF_ENOSPACE &&
                  (int)HF_CLIENT_EBUSY == HF_EBUSY,
              "as in base/err.h");
static_assert((int)HF_CLIENT_ECORRUPT == HF_ECORRUPT && (int)HF_CLIENT_ECALLBACK == HF_ECALLBACK,
              "as in base/err.h");
static_assert((int)HF_CLIENT_TOKEN_MAX == HF_TOKEN_MAX, "as in session/client_session.h");
static_assert((int)HF_CLIENT_EUNSUPPORTED == HF_EUNSUPPORTED, "as in base/err.h");
static_assert(HF_CLIENT_POLL_MAX == HF_CLIENT_SESSION_SLOTS * HF_SOCKET_FDS_MAX + 2,
              "the slots, the wake-up and the watch");
static_assert((int)HF_CLIENT_URLS_MAX == HF_SERVERS_MAX, "as in client/servers.h");
/* So are the states and their causes. */
static_assert((int)HF_CLIENT_STATE_WAITING == HF_CLIENT_WAITING &&
                  (int)HF_CLIENT_STATE_CONNECTING == HF_CLIENT_CONNECTING,
              "as in session/client_state.h");
static_assert((int)HF_CLIENT_STATE_LIVE == HF_CLIENT_LIVE &&
                  (int)HF_CLIENT_STATE_DOUBTFUL == HF_CLIENT_DOUBTFUL,
              "as in session/client_state.h");
static_assert((int)HF_CLIENT_STATE_OFFLINE == HF_CLIENT_OFFLINE &&
                  (int)HF_CLIENT_STATE_CLOSING == HF_CLIENT_CLOSING &&
                  (int)HF_CLIENT_STATE_ENDED == HF_CLIENT_ENDED,
              "as in session/client_state.h");
#define X(cause, name, text)                                                                                 \
    static_assert((int)HF_CLIENT_CAUSE_##cause == HF_BY_##cause, "as in session/client_state.h");
HF_CLIENT_CAUSES(X)
#undef X

enum {
    WOKE_UP_MS = 2000, /* the machine slept, if the clock that goes on then is ahead by so much more */
    KEPT_FIRST = 32,
    HISTORY_LIMIT = 100,                 /* PROTOCOL.md, history: "limit (100, …)" */
    TEXT_BYTES_MAX = 1024 * 1024 * 1024, /* more no outbox takes */
};

struct hf_client {
    struct hf_client_options options; /* its strings are not kept */
    struct hf_servers servers;
    struct hf_client_tls *tls;          /* NULL: no URL is wss */
    struct hf_outbox_file *outbox_file; /* NULL: memory keeps the outbox */
    struct hf_heartbeats heartbeats;    /* the session borrows its policy */
    struct hf_client_session *session;
    bool in_callback;
    bool sync_failed; /* of the outbox file; the application has been told */
    struct hf_socket sockets[HF_CLIENT_SESSION_SLOTS];
    struct hf_signals signals;
    int wake_fd;
    atomic_bool stopped;
    int64_t asleep_ms;              /* boot time less awake time, when last looked */
    struct hf_client_message *kept; /* of the answer to a history request that is coming in */
    uint32_t kept_count, kept_cap;
    bool kept_failed;      /* there was no memory for all of them */
    struct hf_buf scratch; /* a text on its way to become a JSON string */
    uint8_t buf[HF_READ_BYTES];
};

/* --- time --- */

static uint64_t clock_ms(clockid_t clock)
{
    struct timespec t;

    (void)clock_gettime(clock, &t); /* It fails for unknown clocks only. */
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static uint64_t now_ms(void)
{
    return clock_ms(CLOCK_BOOTTIME);
}

static uint64_t now_us(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_BOOTTIME, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static int64_t asleep_ms(void)
{
    return (int64_t)(clock_ms(CLOCK_BOOTTIME) - clock_ms(CLOCK_MONOTONIC));
}

/* A machine that slept has a network that may have changed, and a connection that may be gone. */
static void notice_sleep(struct hf_client *c, uint64_t now)
{
    int64_t asleep = asleep_ms();

    if (asleep - c->asleep_ms > WOKE_UP_MS)
        hf_client_session_woke_up(c->session, now);
    c->asleep_ms = asleep;
}

/* --- events --- */

static struct hf_client_text text(struct hf_str s)
{
    return (struct hf_client_text){s.data, s.len};
}

static void tell_connected(const struct hf_client *c, const struct hf_client_session_event *ev)
{
    const struct hf_client_connection connection = {.session = text(ev->session),
                                                    .resumed = ev->resumed,
                                                    .connections = hf_client_session_connections(c->session)};

    if (c->options.on_connected != NULL)
        c->options.on_connected(c->options.user, &connection);
}

static void tell_break(const struct hf_client *c, const struct hf_client_session_event *ev)
{
    const struct hf_client_break how = {.why = ev->why,
                                        .reason = text(ev->reason),
                                        .close_code = ev->close_code,
                                        .http_status = ev->http_status,
                                        .retry_ms = ev->delay_ms,
                                        .asked = ev->asked,
                                        .attempt = ev->type == HF_CSE_RETRYING};
    void (*tell)(void *, const struct hf_client_break *) =
        ev->type == HF_CSE_ENDED ? c->options.on_ended : c->options.on_disconnected;

    if (tell != NULL)
        tell(c->options.user, &how);
}

static struct hf_client_message message_of(const struct hf_client_session_event *ev)
{
    return (struct hf_client_message){.channel = text(ev->channel),
                                      .epoch = text(ev->epoch),
                                      .offset = ev->offset,
                                      .id = text(ev->id),
                                      .payload = text(ev->payload),
                                      .payload_base64 = ev->payload_base64,
                                      .timestamp_ms = ev->timestamp_ms,
                                      .from = text(ev->from_user)};
}

static void tell_message(const struct hf_client *c, const struct hf_client_session_event *ev)
{
    const struct hf_client_message message = message_of(ev);

    if (c->options.on_message != NULL)
        c->options.on_message(c->options.user, &message);
}

static void tell_gap(const struct hf_client *c, const struct hf_client_session_event *ev)
{
    const struct hf_client_gap gap = {.channel = text(ev->channel),
                                      .epoch = text(ev->epoch),
                                      .from_offset = ev->from_offset,
                                      .to_offset = ev->to_offset,
                                      .code = text(ev->code)};

    if (c->options.on_gap != NULL)
        c->options.on_gap(c->options.user, &gap);
}

static void tell_subscription(const struct hf_client *c, const struct hf_client_session_event *ev)
{
    const struct hf_client_subscription subscription = {.channel = text(ev->channel),
                                                        .epoch = text(ev->epoch),
                                                        .offset = ev->offset,
                                                        .recovered = ev->recovered,
                                                        .code = text(ev->code),
                                                        .reason = text(ev->reason)};
    void (*tell)(void *, const struct hf_client_subscription *) =
        ev->type == HF_CSE_SUBSCRIBED ? c->options.on_subscribed : c->options.on_unsubscribed;

    if (tell != NULL)
        tell(c->options.user, &subscription);
}

typedef void (*on_result)(void *user, const struct hf_client_result *result);

static void tell_result(const struct hf_client *c, const struct hf_client_session_event *ev,
                        enum hf_client_outcome outcome)
{
    const struct hf_client_result result = {.publish_id = ev->publish_id,
                                            .outcome = outcome,
                                            .channel = text(ev->channel),
                                            .offset = ev->offset,
                                            .code = text(ev->code),
                                            .reason = text(ev->reason),
                                            .id = text(ev->id),
                                            .payload = text(ev->payload)};

    on_result one = (on_result)ev->completion.done;

    if (one != NULL)
        one(ev->completion.user, &result);
    if (c->options.on_result != NULL)
        c->options.on_result(c->options.user, &result);
}

static void tell_problem(const struct hf_client *c, const struct hf_client_session_event *ev)
{
    const struct hf_client_problem problem = {
        .code = text(ev->code), .reason = text(ev->reason), .channel = text(ev->channel)};

    if (c->options.on_problem != NULL)
        c->options.on_problem(c->options.user, &problem);
}

/* The answer is told when it is whole: what the session lends for each message is good until then. */
static void keep(struct hf_client *c, const struct hf_client_session_event *ev)
{
    if (c->kept_count == c->kept_cap) {
        uint32_t cap = c->kept_cap == 0 ? KEPT_FIRST : c->kept_cap * 2;
        struct hf_client_message *more = realloc(c->kept, cap * sizeof(*more));

        c->kept_failed = c->kept_failed || more == NULL;
        if (more == NULL)
            return;
        c->kept = more;
        c->kept_cap = cap;
    }
    c->kept[c->kept_count++] = message_of(ev);
}

static void tell_history(struct hf_client *c, const struct hf_client_session_event *ev)
{
    struct hf_client_history history = {.request_id = ev->request_id,
                                        .channel = text(ev->channel),
                                        .epoch = text(ev->epoch),
                                        .head = ev->offset,
                                        .messages = c->kept,
                                        .count = c->kept_count,
                                        .code = text(ev->code),
                                        .reason = text(ev->reason)};
    uint32_t i;

    if (c->kept_failed) {
        history.code = text(HF_STR("overloaded"));
        history.reason = text(HF_STR("the answer does not fit into this client's memory"));
    }
    for (i = 0; i < c->kept_count; i++)
        c->kept[i].epoch = history.epoch;
    if (history.code.len > 0)
        history.count = 0;
    if (c->options.on_history != NULL)
        c->options.on_history(c->options.user, &history);
    free(c->kept);
    c->kept = NULL;
    c->kept_count = c->kept_cap = 0;
    c->kept_failed = false;
}

static void tell_pong(const struct hf_client *c, const struct hf_client_session_event *ev)
{
    const struct hf_client_pong pong = {.request_id = ev->request_id, .rtt_us = now_us() - ev->stamp};

    if (c->options.on_pong != NULL)
        c->options.on_pong(c->options.user, &pong);
}

static void tell_state(const struct hf_client *c, const struct hf_client_session_event *ev)
{
    const struct hf_client_state_change change = {.from = (enum hf_client_state)ev->from,
                                                  .to = (enum hf_client_state)ev->to,
                                                  .cause = (enum hf_client_cause)ev->cause,
                                                  .evidence = ev->why,
                                                  .reason = text(ev->reason),
                                                  .close_code = ev->close_code,
                                                  .http_status = ev->http_status,
                                                  .next_attempt_ms = ev->delay_ms};

    if (c->options.on_state != NULL)
        c->options.on_state(c->options.user, &change);
}

static void tell(struct hf_client *c, const struct hf_client_session_event *ev)
{
    switch (ev->type) {
    case HF_CSE_CONNECTED:
        tell_connected(c, ev);
        break;
    case HF_CSE_CAUGHT_UP:
        if (c->options.on_caught_up != NULL)
            c->options.on_caught_up(c->options.user, ev->count);
        break;
    case HF_CSE_DISCONNECTED:
    case HF_CSE_RETRYING:
    case HF_CSE_ENDED:
        tell_break(c, ev);
        break;
    case HF_CSE_SUBSCRIBED:
    case HF_CSE_UNSUBSCRIBED:
        tell_subscription(c, ev);
        break;
    case HF_CSE_MESSAGE:
        tell_message(c, ev);
        break;
    case HF_CSE_GAP:
        tell_gap(c, ev);
        break;
    case HF_CSE_ACKED:
        tell_result(c, ev, HF_CLIENT_ACKED);
        break;
    case HF_CSE_REFUSED:
        tell_result(c, ev, HF_CLIENT_REFUSED);
        break;
    case HF_CSE_UNCERTAIN:
        tell_result(c, ev, HF_CLIENT_UNCERTAIN);
        break;
    case HF_CSE_PONG:
        tell_pong(c, ev);
        break;
    case HF_CSE_KEPT:
        keep(c, ev);
        break;
    case HF_CSE_HISTORY:
        tell_history(c, ev);
        break;
    case HF_CSE_ERROR:
        tell_problem(c, ev);
        break;
    case HF_CSE_STATE:
        tell_state(c, ev);
        break;
    }
}

static void on_event(void *ctx, const struct hf_client_session_event *ev)
{
    struct hf_client *c = ctx;
    bool outer = c->in_callback; /* What a callback asks for may be told within it. */

    c->in_callback = true;
    tell(c, ev);
    c->in_callback = outer;
}

/* What is wrong with the file of remembered networks, once. */
static void tell_heartbeats(struct hf_client *c)
{
    char reason[sizeof(c->heartbeats.problem)];
    const struct hf_client_session_event ev = {.type = HF_CSE_ERROR,
                                               .code = HF_STR("heartbeat_memory"),
                                               .reason = {reason, strlen(c->heartbeats.problem)}};

    if (c->heartbeats.problem[0] == '\0')
        return;
    memcpy(reason, c->heartbeats.problem, sizeof(reason));
    c->heartbeats.problem[0] = '\0'; /* First: the application may call us. */
    on_event(c, &ev);
}

/* --- making and freeing --- */

void hf_client_options_init(struct hf_client_options *options)
{
    *options = (struct hf_client_options){.url = "ws://127.0.0.1:8000/ws",
                                          .outbox_messages_max = 10000,
                                          .outbox_bytes_max = 16 * 1024 * 1024,
                                          .window = 1000,
                                          .subscriptions_max = 256,
                                          .message_bytes_max = 16 * 1024 * 1024,
                                          .heartbeat = HF_CLIENT_HEARTBEAT_ADAPTIVE,
                                          .heartbeat_tolerance_ms = HF_ADAPTIVE_FOREGROUND_MS,
                                          .watch_network = true};
}

static int session_new(struct hf_client *c)
{
    struct hf_client_session_config config = {.host = c->servers.list[0].url.authority,
                                              .target = c->servers.list[0].url.target,
                                              .token = c->options.token,
                                              .outbox_messages_max = c->options.outbox_messages_max,
                                              .outbox_bytes_max = c->options.outbox_bytes_max,
                                              .window = c->options.window,
                                              .subscriptions_max = c->options.subscriptions_max,
                                              .recv_bytes_max = c->options.message_bytes_max,
                                              .heartbeat_interval_ms = c->options.heartbeat_interval_ms,
                                              .background = c->options.background,
                                              .on_event = on_event,
                                              .ctx = c};

    int err;

    if (c->outbox_file != NULL)
        config.store = hf_outbox_file_store(c->outbox_file);
    if (getrandom(&config.seed, sizeof(config.seed), 0) != (ssize_t)sizeof(config.seed))
        return HF_EIO;
    err = hf_heartbeats_init(&c->heartbeats, &c->options, config.seed, now_ms());
    if (err < 0)
        return err;
    config.heartbeat_policy = c->heartbeats.policy;
    return hf_client_session_new(&config, now_ms(), &c->session);
}

static int servers_init(struct hf_servers *servers, const struct hf_client_options *options)
{
    const bool several = options->urls_count > 0;
    const struct hf_servers_config config = {.urls = several ? options->urls : &options->url,
                                             .count = several ? options->urls_count : 1,
                                             .proxy = options->proxy,
                                             .dns_servers = options->dns_servers};

    return hf_servers_init(servers, &config);
}

int hf_client_new(const struct hf_client_options *options, struct hf_client **out)
{
    struct hf_client *c = calloc(1, sizeof(*c));
    unsigned slot;
    int err, saved;

    if (c == NULL)
        return HF_ENOMEM;
    c->options = *options;
    c->wake_fd = -1;
    c->asleep_ms = asleep_ms();
    hf_buf_init(&c->scratch, TEXT_BYTES_MAX);
    for (slot = 0; slot < HF_CLIENT_SESSION_SLOTS; slot++)
        hf_socket_init(&c->sockets[slot], slot);
    hf_signals_init(&c->signals, options->watch_network);
    err = servers_init(&c->servers, options);
    if (err < 0)
        goto done;
    if (hf_servers_need_tls(&c->servers))
        err = hf_client_tls_new(options->ca_file, &c->tls);
    if (err < 0)
        goto done;
    if (options->outbox_path != NULL)
        err = hf_outbox_file_open(options->outbox_path, options->outbox_sync, &c->outbox_file);
    if (err < 0)
        goto done;
    c->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    err = c->wake_fd < 0 ? HF_EIO : session_new(c);
    if (err < 0)
        goto done;
    c->options.url = c->options.ca_file = c->options.token = NULL;
    c->options.heartbeat_memory = c->options.outbox_path = NULL;
    c->options.proxy = c->options.dns_servers = NULL;
    c->options.urls = NULL;
    *out = c;
    c = NULL; /* The caller owns it now. */
done:
    saved = errno;
    hf_client_free(c);
    errno = saved;
    return err;
}

void hf_client_free(struct hf_client *c)
{
    unsigned slot;

    if (c == NULL)
        return;
    for (slot = 0; slot < HF_CLIENT_SESSION_SLOTS; slot++)
        hf_socket_release(&c->sockets[slot]);
    hf_signals_release(&c->signals);
    if (c->wake_fd >= 0)
        (void)close(c->wake_fd);
    hf_client_tls_free(c->tls);
    hf_servers_release(&c->servers);
    hf_client_session_free(c->session);
    hf_outbox_file_close(c->outbox_file);
    hf_heartbeats_release(&c->heartbeats, now_ms());
    hf_buf_release(&c->scratch);
    free(c->kept);
    free(c);
}

/* --- what the application asks for --- */

static struct hf_str str(const char *data, size_t len)
{
    return (struct hf_str){data, len};
}

int hf_client_subscribe(struct hf_client *c, const char *channel, size_t channel_len,
                        const struct hf_client_start *start)
{
    struct hf_client_session_start from = {.since_epoch = {NULL, 0}};

    if (start != NULL) {
        from.since_epoch = hf_str_from(start->since_epoch);
        from.since_offset = start->since_offset;
        from.last = start->last;
        from.latest = start->latest;
    }
    return hf_client_session_subscribe(c->session, str(channel, channel_len), &from, now_ms());
}

int hf_client_unsubscribe(struct hf_client *c, const char *channel, size_t channel_len)
{
    return hf_client_session_unsubscribe(c->session, str(channel, channel_len), now_ms());
}

static int publish_now(struct hf_client *c, const struct hf_client_publication *p, uint64_t *publish_id)
{
    const struct hf_completion completion = {(void (*)(void))p->on_result, p->user};
    uint64_t ignored;

    return hf_client_session_publish_with(c->session, str(p->channel, p->channel_len), hf_str_from(p->id),
                                          str(p->payload, p->payload_len), completion,
                                          publish_id == NULL ? &ignored : publish_id, now_ms());
}

/* One step of the wait for room; 1: there may be some. */
static int wait_for_room(struct hf_client *c, uint64_t until_ms)
{
    uint64_t now = now_ms();
    int running;

    if (atomic_load(&c->stopped))
        return HF_EAGAIN;
    if (now >= until_ms)
        return HF_ETIMEOUT;
    running = hf_client_step(c, (int)(until_ms - now < INT32_MAX ? until_ms - now : INT32_MAX));
    return running == 0 ? HF_ESTATE : running;
}

static int publish(struct hf_client *c, const struct hf_client_publication *p, uint64_t *publish_id)
{
    int err = publish_now(c, p, publish_id);
    uint64_t until_ms;

    if (err != HF_EAGAIN || c->options.outbox_block_ms == 0)
        return err;
    if (c->in_callback)
        return HF_ECALLBACK;
    until_ms = now_ms() + c->options.outbox_block_ms;
    while (err == HF_EAGAIN) {
        err = wait_for_room(c, until_ms);
        if (err < 0)
            return err;
        err = publish_now(c, p, publish_id);
    }
    return err;
}

/* The JSON string is written into the scratch, which is taken out for the call: a callback of a publish that waits may publish a text. */
static int publish_words(struct hf_client *c, const struct hf_client_publication *p, uint64_t *publish_id)
{
    struct hf_client_publication json = *p;
    struct hf_buf words = c->scratch;
    int err;

    if (!hf_utf8_valid((const uint8_t *)p->payload, p->payload_len))
        return HF_EINVAL;
    hf_buf_init(&c->scratch, TEXT_BYTES_MAX);
    hf_buf_reset(&words);
    err = hf_json_put_string(&words, str(p->payload, p->payload_len));
    if (err == HF_ELIMIT)
        err = HF_ETOOLARGE;
    json.payload = (const char *)words.data;
    json.payload_len = words.len;
    if (err == 0)
        err = publish(c, &json, publish_id);
    hf_buf_release(&c->scratch);
    c->scratch = words;
    return err;
}

int hf_client_publish_with(struct hf_client *c, const struct hf_client_publication *p, uint64_t *publish_id)
{
    return p->text ? publish_words(c, p, publish_id) : publish(c, p, publish_id);
}

int hf_client_publish(struct hf_client *c, const char *channel, size_t channel_len, const char *payload,
                      size_t payload_len, const char *id, uint64_t *publish_id)
{
    const struct hf_client_publication p = {.channel = channel,
                                            .channel_len = channel_len,
                                            .payload = payload,
                                            .payload_len = payload_len,
                                            .id = id};

    return publish(c, &p, publish_id);
}

int hf_client_publish_text(struct hf_client *c, const char *channel, size_t channel_len, const char *words,
                           size_t words_len, const char *id, uint64_t *publish_id)
{
    const struct hf_client_publication p = {
        .channel = channel, .channel_len = channel_len, .payload = words, .payload_len = words_len, .id = id};

    return publish_words(c, &p, publish_id);
}

uint64_t hf_client_next_id(const struct hf_client *c)
{
    return hf_client_session_next_id(c->session);
}

int hf_client_history(struct hf_client *c, const char *channel, size_t channel_len,
                      const struct hf_client_history_query *query, uint64_t *request_id)
{
    struct hf_client_session_history what = {.limit = HISTORY_LIMIT};
    uint64_t ignored;

    if (query != NULL) {
        what.since_epoch = hf_str_from(query->since_epoch);
        what.since_offset = query->since_offset;
        what.limit = query->limit == 0 ? HISTORY_LIMIT : query->limit;
        what.reverse = query->reverse;
    }
    return hf_client_session_history(c->session, str(channel, channel_len), &what,
                                     request_id == NULL ? &ignored : request_id, now_ms());
}

int hf_client_ping(struct hf_client *c, uint64_t *request_id)
{
    uint64_t ignored;

    return hf_client_session_ping(c->session, now_us(), request_id == NULL ? &ignored : request_id, now_ms());
}

uint32_t hf_client_unanswered(const struct hf_client *c)
{
    return hf_client_session_unanswered(c->session);
}

bool hf_client_position(struct hf_client *c, const char *channel, size_t channel_len,
                        struct hf_client_text *epoch, uint64_t *offset)
{
    struct hf_str name;

    if (!hf_client_session_position(c->session, str(channel, channel_len), &name, offset))
        return false;
    *epoch = text(name);
    return true;
}

int hf_client_set_tolerance(struct hf_client *c, uint64_t tolerance_ms)
{
    int err = hf_heartbeats_set_tolerance(&c->heartbeats, tolerance_ms);

    if (err == 0)
        hf_client_session_heartbeat_changed(c->session, now_ms());
    return err;
}

bool hf_client_connected(const struct hf_client *c)
{
    return hf_client_state_connected(hf_client_session_state(c->session));
}

enum hf_client_state hf_client_state(const struct hf_client *c)
{
    return (enum hf_client_state)hf_client_session_state(c->session);
}

const char *hf_client_state_name(enum hf_client_state state)
{
    return hf_client_session_state_name((enum hf_client_session_state)state);
}

const char *hf_client_cause_name(enum hf_client_cause cause)
{
    return hf_client_session_cause_name((enum hf_client_session_cause)cause);
}

void hf_client_set_background(struct hf_client *c, bool background)
{
    hf_client_session_background(c->session, background, now_ms());
}

void hf_client_close(struct hf_client *c)
{
    hf_client_session_close(c->session, now_ms());
}

/* --- running --- */

static struct hf_signals_turn signals_turn_of(struct hf_client *c, uint64_t now)
{
    return (struct hf_signals_turn){
        .session = c->session, .sockets = c->sockets, .servers = &c->servers, .now_ms = now};
}

static struct hf_socket_turn turn_of(struct hf_client *c)
{
    return (struct hf_socket_turn){
        .session = c->session, .servers = &c->servers, .tls = c->tls, .buf = c->buf, .now_ms = now_ms()};
}

/* One slot's news may change what is wanted in the other: two rounds settle it, what is left waits for the next turn. */
static void obey(struct hf_client *c, const struct hf_socket_turn *turn)
{
    unsigned i;

    for (i = 0; i < 2 * HF_CLIENT_SESSION_SLOTS; i++)
        hf_socket_obey(&c->sockets[i % HF_CLIENT_SESSION_SLOTS], turn);
}

static bool over(const struct hf_client *c)
{
    return hf_client_session_state(c->session) == HF_CLIENT_ENDED && c->sockets[0].stage == HF_SOCKET_NONE &&
           c->sockets[1].stage == HF_SOCKET_NONE;
}

static int wait_ms(const struct hf_client *c, uint64_t now)
{
    uint64_t at = hf_client_session_deadline_ms(c->session);
    uint64_t look_at = hf_signals_deadline_ms(&c->signals);
    unsigned slot;

    if (look_at < at)
        at = look_at;
    for (slot = 0; slot < HF_CLIENT_SESSION_SLOTS; slot++) {
        uint64_t due = hf_socket_deadline_ms(&c->sockets[slot], now);

        at = due < at ? due : at;
    }
    if (at == UINT64_MAX)
        return -1;
    if (at <= now)
        return 0;
    return at - now < INT32_MAX ? (int)(at - now) : INT32_MAX;
}

int hf_client_prepare(struct hf_client *c, struct pollfd *fds, int *timeout_ms)
{
    struct hf_socket_turn turn = turn_of(c);
    int count = 0;
    unsigned slot;

    obey(c, &turn);
    fds[count++] = (struct pollfd){.fd = c->wake_fd, .events = POLLIN};
    if (hf_signals_fd(&c->signals) >= 0)
        fds[count++] = (struct pollfd){.fd = hf_signals_fd(&c->signals), .events = POLLIN};
    for (slot = 0; slot < HF_CLIENT_SESSION_SLOTS; slot++)
        count += hf_socket_prepare(&c->sockets[slot], &turn, fds + count);
    *timeout_ms = over(c) ? 0 : wait_ms(c, turn.now_ms);
    return count;
}

static void take_events(struct hf_client *c, const struct pollfd *fd, const struct hf_socket_turn *turn)
{
    uint64_t wakes;
    unsigned slot;

    if (fd->fd == c->wake_fd) {
        if ((fd->revents & POLLIN) != 0 && read(c->wake_fd, &wakes, sizeof(wakes)) < 0)
            return; /* Somebody else's read was faster: the wake-up has been had. */
        return;
    }
    if (fd->fd == hf_signals_fd(&c->signals)) {
        if (fd->revents != 0)
            hf_signals_ready(&c->signals);
        return;
    }
    for (slot = 0; slot < HF_CLIENT_SESSION_SLOTS; slot++)
        hf_socket_ready(&c->sockets[slot], fd, turn);
}

/* What was published and could not be sent is to be safe as well. */
static void sync_outbox(struct hf_client *c)
{
    int err = c->outbox_file == NULL ? 0 : hf_outbox_file_flush(c->outbox_file);
    const struct hf_client_session_event ev = {
        .type = HF_CSE_ERROR, .code = HF_STR("outbox"), .reason = hf_str_from(hf_strerror(err))};

    if (err < 0 && !c->sync_failed)
        on_event(c, &ev);
    c->sync_failed = err < 0;
}

int hf_client_process(struct hf_client *c, const struct pollfd *fds, int fds_count)
{
    struct hf_socket_turn turn = turn_of(c);
    struct hf_signals_turn signals_turn = signals_turn_of(c, turn.now_ms);
    unsigned slot;
    int i;

    for (i = 0; i < fds_count; i++)
        take_events(c, &fds[i], &turn);
    for (slot = 0; slot < HF_CLIENT_SESSION_SLOTS; slot++)
        hf_socket_tick(&c->sockets[slot], &turn);
    /* Only now: after a long pause the proof of life may have lain in the socket. */
    notice_sleep(c, turn.now_ms);
    hf_signals_process(&c->signals, &signals_turn);
    if (hf_client_session_deadline_ms(c->session) <= turn.now_ms)
        hf_client_session_tick(c->session, turn.now_ms);
    obey(c, &turn);
    sync_outbox(c);
    hf_heartbeats_save(&c->heartbeats, turn.now_ms);
    tell_heartbeats(c);
    return over(c) ? 0 : 1;
}

static int shorter(int a, int b)
{
    if (a < 0)
        return b;
    return b < 0 || a < b ? a : b;
}

int hf_client_step(struct hf_client *c, int timeout_ms)
{
    struct pollfd fds[HF_CLIENT_POLL_MAX];
    int wait, count;

    count = hf_client_prepare(c, fds, &wait);
    if (poll(fds, (nfds_t)count, shorter(wait, timeout_ms)) < 0) {
        if (errno != EINTR)
            return HF_EIO;
        count = 0;
    }
    return hf_client_process(c, fds, count);
}

int hf_client_run(struct hf_client *c)
{
    int running = 1;

    while (running > 0 && !atomic_exchange(&c->stopped, false))
        running = hf_client_step(c, -1);
    return running;
}

void hf_client_stop(struct hf_client *c)
{
    const uint64_t one = 1;
    int saved = errno;
    ssize_t written;

    atomic_store(&c->stopped, true);
    written = write(c->wake_fd, &one, sizeof(one));
    (void)written; /* It can only fail where the counter is full, and then the client is awake. */
    errno = saved;
}

struct hf_outbox_item *hf_client_take_unanswered(struct hf_client *c, bool sent)
{
    return hf_client_session_take_unanswered(c->session, sent);
}

const char *hf_client_strerror(int error)
{
    return hf_strerror(error);
}

const char *hf_client_version(void)
{
    return HF_VERSION;
}
