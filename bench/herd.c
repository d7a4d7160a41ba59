/*
 * herd.c - a server loses all its clients at once: when are they back, and what does their coming cost it? In virtual time, with the real
 * session/backoff.c of the clients and the real shm/gate.c of the server; beside them the rules of other clients, against a server whose
 * queue simply fills, as in the note that the design draws on.
 *
 *   herd [--clients N] [--rate R] [--seed S] [--curve] [--check]
 *
 * Writes a table in Markdown: when half, 99 in 100 and all of the clients are back, attempts per client, and the most attempts in one second.
 * --curve: also the attempts of each five seconds, a row for each rule. --check: fails where our own rules cost more, or take longer, than
 * is said below.
 */
#include "base/rng.h"
#include "session/backoff.h"
#include "shm/gate.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    END_MS = 900 * 1000, /* who is not back after a quarter of an hour is given up */
    ROUND_TRIP_MS = 50,  /* from an attempt to its answer */
    BUCKET_MS = 5000,    /* of the curve */
    BUCKETS = END_MS / BUCKET_MS,
    DOWN_MS = 30000,  /* how long nobody answers, where nobody does */
    DRAIN_MS = 60000, /* the window of a `reconnect` */
    CLIENTS_MAX = 5000000,
    NOBODY = -1,
};

struct client {
    struct hf_backoff backoff;
    struct hf_rng rng;
    uint32_t attempts;
    int32_t next; /* of those with an attempt in the same millisecond */
};

struct herd {
    uint32_t clients, rate;
    struct client *client;
    int32_t due[END_MS]; /* the first client with an attempt in that millisecond */
    struct hf_gate_shm *gate;
    double queued; /* the simple server: handshakes that wait, at queued_at_ms */
    uint64_t queued_at_ms;
    uint64_t attempts, back;
    uint64_t back_ms[3]; /* when half, 99 in 100, and all were back; 0: they were not */
    uint32_t in_second[END_MS / 1000], in_bucket[BUCKETS];
};

/* How clients decide, and what the server says. */
struct rule {
    const char *name;
    /* In how many ms the attempt with this number is made: 0 is the first one after the loss. */
    uint64_t (*delay_ms)(struct client *c, const struct herd *h, uint32_t attempt, uint64_t told_ms);
    bool gate;        /* the server has Holdfast's gate, and says when to come back; else a queue */
    uint64_t down_ms; /* until then nobody answers */
    /* What --check demands: attempts per client, and the time of the last one; 0: nothing. */
    double attempts_max;
    uint64_t (*back_ms_max)(const struct herd *h);
};

static uint64_t uniform(struct client *c, uint64_t max)
{
    return hf_rng_below(&c->rng, max + 1);
}

/* ---- The rules of others: published defaults ---- */

static uint64_t steps(struct client *c, const struct herd *h, uint32_t attempt, uint64_t told_ms)
{
    static const uint64_t ms[] = {10, 50, 100, 150, 200, 250, 500, 1000, 2000, 5000};
    const size_t last = sizeof(ms) / sizeof(ms[0]) - 1;

    (void)c, (void)h, (void)told_ms;
    return ms[attempt < last ? attempt : last];
}

static uint64_t doubling(struct client *c, const struct herd *h, uint32_t attempt, uint64_t told_ms)
{
    (void)c, (void)h, (void)told_ms;
    return attempt < 6 ? UINT64_C(500) << attempt : HF_BACKOFF_CAP_MS;
}

static uint64_t one_to_five_seconds(struct client *c, const struct herd *h, uint32_t attempt,
                                    uint64_t told_ms)
{
    uint64_t ms = attempt < 3 ? UINT64_C(1000) << attempt : 5000;

    (void)h, (void)told_ms;
    return ms / 2 + uniform(c, ms < 5000 ? ms : 5000);
}

/* ---- Ours ---- */

