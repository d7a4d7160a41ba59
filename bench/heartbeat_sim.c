/*
 * heartbeat_sim.c - heartbeat policies over networks that forget a silent connection, in virtual time.
 *
 *   heartbeat_sim [--seeds=N] [--hours=N] [--check]
 *
 * What runs is the library's own code: session/heartbeat.h, which sends the pings and judges their answers, and the policies behind
 * session/heartbeat_policy.h. Only the network, the reconnects and the carrying of probes are played here. A path is a middlebox that
 * forgets a connection after so much silence both ways, and from then on drops its packets without a word. The application says nothing:
 * every packet is a heartbeat's.
 *
 * For each policy and path it prints a line of JSON:
 *   path_s               the silence after which the path forgets; 0: never
 *   pings_per_hour       all pings, those of probes and verifications included
 *   cuts_per_day         connections that the application lost because the path forgot them; cuts_worst: the worst seed's
 *   probes_per_day       second connections made to probe
 *   detect_s, _worst_s   from a break that nobody tells to its detection, where there is no trigger
 *   trigger_s, _worst_s  the same from a trigger on: a signal of the system, or something to be sent
 * Pings, cuts and probes are of a day without other breaks; detection is of a second day, with a break every hour or three.
 * --check: say nothing, and fail where the goals of docs/heartbeats.md are missed.
 */
#include "base/rng.h"
#include "heartbeat_mars.h"
#include "session/heartbeat.h"
#include "session/heartbeat_adaptive.h"
#include "session/heartbeat_classic.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NEVER UINT64_MAX
#define SECOND_MS UINT64_C(1000)
#define HOUR_MS (3600 * SECOND_MS)

enum {
    RTT_MS_MIN = 20,
    RTT_MS_SPREAD = 180, /* of a run's base, */
    RTT_MS_JITTER = 20,  /* and of each round trip */
    REDIAL_MS_MAX = 100, /* session/backoff.h: own evidence */
    BREAK_EVERY_MS_MIN = 3600 * 1000,
    BREAK_EVERY_MS_SPREAD = 2 * 3600 * 1000,
    TRIGGER_MS_MAX = 5000, /* after a break */
    PATHS = 8,
};

static const unsigned paths_s[PATHS] = {30, 50, 61, 100, 240, 350, 900, 0};

enum kind { FIXED, CLASSIC, ADAPTIVE, MARS };

static const struct contestant {
    const char *name;
    enum kind kind;
    uint64_t tolerance_ms;
    uint64_t bound_ms; /* the server's; 0: none */
} contestants[] = {
    {"fixed 25 s", FIXED, 0, 0},
    {"classic", CLASSIC, 0, 0},
    {"Mars", MARS, 0, 0},
    {"adaptive, 30 s", ADAPTIVE, HF_ADAPTIVE_FOREGROUND_MS, 0},
    {"adaptive, 120 s", ADAPTIVE, HF_ADAPTIVE_IDLE_MS, 0},
    {"adaptive, 300 s", ADAPTIVE, HF_ADAPTIVE_BACKGROUND_MS, 0},
    {"adaptive, 120 s, server's maximum 60 s", ADAPTIVE, HF_ADAPTIVE_IDLE_MS, 60000},
};

enum { CONTESTANTS = sizeof(contestants) / sizeof(contestants[0]) };

/* --- the network --- */

struct connection {
    uint64_t packet_at_ms; /* the last that passed */
    bool forgotten;        /* by the path, or in a break */
};

/* A ping, and its answer; false: neither gets through. */
static bool passes(struct connection *c, uint64_t forgets_ms, uint64_t now_ms)
{
    if (now_ms - c->packet_at_ms > forgets_ms)
        c->forgotten = true;
    if (!c->forgotten)
        c->packet_at_ms = now_ms;
    return !c->forgotten;
}

/* --- a client --- */

