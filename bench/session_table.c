/*
 * session_table.c - how long a worker takes for what it looks up among many sessions, and how long its loop stands still for it: questions about the members of channels,
 * GET /api/sessions with a search, GET /api/channels, and orders about all sessions of a user. One process, a real hub, no sockets: the sessions are put into the table.
 *
 *     ninja -C build bench/session_table && build/bench/session_table --sessions=1000000
 *
 * With --check it tells nothing of times, but whether the answers are right.
 */
#include "base/assert.h"
#include "server/hub_state.h"
#include "server/presence.h"
#include "shm/memory.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    SESSIONS_MAX = 8 << 20,
    CHANNELS = 64,
    ANSWER_BYTES_MAX = 64 << 20,
    TURN_MS = 1,
    TURNS_MAX = 1000000,
    SECRET_BYTES = 20,
};

static struct {
    uint32_t sessions;
    bool check;
    uint32_t failures;
    struct hf_region_config layout;
    void *memory;
    struct hf_region region;
    struct hf_config config;
    struct hf_hub *hub;
    struct hf_sessions other; /* the worker that has them all: its process is not there */
    struct hf_now now;
} b;

/* Of the CPU, so that what else the machine does counts for nothing. */
static uint64_t clock_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* ---- A hub that nobody is connected to ---- */

static long no_write(void *ctx, void *socket, const struct iovec *iov, int count)
{
    (void)ctx;
    (void)socket;
    (void)iov;
    (void)count;
    return HF_EAGAIN;
}

static void no_pause(void *ctx, void *socket, bool paused)
{
    (void)ctx;
    (void)socket;
    (void)paused;
}

static void no_socket(void *ctx, void *socket)
{
    (void)ctx;
    (void)socket;
}

static void no_wake(void *ctx, uint32_t slot)
{
    (void)ctx;
    (void)slot;
}

static void count_up(void *ctx, uint8_t *out, size_t len)
{
    static uint64_t n;

    (void)ctx;
    n++;
    for (size_t at = 0; at < len; at++)
        out[at] = (uint8_t)(n >> at % 8 * 8);
}

static const struct hf_transport transport = {.socket_bytes = sizeof(void *),
                                              .write = no_write,
                                              .pause = no_pause,
                                              .finish = no_socket,
                                              .close = no_socket,
                                              .wake = no_wake,
                                              .random = count_up};

static void lay_out(void)
{
    b.layout = (struct hf_region_config){.workers = 2,
                                         .shards = 1,
                                         .segment_bytes = 1 << 20,
                                         .segment_count = 8,
                                         .channels_max = 2 * CHANNELS,
                                         .sessions_max = b.sessions,
                                         .ring_bytes = 1 << 16,
                                         .boot_id = 1};
    b.now = (struct hf_now){.mono_ms = 1000000, .wall_ms = 1700000000000};
    b.memory = hf_memory_map(hf_region_bytes(&b.layout));
    hf_assert(b.memory != NULL);
    hf_region_format(b.memory, &b.layout);
    hf_assert(hf_region_open(&b.region, b.memory) == 0);
    hf_config_default(&b.config);
    b.config.workers = b.layout.workers;
    b.config.shards = b.layout.shards;
    b.config.segment_bytes = b.layout.segment_bytes;
    b.config.segments_per_shard = b.layout.segment_count;
    b.config.channels_max = b.layout.channels_max;
    b.config.sessions_max = b.layout.sessions_max;
    atomic_fetch_add(&b.region.slots[0].starts, 1);
    b.hub = hf_hub_new(&b.region, 0, &b.config, &transport, b.now);
    hf_assert(b.hub != NULL && hf_sessions_open(&b.other, hf_region_sessions(&b.region), 1) == 0);
    hf_hub_serves(b.hub);
}

/* ---- The sessions ---- */

static struct hf_str channel_name(uint32_t channel, char out[24])
{
    return (struct hf_str){out, (size_t)snprintf(out, 24, "room-%" PRIu32, channel)};
}

static hf_cid open_channel(uint32_t channel)
{
    char text[24];
    struct hf_str name = channel_name(channel, text);
    struct hf_channel *c;

    hf_assert(b.hub->engine->ops->open(b.hub->engine, 0, name, hf_channel_hash(name), b.now, &c) == 0);
    return atomic_load(&c->cid);
}

