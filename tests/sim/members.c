#include "sim/members.h"

#include "base/assert.h"
#include "base/map.h"
#include "server/hub_state.h"
#include "sim/oracle.h"
#include "sim/sim.h"

#include <string.h>

struct track {
    uint64_t session;
    uint32_t changes[SIM_CHANNELS_MAX], sure[SIM_CHANNELS_MAX];
    uint32_t in, seen; /* bits of channels: it is a member; the same, as the observation under way finds it */
};

static struct {
    struct track tracks[SIM_TRACKS_MAX];
    uint32_t count;
    bool unsure; /* some have changes that are not sure */
    struct hf_map index;
    struct hf_sessions sessions;
    struct hf_channels tables[SIM_SHARDS_MAX];
} members; /* One schedule at a time. */

/* ---- What there is ---- */

/* The channel of each incarnation that there is now; 0: there is none. */
static void find_cids(const struct sim *sim, hf_cid cids[SIM_CHANNELS_MAX])
{
    for (uint32_t i = 0; i < sim->options.channels; i++) {
        struct hf_str name = sim_channel_name(i);
        uint64_t hash = hf_channel_hash(name);
        const struct hf_channel *c =
            hf_channels_find(&members.tables[hf_channel_shard(hash, sim->region.config->shards)], name, hash);

        cids[i] = c == NULL ? 0 : atomic_load(&c->cid);
    }
}

static uint32_t channels_of(const struct sim *sim, const struct hf_session *s,
                            const hf_cid cids[SIM_CHANNELS_MAX])
{
    enum hf_session_phase phase = hf_state_phase(atomic_load(&s->state));
    const struct hf_session_sub *cell;
    uint32_t at = 0, in = 0;

    if (phase != HF_SESSION_LIVE && phase != HF_SESSION_PARKED)
        return 0;
    while ((cell = hf_session_sub_next(&members.sessions, s, &at)) != NULL)
        for (uint32_t i = 0; i < sim->options.channels; i++)
            if (cids[i] != 0 && (atomic_load(&cell->cid) & HF_SUB_CID) == cids[i])
                in |= 1u << i;
    return in;
}

static struct track *track_of(struct sim *sim, uint64_t session)
{
    struct hf_map_entry *e = hf_map_get(&members.index, session);

    if (e != NULL)
        return &members.tracks[e->a];
    if (members.count == SIM_TRACKS_MAX) {
        sim_fail(sim, "there are more than %u sessions", SIM_TRACKS_MAX);
        return NULL;
    }
    hf_assert(hf_map_put(&members.index, session, members.count, 0) == 0);
    members.tracks[members.count] = (struct track){.session = session};
    return &members.tracks[members.count++];
}

/* ---- What has changed ---- */

static void note(struct sim *sim, struct track *t)
{
    for (uint32_t i = 0; i < sim->options.channels; i++)
        if (((t->in ^ t->seen) >> i & 1) != 0) {
            t->changes[i]++;
            members.unsure = true;
            sim_tell(sim, "session %016llx: %s channel %u", (unsigned long long)t->session,
                     (t->seen >> i & 1) != 0 ? "in" : "out of", i);
        }
    t->in = t->seen;
}

/* Whoever made a change has told of it, or is dead and followed by another, of whom everybody knows. */
static bool all_told(const struct sim *sim)
{
    for (uint32_t slot = 0; slot < sim->options.workers; slot++)
        if (sim->workers[slot].phase != SIM_WORKER_RUNNING || !sim->workers[slot].waiting)
            return false;
    return true;
}

static void make_sure(struct sim *sim)
{
    if (!members.unsure || !all_told(sim))
        return;
    for (uint32_t i = 0; i < members.count; i++)
        memcpy(members.tracks[i].sure, members.tracks[i].changes, sizeof(members.tracks[i].sure));
    members.unsure = false;
}

void sim_members_observe(struct sim *sim)
{
    struct sim_arena *arena = sim_arena_enter(&sim->arena);
    hf_cid cids[SIM_CHANNELS_MAX] = {0};
    const struct hf_session *s;
    uint64_t cursor = 0;

    find_cids(sim, cids);
    for (uint32_t i = 0; i < members.count; i++)
        members.tracks[i].seen = 0;
    while ((s = hf_sessions_next(&members.sessions, &cursor)) != NULL && !sim->failed) {
        uint32_t in = channels_of(sim, s, cids);
        struct track *t = in == 0 ? NULL : track_of(sim, s->number);

        if (t != NULL)
            t->seen = in;
    }
    for (uint32_t i = 0; i < members.count; i++)
        if (members.tracks[i].in != members.tracks[i].seen)
            note(sim, &members.tracks[i]);
    make_sure(sim);
    sim_arena_enter(arena);
}

/* ---- Questions ---- */

uint32_t sim_members_track(const struct sim *sim, uint64_t session)
{
    const struct hf_map_entry *e = session == 0 ? NULL : hf_map_get(&members.index, session);

    (void)sim;
    return e == NULL ? UINT32_MAX : (uint32_t)e->a;
}

uint32_t sim_members_tracks(const struct sim *sim)
{
    (void)sim;
    return members.count;
}

uint64_t sim_members_session(const struct sim *sim, uint32_t track)
{
    (void)sim;
    return members.tracks[track].session;
}

uint32_t sim_members_changes(const struct sim *sim, uint32_t track, uint32_t channel)
{
    (void)sim;
    return members.tracks[track].changes[channel];
}

uint32_t sim_members_sure(const struct sim *sim, uint32_t track, uint32_t channel)
{
    (void)sim;
    return members.tracks[track].sure[channel];
}

void sim_members_start(struct sim *sim)
{
    members.count = 0;
    members.unsure = false;
    hf_map_init(&members.index);
    hf_assert(hf_sessions_open(&members.sessions, hf_region_sessions(&sim->region), 0) == 0);
    for (uint32_t i = 0; i < sim->region.config->shards; i++)
        hf_channels_open(&members.tables[i], hf_region_channels(&sim->region, i));
}

void sim_members_free(struct sim *sim)
{
    (void)sim;
    hf_map_release(&members.index);
    hf_sessions_release(&members.sessions);
}