enum probe_state {
    PROBE_NONE,
    PROBE_SILENT,  /* until probe_at_ms, when it pings */
    PROBE_PINGED,  /* until probe_at_ms, when it is answered, or given up */
    PROBE_JUDGING, /* it was not answered: is the network good? The live connection's next answer tells */
};

struct run {
    const struct contestant *who;
    uint64_t now_ms, end_ms;
    uint64_t forgets_ms; /* NEVER: the path forgets nothing */
    uint64_t rtt_ms;
    struct hf_rng rng;

    struct hf_heartbeat heartbeat;
    union {
        struct hf_heartbeat_classic classic;
        struct hf_heartbeat_adaptive adaptive;
        struct mars mars;
    } policy;
    struct hf_heartbeat_memory memory;

    struct connection live;
    bool connected;
    uint64_t connect_at_ms; /* where it is not */
    uint64_t pong_at_ms;

    enum probe_state probe_state;
    struct connection probe;
    uint64_t probe_gap_ms, probe_at_ms;
    bool probe_answered;

    uint64_t break_at_ms;                             /* the next one */
    uint64_t broken_at_ms, trigger_at_ms, late_at_ms; /* of the one that has not been noticed; NEVER: none */
    uint64_t triggered_ms;                            /* when there was one; NEVER: not yet */
    bool by_signal;

    uint64_t pings, cuts, probes;
    struct times {
        uint64_t count, sum_ms, worst_ms;
    } detected, after_trigger;
};

static void note(struct times *t, uint64_t ms)
{
    t->count++;
    t->sum_ms += ms;
    if (ms > t->worst_ms)
        t->worst_ms = ms;
}

static uint64_t round_trip_ms(struct run *r)
{
    return r->rtt_ms + hf_rng_below(&r->rng, RTT_MS_JITTER);
}

static struct hf_heartbeat_policy *make_policy(struct run *r, uint64_t seed)
{
    switch (r->who->kind) {
    case FIXED:
        break;
    case CLASSIC:
        hf_heartbeat_classic_init(&r->policy.classic);
        return &r->policy.classic.base;
    case MARS:
        mars_init(&r->policy.mars);
        return &r->policy.mars.base;
    case ADAPTIVE:
        hf_heartbeat_memory_init(&r->memory);
        hf_heartbeat_adaptive_init(&r->policy.adaptive, r->who->tolerance_ms, &r->memory, seed);
        hf_heartbeat_policy_set_network(&r->policy.adaptive.base, 1, 0);
        hf_heartbeat_policy_set_bound(&r->policy.adaptive.base, r->who->bound_ms);
        return &r->policy.adaptive.base;
    }
    return NULL;
}

static void send_ping(struct run *r)
{
    r->pings++;
    r->pong_at_ms = passes(&r->live, r->forgets_ms, r->now_ms) ? r->now_ms + round_trip_ms(r) : NEVER;
    hf_heartbeat_data_sent(&r->heartbeat, r->now_ms);
}

/* As the session does with a welcome: the upgrade's round trip is measured, and the connection verified. */
static void connected(struct run *r)
{
    r->connected = true;
    r->live = (struct connection){.packet_at_ms = r->now_ms};
    hf_heartbeat_opened(&r->heartbeat, r->now_ms);
    hf_heartbeat_measured(&r->heartbeat, round_trip_ms(r));
    hf_heartbeat_doubted(&r->heartbeat);
}

static void forget_break(struct run *r)
{
    r->broken_at_ms = r->trigger_at_ms = r->late_at_ms = r->triggered_ms = NEVER;
}

static void died(struct run *r)
{
    if (r->triggered_ms != NEVER)
        note(&r->after_trigger, r->now_ms - r->triggered_ms);
    else if (r->broken_at_ms != NEVER)
        note(&r->detected, r->now_ms - r->broken_at_ms);
    else
        r->cuts++;
    forget_break(r);
    r->connected = false;
    r->pong_at_ms = NEVER;
    /* A TCP handshake and the upgrade. */
    r->connect_at_ms = r->now_ms + hf_rng_below(&r->rng, REDIAL_MS_MAX) + round_trip_ms(r) + round_trip_ms(r);
}

