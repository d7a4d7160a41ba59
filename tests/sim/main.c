/*
 * main.c - runs schedules and tells the result as TAP. `sim --seed N --trace` repeats one.
 */
#include "base/assert.h"
#include "sim/sim.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FAILURES_TOLD_MAX = 5, REPEAT_EVERY = 50, ALT_STACK_BYTES = 1 << 16 };

struct arguments {
    uint64_t schedules, first_seed, seed;
    bool one, trace;
    int group; /* -1: all */
};

static struct sim sim;

/* ---- A crash of the program itself: which seed was it? ---- */

static char crash_note[160];
static size_t crash_note_len;

static void on_signal(int number)
{
    ssize_t written = write(STDERR_FILENO, crash_note, crash_note_len);

    (void)written;
    signal(number, SIG_DFL);
    raise(number);
}

void __asan_on_error(void);

/* Called by AddressSanitizer, if there is one, before its report. */
void __asan_on_error(void)
{
    ssize_t written = write(STDERR_FILENO, crash_note, crash_note_len);

    (void)written;
}

static void note_seed(uint64_t seed)
{
    int len = snprintf(crash_note, sizeof(crash_note),
                       "# the program failed in: sim --seed %" PRIu64 " --trace\n", seed);

    crash_note_len = (size_t)len;
}

static void catch_signals(void)
{
    static const int numbers[] = {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGALRM};
    static char stack[ALT_STACK_BYTES];
    stack_t alt = {.ss_sp = stack, .ss_size = sizeof(stack)}; /* A worker's own may be what overflowed. */
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_ONSTACK};

    hf_assert(sigaltstack(&alt, NULL) == 0);
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
        hf_assert(sigaction(numbers[i], &action, NULL) == 0);
}

/* ---- Groups ---- */

static void tell_failure(uint64_t seed)
{
    printf("# %s\n# repeat it with: sim --seed %" PRIu64 " --trace\n", sim.failure, seed);
    (void)fflush(stdout);
}

/* Every so often a schedule is run again: the same seed must give the same, or no failure could be repeated. */
static bool repeats(uint64_t seed, struct sim_stats *stats)
{
    uint64_t hash = sim.hash;

    return sim_run(&sim, seed, false, stats) && sim.hash == hash;
}

static void tell_stats(const struct sim_stats *s)
{
    printf("# %" PRIu64 " schedules, %" PRIu64 " steps, %" PRIu64 " s of virtual time\n", s->schedules,
           s->steps, s->virtual_ms / 1000);
    printf("# published %" PRIu64 ", acknowledged %" PRIu64 ", refused %" PRIu64 ", uncertain %" PRIu64
           ", delivered %" PRIu64 " (as bytes %" PRIu64 ", in base64 %" PRIu64 "), gaps %" PRIu64
           ", new epochs %" PRIu64 "\n",
           s->published, s->acked, s->refused, s->uncertain, s->delivered, s->delivered_raw,
           s->delivered_base64, s->gaps, s->epoch_gaps);
    printf("# connections %" PRIu64 ", resumed %" PRIu64 ", renewed %" PRIu64 ", cuts %" PRIu64
           ", refused %" PRIu64 ", freezes %" PRIu64 ", kills %" PRIu64 ", deaths at named places %" PRIu64
           ", anywhere %" PRIu64 ", preemptions %" PRIu64 "\n",
           s->connections, s->resumed, s->renewed, s->cuts, s->refused_connects, s->freezes, s->kills,
           s->crashes_named, s->crashes_anywhere, s->preemptions);
    printf("# segments recycled %" PRIu64 ", carry records %" PRIu64 ", rings full %" PRIu64
           ", logs full %" PRIu64 ", blocked writes %" PRIu64 ", stalls %" PRIu64
           ", repeats recognised %" PRIu64 ", clients died %" PRIu64 " (%" PRIu64 " leaving publishes)\n",
           s->recycled, s->carry_records, s->ring_full, s->log_full, s->blocked_writes, s->stalls,
           s->repeated, s->deaths, s->successions);
}

