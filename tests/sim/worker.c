#include "sim/worker.h"

#include "base/assert.h"
#include "server/hub_state.h"
#include "shm/crash.h"
#include "sim/asker.h"
#include "sim/backend.h"
#include "sim/judge.h"
#include "sim/members.h"
#include "sim/network.h"
#include "sim/oracle.h"
#include "sim/orderer.h"
#include "sim/shared.h"
#include "sim/sim.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    REAP_MS_MAX = 20,
    RESTART_MS_MAX = 150,
    RUNAWAY_POINTS = 200000000, /* no turn passes so many: it runs in a circle */
    CRASH_PLACES_MAX = 64,
    CRASH_CLASSES = 8, /* of places: else a worker would only ever die where it passes most often */
    NAMED_PREEMPT_PERCENT = 5,
    NAMED_PREEMPT_MS_MAX = 12, /* the others have some turns meanwhile */
};

/* ---- Points ---- */

static struct sim_worker *inside;
static int64_t countdown = INT64_MAX, budget;

static struct {
    const char *place;
    uint64_t passed, died;
} places[CRASH_PLACES_MAX];

void __sanitizer_cov_trace_pc(void);

int64_t sim_points_off(void)
{
    int64_t before = countdown;

    countdown = INT64_MAX;
    return before;
}

void sim_points_on(int64_t before)
{
    countdown = before;
}

/* How many points it may pass before something is due. */
static void set_budget(const struct sim_worker *w)
{
    budget = RUNAWAY_POINTS;
    if (!w->crash_named && w->crash_in > 0 && (int64_t)w->crash_in < budget)
        budget = (int64_t)w->crash_in;
    if (w->preempt_in > 0 && (int64_t)w->preempt_in < budget)
        budget = (int64_t)w->preempt_in;
    countdown = budget;
}

static void spend_budget(struct sim_worker *w)
{
    uint64_t used = (uint64_t)(budget - countdown);

    if (!w->crash_named && w->crash_in > 0)
        w->crash_in -= used;
    if (w->preempt_in > 0)
        w->preempt_in -= used;
    budget = countdown = INT64_MAX;
}

/* Leave the fiber; returns when it is resumed. */
static void leave(struct sim_worker *w)
{
    struct sim_arena *arena = sim_arena_enter(NULL);

    spend_budget(w);
    inside = NULL;
    sim_fiber_yield(&w->fiber);
    if (w->dying)
        sim_fiber_end(&w->fiber);
    sim_arena_enter(arena);
    inside = w;
    set_budget(w);
}

static _Noreturn void die_here(struct sim_worker *w)
{
    sim_arena_enter(NULL);
    inside = NULL;
    budget = countdown = INT64_MAX;
    sim_fiber_end(&w->fiber);
}

static void preempt(struct sim_worker *w)
{
    w->sim->stats->preemptions++;
    w->preempt_in = sim_spread(w->sim, w->sim->options.preempt_mean);
    leave(w);
}

static void point_due(void)
{
    struct sim_worker *w = inside;
    bool dies, held_up;

    if (w == NULL) {
        countdown = INT64_MAX;
        return;
    }
    dies = !w->crash_named && w->crash_in == (uint64_t)budget;
    held_up = w->preempt_in == (uint64_t)budget;
    if (!dies && !held_up) {
        sim_fail(w->sim, "worker %u runs in a circle", w->slot);
        die_here(w);
    }
    spend_budget(w);
    if (dies) {
        w->sim->stats->crashes_anywhere++;
        sim_tell(w->sim, "worker %u dies in mid-turn", w->slot);
        die_here(w);
    }
    set_budget(w);
    preempt(w);
}

void sim_point(void)
{
    if (--countdown <= 0)
        point_due();
}

/* The server's code is compiled with -fsanitize-coverage=trace-pc: this is called in each of its basic blocks. */
void __sanitizer_cov_trace_pc(void)
{
    if (--countdown <= 0)
        point_due();
}

static uint32_t place_of(const char *place)
{
    uint32_t i = 0;

    while (places[i].place != NULL && strcmp(places[i].place, place) != 0)
        i++;
    hf_assert(i < CRASH_PLACES_MAX - 1);
    places[i].place = place;
    return i;
}

static uint32_t place_class(const char *place)
{
    uint32_t sum = 0;

    for (; *place != '\0'; place++)
        sum = sum * 31 + (uint8_t)*place;
    return sum % CRASH_CLASSES;
}