/* --- probes --- */

static void end_probe(struct run *r, enum hf_heartbeat_probe outcome)
{
    r->probe_state = PROBE_NONE;
    hf_heartbeat_policy_probe_ended(r->heartbeat.policy, r->probe_gap_ms, outcome, r->now_ms);
}

static void begin_probe(struct run *r)
{
    if (r->heartbeat.policy == NULL || r->probe_state != PROBE_NONE || !r->connected)
        return;
    r->probe_gap_ms = hf_heartbeat_policy_probe_gap_ms(r->heartbeat.policy, r->now_ms);
    if (r->probe_gap_ms == 0)
        return;
    r->probes++;
    r->probe = (struct connection){.packet_at_ms = r->now_ms};
    r->probe_state = PROBE_SILENT;
    r->probe_at_ms = r->now_ms + r->probe_gap_ms;
}

static void tick_probe(struct run *r)
{
    if (r->probe_state == PROBE_SILENT) {
        r->pings++;
        r->probe_answered = passes(&r->probe, r->forgets_ms, r->now_ms);
        r->probe_at_ms =
            r->now_ms + (r->probe_answered ? round_trip_ms(r) : hf_heartbeat_hard_ms(&r->heartbeat));
        r->probe_state = PROBE_PINGED;
    } else if (r->probe_answered) {
        end_probe(r, HF_HEARTBEAT_PROBE_ALIVE);
    } else {
        r->probe_state = PROBE_JUDGING;
        r->probe_at_ms = NEVER;
        hf_heartbeat_doubted(&r->heartbeat);
    }
}

/* --- events --- */

static void tick_heartbeat(struct run *r)
{
    switch (hf_heartbeat_tick(&r->heartbeat, r->now_ms)) {
    case HF_HEARTBEAT_OK:
    case HF_HEARTBEAT_SUSPECT:
        break;
    case HF_HEARTBEAT_PING:
        send_ping(r);
        break;
    case HF_HEARTBEAT_DEAD:
        died(r);
        if (r->probe_state != PROBE_NONE)
            end_probe(r, HF_HEARTBEAT_PROBE_UNKNOWN);
        break;
    }
}

static void take_pong(struct run *r)
{
    r->pong_at_ms = NEVER;
    hf_heartbeat_data_received(&r->heartbeat, r->now_ms);
    hf_heartbeat_pong_received(&r->heartbeat, r->heartbeat.ping_id, r->now_ms);
    if (r->probe_state == PROBE_JUDGING)
        end_probe(r, HF_HEARTBEAT_PROBE_DEAD);
    begin_probe(r);
}

/* Every connection is forgotten, and new ones are taken at once: a middlebox was restarted. Every other break has a trigger. */
static void break_all(struct run *r)
{
    uint64_t after_ms = hf_rng_below(&r->rng, TRIGGER_MS_MAX);

    r->break_at_ms = r->now_ms + BREAK_EVERY_MS_MIN + hf_rng_below(&r->rng, BREAK_EVERY_MS_SPREAD);
    if (!r->connected || r->live.forgotten || r->pong_at_ms != NEVER || r->heartbeat.pinged_at_ms != 0)
        return; /* It is being asked, or found out, in this moment: there is nothing to measure. */
    r->live.forgotten = r->probe.forgotten = true;
    r->broken_at_ms = r->now_ms;
    r->by_signal = hf_rng_below(&r->rng, 2) == 0;
    if (hf_rng_below(&r->rng, 2) == 0)
        r->trigger_at_ms = r->now_ms + after_ms;
}