/* Each has a user of its own and two subscriptions; room 0 is as large as one may be that is followed, the others share the rest. */
static void fill(void)
{
    uint32_t large = b.sessions < HF_PRESENCE_MEMBERS_MAX ? b.sessions : HF_PRESENCE_MEMBERS_MAX;
    hf_cid cids[CHANNELS];

    for (uint32_t i = 0; i < CHANNELS; i++)
        cids[i] = open_channel(i);
    for (uint32_t i = 0; i < b.sessions; i++) {
        uint8_t secret[SECRET_BYTES];
        char user[24];
        struct hf_session *s;
        struct hf_str name = {user, (size_t)snprintf(user, sizeof(user), "user-%" PRIu32, i)};

        count_up(NULL, secret, sizeof(secret));
        s = hf_sessions_add(&b.other, secret);
        hf_assert(s != NULL);
        hf_assert(hf_session_identity_set(&b.other, s, name, (struct hf_str){NULL, 0}, b.now.mono_ms) == 0);
        hf_assert(hf_session_sub_add(&b.other, s, cids[1 + i % (CHANNELS - 1)], 0, b.now.mono_ms) != NULL);
        if (i < large)
            hf_assert(hf_session_sub_add(&b.other, s, cids[0], 0, b.now.mono_ms) != NULL);
    }
}

static void park_all(void)
{
    struct hf_session *s;
    uint64_t cursor = 0;

    while ((s = hf_sessions_next(&b.other, &cursor)) != NULL)
        hf_assert(hf_session_park(&b.other, s, 1, b.now.mono_ms));
}

/* ---- Measuring ---- */

struct measure {
    uint64_t all_us, longest_us;
    uint32_t pieces;
};

static void piece(struct measure *m, uint64_t began_us)
{
    uint64_t us = clock_us() - began_us;

    m->all_us += us;
    m->pieces++;
    if (us > m->longest_us)
        m->longest_us = us;
}

static void tell(const char *what, const struct measure *m, const char *pieces)
{
    if (!b.check)
        printf("%-58s %9.1f ms in %4" PRIu32 " %-8s the longest %7.2f ms\n", what, (double)m->all_us / 1000,
               m->pieces, pieces, (double)m->longest_us / 1000);
}

static void expect(const char *what, uint64_t is, uint64_t should)
{
    if (is == should)
        return;
    fprintf(stderr, "session_table: %s: %" PRIu64 ", and not %" PRIu64 "\n", what, is, should);
    b.failures++;
}

static void turn(struct measure *m)
{
    uint64_t began_us = clock_us();

    hf_hub_turn(b.hub, b.now);
    piece(m, began_us);
    b.now.mono_ms += TURN_MS;
    b.now.wall_ms += TURN_MS;
}

static void note(void *ctx, const struct hf_service_result *result)
{
    *(struct hf_service_result *)ctx = *result;
}

/* `"total":N` of an answer. */
static uint64_t total_of(struct hf_buf *answer)
{
    const char *at;

    hf_assert(hf_buf_put(answer, "", 1) == 0);
    at = strstr((const char *)answer->data, "\"total\":");
    return at == NULL ? UINT64_MAX : strtoull(at + strlen("\"total\":"), NULL, 10);
}

/* One question about so many channels from that one on, all at once. */
static void ask(const char *what, uint32_t first, uint32_t count, uint64_t limit)
{
    struct hf_service_result results[CHANNELS];
    struct hf_buf answers[CHANNELS];
    struct measure m = {0};
    uint32_t open = count;
    char text[24];

    for (uint32_t i = 0; i < count; i++) {
        uint64_t began_us = clock_us();

        results[i].code = HF_CODES;
        hf_buf_init(&answers[i], ANSWER_BYTES_MAX);
        hf_service_presence(
            b.hub, &(struct hf_presence_query){.channel = channel_name(first + i, text), .limit = limit},
            &answers[i], note, &results[i]);
        piece(&m, began_us);
    }
    for (uint32_t n = 0; n < TURNS_MAX && open > 0; n++) {
        open = 0;
        for (uint32_t i = 0; i < count; i++)
            open += results[i].code == HF_CODES;
        if (open > 0)
            turn(&m);
    }
    tell(what, &m, "pieces,");
    for (uint32_t i = 0; i < count; i++) {
        uint32_t others = CHANNELS - 1,
                 large = b.sessions < HF_PRESENCE_MEMBERS_MAX ? b.sessions : HF_PRESENCE_MEMBERS_MAX;
        uint32_t members =
            first + i == 0 ? large : b.sessions / others + (first + i - 1 < b.sessions % others);

        expect("an answer's code", (uint64_t)results[i].code, HF_CODE_NONE);
        expect("members", total_of(&answers[i]), members);
        hf_buf_release(&answers[i]);
    }
}