bool sim_crash_place(uint32_t i, const char **place, uint64_t *passed, uint64_t *died)
{
    if (places[i].place == NULL)
        return false;
    *place = places[i].place;
    *passed = places[i].passed;
    *died = places[i].died;
    return true;
}

void hf_crash_point(const char *place)
{
    struct sim_worker *w = inside;
    int64_t before;
    uint32_t i;

    if (w == NULL)
        return;
    i = place_of(place);
    places[i].passed++;
    before = sim_points_off();
    if (strcmp(place, "log:committed") == 0)
        sim_oracle_committed(w->sim);
    if (strcmp(place, "log:taken") == 0)
        sim_oracle_taken(w->sim);
    if (strcmp(place, "presence:changed") == 0)
        sim_members_observe(w->sim);
    sim_points_on(before);
    if (w->crash_named && w->crash_in > 0 && place_class(place) == w->crash_class && --w->crash_in == 0) {
        places[i].died++;
        w->sim->stats->crashes_named++;
        sim_tell(w->sim, "worker %u dies at %s", w->slot, place);
        die_here(w);
    }
    if (w->sim->options.preempt_mean > 0 && sim_chance(w->sim, NAMED_PREEMPT_PERCENT)) {
        w->actor.at_ms = w->sim->now_ms + sim_between(w->sim, 0, NAMED_PREEMPT_MS_MAX);
        preempt(w);
    }
}

void sim_worker_arm(struct sim_worker *w, bool named, uint64_t points)
{
    if (w->phase != SIM_WORKER_RUNNING || w->crash_in > 0)
        return;
    w->crash_named = named;
    w->crash_class = (uint32_t)sim_between(w->sim, 0, CRASH_CLASSES - 1);
    w->crash_in = points;
}

/* ---- The transport ---- */

/* What the hub keeps for us with a connection is where ours is. */
static struct sim_conn *socket_conn(void *socket)
{
    return *(struct sim_conn **)socket;
}

static long socket_write(void *ctx, void *socket, const struct iovec *iov, int count)
{
    struct sim_worker *w = ctx;
    struct sim_arena *arena = sim_arena_enter(&w->sim->arena);
    long sum = 0, n = 0;

    for (int i = 0; i < count; i++) {
        n = sim_conn_write(w->sim, socket_conn(socket), SIM_SERVER, iov[i].iov_base, iov[i].iov_len);
        sum += n > 0 ? n : 0;
        if (n < (long)iov[i].iov_len)
            break;
    }
    sim_arena_enter(arena);
    if (sum > 0)
        return sum;
    return n < 0 ? HF_ECLOSED : HF_EAGAIN;
}

static void socket_pause(void *ctx, void *socket, bool paused)
{
    struct sim_conn *c = socket_conn(socket);

    (void)ctx;
    c->pipe[SIM_SERVER].paused = paused;
}

static void socket_finish(void *ctx, void *socket)
{
    struct sim_worker *w = ctx;

    sim_conn_finish(w->sim, socket_conn(socket), SIM_SERVER);
}

static void socket_close(void *ctx, void *socket)
{
    struct sim_worker *w = ctx;
    struct sim_conn *c = socket_conn(socket);
    struct sim_arena *arena = sim_arena_enter(&w->sim->arena);

    c->hub_conn = NULL;
    sim_conn_close(w->sim, c, SIM_SERVER);
    sim_arena_enter(arena);
}

static void wake_slot(void *ctx, uint32_t slot)
{
    struct sim_worker *w = ctx;

    w->sim->workers[slot].woken = true;
    sim_worker_poke(&w->sim->workers[slot]);
}

static void random_bytes(void *ctx, uint8_t *out, size_t len)
{
    struct sim_worker *w = ctx;

    for (size_t i = 0; i < len; i++)
        out[i] = (uint8_t)sim_between(w->sim, 0, 255);
}

/* ---- What a worker process does ---- */

static bool is_mine(const struct sim_worker *w, const struct sim_conn *c)
{
    return c != NULL && c->worker == w && c->connect_at_ms == SIM_NEVER && !c->refused;
}

