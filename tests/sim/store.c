#include "sim/store.h"

#include "base/assert.h"
#include "base/err.h"
#include "sim/sim.h"
#include "wire/message.h"

#include <stdlib.h>
#include <string.h>

struct sim_kept {
    struct hf_store_publish publish;
    char bytes[];
};

/* Whether this call does its work. *dies: the process is dead when it returns. */
static bool works(struct sim_store *s, bool *dies)
{
    *dies = s->die_in > 0 && --s->die_in == 0;
    if (s->dead || (*dies && sim_chance(s->sim, 50)))
        return !(s->dead = true);
    s->dead = *dies;
    return true;
}

static int load(void *ctx, struct hf_store_state *state,
                int (*take)(void *arg, const struct hf_store_publish *publish), void *arg)
{
    struct sim_store *s = ctx;
    int err = 0;

    *state = s->state;
    for (uint32_t i = 0; i < s->count && err == 0; i++)
        err = take(arg, &s->kept[i]->publish);
    return err;
}

static struct hf_str copy(char **at, struct hf_str from)
{
    struct hf_str to = {from.data == NULL ? NULL : *at, from.len};

    if (from.len > 0)
        memcpy(*at, from.data, from.len);
    *at += from.len;
    return to;
}

static void keep(struct sim_store *s, const struct hf_store_publish *p)
{
    struct sim_kept *kept = malloc(sizeof(*kept) + p->channel.len + p->id.len + p->payload.len);
    char *at;

    hf_assert(kept != NULL);
    at = kept->bytes;
    kept->publish.publish_id = p->publish_id;
    kept->publish.channel = copy(&at, p->channel);
    kept->publish.id = copy(&at, p->id);
    kept->publish.payload = copy(&at, p->payload);
    kept->publish.refusal = (struct hf_str){NULL, 0};
    kept->publish.payload_raw = p->payload_raw;
    if (s->count == s->cap) {
        s->cap = 2 * s->cap + 16;
        s->kept = realloc(s->kept, s->cap * sizeof(s->kept[0]));
        hf_assert(s->kept != NULL);
    }
    s->kept[s->count++] = kept;
}

static int put(void *ctx, const struct hf_store_publish *publish)
{
    struct sim_store *s = ctx;
    bool dies;

    if (!works(s, &dies))
        return HF_EIO;
    if (publish->publish_id != sim_store_last_id(s) + 1)
        sim_fail(s->sim, "publish %u is put behind %u", (unsigned)publish->publish_id,
                 (unsigned)sim_store_last_id(s));
    keep(s, publish);
    return dies ? HF_EIO : 0;
}

static int refuse(void *ctx, uint64_t publish_id, struct hf_str code)
{
    struct sim_store *s = ctx;
    uint32_t i = 0;
    bool dies;

    if (!works(s, &dies))
        return HF_EIO;
    while (i < s->count && s->kept[i]->publish.publish_id != publish_id)
        i++;
    if (i == s->count)
        sim_fail(s->sim, "publish %u is refused, and is not there", (unsigned)publish_id);
    else
        s->kept[i]->publish.refusal =
            hf_str_from(hf_code_name(hf_code_from(code))); /* which lives longer than the process */
    return dies ? HF_EIO : 0;
}

static void forget_below(struct sim_store *s, uint64_t first_id)
{
    uint32_t gone = 0;

    while (gone < s->count && s->kept[gone]->publish.publish_id < first_id)
        free(s->kept[gone++]);
    if (gone > 0)
        memmove(s->kept, s->kept + gone, (s->count - gone) * sizeof(s->kept[0]));
    s->count -= gone;
}

static int save(void *ctx, const struct hf_store_state *state)
{
    struct sim_store *s = ctx;
    bool dies;

    if (!works(s, &dies))
        return HF_EIO;
    hf_assert(state->ticket.len <= sizeof(s->ticket));
    if (state->ticket.len > 0)
        memcpy(s->ticket, state->ticket.data, state->ticket.len);
    s->state = *state;
    s->state.ticket.data = s->ticket;
    forget_below(s, state->first_id);
    return dies ? HF_EIO : 0;
}

void sim_store_init(struct sim_store *s, struct sim *sim)
{
    *s = (struct sim_store){.store = {.ctx = s, .load = load, .put = put, .refuse = refuse, .save = save},
                            .sim = sim,
                            .state = {.first_id = 1}};
}

void sim_store_release(struct sim_store *s)
{
    forget_below(s, UINT64_MAX);
    free(s->kept);
}

uint64_t sim_store_last_id(const struct sim_store *s)
{
    return s->count == 0 ? s->state.first_id - 1 : s->kept[s->count - 1]->publish.publish_id;
}