static void tell_judge(const struct sim_stats *s)
{
    printf("# publishes that the backend was asked about %" PRIu64 ", answers that were none %" PRIu64 "\n",
           s->judged, s->nonsense);
}

/* What the clients were told about their states, and why. */
static void tell_states(const struct sim_stats *s)
{
    printf("# questions about members answered %" PRIu64 ", followers told of members %" PRIu64
           ", joins %" PRIu64 ", leaves %" PRIu64 ", that events were left out %" PRIu64
           ", orders carried out %" PRIu64 "\n",
           s->asked, s->member_lists, s->joins, s->leaves, s->left_out, s->orders);
    printf("# moves %" PRIu64 ", outages %" PRIu64 ", drains %" PRIu64 ", thefts %" PRIu64
           ", connections made ahead %" PRIu64 "\n# states",
           s->moves, s->outages, s->drains, s->thefts, s->made_ahead);
    for (int i = 0; i < HF_CLIENT_STATE_COUNT; i++)
        printf(" %s %" PRIu64, hf_client_session_state_name((enum hf_client_session_state)i), s->states[i]);
    printf("\n# causes");
    for (int i = HF_BY_NONE + 1; i <= HF_BY_CLOSED; i++)
        if (s->causes[i] > 0)
            printf(" %s %" PRIu64, hf_client_session_cause_name((enum hf_client_session_cause)i),
                   s->causes[i]);
    printf("\n");
}

/* Where workers died, of the places that have a name. */
static void tell_places(void)
{
    const char *place;
    uint64_t passed, died;

    printf("# died at");
    for (uint32_t i = 0; sim_crash_place(i, &place, &passed, &died); i++)
        printf("%s %s %" PRIu64, i > 0 ? "," : "", place, died);
    printf("\n");
}

/* Whether the group has tried what it is for: else its success says nothing. */
static const char *missing(enum sim_group group, const struct sim_stats *s)
{
    switch (group) {
    case SIM_CALM:
        return s->delivered == 0 || s->delivered_raw == 0 || s->delivered_base64 == 0
                   ? "nothing was delivered, or not in both encodings"
                   : NULL;
    case SIM_CUTS:
        return s->resumed < s->schedules ? "too few connections were cut" : NULL;
    case SIM_FREEZES:
        return s->freezes < s->schedules ? "too few connections were frozen" : NULL;
    case SIM_WORKER_KILLS:
        return s->kills < s->schedules / 2 ? "too few workers were killed" : NULL;
    case SIM_CRASH_POINTS:
        return s->crashes_named == 0 || s->crashes_anywhere == 0 ? "no worker died in mid-turn" : NULL;
    case SIM_SLOW_READERS:
        return s->blocked_writes == 0 || s->recycled == 0 || s->gaps == 0 || s->ring_full == 0
                   ? "nothing filled up"
                   : NULL;
    case SIM_EXPIRY:
        return s->renewed == 0 ? "no session expired" : NULL;
    case SIM_ROAMING:
        return s->moves == 0 || s->states[HF_CLIENT_OFFLINE] == 0 || s->causes[HF_BY_PROBE] == 0 ||
                       s->causes[HF_BY_WOKE_UP] == 0 || s->causes[HF_BY_ADDRESS_GONE] == 0
                   ? "too few went anywhere"
                   : NULL;
    case SIM_RESTARTS:
        return s->causes[HF_BY_SUPERSEDED] == 0 || s->causes[HF_BY_RETRY_AFTER] == 0 || s->drains == 0
                   ? "too few were sent away"
                   : NULL;
    case SIM_CLIENT_DEATHS:
        return s->deaths < s->schedules || s->successions == 0 ? "too few clients died" : NULL;
    case SIM_EVERYTHING:
        if (s->judged < s->schedules || s->nonsense == 0)
            return "too few publishes were left to the backend";
        if (s->asked < s->schedules)
            return "too few asked for members";
        if (s->joins < s->schedules || s->leaves < s->schedules || s->orders == 0 || s->left_out == 0)
            return "too few came and went";
        return s->carry_records == 0 || s->preemptions == 0 ? "too little of it" : NULL;
    case SIM_GROUPS:
        break;
    }
    return NULL;
}

