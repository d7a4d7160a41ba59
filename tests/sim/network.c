#include "sim/network.h"

#include "base/assert.h"
#include "sim/client.h"
#include "sim/sim.h"

#include <stdlib.h>
#include <string.h>

enum {
    PIPE_BYTES_MAX = 1 << 20, /* a connection in good health */
    LOST_HEAD_BYTES = 1500,   /* a new connection that shall not live long breaks within so many */
    CUT_WITHIN_BYTES = 600,   /* another one within so many more */
    FREEZE_MS_MAX = 8000,
    HANG_MS = 3600 * 1000, /* a connection that does not come about */
};

static uint32_t index_of(const struct sim *sim, const struct sim_conn *c)
{
    uint32_t i = 0;

    while (sim->conns[i] != c)
        i++;
    return i;
}

static enum sim_side other(enum sim_side side)
{
    return side == SIM_SERVER ? SIM_CLIENT : SIM_SERVER;
}

static void notify(struct sim *sim, struct sim_conn *c, enum sim_side side)
{
    if (side == SIM_CLIENT && c->client_open)
        sim_actor_poke(c->peer, sim->now_ms + sim_between(sim, 0, 1));
    if (side == SIM_SERVER && (c->server_open || !c->accepted))
        sim_worker_poke(c->worker);
}

static void conn_free(struct sim *sim, struct sim_conn *c)
{
    sim_actor_remove(sim, &c->actor);
    sim->conns[index_of(sim, c)] = NULL;
    hf_buf_release(&c->pipe[0].bytes);
    hf_buf_release(&c->pipe[1].bytes);
    free(c);
}

static void free_if_over(struct sim *sim, struct sim_conn *c)
{
    if (!c->client_open && c->accepted && !c->server_open)
        conn_free(sim, c);
}

/* ---- Bytes on their way ---- */

static uint32_t in_flight(const struct sim_pipe *p)
{
    return p->bytes.len - p->arrived;
}

static void schedule(struct sim_conn *c)
{
    uint64_t at = c->connect_at_ms;

    for (int side = 0; side < 2; side++) {
        const struct sim_pipe *p = &c->pipe[side];

        if (!p->dead && in_flight(p) > 0 && p->next_ms < at)
            at = p->next_ms;
        if (p->end != SIM_END_NONE && !p->end_told && p->end_at_ms < at)
            at = p->end_at_ms;
    }
    c->actor.at_ms = at;
}

/* What has not arrived never will; and with a reset what arrived may be thrown away too. */
static void pipe_kill(struct sim *sim, struct sim_pipe *p, enum sim_end end)
{
    p->dead = true;
    p->fin = false;
    if (end == SIM_END_RESET && sim_chance(sim, 50))
        p->arrived = 0;
    p->bytes.len = p->arrived;
    if (p->end != SIM_END_NONE && p->end_at_ms <= sim->now_ms)
        return;
    p->end = end;
    p->end_told = false;
    p->end_at_ms = sim->now_ms + sim_between(sim, 0, sim->options.delay_ms_max);
}

/* A side may learn of the end at once, later, or only from the silence. */
static void break_conn(struct sim *sim, struct sim_conn *c)
{
    static const enum sim_end ends[][2] = {
        {SIM_END_RESET, SIM_END_RESET}, {SIM_END_FIN, SIM_END_FIN},  {SIM_END_FIN, SIM_END_RESET},
        {SIM_END_RESET, SIM_END_FIN},   {SIM_END_NONE, SIM_END_FIN}, {SIM_END_RESET, SIM_END_NONE},
        {SIM_END_NONE, SIM_END_RESET},  {SIM_END_FIN, SIM_END_NONE}, {SIM_END_NONE, SIM_END_NONE},
    };
    const enum sim_end *end = ends[sim_between(sim, 0, sizeof(ends) / sizeof(ends[0]) - 1)];

    sim_tell(sim, "conn %u breaks: server %d, client %d", index_of(sim, c), end[0], end[1]);
    sim->stats->cuts++;
    pipe_kill(sim, &c->pipe[SIM_SERVER], end[SIM_SERVER]);
    pipe_kill(sim, &c->pipe[SIM_CLIENT], end[SIM_CLIENT]);
    schedule(c);
}

