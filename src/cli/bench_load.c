#include "cli/bench_load.h"

#include "cli/bench_load_impl.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

enum {
    EVENTS = 512, /* of one epoll_wait() */
    READ_BYTES = 256 * 1024,
    OUT_BYTES_MAX = 64 << 20,
    OPENED_A_TURN = 64,
    TURN_NS_MAX = 100 * 1000 * 1000, /* a turn comes at least this often */
};

/* What epoll tells of the bell, where a connection's number stands else. */
static const uint32_t bell_number = UINT32_MAX;

int64_t hf_bench_now_ns(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

void hf_bench_ring(int bell)
{
    const uint64_t one = 1;

    /* It fails only where the bell has been rung 2^64 times. */
    if (write(bell, &one, sizeof(one)) < 0)
        return;
}

void hf_bench_complain(struct hf_bench_load *load, const char *fmt, ...)
{
    va_list args;

    if (load->share->problem[0] != '\0')
        return;
    va_start(args, fmt);
    (void)vsnprintf(load->share->problem, sizeof(load->share->problem), fmt, args);
    va_end(args);
}

void hf_bench_channel_name(const struct hf_bench_load *load, uint64_t number, char out[96])
{
    (void)snprintf(out, 96, "%s-%" PRIu64, load->options->channel, number);
}

/* --- the loop --- */

static void open_more(struct hf_bench_load *load)
{
    unsigned turn;

    for (turn = 0;
         turn < OPENED_A_TURN && load->next_to_open < load->conns_count && load->opening < load->opening_max;
         turn++) {
        /* The publishers come last, when all are there to hear them. */
        uint32_t i = (load->next_to_open + load->publishers_count) % load->conns_count;

        if (load->conns[i].publishes && load->opening > 0)
            return;
        load->next_to_open++;
        load->now_ns = hf_bench_now_ns();
        hf_bench_open(load, &load->conns[i]);
    }
}

static void tell_state(struct hf_bench_load *load)
{
    bool ready = load->next_to_open == load->conns_count && load->opening == 0 && load->again.waiting == 0;
    bool may_end =
        load->phase == HF_BENCH_STOP || (load->phase == HF_BENCH_MEASURE && load->mode->ends_itself);
    bool done = may_end && (load->mode->finished == NULL || load->mode->finished(load));

    if (load->phase == HF_BENCH_OPEN && load->opens_by_itself && ready && !atomic_load(&load->share->ready)) {
        atomic_store(&load->share->ready, true);
        hf_bench_ring(load->shared->parent_bell);
    }
    if (done && !atomic_load(&load->share->done)) {
        atomic_store(&load->share->done, true);
        hf_bench_ring(load->shared->parent_bell);
    }
}

static void enter(struct hf_bench_load *load, enum hf_bench_phase phase)
{
    load->phase = phase;
    load->now_ns = hf_bench_now_ns();
    if (phase == HF_BENCH_MEASURE)
        hf_histogram_reset(&load->share->latency);
    if (phase == HF_BENCH_MEASURE && load->mode->counts_openings)
        hf_histogram_reset(&load->share->opening);
    if (load->mode->phase != NULL)
        load->mode->phase(load, phase);
}

/* A phase may be over before it is heard of: none is left out. */
static void hear_bell(struct hf_bench_load *load)
{
    uint64_t rung;
    int now;

    if (read(load->shared->bells[load->process], &rung, sizeof(rung)) < 0)
        return;
    now = atomic_load(&load->shared->phase);
    while ((int)load->phase < now)
        enter(load, (enum hf_bench_phase)(load->phase + 1));
}

static void wait_for_events(struct hf_bench_load *load, struct epoll_event *events, int *count)
{
    int64_t left = load->deadline_ns - hf_bench_now_ns();
    struct timespec timeout;

    if (left > TURN_NS_MAX)
        left = TURN_NS_MAX;
    if (load->next_to_open < load->conns_count && load->opening < load->opening_max)
        left = 0;
    if (left < 0)
        left = 0;
    timeout = (struct timespec){.tv_sec = 0, .tv_nsec = left};
    *count = epoll_pwait2(load->epoll, events, EVENTS, &timeout, NULL);
    if (*count < 0 && errno == ENOSYS) /* before Linux 5.11 */
        *count = epoll_wait(load->epoll, events, EVENTS, (int)((left + 999999) / 1000000));
}

static void turn(struct hf_bench_load *load, struct epoll_event *events)
{
    int count, i;

    wait_for_events(load, events, &count);
    load->now_ns = hf_bench_now_ns();
    for (i = 0; i < count; i++) {
        if (events[i].data.u32 == bell_number)
            hear_bell(load);
        else
            hf_bench_conn_event(load, &load->conns[events[i].data.u32], events[i].events);
    }
    if (load->opens_by_itself)
        open_more(load);
    load->now_ns = hf_bench_now_ns();
    load->deadline_ns = load->phase < HF_BENCH_STOP ? hf_bench_again_turn(load) : INT64_MAX;
    if (load->mode->turn != NULL) {
        int64_t deadline_ns = load->mode->turn(load);

        load->deadline_ns = deadline_ns < load->deadline_ns ? deadline_ns : load->deadline_ns;
    }
    atomic_store_explicit(&load->share->open_now, load->open, memory_order_relaxed);
    tell_state(load);
}

/* --- start and end --- */

static int prepare(struct hf_bench_load *load)
{
    struct epoll_event bell = {.events = EPOLLIN, .data.u32 = bell_number};

    load->input_bytes = READ_BYTES + 2 * load->options->size;
    load->input = malloc(load->input_bytes);
    load->epoll = epoll_create1(EPOLL_CLOEXEC);
    hf_buf_init(&load->text, OUT_BYTES_MAX);
    hf_buf_init(&load->frame, OUT_BYTES_MAX);
    if (load->input == NULL || hf_bench_again_init(&load->again, load->conns_count) < 0)
        return HF_ENOMEM;
    if (load->epoll < 0 ||
        epoll_ctl(load->epoll, EPOLL_CTL_ADD, load->shared->bells[load->process], &bell) < 0)
        return HF_EIO;
    /* Sends at fixed times need it; by default Linux may be 50 µs late. */
    (void)prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
    return load->mode->init != NULL ? load->mode->init(load) : 0;
}

static void release(struct hf_bench_load *load)
{
    if (load->mode->release != NULL)
        load->mode->release(load);
    for (uint32_t i = 0; i < load->conns_count; i++) {
        hf_bench_close(load, &load->conns[i], false);
        free(load->conns[i].ticket);
    }
    if (load->epoll >= 0)
        (void)close(load->epoll);
    hf_bench_again_release(&load->again);
    hf_buf_release(&load->text);
    hf_buf_release(&load->frame);
    free(load->input);
}

int hf_bench_load_run(struct hf_bench_load *load)
{
    struct epoll_event *events = calloc(EVENTS, sizeof(*events));
    int err = events == NULL ? HF_ENOMEM : prepare(load);

    if (err < 0)
        hf_bench_complain(load, "%s", err == HF_EIO ? strerror(errno) : hf_strerror(err));
    while (err == 0 && load->phase != HF_BENCH_END)
        turn(load, events);
    release(load);
    free(events);
    return err;
}
