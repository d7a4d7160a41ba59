#include "holdfast/holdfast.h"

#include "base/err.h"
#include "client/client_impl.h"
#include "client/clock.h"
#include "client/options.h"
#include "wire/message.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/random.h>
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
static_assert(HF_CLIENT_POLL_MAX == HF_CLIENT_SESSION_SLOTS * HF_SOCKET_FDS_MAX + 3,
              "the slots, the wake-up, the watch and the alarm");
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

void hf_client_options_init(struct hf_client_options *options)
{
    *options = (struct hf_client_options){.url = "ws://127.0.0.1:8000/ws",
                                          .outbox_messages_max = 10000,
                                          .outbox_bytes_max = 16 * 1024 * 1024,
                                          .window = 1000,
                                          .subscriptions_max = 256,
                                          .message_bytes_max = 16 * 1024 * 1024,
                                          .call_timeout_ms = 30000,
                                          .heartbeat = HF_CLIENT_HEARTBEAT_ADAPTIVE,
                                          .heartbeat_tolerance_ms = HF_ADAPTIVE_FOREGROUND_MS,
                                          .watch_network = true};
}

static int session_new(struct hf_client *c)
{
    static const enum hf_client_session_offer offers[] = {[HF_CLIENT_ENCODING_AUTO] = HF_OFFER_BOTH,
                                                          [HF_CLIENT_ENCODING_JSON] = HF_OFFER_JSON,
                                                          [HF_CLIENT_ENCODING_BINARY] = HF_OFFER_BINARY};
    struct hf_client_session_config config = {.host = c->servers.list[0].url.authority,
                                              .target = c->servers.list[0].url.target,
                                              .token = c->options.token,
                                              .token_source = c->options.on_token_needed != NULL,
                                              .outbox_messages_max = c->options.outbox_messages_max,
                                              .outbox_bytes_max = c->options.outbox_bytes_max,
                                              .window = c->options.window,
                                              .subscriptions_max = c->options.subscriptions_max,
                                              .recv_bytes_max = c->options.message_bytes_max,
                                              .heartbeat_interval_ms = c->options.heartbeat_interval_ms,
                                              .background = c->options.background,
                                              .on_event = hf_client_tell,
                                              .ctx = c};

    int err;

    if ((size_t)c->options.encoding >= sizeof(offers) / sizeof(offers[0]))
        return HF_EINVAL;
    config.offer = offers[c->options.encoding];
    if (c->outbox_file != NULL)
        config.store = hf_outbox_file_store(c->outbox_file);
    if (getrandom(&config.seed, sizeof(config.seed), 0) != (ssize_t)sizeof(config.seed))
        return HF_EIO;
    err = hf_heartbeats_init(&c->heartbeats, &c->options, config.seed, hf_clock_ms());
    if (err < 0)
        return err;
    config.heartbeat_policy = c->heartbeats.policy;
    err = hf_client_session_new(&config, hf_clock_ms(), &c->session);
    if (err == 0)
        hf_tokens_init(&c->tokens, c->options.token, config.token_source, hf_clock_unix_ms());
    return err;
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
    c->wake_fd = c->alarm.fd = -1;
    c->asleep_ms = hf_clock_asleep_ms();
    hf_buf_init(&c->scratch, HF_CLIENT_TEXT_BYTES_MAX);
    for (slot = 0; slot < HF_CLIENT_SESSION_SLOTS; slot++)
        hf_socket_init(&c->sockets[slot], slot);
    hf_signals_init(&c->signals, options->watch_network);
    err = hf_client_options_copy(&c->options, options);
    if (err == 0)
        err = servers_init(&c->servers, &c->options);
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
    hf_alarm_init(&c->alarm);
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
    hf_alarm_release(&c->alarm);
    hf_client_tls_free(c->tls);
    hf_servers_release(&c->servers);
    hf_client_session_free(c->session);
    hf_outbox_file_close(c->outbox_file);
    hf_heartbeats_release(&c->heartbeats, hf_clock_ms());
    hf_buf_release(&c->scratch);
    hf_client_options_release(&c->options);
    free(c->kept);
    free(c->members);
    free(c);
}

const char *hf_client_strerror(int error)
{
    return hf_strerror(error);
}

const char *hf_client_version(void)
{
    return HF_VERSION;
}