/* Some of what is under way arrives. Returns false where that broke the connection. */
static bool arrive(struct sim *sim, struct sim_conn *c, enum sim_side side)
{
    struct sim_pipe *p = &c->pipe[side];
    uint32_t piece = in_flight(p) < p->rate ? in_flight(p) : p->rate;

    if (p->frozen_until_ms > sim->now_ms) {
        p->next_ms = p->frozen_until_ms;
        return true;
    }
    if (sim_chance(sim, 40))
        piece = (uint32_t)sim_between(sim, 1, piece);
    p->next_ms = sim->now_ms + sim_between(sim, 0, sim->options.delay_ms_max / 4);
    if (p->arrived_sum + piece >= p->cut_at)
        piece = (uint32_t)(p->cut_at - p->arrived_sum);
    p->arrived += piece;
    p->arrived_sum += piece;
    notify(sim, c, side);
    if (p->arrived_sum < p->cut_at)
        return true;
    break_conn(sim, c);
    return false;
}

static void conn_act(struct sim *sim, void *self)
{
    struct sim_conn *c = self;

    if (c->connect_at_ms <= sim->now_ms) {
        c->connect_at_ms = SIM_NEVER;
        notify(sim, c, SIM_CLIENT);
        if (!c->refused)
            notify(sim, c, SIM_SERVER);
    }
    for (int side = 0; side < 2; side++) {
        struct sim_pipe *p = &c->pipe[side];

        if (!p->dead && in_flight(p) > 0 && p->next_ms <= sim->now_ms && !arrive(sim, c, (enum sim_side)side))
            break;
    }
    for (int side = 0; side < 2; side++) {
        struct sim_pipe *p = &c->pipe[side];

        if (p->end == SIM_END_NONE || p->end_told || p->end_at_ms > sim->now_ms)
            continue;
        p->end_told = true;
        notify(sim, c, (enum sim_side)side);
    }
    schedule(c);
}

/* ---- What the two sides do ---- */

static void lay_pipe(const struct sim *sim, struct sim_pipe *p)
{
    hf_buf_init(&p->bytes, 2 * (size_t)PIPE_BYTES_MAX);
    p->bytes_max = sim->settling ? PIPE_BYTES_MAX : sim->options.pipe_bytes;
    p->rate = PIPE_BYTES_MAX;
    p->cut_at = SIM_NEVER;
}

static struct sim_conn *conn_new(struct sim *sim, struct sim_actor *peer)
{
    struct sim_conn *c = calloc(1, sizeof(*c));
    uint32_t i = 0;

    while (i < SIM_CONNS_MAX && sim->conns[i] != NULL)
        i++;
    hf_assert(c != NULL && i < SIM_CONNS_MAX);
    sim->conns[i] = c;
    c->peer = peer;
    c->client_open = true;
    c->worker = &sim->workers[sim_between(sim, 0, sim->options.workers - 1)];
    c->connect_at_ms = sim->now_ms + sim_between(sim, 0, sim->options.delay_ms_max);
    for (int side = 0; side < 2; side++) {
        lay_pipe(sim, &c->pipe[side]);
        if (!sim->settling && sim->options.slow && sim_chance(sim, 30))
            c->pipe[side].bytes_max = (uint32_t)sim_between(sim, 100, 4000);
    }
    if (!sim->settling && sim->options.cuts && sim_chance(sim, 12))
        c->pipe[sim_between(sim, 0, 1)].cut_at = sim_between(sim, 1, LOST_HEAD_BYTES);
    /* A worker's port stays open without it, and who connects waits for its successor; but a host may refuse. */
    c->refused = !sim->settling && sim->options.cuts && sim_chance(sim, 5);
    if (c->refused) {
        c->accepted = true;
        sim->stats->refused_connects++;
    }
    sim_actor_add(sim, &c->actor, conn_act, c);
    schedule(c);
    sim->stats->connections++;
    return c;
}

struct sim_conn *sim_connect(struct sim *sim, struct sim_client *client, unsigned slot, uint32_t attempt)
{
    struct sim_conn *c = conn_new(sim, &client->driver);

    c->client = client;
    c->slot = slot;
    c->attempt = attempt;
    if (client->unreachable_until_ms > sim->now_ms) {
        c->refused = c->accepted = true;
        if (sim_chance(sim, 50)) /* Else there is not even a route. */
            c->connect_at_ms = sim->now_ms + HANG_MS;
        schedule(c);
    }
    sim_tell(sim, "conn %u: client %u slot %u attempt %u to worker %u%s", index_of(sim, c), client->index,
             slot, attempt, c->worker->slot, c->refused ? ", to be refused" : "");
    return c;
}

