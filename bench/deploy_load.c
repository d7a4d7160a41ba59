/*
 * deploy_load.c - many sessions of libholdfast in one process, for watching what a deploy does to them: tests/integration/test_running.py and bench/deploy.
 *
 *   deploy_load --url URL [--sessions N] [--channels N] [--interval MS] [--prefix TEXT]
 *
 * Session i subscribes to channel i modulo the channels; the first session of each channel publishes 1, 2, 3 … to it. Everybody checks that he gets each number
 * once and in order. It writes lines to standard output and takes words from standard input:
 *
 *   ready                 all sessions are connected, subscribed and have had a message
 *   > deploy              from now on connections and attempts are counted, and times measured
 *   > finish              publish no more; when everything has arrived, or after a minute:
 *   {"sessions": …}       the report, in JSON; then the end. Times are in milliseconds
 */
#include <holdfast/holdfast.h>

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    SESSIONS_MAX = 5000, /* of one process: each takes three descriptors */
    FINISH_MS = 60000,
    BATCH_MS = 2, /* so that a turn, which looks at all sessions, has something to do */
};

struct session {
    struct hf_client *client;
    unsigned channel;
    char name[64];
    uint64_t last;      /* number that came last */
    uint64_t sent;      /* of a publisher: numbers published */
    uint64_t answered;  /* and acknowledged */
    uint64_t lost_at;   /* when its connection ended; 0: it has one */
    uint64_t silent_ms; /* the longest time without a connection, since the deploy */
    uint64_t back_ms;   /* its last new connection, since the deploy */
    unsigned connects, attempts;
    bool subscribed, ended;
};

static struct {
    struct session *all;
    unsigned sessions, channels;
    uint64_t interval_ms, next_publish_ms;
    uint64_t deploy_ms, finish_ms; /* when the words came; 0: not yet */
    uint64_t lost, doubled, gaps, uncertain, refused, new_sessions, ended, messages;
} load = {.sessions = 100, .channels = 10, .interval_ms = 100};

static uint64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* ---- What the sessions hear ---- */

static void on_message(void *user, const struct hf_client_message *m)
{
    struct session *s = user;
    char text[32] = "";
    uint64_t n;

    memcpy(text, m->payload.data, m->payload.len < sizeof(text) ? m->payload.len : sizeof(text) - 1);
    n = strtoull(text, NULL, 10);
    load.messages++;
    if (s->last != 0 && n > s->last + 1)
        load.lost += n - s->last - 1;
    if (s->last != 0 && n <= s->last)
        load.doubled++;
    if (n > s->last)
        s->last = n;
}

static void on_gap(void *user, const struct hf_client_gap *gap)
{
    (void)user, (void)gap;
    load.gaps++;
}

static void on_subscribed(void *user, const struct hf_client_subscription *subscription)
{
    (void)subscription;
    ((struct session *)user)->subscribed = true;
}

static void on_result(void *user, const struct hf_client_result *result)
{
    struct session *s = user;

    s->answered++;
    load.uncertain += result->outcome == HF_CLIENT_UNCERTAIN;
    load.refused += result->outcome == HF_CLIENT_REFUSED;
}

static void on_connected(void *user, const struct hf_client_connection *connection)
{
    struct session *s = user;
    uint64_t now = now_ms();

    load.new_sessions += !connection->resumed && connection->connections > 1;
    if (load.deploy_ms != 0) {
        s->connects++;
        s->attempts++;
        s->back_ms = now - load.deploy_ms;
        if (s->lost_at != 0 && now - s->lost_at > s->silent_ms)
            s->silent_ms = now - s->lost_at;
    }
    s->lost_at = 0;
}

static void on_disconnected(void *user, const struct hf_client_break *how)
{
    struct session *s = user;

    if (how->attempt && load.deploy_ms != 0)
        s->attempts++;
    if (!how->attempt && s->lost_at == 0)
        s->lost_at = now_ms();
}

static void on_ended(void *user, const struct hf_client_break *how)
{
    struct session *s = user;

    s->ended = true;
    if (!how->asked) {
        load.ended++;
        fprintf(stderr, "deploy_load: %s: the session has ended: %s\n", s->name, how->why);
    }
}