/* The system tells that something has changed; or the application sends something, which gets no answer. */
static void trigger(struct run *r)
{
    r->trigger_at_ms = NEVER;
    r->triggered_ms = r->now_ms;
    if (r->by_signal) {
        hf_heartbeat_disturbed(&r->heartbeat);
        hf_heartbeat_doubted(&r->heartbeat);
        return;
    }
    hf_heartbeat_sending(&r->heartbeat, r->now_ms);
    r->late_at_ms = r->now_ms + hf_heartbeat_soft_ms(&r->heartbeat);
}

/* As the session does with an answer that is late. */
static void answer_is_late(struct run *r)
{
    hf_heartbeat_answer_late(&r->heartbeat, r->triggered_ms);
    r->late_at_ms = NEVER;
}

static uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t next_event_ms(const struct run *r)
{
    uint64_t at = min_u64(r->break_at_ms, r->end_ms);

    at = min_u64(at, r->connected ? hf_heartbeat_deadline_ms(&r->heartbeat) : r->connect_at_ms);
    at = min_u64(at, min_u64(r->pong_at_ms, r->probe_at_ms));
    at = min_u64(at, min_u64(r->trigger_at_ms, r->late_at_ms));
    return at > r->now_ms ? at : r->now_ms;
}

static void step(struct run *r)
{
    r->now_ms = next_event_ms(r);
    if (!r->connected && r->now_ms >= r->connect_at_ms)
        connected(r);
    if (r->now_ms >= r->pong_at_ms)
        take_pong(r);
    if (r->probe_state != PROBE_NONE && r->now_ms >= r->probe_at_ms)
        tick_probe(r);
    if (r->now_ms >= r->break_at_ms)
        break_all(r);
    if (r->now_ms >= r->trigger_at_ms)
        trigger(r);
    if (r->now_ms >= r->late_at_ms)
        answer_is_late(r);
    if (r->connected)
        tick_heartbeat(r);
    if (r->probe_state == PROBE_NONE)
        r->probe_at_ms = NEVER;
}

static void run_day(struct run *r, const struct contestant *who, unsigned path_s, bool breaks, uint64_t seed,
                    uint64_t hours)
{
    *r = (struct run){.who = who, .rng = {.state = seed}, .end_ms = hours * HOUR_MS};
    r->forgets_ms = path_s == 0 ? NEVER : path_s * SECOND_MS;
    r->rtt_ms = RTT_MS_MIN + hf_rng_below(&r->rng, RTT_MS_SPREAD);
    r->pong_at_ms = r->probe_at_ms = r->break_at_ms = NEVER;
    forget_break(r);
    if (breaks)
        r->break_at_ms = BREAK_EVERY_MS_MIN + hf_rng_below(&r->rng, BREAK_EVERY_MS_SPREAD);
    hf_heartbeat_init(&r->heartbeat, make_policy(r, seed));
    if (r->heartbeat.policy != NULL)
        hf_heartbeat_set_interval(&r->heartbeat, who->bound_ms > 0
                                                     ? who->bound_ms
                                                     : hf_heartbeat_policy_longest_ms(r->heartbeat.policy));
    connected(r);
    while (r->now_ms < r->end_ms)
        step(r);
}

/* --- results --- */

struct result {
    double pings_per_hour, cuts_per_day, probes_per_day;
    uint64_t cuts_worst;
    struct times detected, after_trigger;
};

static void add(struct times *to, const struct times *from)
{
    to->count += from->count;
    to->sum_ms += from->sum_ms;
    if (from->worst_ms > to->worst_ms)
        to->worst_ms = from->worst_ms;
}

static double seconds(const struct times *t)
{
    return t->count == 0 ? 0 : (double)t->sum_ms / (double)t->count / 1000;
}

static struct result measure(const struct contestant *who, unsigned path_s, uint64_t seeds, uint64_t hours)
{
    struct result result = {.cuts_worst = 0};
    double days = (double)(seeds * hours) / 24;
    static struct run r;
    uint64_t seed;

