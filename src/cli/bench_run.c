#include "cli/bench_run.h"

#include "cli/bench_prepare.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LOOK_MS = 200 };

/* The steering process's state. */
struct run {
    const struct hf_bench_options *options;
    struct hf_bench_result *result;
    const struct hf_bench_mode *mode;
    struct hf_bench_target target;
    struct hf_bench_shared *shared;
    size_t shared_bytes;
    pid_t children[HF_BENCH_PROCESSES_MAX];
    unsigned running;
    int64_t started_ns;
    bool child_failed;
    bool ended_early;
    bool shows_progress;
    int64_t told_ns;
};

static volatile sig_atomic_t interrupted;

static const struct hf_bench_mode *const modes[HF_BENCH_MODES] = {
    [HF_BENCH_ECHO] = &hf_bench_echo,       [HF_BENCH_FANOUT] = &hf_bench_fanout,
    [HF_BENCH_RATE] = &hf_bench_rate,       [HF_BENCH_IDLE] = &hf_bench_idle,
    [HF_BENCH_CHURN] = &hf_bench_churn,     [HF_BENCH_STORM] = &hf_bench_storm,
    [HF_BENCH_PUBLISH] = &hf_bench_publish,
};

bool hf_bench_result_good(const struct hf_bench_result *r)
{
    return r->failed == 0 && r->lost == 0 && r->duplicated == 0 && r->not_resumed == 0 && !r->timed_out &&
           !r->interrupted && r->problem[0] == '\0';
}

static int complain(struct run *run, const char *fmt, ...) HF_PRINTF(2, 3);

static int complain(struct run *run, const char *fmt, ...)
{
    va_list args;

    if (run->result->problem[0] == '\0') {
        va_start(args, fmt);
        (void)vsnprintf(run->result->problem, sizeof(run->result->problem), fmt, args);
        va_end(args);
    }
    return HF_EINVAL;
}