/* ---- The load ---- */

static int make_session(struct session *s, unsigned i, const char *url, const char *prefix)
{
    struct hf_client_options options;
    int err;

    hf_client_options_init(&options);
    options.url = url;
    options.watch_network = false;
    options.user = s;
    options.on_message = on_message;
    options.on_gap = on_gap;
    options.on_subscribed = on_subscribed;
    options.on_result = on_result;
    options.on_connected = on_connected;
    options.on_disconnected = on_disconnected;
    options.on_ended = on_ended;
    s->channel = i % load.channels;
    snprintf(s->name, sizeof(s->name), "%s-%u", prefix, s->channel);
    err = hf_client_new(&options, &s->client);
    return err < 0 ? err : hf_client_subscribe(s->client, s->name, strlen(s->name), NULL);
}

/* The first session of a channel is its publisher. */
static void publish_due(void)
{
    uint64_t now = now_ms();

    if (load.finish_ms != 0 || now < load.next_publish_ms)
        return;
    load.next_publish_ms = now + load.interval_ms;
    for (unsigned i = 0; i < load.channels; i++) {
        struct session *s = &load.all[i];
        char text[32];
        int len = snprintf(text, sizeof(text), "%" PRIu64, s->sent + 1);

        if (s->subscribed &&
            hf_client_publish(s->client, s->name, strlen(s->name), text, (size_t)len, NULL, NULL) == 0)
            s->sent++;
    }
}

static bool all_have_begun(void)
{
    for (unsigned i = 0; i < load.sessions; i++)
        if (load.all[i].last == 0)
            return false;
    return true;
}