/* All pages of a search. */
static void search(const char *what, const char *text, uint64_t found)
{
    struct measure m = {0};
    uint64_t after = 0, count = 0;
    bool more = true;

    while (more) {
        uint64_t began_us = clock_us();
        struct hf_buf answer;
        const char *at;

        hf_buf_init(&answer, ANSWER_BYTES_MAX);
        hf_assert(hf_service_sessions(
                      b.hub,
                      &(struct hf_session_query){.search = hf_str_from(text), .after = after, .limit = 1000},
                      &answer) == 0);
        piece(&m, began_us);
        hf_assert(hf_buf_put(&answer, "", 1) == 0);
        for (at = (const char *)answer.data; (at = strstr(at, "\"user\":")) != NULL; at++)
            count++;
        at = strstr((const char *)answer.data, "\"next\":");
        more = at != NULL;
        after = more ? strtoull(at + strlen("\"next\":"), NULL, 10) : 0;
        hf_buf_release(&answer);
    }
    tell(what, &m, "requests");
    expect("sessions found", count, found);
}

static void list_channels(const char *what)
{
    struct measure m = {0};
    struct hf_buf answer;
    uint64_t began_us = clock_us();

    hf_buf_init(&answer, ANSWER_BYTES_MAX);
    hf_assert(hf_service_channels(b.hub, &(struct hf_channels_query){.limit = 100}, &answer) == 0);
    piece(&m, began_us);
    tell(what, &m, "request,");
    hf_buf_release(&answer);
}

static void order_of_a_user(const char *what)
{
    struct hf_service_result result = {.code = HF_CODES};
    struct measure m = {0};
    uint64_t began_us = clock_us();

    hf_service_order(b.hub,
                     &(struct hf_service_order){
                         .act = HF_ACT_UNSUBSCRIBE, .user = HF_STR("nobody"), .channel = HF_STR("room-1")},
                     note, &result);
    piece(&m, began_us);
    for (uint32_t n = 0; n < TURNS_MAX && result.code == HF_CODES; n++)
        turn(&m);
    tell(what, &m, "pieces,");
    expect("sessions of nobody", result.sessions, 0);
}

static void measure_all(void)
{
    char last[24];

    ask("members of one channel, none followed", 1, 1, 1000);
    ask("  the same again", 1, 1, 1000);
    ask("members of all other channels at once, none followed", 2, CHANNELS - 2, 10);
    ask("members of the largest channel, not followed", 0, 1, 1000);
    ask("  the same again, 10000 of them", 0, 1, 10000);
    search("sessions: a search that finds nothing, all its pages", "nobody", 0);
    (void)snprintf(last, sizeof(last), "user-%" PRIu32, b.sessions - 1);
    search("sessions: a search that finds the last one, all its pages", last, 1);
    order_of_a_user("an order about a user who is not there");
    list_channels("channels, all sessions connected");
    park_all();
    list_channels("channels, all sessions waiting");
}

/* ---- Arguments ---- */

static int usage(void)
{
    fprintf(stderr,
            "usage: session_table [--sessions=N] [--check]\nN: 1 to %d, by default 1000000; 256 bytes of "
            "memory for each\n",
            SESSIONS_MAX);
    return 2;
}

static bool take_arguments(int argc, char **argv)
{
    b.sessions = 1000000;
    for (int i = 1; i < argc; i++) {
        char *end = NULL;
        unsigned long n;

        if (strcmp(argv[i], "--check") == 0) {
            b.check = true;
            continue;
        }
        if (strncmp(argv[i], "--sessions=", 11) != 0)
            return false;
        errno = 0;
        n = strtoul(argv[i] + 11, &end, 10);
        if (errno != 0 || end == argv[i] + 11 || *end != '\0' || n < 1 || n > SESSIONS_MAX)
            return false;
        b.sessions = (uint32_t)n;
    }
    return true;
}

int main(int argc, char **argv)
{
    if (!take_arguments(argc, argv))
        return usage();
    lay_out();
    fill();
    if (!b.check)
        printf("%" PRIu32 " sessions, two subscriptions in some and a user in each\n", b.sessions);
    measure_all();
    hf_sessions_release(&b.other);
    hf_hub_free(b.hub);
    hf_memory_unmap(b.memory, hf_region_bytes(&b.layout));
    return b.failures > 0;
}