struct sim_conn *sim_connect_by(struct sim *sim, struct sim_actor *peer, const char *name)
{
    struct sim_conn *c = conn_new(sim, peer);

    sim_tell(sim, "conn %u: %s to worker %u%s", index_of(sim, c), name, c->worker->slot,
             c->refused ? ", to be refused" : "");
    return c;
}

/* The other side has closed its socket: its kernel answers with a reset, which may overtake what it had sent. */
static void answer_with_reset(struct sim *sim, struct sim_conn *c, enum sim_side side)
{
    struct sim_pipe *p = &c->pipe[side];

    if (p->dead || p->end == SIM_END_RESET)
        return;
    pipe_kill(sim, p, SIM_END_RESET);
    schedule(c);
}

long sim_conn_write(struct sim *sim, struct sim_conn *c, enum sim_side side, const void *data, size_t len)
{
    struct sim_pipe *p = &c->pipe[other(side)], *mine = &c->pipe[side];
    bool peer_open = side == SIM_SERVER ? c->client_open : c->server_open || !c->accepted;
    size_t room = p->bytes.len < p->bytes_max ? p->bytes_max - p->bytes.len : 0;
    size_t n = len < room ? len : room;

    if (mine->end == SIM_END_RESET && mine->end_at_ms <= sim->now_ms)
        return -1;
    if (!peer_open) {
        answer_with_reset(sim, c, side);
        return (long)len;
    }
    if (n > 1 && sim->options.slow && sim_chance(sim, 10)) {
        n = sim_between(sim, 1, n);
        p->room_due = !p->dead;
        notify(sim, c, side);
    }
    p->blocked = n < len && !p->room_due;
    if (n < len && side == SIM_SERVER)
        sim->stats->blocked_writes++;
    if (n == 0)
        return 0;
    if (in_flight(p) == 0)
        p->next_ms = sim->now_ms + sim_between(sim, 0, sim->options.delay_ms_max);
    hf_assert(hf_buf_put(&p->bytes, data, n) == 0);
    if (!p->dead)
        sim_actor_poke(&c->actor, p->next_ms);
    return (long)n;
}

uint32_t sim_conn_readable(const struct sim *sim, const struct sim_conn *c, enum sim_side side)
{
    (void)sim;
    return c->pipe[side].paused ? 0 : c->pipe[side].arrived;
}

void sim_conn_read(struct sim *sim, struct sim_conn *c, enum sim_side side, void *data, uint32_t len)
{
    struct sim_pipe *p = &c->pipe[side];

    hf_assert(len <= p->arrived);
    memcpy(data, p->bytes.data, len);
    hf_buf_drop(&p->bytes, len);
    p->arrived -= len;
    if (p->blocked && !p->dead && p->bytes.len < p->bytes_max) {
        p->blocked = false;
        p->room_due = true;
        notify(sim, c, other(side));
    }
}

enum sim_end sim_conn_end(const struct sim *sim, const struct sim_conn *c, enum sim_side side)
{
    const struct sim_pipe *p = &c->pipe[side];

    if (p->paused || p->arrived > 0)
        return SIM_END_NONE;
    if (p->end != SIM_END_NONE && p->end_at_ms <= sim->now_ms)
        return p->end;
    return p->fin && p->bytes.len == 0 ? SIM_END_FIN : SIM_END_NONE;
}

void sim_conn_finish(struct sim *sim, struct sim_conn *c, enum sim_side side)
{
    struct sim_pipe *p = &c->pipe[other(side)];

    if (p->dead)
        return;
    p->fin = true;
    notify(sim, c, other(side));
}

void sim_conn_close(struct sim *sim, struct sim_conn *c, enum sim_side side)
{
    bool unread = c->pipe[side].bytes.len > 0;

    if (side == SIM_CLIENT)
        c->client_open = false;
    else
        c->server_open = false;
    if (unread)
        answer_with_reset(sim, c, other(side));
    else
        sim_conn_finish(sim, c, side);
    free_if_over(sim, c);
}

void sim_network_worker_died(struct sim *sim, const struct sim_worker *w)
{
    for (uint32_t i = 0; i < SIM_CONNS_MAX; i++) {
        struct sim_conn *c = sim->conns[i];

        if (c == NULL || c->worker != w || !c->server_open)
            continue;
        c->hub_conn = NULL;
        sim_conn_close(sim, c, SIM_SERVER);
    }
}

/* ---- Faults ---- */

