#include "server/run.h"

#include "server/hub_state.h"

#include <stdlib.h>
#include <string.h>

static struct hf_run *find(struct hf_runs *runs, hf_cid cid, uint64_t from)
{
    for (uint32_t i = 0; i < HF_RUNS; i++)
        if (runs->run[i].cid == cid && runs->run[i].from == from)
            return &runs->run[i];
    return NULL;
}

/* Put one more message behind the run. Returns false where it has no room or no memory. */
static bool append(struct hf_run *run, const struct hf_record *r, hf_ref ref)
{
    const uint8_t *frame = (const uint8_t *)r + r->frame_at;
    uint32_t len = run->count == 0 ? 0 : run->end[run->count - 1];

    if (run->count == HF_RUN_MESSAGES || r->frame_len > HF_RUN_BYTES - len)
        return false;
    if (run->count == 0) {
        run->data = frame;
    } else {
        if (run->copy == NULL)
            run->copy = malloc(HF_RUN_BYTES);
        if (run->copy == NULL)
            return false;
        if (run->count == 1)
            memcpy(run->copy, run->data, len);
        memcpy(run->copy + len, frame, r->frame_len);
        run->data = run->copy;
    }
    run->end[run->count++] = len + r->frame_len;
    run->last = ref;
    return true;
}

/* Up to the head and no further: a record is linked before it is the head, and should its owner die in between, nobody else knows of it yet. */
static void fill(struct hf_run *run, struct hf_log *log, struct hf_record *r, hf_ref ref, uint64_t head)
{
    while (r != NULL && r->offset <= head && r->offset == run->from + run->count && append(run, r, ref)) {
        ref = atomic_load_explicit(&r->next, memory_order_acquire);
        r = hf_log_at(log, ref);
    }
}

/* One that may be made anew, or NULL. */
static struct hf_run *replaceable(struct hf_runs *runs)
{
    for (uint32_t i = 0; i < HF_RUNS; i++) {
        struct hf_run *run = &runs->run[runs->next];

        runs->next = (runs->next + 1) % HF_RUNS;
        if (!run->lent)
            return run;
    }
    return NULL;
}

static struct hf_run *make(struct hf_hub *hub, struct hf_topic *t, uint64_t from, hf_ref before)
{
    uint64_t head = atomic_load(&t->channel->head);
    hf_ref ref;
    struct hf_record *r = hf_topic_record(hub, t, from, before, &ref);
    struct hf_run *run = r == NULL || r->offset != from ? NULL : replaceable(&hub->runs);

    if (run == NULL)
        return NULL;
    run->cid = 0;
    run->from = from;
    run->count = 0;
    fill(run, &hub->logs[t->shard], r, ref, head);
    if (run->count == 0)
        return NULL;
    run->cid = t->cid;
    return run;
}

const struct hf_run *hf_run_get(struct hf_hub *hub, struct hf_topic *t, uint64_t from, hf_ref before)
{
    struct hf_run *run = find(&hub->runs, t->cid, from);

    if (run == NULL)
        run = make(hub, t, from, before);
    if (run != NULL)
        run->lent = true;
    return run;
}

void hf_runs_take_back(struct hf_runs *runs)
{
    for (uint32_t i = 0; i < HF_RUNS; i++)
        runs->run[i].lent = false;
}

void hf_runs_forget(struct hf_runs *runs)
{
    for (uint32_t i = 0; i < HF_RUNS; i++)
        runs->run[i].cid = 0;
}

void hf_runs_release(struct hf_runs *runs)
{
    for (uint32_t i = 0; i < HF_RUNS; i++)
        free(runs->run[i].copy);
}