static int make_shared(struct run *run)
{
    unsigned processes = (unsigned)run->options->processes;

    run->shared_bytes = sizeof(*run->shared) + processes * sizeof(run->shared->shares[0]);
    run->shared = mmap(NULL, run->shared_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (run->shared == MAP_FAILED) {
        run->shared = NULL;
        return complain(run, "out of memory");
    }
    run->shared->processes = processes;
    run->shared->parent_bell = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    for (unsigned i = 0; i < processes; i++)
        run->shared->bells[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    return run->shared->bells[processes - 1] < 0 ? complain(run, "no descriptors: %s", strerror(errno)) : 0;
}

/* --- the client processes --- */

/* This process's part of all connections: the publishers belong to the first one. */
static int share_out(const struct run *run, struct hf_bench_load *load)
{
    const struct hf_bench_options *o = run->options;
    uint64_t first = o->connections * load->process / o->processes;
    uint64_t end = o->connections * (load->process + 1) / o->processes;
    uint32_t publishers = hf_bench_is_flow(o) ? (uint32_t)o->publishers : 0;

    load->publishers_count = load->process == 0 ? publishers : 0;
    load->conns_count = (uint32_t)(end - first) + load->publishers_count;
    load->conns = calloc(load->conns_count, sizeof(*load->conns));
    if (load->conns == NULL)
        return HF_ENOMEM;
    for (uint32_t i = 0; i < load->conns_count; i++) {
        load->conns[i].stream.fd = -1;
        load->conns[i].publishes = i < load->publishers_count;
        load->conns[i].index =
            i < load->publishers_count ? i : (uint32_t)first + publishers + i - load->publishers_count;
    }
    return 0;
}

static int client_process(const struct run *run, unsigned process)
{
    const struct hf_bench_options *o = run->options;
    struct hf_bench_load load = {
        .options = o,
        .protocol = hf_bench_protocol(o->protocol),
        .mode = run->mode,
        .target = &run->target,
        .shared = run->shared,
        .share = &run->shared->shares[process],
        .process = process,
        .epoll = -1,
        .opening_max = (uint32_t)((o->opening_max + o->processes - 1) / o->processes),
        .rng = {.state = 0x9e3779b9u * (process + 1)},
        .deadline_ns = INT64_MAX,
        .opens_by_itself = !run->mode->opens,
    };
    int err = share_out(run, &load);

    if (err == 0)
        err = hf_bench_load_run(&load);
    free(load.conns);
    return err < 0 ? 1 : 0;
}

static int start_processes(struct run *run)
{
    pid_t parent = getpid();

    run->started_ns = hf_bench_now_ns();
    (void)fflush(NULL);
    for (unsigned i = 0; i < run->options->processes; i++) {
        pid_t pid = fork();

        if (pid < 0)
            return complain(run, "only %u of %" PRIu64 " processes could be started: %s", i,
                            run->options->processes, strerror(errno));
        if (pid == 0) {
            (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
            (void)signal(SIGINT,
                         SIG_IGN); /* A terminal sends it to all; the steering process ends the load. */
            /* No _exit(): a sanitizer looks for leaks at exit(). Nothing waits in a stream's buffer that both would write. */
            exit(getppid() != parent ? 1 : client_process(run, i));
        }
        run->children[i] = pid;
        run->running++;
    }
    return 0;
}

/* Look for processes that ended before they should. */
static void reap(struct run *run, bool wait_for_all)
{
    for (unsigned i = 0; i < run->options->processes; i++) {
        int status = 0;

        if (run->children[i] <= 0 ||
            waitpid(run->children[i], &status, wait_for_all ? 0 : WNOHANG) != run->children[i])
            continue;
        run->children[i] = 0;
        run->running--;
        if (status == 0)
            continue;
        run->child_failed = true;
        if (WIFSIGNALED(status))
            (void)complain(run, "a client process ended by signal %d", WTERMSIG(status));
        else if (run->shared->shares[i].problem[0] != '\0')
            (void)complain(run, "%s", run->shared->shares[i].problem);
        else
            (void)complain(run, "a client process ended with status %d", WEXITSTATUS(status));
    }
}

/* --- phases --- */

static void enter(struct run *run, enum hf_bench_phase phase)
{
    if (phase == HF_BENCH_MEASURE)
        atomic_store(&run->shared->measured_ns, hf_bench_now_ns());
    atomic_store(&run->shared->phase, (int)phase);
    for (unsigned i = 0; i < run->options->processes; i++)
        hf_bench_ring(run->shared->bells[i]);
}

struct sums {
    uint64_t opened, open_now, units, published, messages, broken, bytes, failed, lost, duplicated, refused,
        not_resumed;
};

static struct sums add_up(const struct run *run)
{
    struct sums s = {0};

    for (unsigned i = 0; i < run->options->processes; i++) {
        struct hf_bench_share *share = &run->shared->shares[i];

        s.opened += HF_BENCH_READ(share->opened);
        s.open_now += HF_BENCH_READ(share->open_now);
        s.messages += HF_BENCH_READ(share->messages);
        s.broken += HF_BENCH_READ(share->broken);
        s.units += HF_BENCH_READ(share->units);
        s.published += HF_BENCH_READ(share->published);
        s.bytes += HF_BENCH_READ(share->bytes);
        s.failed += HF_BENCH_READ(share->failed);
        s.lost += HF_BENCH_READ(share->lost);
        s.duplicated += HF_BENCH_READ(share->duplicated);
        s.refused += HF_BENCH_READ(share->refused);
        s.not_resumed += HF_BENCH_READ(share->not_resumed);
    }
    return s;
}

static bool all_ready(const struct run *run)
{
    for (unsigned i = 0; i < run->options->processes; i++)
        if (!atomic_load(&run->shared->shares[i].ready))
            return false;
    return true;
}

static bool all_cut(const struct run *run)
{
    for (unsigned i = 0; i < run->options->processes; i++)
        if (!atomic_load(&run->shared->shares[i].cut))
            return false;
    return true;
}

static bool all_done(const struct run *run)
{
    for (unsigned i = 0; i < run->options->processes; i++)
        if (!atomic_load(&run->shared->shares[i].done))
            return false;
    return true;
}

static void show(const struct run *run, const char *what, const struct sums *s)
{
    if (!run->shows_progress)
        return;
    fprintf(stderr, "\r\033[K%s: %" PRIu64 " connections opened, %" PRIu64 " %s", what, s->opened, s->units,
            run->mode->unit);
    if (s->failed + s->lost > 0)
        fprintf(stderr, ", %" PRIu64 " failed, %" PRIu64 " lost", s->failed, s->lost);
    fflush(stderr);
}

/* --watch: one line of JSON a second, for a program that acts on it. */
static void tell(struct run *run, const char *what)
{
    struct sums s;

    if (!run->options->watch || hf_bench_now_ns() < run->told_ns + 1000000000)
        return;
    run->told_ns = hf_bench_now_ns();
    s = add_up(run);
    printf("{\"watch\":\"%s\",\"open\":%" PRIu64 ",\"opened\":%" PRIu64 ",\"units\":%" PRIu64
           ",\"messages\":%" PRIu64 ",\"broken\":%" PRIu64 ",\"refused\":%" PRIu64 ",\"not_resumed\":%" PRIu64
           ",\"failed\":%" PRIu64 ",\"lost\":%" PRIu64 ",\"duplicated\":%" PRIu64 "}\n",
           what, s.open_now, s.opened, s.units, s.messages, s.broken, s.refused, s.not_resumed, s.failed,
           s.lost, s.duplicated);
    fflush(stdout);
}

static void look(struct run *run, int64_t until_ns)
{
    struct pollfd bell = {.fd = run->shared->parent_bell, .events = POLLIN};
    int64_t left_ms = (until_ns - hf_bench_now_ns() + 999999) / 1000000;
    uint64_t rung;

    left_ms = left_ms < 0 ? 0 : left_ms > LOOK_MS ? LOOK_MS : left_ms;
    if (poll(&bell, 1, (int)left_ms) > 0 && read(bell.fd, &rung, sizeof(rung)) < 0)
        return;
    reap(run, false);
    /* Whoever holds connections may have held them long enough. */
    if (interrupted != 0 && run->options->mode == HF_BENCH_IDLE &&
        atomic_load(&run->shared->phase) == HF_BENCH_MEASURE)
        run->ended_early = true;
    else if (interrupted != 0 && !run->ended_early)
        run->result->interrupted = true;
}

static bool must_end(const struct run *run)
{
    return run->child_failed || run->result->interrupted;
}

/* Wait for a condition, as long as something moves. Returns whether it came. */
static bool wait_for(struct run *run, const char *what, bool (*condition)(const struct run *run))
{
    int64_t moved_ns = hf_bench_now_ns();
    struct sums last = {0};

    while (!condition(run) && !must_end(run)) {
        struct sums s = add_up(run);

        if (s.opened != last.opened || s.units != last.units)
            moved_ns = hf_bench_now_ns();
        else if (hf_bench_now_ns() - moved_ns > (int64_t)run->options->timeout_ms * 1000000)
            return false;
        last = s;
        show(run, what, &s);
        tell(run, what);
        look(run, INT64_MAX);
    }
    return !must_end(run);
}

static void pass(struct run *run, const char *what, uint64_t ms)
{
    int64_t until_ns = hf_bench_now_ns() + (int64_t)ms * 1000000;

    while (hf_bench_now_ns() < until_ns && !must_end(run) && !run->ended_early) {
        struct sums s = add_up(run);

        show(run, what, &s);
        tell(run, what);
        look(run, until_ns);
    }
}

static struct hf_bench_figures read_server(const struct run *run, bool memory)
{
    return hf_bench_figures_read(run->options->server_pids, run->options->server_pids_count, memory);
}

static uint64_t own_cpu_ns(void)
{
    pid_t self = getpid();

    return hf_bench_figures_read(&self, 1, false).cpu_ns;
}

static void time_out(struct run *run, const char *what)
{
    if (must_end(run))
        return;
    run->result->timed_out = true;
    for (unsigned i = 0; i < run->options->processes; i++)
        if (run->shared->shares[i].problem[0] != '\0')
            return; /* That says more. */
    (void)complain(run, "nothing has moved for %g s %s", (double)run->options->timeout_ms / 1000, what);
}

static void open_all(struct run *run)
{
    const struct hf_bench_options *o = run->options;
    char how[96];

    if (!wait_for(run, "opening", all_ready)) {
        (void)snprintf(how, sizeof(how), "with %" PRIu64 " of %" PRIu64 " connections open",
                       add_up(run).opened, hf_bench_connections(o));
        time_out(run, how);
    }
    run->result->open_s = (double)(hf_bench_now_ns() - run->started_ns) / 1e9;
    if (o->mode == HF_BENCH_IDLE || o->mode == HF_BENCH_STORM)
        pass(run, "settling", o->settle_ms);
    run->result->opened_figures = read_server(run, true);
}

static void measure(struct run *run)
{
    struct hf_bench_result *r = run->result;
    struct sums before = add_up(run), after;
    uint64_t cpu_ns = own_cpu_ns();
    int64_t begun_ns;

    r->begun = read_server(run, false);
    begun_ns = hf_bench_now_ns();
    enter(run, HF_BENCH_MEASURE);
    if (!run->mode->ends_itself)
        pass(run, "measuring", run->options->seconds_ms);
    else if (!wait_for(run, "resuming", all_done))
        time_out(run, "while sessions were resumed");
    after = add_up(run);
    r->measured_s = (double)(hf_bench_now_ns() - begun_ns) / 1e9;
    r->ended = read_server(run, false);
    r->client_cpu_ns = own_cpu_ns() - cpu_ns;
    r->measured_units = after.units - before.units;
    r->measured_published = after.published - before.published;
    r->measured_opened = after.opened - before.opened;
    r->measured_bytes = after.bytes - before.bytes;
}

static void finish(struct run *run)
{
    struct hf_bench_figures memory = read_server(run, true);

    run->result->ended.pss_bytes = memory.pss_bytes;
    run->result->ended.rss_bytes = memory.rss_bytes;
    enter(run, HF_BENCH_STOP);
    if (!wait_for(run, "waiting for what is under way", all_done))
        time_out(run, "while messages were under way");
}

static void collect(struct run *run)
{
    struct hf_bench_result *r = run->result;
    struct sums s = add_up(run);

    r->opened = s.opened;
    r->units = s.units;
    r->published = s.published;
    r->failed = s.failed;
    r->lost = s.lost;
    r->duplicated = s.duplicated;
    r->refused = s.refused;
    r->not_resumed = s.not_resumed;
    r->broken = s.broken;
    r->messages = s.messages;
    for (unsigned i = 0; i < run->options->processes; i++) {
        struct hf_bench_share *share = &run->shared->shares[i];

        r->tls_resumed += HF_BENCH_READ(share->tls_resumed);

        hf_histogram_add(&r->latency, &share->latency);
        hf_histogram_add(&r->opening, &share->opening);
        for (unsigned second = 0; second < HF_BENCH_CURVE_SECONDS; second++) {
            r->curve[second] += share->curve[second];
            if (share->curve[second] > 0 && second >= r->curve_seconds)
                r->curve_seconds = second + 1;
        }
        if (r->problem[0] == '\0' && share->problem[0] != '\0')
            (void)snprintf(r->problem, sizeof(r->problem), "%s", share->problem);
    }
}

static void lead(struct run *run)
{
    open_all(run);
    /* With some connections missing the rest would measure something else. */
    if (!must_end(run) && !run->result->timed_out && add_up(run).failed == 0) {
        enter(run, HF_BENCH_WARMUP);
        if (run->mode->ends_itself && !wait_for(run, "cutting", all_cut))
            time_out(run, "while sockets were cut");
        pass(run, "warming up", run->options->warmup_ms);
        measure(run);
        finish(run);
    }
    enter(run, HF_BENCH_END);
    reap(run, true);
    if (run->shows_progress)
        fputs("\r\033[K", stderr);
    collect(run);
}

/* --- */

static void on_signal(int number)
{
    (void)number;
    interrupted = 1;
}

static void catch_signals(void)
{
    struct sigaction end = {.sa_handler = on_signal};
    struct sigaction ignore = {.sa_handler = SIG_IGN};

    (void)sigaction(SIGINT, &end, NULL);
    (void)sigaction(SIGTERM, &end, NULL);
    (void)sigaction(SIGPIPE, &ignore, NULL); /* TLS writes without MSG_NOSIGNAL. */
}

static void release(struct run *run)
{
    for (unsigned i = 0; i < run->options->processes && i < HF_BENCH_PROCESSES_MAX; i++)
        if (run->children[i] > 0)
            (void)kill(run->children[i], SIGKILL);
    hf_bench_target_release(&run->target);
    if (run->shared == NULL)
        return;
    (void)close(run->shared->parent_bell);
    for (unsigned i = 0; i < run->shared->processes; i++)
        (void)close(run->shared->bells[i]);
    (void)munmap(run->shared, run->shared_bytes);
}

int hf_bench_run(struct hf_bench_options *o, struct hf_bench_result *r)
{
    struct run run = {
        .options = o, .result = r, .mode = modes[o->mode], .shows_progress = isatty(STDERR_FILENO) == 1};
    int err;

    *r = (struct hf_bench_result){.mode = run.mode};
    err = hf_bench_size_up(o, r->problem);
    if (err == 0)
        err = hf_bench_target_init(&run.target, o, r->problem);
    if (err == 0)
        err = make_shared(&run);
    if (err == 0) {
        r->processes = (unsigned)o->processes;
        r->before = read_server(&run, true);
        if (o->server_pids_count > 0 && r->before.processes == 0)
            err = complain(&run, "there is no process with the id that --server-pid names");
    }
    catch_signals();
    if (err == 0)
        err = start_processes(&run);
    if (err == 0)
        lead(&run);
    release(&run);
    return err;
}