static bool has_work(const struct sim_worker *w)
{
    for (uint32_t i = 0; i < SIM_CONNS_MAX; i++) {
        const struct sim_conn *c = w->sim->conns[i];

        if (!is_mine(w, c))
            continue;
        if (!c->accepted)
            return true;
        if (c->server_open && (c->pipe[SIM_CLIENT].room_due || sim_conn_readable(w->sim, c, SIM_SERVER) > 0 ||
                               sim_conn_end(w->sim, c, SIM_SERVER) != SIM_END_NONE))
            return true;
    }
    return sim_judge_due(w) || w->asks != NULL || w->asked_presence != NULL || w->ordered != NULL;
}

static void accept_conn(struct sim_worker *w, struct sim_conn *c)
{
    struct hf_conn *hub_conn;

    c->accepted = c->server_open = true;
    hub_conn = hf_hub_open(w->hub, "192.0.2.1:1024", w->now);
    hf_assert(hub_conn != NULL);
    *(struct sim_conn **)hf_hub_socket(hub_conn) = c;
    c->hub_conn = hub_conn;
}

/* In exactly as many bytes as there are, so that a read beyond them is found out. */
static void read_conn(struct sim_worker *w, struct sim_conn *c, uint32_t len)
{
    uint8_t *data;

    if (sim_chance(w->sim, 20))
        len = (uint32_t)sim_between(w->sim, 1, len);
    data = malloc(len);
    hf_assert(data != NULL);
    sim_conn_read(w->sim, c, SIM_SERVER, data, len);
    hf_hub_input(c->hub_conn, data, len, w->now); /* c may be gone. */
    free(data);
}

static void serve_conn(struct sim_worker *w, struct sim_conn *c)
{
    uint32_t readable;
    enum sim_end end;

    if (!c->accepted) {
        accept_conn(w, c);
        return;
    }
    if (!c->server_open)
        return;
    if (c->pipe[SIM_CLIENT].room_due) {
        c->pipe[SIM_CLIENT].room_due = false;
        hf_hub_writable(c->hub_conn, w->now);
    }
    readable = sim_conn_readable(w->sim, c, SIM_SERVER);
    end = sim_conn_end(w->sim, c, SIM_SERVER);
    if (readable > 0)
        read_conn(w, c, readable);
    else if (end != SIM_END_NONE)
        hf_hub_lost(c->hub_conn, end == SIM_END_RESET, w->now);
}

static void serve_sockets(struct sim_worker *w)
{
    uint32_t at = (uint32_t)sim_between(w->sim, 0, SIM_CONNS_MAX - 1);

    for (uint32_t i = 0; i < SIM_CONNS_MAX; i++) {
        struct sim_conn *c = w->sim->conns[(at + i) % SIM_CONNS_MAX];

        if (is_mine(w, c))
            serve_conn(w, c);
    }
}

/* It slept, and nobody woke it: then nobody who is at rest himself may have rung its bell. */
static void check_not_forgotten(const struct sim_worker *w)
{
    const struct sim *sim = w->sim;

    for (uint32_t slot = 0; slot < sim->options.workers; slot++)
        if (sim->workers[slot].phase != SIM_WORKER_RUNNING || !sim->workers[slot].waiting)
            return;
    for (uint32_t word = 0; word < HF_WORKER_WORDS; word++)
        if (atomic_load(&sim->region.slots[w->slot].pending[word]) != 0)
            sim_fail(w->sim, "worker %u was not woken though its bell was rung", w->slot);
}

static void wait_for_events(struct sim_worker *w)
{
    uint64_t at = hf_hub_deadline_ms(w->hub, w->now);
    bool sleeps = at > w->now.mono_ms && !has_work(w);

    if (sleeps && !hf_region_sleep(&w->sim->region, w->slot))
        sleeps = false;
    /* Held up in the above, it may be late by now. A turn takes time, or time would stand still. */
    if (!sleeps || w->woken || has_work(w) || at <= w->sim->now_ms)
        at = w->sim->now_ms + sim_between(w->sim, 0, 1);
    w->actor.at_ms = at;
    w->waiting = true;
    leave(w);
    if (sleeps && !w->woken)
        check_not_forgotten(w);
    w->woken = false;
    w->waiting = false;
    hf_region_awake(&w->sim->region, w->slot);
    w->now = sim_now(w->sim);
}

