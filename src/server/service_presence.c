/*
 * service_presence.c - the backend's questions about the members of a channel.
 */
#include "server/history.h"
#include "server/hub_state.h"
#include "server/presence.h"
#include "wire/items.h"

#include <stdlib.h>
#include <string.h>

enum { MEMBERS_AT_ONCE = 1000 };

/* A question that waits for the members to be found. */
struct question {
    struct hf_buf *out;
    uint64_t after, limit;
    size_t channel_len;
    char channel[];
};

static void put_members(struct hf_buf *out, const struct hf_presence *p, uint64_t after, uint64_t limit)
{
    uint32_t cap = limit < p->count ? (uint32_t)limit : p->count, count;
    const struct hf_presence_member **page = calloc(cap + 1, sizeof(*page));

    if (page == NULL) {
        out->failed = true;
        return;
    }
    count = hf_presence_page(p, after, page, cap + 1); /* One more, to know whether there are more. */
    hf_buf_puts(out, "\"members\":");
    hf_items_begin(out, HF_ENCODING_JSON, HF_ITEMS_ARRAY);
    for (uint32_t i = 0; i < count && i < limit; i++)
        hf_presence_put_member(out, HF_ENCODING_JSON, page[i]);
    hf_items_end(out, HF_ENCODING_JSON, HF_ITEMS_ARRAY);
    hf_buf_putf(out, ",\"total\":%u", (unsigned)p->count);
    if (count > limit)
        hf_buf_putf(out, ",\"next\":\"%016llx\"", (unsigned long long)page[limit - 1]->session);
    free(page);
}

/* Returns whether it was answered: with what stands in result, and in the question's buffer. */
static bool answer(struct hf_hub *hub, const struct question *q, struct hf_service_result *result)
{
    const struct hf_presence *members = NULL;
    static const struct hf_presence none;
    struct hf_history h;
    int err = 0;

    hf_history_find(hub, (struct hf_str){q->channel, q->channel_len}, &h);
    if (h.cid != 0)
        err = hf_presence_members(hub, h.cid, HF_PRESENCE_BACKEND, &members);
    if (err == HF_EAGAIN)
        return false;
    *result = (struct hf_service_result){.code = HF_CODE_NONE};
    if (err < 0) {
        result->code = err == HF_ELIMIT ? HF_CODE_LIMIT : HF_CODE_OVERLOADED;
        result->reason = hf_presence_refusal(err);
        return true;
    }
    put_members(q->out, members != NULL ? members : &none, q->after, q->limit);
    if (q->out->failed) {
        result->code = HF_CODE_TOO_LARGE;
        result->reason = "the answer is longer than one may be: ask for fewer members";
    }
    return true;
}

static void ask_again(struct hf_hub *hub, struct hf_pending *p)
{
    struct hf_service_result result;

    p->unsent = true;
    if (answer(hub, p->job, &result))
        hf_pending_end(p, &result);
}

static struct question *question_new(const struct hf_presence_query *query, struct hf_buf *out)
{
    struct question *q = calloc(1, sizeof(*q) + query->channel.len);

    if (q == NULL)
        return NULL;
    q->out = out;
    q->after = query->after.data == NULL ? 0 : hf_service_session(query->after);
    q->limit = query->limit;
    q->channel_len = query->channel.len;
    memcpy(q->channel, query->channel.data, query->channel.len);
    return q;
}

void hf_service_presence(struct hf_hub *hub, const struct hf_presence_query *query, struct hf_buf *out,
                         hf_service_done *done, void *ctx)
{
    struct question *q = question_new(query, out);
    struct hf_pending *p = q == NULL ? NULL : hf_pending_new(hub, done, ctx, 0);

    if (p == NULL) {
        free(q);
        done(ctx, &(struct hf_service_result){.code = HF_CODE_OVERLOADED,
                                              .reason = "the server is short of memory"});
        return;
    }
    p->job = q;
    p->job_free = free;
    p->again = ask_again;
    ask_again(hub, p);
}
