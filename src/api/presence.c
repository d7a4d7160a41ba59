/*
 * presence.c - who is subscribed to a channel, and orders about sessions: subscribe, unsubscribe; disconnect of a user.
 */
#include "api/routes.h"
#include "wire/json.h"

#include <stdlib.h>

enum {
    SESSION_BYTES_MAX = 128, /* of a session's id */
    LIMIT_DEFAULT = 1000,    /* members of one answer */
    LIMIT_MAX = 10000,
};

static const char channel_reason[] = "channel: must be 1 to 255 bytes without control characters";

/* One call of the hub and its result: r->work. */
struct work {
    struct hf_api_request *request;
    struct hf_service_result result;
    const char *done; /* what was done, as the answer's member says it */
};

static void work_done(void *ctx, const struct hf_service_result *result)
{
    struct work *w = ctx;

    w->result = *result;
    hf_api_work_done(w->request);
}

/* NULL: the request is answered. */
static struct work *work_begin(struct hf_api_request *r, void (*finish)(struct hf_api_request *r))
{
    struct work *w = calloc(1, sizeof(*w));

    if (w == NULL) {
        hf_api_answer_error(r, HF_CODE_INTERNAL, "out of memory");
        return NULL;
    }
    w->request = r;
    r->work = w;
    r->finish = finish;
    hf_api_work_begin(r);
    return w;
}

/* --- presence --- */

static void finish_presence(struct hf_api_request *r)
{
    const struct work *w = r->work;

    if (w->result.code != HF_CODE_NONE) {
        hf_api_answer_error(r, w->result.code, w->result.reason);
        return;
    }
    hf_buf_puts(&r->answer, "}");
    hf_api_answer_written(r, r->answer.failed ? HF_ELIMIT : 0);
}

void hf_api_presence(struct hf_api_request *r)
{
    struct hf_api_member m[] = {
        {.name = "channel", .kind = HF_API_TEXT, .required = true},
        {.name = "limit", .kind = HF_API_NUMBER},
        {.name = "after", .kind = HF_API_TEXT, .bytes_max = SESSION_BYTES_MAX},
    };
    char reason[HF_API_REASON_MAX];
    struct hf_presence_query query;
    struct work *w;

    if (hf_api_body_read(hf_buf_str(&r->body), m, 3, reason) < 0) {
        hf_api_answer_error(r, HF_CODE_BAD_MESSAGE, reason);
        return;
    }
    query = (struct hf_presence_query){
        .channel = m[0].value, .after = m[2].value, .limit = m[1].present ? m[1].number : LIMIT_DEFAULT};
    if (!hf_channel_name_valid(query.channel)) {
        hf_api_answer_error(r, HF_CODE_BAD_MESSAGE, channel_reason);
    } else if (query.limit < 1 || query.limit > LIMIT_MAX) {
        hf_api_answer_error(r, HF_CODE_BAD_MESSAGE, "limit: must be 1 to 10000");
    } else if ((w = work_begin(r, finish_presence)) != NULL) {
        hf_buf_puts(&r->answer, "{");
        hf_service_presence(r->api->hub, &query, &r->answer, work_done, w);
    }
}

/* --- orders --- */

static void finish_order(struct hf_api_request *r)
{
    const struct work *w = r->work;

    if (w->result.code != HF_CODE_NONE) {
        hf_api_answer_error(r, w->result.code, w->result.reason);
        return;
    }
    hf_buf_putf(&r->answer, "{\"%s\":%u", w->done, (unsigned)w->result.sessions);
    if (w->result.refused > 0)
        hf_buf_putf(&r->answer, ",\"refused\":%u", (unsigned)w->result.refused);
    hf_buf_puts(&r->answer, "}");
    hf_api_answer_written(r, 0);
}

void hf_api_order(struct hf_api_request *r, const struct hf_service_order *order, const char *done)
{
    struct work *w = work_begin(r, finish_order);

    if (w == NULL)
        return;
    w->done = done;
    hf_service_order(r->api->hub, order, work_done, w);
}

static void subscription_order(struct hf_api_request *r, enum hf_service_act act, const char *done)
{
    struct hf_api_member m[] = {
        {.name = "session", .kind = HF_API_TEXT, .bytes_max = SESSION_BYTES_MAX},
        {.name = "user", .kind = HF_API_TEXT, .bytes_max = HF_LABEL_BYTES_MAX},
        {.name = "channel", .kind = HF_API_TEXT, .required = true},
    };
    char reason[HF_API_REASON_MAX];
    struct hf_service_order order;

    if (hf_api_body_read(hf_buf_str(&r->body), m, 3, reason) < 0) {
        hf_api_answer_error(r, HF_CODE_BAD_MESSAGE, reason);
        return;
    }
    order = (struct hf_service_order){
        .act = act, .session = m[0].value, .user = m[1].value, .channel = m[2].value};
    if (m[0].present == m[1].present)
        hf_api_answer_error(r, HF_CODE_BAD_MESSAGE, "either session or user must be given");
    else if (!hf_channel_name_valid(order.channel))
        hf_api_answer_error(r, HF_CODE_BAD_MESSAGE, channel_reason);
    else
        hf_api_order(r, &order, done);
}

void hf_api_subscribe(struct hf_api_request *r)
{
    subscription_order(r, HF_ACT_SUBSCRIBE, "subscribed");
}

void hf_api_unsubscribe(struct hf_api_request *r)
{
    subscription_order(r, HF_ACT_UNSUBSCRIBE, "unsubscribed");
}