static void obey_supervisor(struct sim_worker *w)
{
    if (w->drains) {
        w->drains = false;
        w->draining = true;
        hf_hub_drain(w->hub, w->drain_window_ms, w->now);
    }
    if (w->closes) {
        w->closes = false;
        hf_hub_close_all(w->hub, w->now);
    }
}

static void be_worker(void *ctx)
{
    struct sim_worker *w = ctx;
    int64_t before;

    if (w->dying)
        return;
    inside = w;
    set_budget(w);
    sim_arena_enter(&w->arena);
    w->now = sim_now(w->sim);
    w->hub = hf_hub_new(&w->sim->region, w->slot, &w->sim->config, &w->transport, w->now);
    hf_assert(w->hub != NULL);
    sim_judge_serve(w);
    hf_hub_serves(w->hub);
    w->hub->slice_subs = 1 + w->slot % 3; /* Here two subscribers make a mass fan-out. */
    for (;;) {
        wait_for_events(w);
        serve_sockets(w);
        sim_judge_answer(w);
        if (w->asks != NULL) {
            struct sim_backend *b = w->asks;

            w->asks = NULL;
            sim_backend_ask(b, w->hub);
        }
        if (w->asked_presence != NULL) {
            struct sim_asker *a = w->asked_presence;

            w->asked_presence = NULL;
            sim_asker_ask(a, w->hub);
        }
        if (w->ordered != NULL) {
            struct sim_orderer *o = w->ordered;

            w->ordered = NULL;
            sim_orderer_order(o, w->hub);
        }
        obey_supervisor(w);
        hf_hub_turn(w->hub, w->now);
        before = sim_points_off();
        sim_shared_check_turn(w->sim, w);
        sim_points_on(before);
    }
}

/* ---- The supervisor ---- */

static void died(struct sim_worker *w)
{
    struct sim *sim = w->sim;

    sim_arena_wipe(&w->arena);
    w->hub = NULL;
    w->asks = NULL;
    w->asked_presence = NULL;
    w->ordered = NULL;
    w->phase = SIM_WORKER_ZOMBIE;
    w->waiting = w->dying = w->drains = w->draining = w->closes = w->closed = false;
    w->crash_in = 0;
    w->actor.at_ms = SIM_NEVER;
    sim_tell(sim, "worker %u is dead", w->slot);
    sim_network_worker_died(sim, w);
    sim_judge_worker_died(w);
    sim_backends_worker_died(sim, w);
    sim_asker_worker_died(sim, w);
    sim_orderer_worker_died(sim, w);
    sim_members_observe(sim);
    w->supervisor.at_ms = sim->now_ms + sim_between(sim, 0, REAP_MS_MAX);
}

void sim_worker_kill(struct sim_worker *w)
{
    if (w->phase != SIM_WORKER_RUNNING)
        return;
    w->sim->stats->kills++;
    sim_tell(w->sim, "worker %u is killed, %s", w->slot, w->waiting ? "waiting" : "in mid-turn");
    w->dying = true;
    hf_assert(!sim_fiber_resume(&w->fiber));
    died(w);
}

void sim_worker_drain(struct sim_worker *w, uint32_t window_ms)
{
    struct sim *sim = w->sim;

    if (w->phase != SIM_WORKER_RUNNING || w->drains || w->draining)
        return;
    sim->stats->drains++;
    sim_tell(sim, "worker %u is drained within %u ms", w->slot, window_ms);
    w->drains = true;
    w->drain_window_ms = window_ms;
    w->supervisor.at_ms = sim->now_ms + window_ms + sim_between(sim, 0, REAP_MS_MAX);
    sim_worker_poke(w);
}

static void worker_act(struct sim *sim, void *self)
{
    struct sim_worker *w = self;

    if (w->stalled_until_ms > sim->now_ms) {
        w->actor.at_ms = w->stalled_until_ms;
        return;
    }
    w->actor.at_ms = sim->now_ms + (sim_chance(sim, 3) ? sim_between(sim, 0, 100) : sim_between(sim, 0, 2));
    if (!sim_fiber_resume(&w->fiber))
        died(w);
    else
        sim_members_observe(sim);
}