static uint64_t backoff(struct client *c, enum hf_backoff_cause cause, bool attempt, uint64_t spread_ms,
                        uint64_t told_ms)
{
    const struct hf_backoff_end end = {
        .cause = cause, .attempt_failed = attempt, .loss_spread_ms = spread_ms, .min_ms = told_ms};

    return hf_backoff_ended(&c->backoff, &end, &c->rng, 0);
}

static uint64_t after_failure(struct client *c, uint64_t told_ms)
{
    return backoff(c, told_ms > 0 ? HF_CAUSE_RETRY : HF_CAUSE_REFUSED, true, 0, told_ms);
}

static uint64_t full_jitter(struct client *c, const struct herd *h, uint32_t attempt, uint64_t told_ms)
{
    (void)h;
    return attempt == 0 ? backoff(c, HF_CAUSE_REFUSED, false, 0, 0) : after_failure(c, told_ms);
}

/* "lossSpread: the server's connections ÷ its admission rate" (PROTOCOL.md, welcome) */
static uint64_t loss(struct client *c, const struct herd *h, uint32_t attempt, uint64_t told_ms)
{
    uint64_t spread_ms = (uint64_t)h->clients * 1000 / h->rate;

    spread_ms = spread_ms < HF_GATE_WAIT_MS_MAX ? spread_ms : HF_GATE_WAIT_MS_MAX;
    return attempt == 0 ? backoff(c, HF_CAUSE_LOSS, false, spread_ms, 0) : after_failure(c, told_ms);
}

static uint64_t drained(struct client *c, const struct herd *h, uint32_t attempt, uint64_t told_ms)
{
    (void)h;
    return attempt == 0 ? uniform(c, DRAIN_MS) : after_failure(c, told_ms);
}

/* All are back within little more than the time in which the server could have taken them one by one. */
static uint64_t as_fast_as_possible(const struct herd *h)
{
    return (uint64_t)h->clients * 1250 / h->rate;
}

static uint64_t within_the_window(const struct herd *h)
{
    (void)h;
    return DRAIN_MS + 1000;
}

static const struct rule rules[] = {
    {"ten steps, 10 ms to 5 s, no jitter (Phoenix)", steps, false, 0, 0, NULL},
    {"doubling, 0.5 s to 30 s, no jitter", doubling, false, 0, 0, NULL},
    {"1 s to 5 s ± 50 % (Socket.IO)", one_to_five_seconds, false, 0, 0, NULL},
    {"Holdfast's backoff alone: full jitter, 0.5 s to 30 s", full_jitter, false, 0, 0, NULL},
    {"the same, and the server says `Retry-After`", full_jitter, true, 0, 2.5, NULL},
    {"Holdfast: `lossSpread`, `Retry-After`, full jitter", loss, true, 0, 1.8, as_fast_as_possible},
    {"Holdfast, and nobody answers for 30 s", loss, true, DOWN_MS, 0, NULL},
    {"Holdfast, drained: `reconnect` within 60 s", drained, true, 0, 1.1, within_the_window},
};

/* ---- The server ---- */

/* A queue of a second's work, as a listen backlog: who finds it full is refused. */
static bool queue_admits(struct herd *h, uint64_t now_ms)
{
    h->queued -= (double)h->rate * (double)(now_ms - h->queued_at_ms) / 1000;
    h->queued = h->queued < 0 ? 0 : h->queued;
    h->queued_at_ms = now_ms;
    if (h->queued + 1 > h->rate)
        return false;
    h->queued += 1;
    return true;
}

/* Returns whether it is let in; if not, *told_ms is when to come back, 0: nothing was said. */
static bool server_admits(struct herd *h, const struct rule *rule, struct client *c, uint64_t now_ms,
                          uint64_t *told_ms)
{
    const struct hf_gate_config config = {.rate = h->rate, .burst = h->rate};

    *told_ms = 0;
    if (now_ms < rule->down_ms)
        return false;
    if (!rule->gate)
        return queue_admits(h, now_ms);
    if (hf_gate_admit(h->gate, &config, HF_GATE_RESUME, now_ms))
        return true;
    /* As server/admission.c: a place in the line, a random second, and whole seconds in the header. */
    *told_ms = hf_gate_wait_ms(h->gate, &config, HF_GATE_RESUME, now_ms);
    *told_ms = ((*told_ms < 1000 ? 1000 : *told_ms) + uniform(c, 999)) / 1000 * 1000;
    return false;
}