    for (seed = 1; seed <= seeds; seed++) {
        run_day(&r, who, path_s, false, seed, hours);
        result.pings_per_hour += (double)r.pings / (double)(seeds * hours);
        result.cuts_per_day += (double)r.cuts / days;
        result.probes_per_day += (double)r.probes / days;
        if (r.cuts > result.cuts_worst)
            result.cuts_worst = r.cuts;
        run_day(&r, who, path_s, true, seed, hours);
        add(&result.detected, &r.detected);
        add(&result.after_trigger, &r.after_trigger);
    }
    return result;
}

static void print(const struct contestant *who, unsigned path_s, const struct result *result)
{
    printf("{\"policy\":\"%s\",\"path_s\":%u,\"pings_per_hour\":%.2f,\"cuts_per_day\":%.2f,\"cuts_worst\":"
           "%" PRIu64
           ",\"probes_per_day\":%.2f,\"detect_s\":%.2f,\"detect_worst_s\":%.2f,\"trigger_s\":%.2f,\"trigger_"
           "worst_s\":%.2f}\n",
           who->name, path_s, result->pings_per_hour, result->cuts_per_day, result->cuts_worst,
           result->probes_per_day, seconds(&result->detected), (double)result->detected.worst_ms / 1000,
           seconds(&result->after_trigger), (double)result->after_trigger.worst_ms / 1000);
}

/* --- the goals --- */

static bool goal(bool reached, const char *who, const char *what)
{
    if (!reached)
        fprintf(stderr, "heartbeat_sim: %s: missed: %s\n", who, what);
    return reached;
}

/* Against the first contestant, fixed 25 s. The path that forgets nothing is no path of the goal. */
static bool goals_reached(struct result results[CONTESTANTS][PATHS])
{
    bool all = true;
    unsigned i, path;

    for (i = 0; i < CONTESTANTS; i++) {
        const struct contestant *who = &contestants[i];
        double fixed = 0, ours = 0;

        if (who->kind != ADAPTIVE)
            continue;
        for (path = 0; path + 1 < PATHS; path++) {
            const struct result *r = &results[i][path];

            fixed += results[0][path].pings_per_hour;
            ours += r->pings_per_hour;
            all = goal(r->cuts_worst <= 2, who->name, "at most 2 cuts a day on every path") && all;
            all = goal(r->after_trigger.count > 0 && r->after_trigger.worst_ms < 4000, who->name,
                       "detection within 4 s of a trigger") &&
                  all;
        }
        if (who->tolerance_ms == HF_ADAPTIVE_IDLE_MS && who->bound_ms == 0)
            all = goal(ours <= fixed / 2, who->name, "half the heartbeats, over all paths") && all;
    }
    return all;
}

static bool take_option(const char *arg, const char *name, uint64_t *number)
{
    size_t len = strlen(name);
    char *end;

    if (strncmp(arg, name, len) != 0)
        return false;
    *number = strtoull(arg + len, &end, 10);
    return arg[len] >= '1' && arg[len] <= '9' && *end == '\0' && *number <= 10000;
}

int main(int argc, char **argv)
{
    static struct result results[CONTESTANTS][PATHS];
    uint64_t seeds = 20, hours = 24;
    bool check = false;
    unsigned i, path;

    for (i = 1; i < (unsigned)argc; i++) {
        if (strcmp(argv[i], "--check") == 0) {
            check = true;
        } else if (!take_option(argv[i], "--seeds=", &seeds) && !take_option(argv[i], "--hours=", &hours)) {
            fprintf(stderr, "heartbeat_sim: %s: give --seeds=N, --hours=N (1 to 10,000) or --check\n",
                    argv[i]);
            return 2;
        }
    }
    for (i = 0; i < CONTESTANTS; i++)
        for (path = 0; path < PATHS; path++) {
            results[i][path] = measure(&contestants[i], paths_s[path], seeds, hours);
            if (!check)
                print(&contestants[i], paths_s[path], &results[i][path]);
        }
    return check && !goals_reached(results) ? 1 : 0;
}