static void start(struct sim_worker *w)
{
    struct sim *sim = w->sim;
    struct hf_slot *shared = &sim->region.slots[w->slot];

    atomic_store(&shared->state, HF_SLOT_STARTING);
    atomic_store(&shared->alive_ms, sim->now_ms);
    atomic_fetch_add(&shared->starts, 1);
    w->life++;
    w->phase = SIM_WORKER_RUNNING;
    w->preempt_in = sim->options.preempt_mean > 0 ? sim_spread(sim, sim->options.preempt_mean) : 0;
    sim_tell(sim, "worker %u starts", w->slot);
    sim_fiber_start(&w->fiber, be_worker, w);
    w->actor.at_ms = sim->now_ms + sim_between(sim, 0, 5);
    if (!sim->settling && sim->options.crash_named &&
        sim_chance(sim, 10)) /* It dies as it takes up its shards. */
        sim_worker_arm(w, true, sim_between(sim, 1, 8));
    else if (!sim->settling && sim->options.crash_anywhere && sim_chance(sim, 10))
        sim_worker_arm(w, false, sim_spread(sim, 2000));
}

static void supervisor_act(struct sim *sim, void *self)
{
    struct sim_worker *w = self;

    w->supervisor.at_ms = SIM_NEVER;
    if (w->phase == SIM_WORKER_RUNNING && w->draining && !w->closed) {
        w->closes = w->closed = true;
        w->supervisor.at_ms = sim->now_ms + sim_between(sim, 0, REAP_MS_MAX);
        sim_worker_poke(w);
    } else if (w->phase == SIM_WORKER_RUNNING) {
        sim_worker_kill(w);
    } else if (w->phase == SIM_WORKER_ZOMBIE) {
        hf_region_bury_worker(&sim->region, w->slot);
        w->phase = SIM_WORKER_DEAD;
        w->supervisor.at_ms = sim->now_ms + (sim_chance(sim, 50) ? 0 : sim_between(sim, 0, RESTART_MS_MAX));
    } else if (w->phase == SIM_WORKER_DEAD) {
        start(w);
    }
}

void sim_workers_start(struct sim *sim)
{
    for (uint32_t slot = 0; slot < sim->options.workers; slot++) {
        struct sim_worker *w = &sim->workers[slot];
        void *stack = w->fiber.stack;

        *w = (struct sim_worker){.sim = sim, .slot = slot, .fiber = {.stack = stack}};
        sim_arena_init(&w->arena, true);
        w->transport = (struct hf_transport){.ctx = w,
                                             .socket_bytes = sizeof(struct sim_conn *),
                                             .write = socket_write,
                                             .pause = socket_pause,
                                             .finish = socket_finish,
                                             .close = socket_close,
                                             .wake = wake_slot,
                                             .random = random_bytes};
        sim_actor_add(sim, &w->actor, worker_act, w);
        sim_actor_add(sim, &w->supervisor, supervisor_act, w);
        w->supervisor.at_ms = sim->now_ms + sim_between(sim, 0, 5);
    }
}

void sim_worker_poke(struct sim_worker *w)
{
    if (w->phase == SIM_WORKER_RUNNING && w->waiting)
        sim_actor_poke(&w->actor, w->sim->now_ms + sim_between(w->sim, 0, 1));
}

void sim_worker_finish(struct sim_worker *w)
{
    struct sim_arena *arena;

    if (w->phase != SIM_WORKER_RUNNING)
        return;
    if (w->waiting && !w->sim->failed) {
        arena = sim_arena_enter(&w->arena);
        hf_hub_free(w->hub);
        sim_arena_enter(arena);
        if (w->arena.count != 0)
            sim_fail(w->sim, "worker %u leaves %zu blocks of memory behind when it ends", w->slot,
                     w->arena.count);
    }
    w->dying = true;
    (void)sim_fiber_resume(&w->fiber);
    sim_arena_wipe(&w->arena);
    w->phase = SIM_WORKER_DEAD;
}

/* ---- Our own errors ---- */

_Noreturn void __wrap_hf_assert_failed(const char *expr, const char *file, int line);

/* In a worker it is a failure of the schedule, which then has a worker less. */
_Noreturn void __wrap_hf_assert_failed(const char *expr, const char *file, int line)
{
    if (inside != NULL) {
        sim_fail(inside->sim, "worker %u: assertion failed: %s (%s:%d)", inside->slot, expr, file, line);
        die_here(inside);
    }
    fprintf(stderr, "# seed %" PRIu64 ": assertion failed: %s (%s:%d)\n",
            sim_running == NULL ? 0 : sim_running->seed, expr, file, line);
    abort();
}