/* ---- Running ---- */

static void plan(struct herd *h, uint32_t i, uint64_t at_ms)
{
    if (at_ms >= END_MS)
        return;
    h->client[i].next = h->due[at_ms];
    h->due[at_ms] = (int32_t)i;
}

static void came_back(struct herd *h, uint64_t now_ms)
{
    const uint64_t marks[] = {(h->clients + 1) / 2, h->clients - h->clients / 100, h->clients};

    h->back++;
    for (int i = 0; i < 3; i++)
        if (h->back == marks[i])
            h->back_ms[i] = now_ms;
}

static void attempt(struct herd *h, const struct rule *rule, uint32_t i, uint64_t now_ms)
{
    struct client *c = &h->client[i];
    uint64_t told_ms;

    h->attempts++;
    h->in_second[now_ms / 1000]++;
    h->in_bucket[now_ms / BUCKET_MS]++;
    c->attempts++;
    if (server_admits(h, rule, c, now_ms, &told_ms))
        came_back(h, now_ms + ROUND_TRIP_MS + (rule->gate ? 0 : (uint64_t)(h->queued * 1000 / h->rate)));
    else
        plan(h, i, now_ms + ROUND_TRIP_MS + rule->delay_ms(c, h, c->attempts, told_ms) + 1);
}

/* All were connected, and of use, for long enough; at 0 they are lost. */
static void begin(struct herd *h, const struct rule *rule, uint64_t seed)
{
    struct hf_rng rng = {.state = seed};

    memset(h->gate, 0, hf_gate_bytes(0, 1));
    hf_gate_format(h->gate, 0, 1, 1);
    memset(h->in_second, 0, sizeof(h->in_second));
    memset(h->in_bucket, 0, sizeof(h->in_bucket));
    memset(h->back_ms, 0, sizeof(h->back_ms));
    h->queued = 0;
    h->queued_at_ms = h->attempts = h->back = 0;
    for (uint32_t ms = 0; ms < END_MS; ms++)
        h->due[ms] = NOBODY;
    for (uint32_t i = 0; i < h->clients; i++) {
        struct client *c = &h->client[i];

        *c = (struct client){.rng = {.state = hf_rng_next(&rng)}};
        hf_backoff_init(&c->backoff);
        hf_backoff_connected(&c->backoff, 0);
        hf_backoff_progressed(&c->backoff);
        plan(h, i, rule->delay_ms(c, h, 0, 0));
    }
}

static void run(struct herd *h, const struct rule *rule, uint64_t seed)
{
    begin(h, rule, seed);
    for (uint32_t ms = 0; ms < END_MS; ms++)
        while (h->due[ms] != NOBODY) {
            uint32_t i = (uint32_t)h->due[ms];

            h->due[ms] = h->client[i].next;
            attempt(h, rule, i, ms);
        }
}

/* ---- Telling ---- */

static void tell_time(uint64_t ms)
{
    if (ms == 0)
        printf(" never |");
    else
        printf(" %.1f s |", (double)ms / 1000);
}

static void tell(const struct herd *h, const struct rule *rule)
{
    uint32_t most = 0;

    for (uint32_t s = 0; s < END_MS / 1000; s++)
        most = h->in_second[s] > most ? h->in_second[s] : most;
    printf("| %s |", rule->name);
    for (int i = 0; i < 3; i++)
        tell_time(h->back_ms[i]);
    printf(" %.1f | %" PRIu32 " |\n", (double)h->attempts / h->clients, most);
}

