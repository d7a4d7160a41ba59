#include "server/run.h"

#include "server/hub_state.h"

#include <stdlib.h>
#include <string.h>

static struct hf_run *find(struct hf_runs *runs, hf_cid cid, bool binary, uint64_t from)
{
    for (uint32_t i = 0; i < HF_RUNS; i++)
        if (runs->run[i].cid == cid && runs->run[i].from == from && runs->run[i].binary == binary)
            return &runs->run[i];
    return NULL;
}

/* Bring the `len` bytes that the run has into its own memory. Returns false where there is none. */
static bool own_memory(struct hf_run *run, uint32_t len)
{
    if (run->copy == NULL)
        run->copy = malloc(HF_RUN_BYTES);
    if (run->copy == NULL)
        return false;
    if (len > 0 && run->data != run->copy)
        memcpy(run->copy, run->data, len);
    run->data = run->copy;
    return true;
}

static void copy_frame(uint8_t *to, const struct hf_pieces *frame)
{
    for (int i = 0; i < 2; i++) {
        if (frame->piece[i].len > 0)
            memcpy(to, frame->piece[i].data, frame->piece[i].len);
        to += frame->piece[i].len;
    }
}

/* Put one more message behind the run. Returns false where it has no room or no memory. */
static bool append(struct hf_run *run, const struct hf_record *r, hf_ref ref)
{
    struct hf_pieces frame = hf_record_frame(r, run->binary);
    size_t frame_len = hf_pieces_len(&frame);
    uint32_t len = run->count == 0 ? 0 : run->end[run->count - 1];

    if (run->count == HF_RUN_MESSAGES || frame_len > HF_RUN_BYTES - len)
        return false;
    if (run->count == 0 && frame.piece[1].len == 0) {
        run->data = (const uint8_t *)frame.piece[0].data;
    } else {
        if (!own_memory(run, len))
            return false;
        copy_frame(run->copy + len, &frame);
    }
    run->received_us[run->count] = r->received_us;
    run->end[run->count++] = len + (uint32_t)frame_len;
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

static struct hf_run *make(struct hf_hub *hub, struct hf_topic *t, bool binary, uint64_t from, hf_ref before)
{
    uint64_t head = atomic_load(&t->channel->head);
    hf_ref ref;
    struct hf_record *r = hf_topic_record(hub, t, from, before, &ref);
    struct hf_run *run = r == NULL || r->offset != from ? NULL : replaceable(&hub->runs);

    if (run == NULL)
        return NULL;
    run->cid = 0;
    run->binary = binary;
    run->from = from;
    run->count = 0;
    run->data = NULL;
    fill(run, &hub->logs[t->shard], r, ref, head);
    if (run->count == 0)
        return NULL;
    run->cid = t->cid;
    return run;
}

const struct hf_run *hf_run_get(struct hf_hub *hub, struct hf_topic *t, bool binary, uint64_t from,
                                hf_ref before)
{
    struct hf_run *run = find(&hub->runs, t->cid, binary, from);

    if (run == NULL)
        run = make(hub, t, binary, from, before);
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