static struct sim_conn *any_conn(struct sim *sim)
{
    uint32_t at = (uint32_t)sim_between(sim, 0, SIM_CONNS_MAX - 1);

    for (uint32_t i = 0; i < SIM_CONNS_MAX; i++) {
        struct sim_conn *c = sim->conns[(at + i) % SIM_CONNS_MAX];

        if (c != NULL && !c->refused && c->client_open && !c->pipe[SIM_CLIENT].dead)
            return c;
    }
    return NULL;
}

void sim_network_cut(struct sim *sim)
{
    struct sim_conn *c = any_conn(sim);
    struct sim_pipe *p;

    if (c == NULL)
        return;
    if (sim_chance(sim, 40)) {
        break_conn(sim, c);
        return;
    }
    p = &c->pipe[sim_between(sim, 0, 1)];
    p->cut_at = p->arrived_sum + sim_between(sim, 1, CUT_WITHIN_BYTES);
}

void sim_network_freeze(struct sim *sim)
{
    struct sim_conn *c = any_conn(sim);
    uint64_t until = sim->now_ms + sim_spread(sim, FREEZE_MS_MAX / 4) % FREEZE_MS_MAX;
    uint64_t which = sim_between(sim, 0, 2);

    if (c == NULL)
        return;
    sim->stats->freezes++;
    for (uint64_t side = 0; side < 2; side++)
        if (which == 2 || which == side)
            c->pipe[side].frozen_until_ms = until;
    sim_tell(sim, "conn %u is frozen (%d) until %llu", index_of(sim, c), (int)which,
             (unsigned long long)until);
}

/* A connection that is being made stays so, until its client gives it up. */
static void never_connect(struct sim *sim, struct sim_conn *c)
{
    c->refused = c->accepted = true;
    c->connect_at_ms = sim->now_ms + HANG_MS;
    schedule(c);
}

void sim_network_forsake(struct sim *sim, const struct sim_client *client)
{
    for (uint32_t i = 0; i < SIM_CONNS_MAX; i++) {
        struct sim_conn *c = sim->conns[i];

        if (c == NULL || c->client != client)
            continue;
        if (c->connect_at_ms != SIM_NEVER) {
            never_connect(sim, c);
            continue;
        }
        pipe_kill(sim, &c->pipe[SIM_SERVER], SIM_END_NONE);
        pipe_kill(sim, &c->pipe[SIM_CLIENT], SIM_END_NONE);
        schedule(c);
    }
}

void sim_network_suspend(struct sim *sim, const struct sim_client *client, uint64_t until_ms)
{
    for (uint32_t i = 0; i < SIM_CONNS_MAX; i++) {
        struct sim_conn *c = sim->conns[i];

        for (int side = 0; c != NULL && c->client == client && side < 2; side++)
            c->pipe[side].frozen_until_ms = until_ms;
    }
}

void sim_network_squeeze(struct sim *sim)
{
    struct sim_conn *c = any_conn(sim);
    struct sim_pipe *p;

    if (c == NULL)
        return;
    p = &c->pipe[sim_chance(sim, 80) ? SIM_CLIENT : SIM_SERVER];
    p->bytes_max = (uint32_t)sim_between(sim, 60, 3000);
    p->rate = (uint32_t)sim_between(sim, 20, 1000);
    sim_tell(sim, "conn %u is narrow", index_of(sim, c));
}

void sim_network_heal(struct sim *sim)
{
    for (uint32_t i = 0; i < SIM_CONNS_MAX; i++) {
        struct sim_conn *c = sim->conns[i];

        for (int side = 0; c != NULL && side < 2; side++) {
            struct sim_pipe *p = &c->pipe[side];

            p->frozen_until_ms = 0;
            p->cut_at = SIM_NEVER;
            p->bytes_max = p->rate = PIPE_BYTES_MAX;
            if (p->blocked && !p->dead) {
                p->blocked = false;
                p->room_due = true;
                notify(sim, c, other((enum sim_side)side));
            }
            if (!p->dead && in_flight(p) > 0 && p->next_ms > sim->now_ms + sim->options.delay_ms_max)
                p->next_ms = sim->now_ms + sim->options.delay_ms_max;
        }
        if (c != NULL)
            schedule(c);
    }
}

void sim_network_free(struct sim *sim)
{
    for (uint32_t i = 0; i < SIM_CONNS_MAX; i++)
        if (sim->conns[i] != NULL)
            conn_free(sim, sim->conns[i]);
}