static uint64_t run_group(const struct arguments *a, enum sim_group group, struct sim_stats *stats)
{
    uint64_t failures = 0, run = 0;

    for (uint64_t i = 0; i < a->schedules; i++) {
        uint64_t seed = a->first_seed + i;

        if (sim_group_of(seed) != group)
            continue;
        note_seed(seed);
        if (!sim_run(&sim, seed, false, stats)) {
            if (++failures <= FAILURES_TOLD_MAX)
                tell_failure(seed);
        } else if (run % REPEAT_EVERY == 0 && !repeats(seed, stats)) {
            failures++;
            printf("# seed %" PRIu64 " does not give the same twice\n", seed);
        }
        run++;
    }
    return failures;
}

static int run_all(const struct arguments *a)
{
    uint64_t failures = 0;
    int first = a->group < 0 ? 0 : a->group, last = a->group < 0 ? SIM_GROUPS - 1 : a->group;

    printf("1..%d\n", 2 * (last - first + 1));
    for (int group = first; group <= last; group++) {
        struct sim_stats stats = {0};
        uint64_t failed = run_group(a, (enum sim_group)group, &stats);
        const char *lack = missing((enum sim_group)group, &stats);

        tell_stats(&stats);
        tell_judge(&stats);
        tell_states(&stats);
        printf("%sok %d - %s: %" PRIu64 " schedules keep every promise\n", failed > 0 ? "not " : "",
               2 * (group - first) + 1, sim_group_name((enum sim_group)group), stats.schedules);
        printf("%sok %d - %s: they try what they are for%s%s\n", lack != NULL ? "not " : "",
               2 * (group - first) + 2, sim_group_name((enum sim_group)group), lack != NULL ? ": " : "",
               lack != NULL ? lack : "");
        (void)fflush(stdout);
        failures += failed + (lack != NULL);
    }
    tell_places();
    return failures > 0;
}

static int run_one(const struct arguments *a)
{
    struct sim_stats stats = {0};
    bool kept;

    note_seed(a->seed);
    printf("1..1\n");
    kept = sim_run(&sim, a->seed, a->trace, &stats);
    tell_stats(&stats);
    if (!kept)
        tell_failure(a->seed);
    printf("%sok 1 - seed %" PRIu64 " (%s)\n", kept ? "" : "not ", a->seed,
           sim_group_name(sim_group_of(a->seed)));
    return kept ? 0 : 1;
}

/* ---- Arguments ---- */

static int usage(void)
{
    fprintf(stderr, "usage: sim [--schedules N] [--first-seed S] [--group NAME]\n"
                    "       sim --seed N [--trace]\n");
    return 2;
}

static bool number(const char *text, uint64_t *out)
{
    char *end;

    if (text == NULL)
        return false;
    errno = 0;
    *out = strtoull(text, &end, 10);
    return errno == 0 && end != text && *end == '\0';
}

static bool group_named(const char *name, int *out)
{
    for (int i = 0; name != NULL && i < SIM_GROUPS; i++)
        if (strcmp(name, sim_group_name((enum sim_group)i)) == 0) {
            *out = i;
            return true;
        }
    return false;
}

static bool take_arguments(struct arguments *a, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        bool good;

        if (strcmp(argv[i], "--trace") == 0) {
            a->trace = true;
            continue;
        }
        if (strcmp(argv[i], "--schedules") == 0)
            good = number(value, &a->schedules);
        else if (strcmp(argv[i], "--first-seed") == 0)
            good = number(value, &a->first_seed);
        else if (strcmp(argv[i], "--seed") == 0)
            good = a->one = number(value, &a->seed);
        else
            good = strcmp(argv[i], "--group") == 0 && group_named(value, &a->group);
        if (!good)
            return false;
        i++;
    }
    return true;
}

int main(int argc, char **argv)
{
    struct arguments a = {.schedules = 1000, .first_seed = 1, .group = -1};

    if (!take_arguments(&a, argc, argv))
        return usage();
    catch_signals();
    return a.one ? run_one(&a) : run_all(&a);
}