static bool as_demanded(const struct herd *h, const struct rule *rule)
{
    double attempts = (double)h->attempts / h->clients;

    if (rule->attempts_max > 0 && attempts > rule->attempts_max) {
        fprintf(stderr, "herd: %s: %.1f attempts per client, %.1f are too many\n", rule->name, attempts,
                rule->attempts_max);
        return false;
    }
    if (rule->back_ms_max != NULL && (h->back_ms[2] == 0 || h->back_ms[2] > rule->back_ms_max(h))) {
        fprintf(stderr, "herd: %s: the last one is back after %.1f s, which is too late\n", rule->name,
                (double)h->back_ms[2] / 1000);
        return false;
    }
    return true;
}

static void tell_curve(const struct herd *h, const struct rule *rule)
{
    uint32_t last = 0;

    for (uint32_t i = 0; i < BUCKETS; i++)
        last = h->in_bucket[i] > 0 ? i : last;
    printf("%s:", rule->name);
    for (uint32_t i = 0; i <= last; i++)
        printf(" %" PRIu32, h->in_bucket[i]);
    printf("\n");
}

/* Returns whether all is as demanded. */
static bool tell_all(struct herd *h, uint64_t seed, bool curve)
{
    bool good = true;

    const size_t count = sizeof(rules) / sizeof(rules[0]);

    printf("%" PRIu32 " clients, %" PRIu32 " handshakes a second: %.1f s if none were wasted.\n\n",
           h->clients, h->rate, (double)h->clients / h->rate);
    printf("| rule | half are back | 99 in 100 | all | attempts per client | most in a second |\n"
           "| --- | --- | --- | --- | --- | --- |\n");
    for (size_t i = 0; i < count; i++) {
        run(h, &rules[i], seed);
        tell(h, &rules[i]);
        good = as_demanded(h, &rules[i]) && good;
    }
    if (curve)
        printf("\nAttempts in each five seconds:\n\n");
    for (size_t i = 0; curve && i < count; i++) {
        run(h, &rules[i], seed);
        tell_curve(h, &rules[i]);
    }
    return good;
}

/* ---- Arguments ---- */

static bool number(const char *text, uint64_t most, uint64_t *out)
{
    char *end;

    if (text == NULL || *text < '0' || *text > '9')
        return false;
    errno = 0;
    *out = strtoull(text, &end, 10);
    return errno == 0 && *end == '\0' && *out > 0 && *out <= most;
}

static int usage(void)
{
    fprintf(stderr,
            "usage: herd [--clients N] [--rate R] [--seed S] [--curve] [--check]\n"
            "N: 1 to %d; R: handshakes a second, 1 to 1000000\n",
            CLIENTS_MAX);
    return 2;
}

struct arguments {
    uint64_t clients, rate, seed;
    bool curve, check;
};

static bool take_arguments(struct arguments *a, int argc, char **argv)
{
    bool good = true;

    for (int i = 1; good && i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;

        if (strcmp(argv[i], "--curve") == 0) {
            a->curve = true;
            continue;
        }
        if (strcmp(argv[i], "--check") == 0) {
            a->check = true;
            continue;
        }
        if (strcmp(argv[i], "--clients") == 0)
            good = number(value, CLIENTS_MAX, &a->clients);
        else if (strcmp(argv[i], "--rate") == 0)
            good = number(value, 1000000, &a->rate);
        else
            good = strcmp(argv[i], "--seed") == 0 && number(value, UINT64_MAX, &a->seed);
        i++;
    }
    return good;
}

int main(int argc, char **argv)
{
    struct arguments a = {.clients = 2000, .rate = 40, .seed = 1};
    static struct herd h;
    bool good;

    if (!take_arguments(&a, argc, argv))
        return usage();
    h.clients = (uint32_t)a.clients;
    h.rate = (uint32_t)a.rate;
    h.client = calloc(a.clients, sizeof(*h.client));
    h.gate = aligned_alloc(64, (hf_gate_bytes(0, 1) + 63) / 64 * 64);
    if (h.client == NULL || h.gate == NULL) {
        fprintf(stderr, "herd: out of memory\n");
        free(h.client);
        free(h.gate);
        return 1;
    }
    good = tell_all(&h, a.seed, a.curve);
    free(h.gate);
    free(h.client);
    return a.check && !good;
}