static bool all_has_arrived(void)
{
    for (unsigned i = 0; i < load.sessions; i++) {
        const struct session *s = &load.all[i];

        if (s->last != load.all[s->channel].sent || s->lost_at != 0 ||
            (i < load.channels && s->answered != s->sent))
            return false;
    }
    return true;
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

static void print_spread(const char *name, uint64_t *values)
{
    unsigned n = load.sessions;

    qsort(values, n, sizeof(*values), compare);
    printf(", \"%s\": {\"median\": %" PRIu64 ", \"p99\": %" PRIu64 ", \"max\": %" PRIu64 "}", name,
           values[n / 2], values[n - 1 - n / 100], values[n - 1]);
}

/* What has not come by now does not come. */
static int report(void)
{
    uint64_t *values = calloc(load.sessions, sizeof(*values)), missing = 0, attempts = 0, connects = 0,
             away = 0;

    if (values == NULL)
        return 1;
    for (unsigned i = 0; i < load.sessions; i++) {
        const struct session *s = &load.all[i];

        missing += load.all[s->channel].sent - s->last;
        attempts += s->attempts;
        connects += s->connects;
        away += s->lost_at != 0 || s->ended;
    }
    printf("{\"sessions\": %u, \"published\": %" PRIu64 ", \"delivered\": %" PRIu64 ", \"lost\": %" PRIu64
           ", \"doubled\": %" PRIu64 ", \"gaps\": %" PRIu64 ", \"uncertain\": %" PRIu64
           ", \"refused\": %" PRIu64 ", \"new_sessions\": %" PRIu64 ", \"not_back\": %" PRIu64
           ", \"connects\": %" PRIu64 ", \"attempts\": %" PRIu64,
           load.sessions, load.all[0].sent * load.channels, load.messages, load.lost + missing, load.doubled,
           load.gaps, load.uncertain, load.refused, load.new_sessions, away, connects, attempts);
    for (unsigned i = 0; i < load.sessions; i++)
        values[i] = load.all[i].attempts;
    print_spread("attempts_per_session", values);
    for (unsigned i = 0; i < load.sessions; i++)
        values[i] = load.all[i].silent_ms;
    print_spread("without_connection_ms", values);
    for (unsigned i = 0; i < load.sessions; i++)
        values[i] = load.all[i].back_ms;
    print_spread("back_after_ms", values);
    printf("}\n");
    free(values);
    return 0;
}

/* ---- The loop ---- */

/* Returns false at the end of the input. */
static bool take_words(void)
{
    static char line[64];
    static size_t len;
    char c;
    ssize_t n;

    while ((n = read(STDIN_FILENO, &c, 1)) == 1) {
        if (c != '\n') {
            if (len < sizeof(line) - 1)
                line[len++] = c;
            continue;
        }
        line[len] = '\0';
        len = 0;
        if (strcmp(line, "deploy") == 0)
            load.deploy_ms = now_ms();
        else if (strcmp(line, "finish") == 0)
            load.finish_ms = now_ms();
        else
            fprintf(stderr, "deploy_load: what is \"%s\"?\n", line);
    }
    return n < 0 && errno == EAGAIN;
}

static void turn(struct pollfd *fds, int *counts)
{
    nfds_t used = 0;
    int wait = 100, each;

    for (unsigned i = 0; i < load.sessions; i++) {
        counts[i] = load.all[i].ended ? 0 : hf_client_prepare(load.all[i].client, fds + used, &each);
        if (counts[i] > 0 && each >= 0 && each < wait)
            wait = each;
        used += (nfds_t)counts[i];
    }
    if (wait > 0)
        (void)!poll(fds, used, wait < (int)load.interval_ms ? wait : (int)load.interval_ms);
    used = 0;
    for (unsigned i = 0; i < load.sessions; i++) {
        if (!load.all[i].ended)
            (void)hf_client_process(load.all[i].client, fds + used, counts[i]);
        used += (nfds_t)counts[i];
    }
    usleep(BATCH_MS * 1000);
}

static int run(void)
{
    struct pollfd *fds = calloc((size_t)load.sessions * HF_CLIENT_POLL_MAX, sizeof(*fds));
    int *counts = calloc(load.sessions, sizeof(*counts));
    bool said = false;

    if (fds == NULL || counts == NULL)
        return 1;
    fcntl(STDIN_FILENO, F_SETFL, fcntl(STDIN_FILENO, F_GETFL) | O_NONBLOCK);
    while (take_words() &&
           (load.finish_ms == 0 || (!all_has_arrived() && now_ms() < load.finish_ms + FINISH_MS))) {
        publish_due();
        turn(fds, counts);
        if (!said && all_have_begun()) {
            said = true;
            printf("ready\n");
            fflush(stdout);
        }
    }
    free(fds);
    free(counts);
    return report();
}

static int usage(void)
{
    fputs("usage: deploy_load --url URL [--sessions N] [--channels N] [--interval MS] [--prefix TEXT]\n",
          stderr);
    return 2;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"url", 1, NULL, 'u'},      {"sessions", 1, NULL, 's'},
                                            {"channels", 1, NULL, 'c'}, {"interval", 1, NULL, 'i'},
                                            {"prefix", 1, NULL, 'p'},   {NULL, 0, NULL, 0}};
    const char *url = NULL, *prefix = "deploy";
    int option, status;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == 'u')
            url = optarg;
        else if (option == 's')
            load.sessions = (unsigned)strtoul(optarg, NULL, 10);
        else if (option == 'c')
            load.channels = (unsigned)strtoul(optarg, NULL, 10);
        else if (option == 'i')
            load.interval_ms = strtoull(optarg, NULL, 10);
        else if (option == 'p')
            prefix = optarg;
        else
            return usage();
    }
    if (url == NULL || load.channels < 1 || load.sessions < load.channels || load.sessions > SESSIONS_MAX ||
        load.interval_ms < 1 || strlen(prefix) > 40)
        return usage();
    load.all = calloc(load.sessions, sizeof(*load.all));
    if (load.all == NULL)
        return 1;
    for (unsigned i = 0; i < load.sessions; i++) {
        int err = make_session(&load.all[i], i, url, prefix);

        if (err < 0) {
            fprintf(stderr, "deploy_load: session %u: %s\n", i, hf_client_strerror(err));
            return 1;
        }
    }
    status = run();
    for (unsigned i = 0; i < load.sessions; i++)
        hf_client_free(load.all[i].client);
    free(load.all);
    return status;
}
