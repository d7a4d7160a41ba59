/*
 * query.c - requests that are answered from what this worker can read at once.
 */
#include "api/routes.h"
#include "wire/json.h"
#include "ws/utf8.h"

#include <string.h>

/* PROTOCOL.md, "Client to server": "`limit` (100, at most 1,000)"; the same holds for the list of channels. */
enum { LIMIT_DEFAULT = 100, LIMIT_MAX = 1000 };

enum { TOP_DEFAULT = 10, TOP_MAX = 100 }; /* of GET /api/top */

static void refuse(struct hf_api_request *r, const char *reason)
{
    hf_api_answer_error(r, HF_CODE_BAD_MESSAGE, reason);
}

/* --- history --- */

/* `since {epoch, offset}`. Returns 0, or HF_EBADMSG with reason. */
static int read_since(struct hf_history_query *query, struct hf_str object, char reason[HF_API_REASON_MAX])
{
    struct hf_api_member m[] = {
        {.name = "epoch", .kind = HF_API_TEXT, .required = true},
        {.name = "offset", .kind = HF_API_NUMBER, .required = true},
    };
    int err = hf_api_members_read(object, m, 2, reason);

    query->has_since = true;
    query->since_epoch = m[0].value;
    query->since_offset = m[1].number;
    return err;
}

void hf_api_history(struct hf_api_request *r)
{
    struct hf_api_member m[] = {
        {.name = "channel", .kind = HF_API_TEXT, .required = true},
        {.name = "since", .kind = HF_API_OBJECT},
        {.name = "limit", .kind = HF_API_NUMBER},
        {.name = "reverse", .kind = HF_API_BOOL},
    };
    char reason[HF_API_REASON_MAX];
    struct hf_history_query query = {0};
    int err = hf_api_body_read(hf_buf_str(&r->body), m, 4, reason);

    if (err == 0 && m[1].present)
        err = read_since(&query, m[1].value, reason);
    if (err < 0) {
        refuse(r, reason);
        return;
    }
    query.channel = m[0].value;
    query.limit = m[2].present ? m[2].number : LIMIT_DEFAULT;
    query.reverse = m[3].present && m[3].number;
    if (!hf_channel_name_valid(query.channel)) {
        refuse(r, "channel: must be 1 to 255 bytes without control characters");
    } else if (query.limit < 1 || query.limit > LIMIT_MAX) {
        refuse(r, "limit: must be 1 to 1000");
    } else {
        hf_buf_puts(&r->answer, "{");
        err = hf_service_history(r->api->hub, &query, &r->answer);
        if (err == 0)
            err = hf_buf_puts(&r->answer, "}");
        hf_api_answer_written(r, err);
    }
}

/* --- channels --- */

/* An argument of the query; data NULL where it is not there. */
static struct hf_str argument(struct hf_api_request *r, const char *name)
{
    struct hf_str value = {NULL, 0};

    if (MHD_lookup_connection_value_n(r->connection, MHD_GET_ARGUMENT_KIND, name, strlen(name), &value.data,
                                      &value.len) != MHD_YES)
        return (struct hf_str){NULL, 0};
    return value.data == NULL ? HF_STR("") : value; /* "?prefix" without "=" */
}

static bool is_utf8(struct hf_str s)
{
    return s.data == NULL || hf_utf8_valid((const uint8_t *)s.data, s.len);
}

void hf_api_channels(struct hf_api_request *r)
{
    struct hf_str limit = argument(r, "limit");
    struct hf_channels_query q = {.prefix = argument(r, "prefix"),
                                  .search = argument(r, "search"),
                                  .after = argument(r, "after"),
                                  .limit = LIMIT_DEFAULT};

    if (!is_utf8(q.prefix) || !is_utf8(q.search) || !is_utf8(q.after))
        refuse(r, "prefix, search and after must be UTF-8");
    else if (limit.data != NULL && (hf_json_u53(limit, &q.limit) < 0 || q.limit < 1 || q.limit > LIMIT_MAX))
        refuse(r, "limit: must be 1 to 1000");
    else
        hf_api_answer_written(r, hf_service_channels(r->api->hub, &q, &r->answer));
}

/* --- sessions --- */

void hf_api_sessions(struct hf_api_request *r)
{
    struct hf_str after = argument(r, "after"), limit = argument(r, "limit");
    struct hf_session_query q = {.search = argument(r, "search"), .limit = LIMIT_DEFAULT};

    if (!is_utf8(q.search))
        refuse(r, "search must be UTF-8");
    else if (after.data != NULL && hf_json_u53(after, &q.after) < 0)
        refuse(r, "after: must be the `next` of the page before");
    else if (limit.data != NULL && (hf_json_u53(limit, &q.limit) < 0 || q.limit < 1 || q.limit > LIMIT_MAX))
        refuse(r, "limit: must be 1 to 1000");
    else
        hf_api_answer_written(r, hf_service_sessions(r->api->hub, &q, &r->answer));
}

void hf_api_session(struct hf_api_request *r)
{
    struct hf_str session = argument(r, "session");
    int err;

    if (session.data == NULL) {
        refuse(r, "session: is missing; GET /api/sessions lists them");
        return;
    }
    err = hf_service_session_detail(r->api->hub, session, &r->answer);
    if (err == HF_ENOTFOUND)
        hf_api_answer_error(r, HF_CODE_NOT_FOUND,
                            "there is no such session, and nothing is known of it any more");
    else
        hf_api_answer_written(r, err);
}

/* --- operation --- */

void hf_api_stats(struct hf_api_request *r)
{
    struct hf_str workers = argument(r, "workers"), worker = argument(r, "worker");
    struct hf_stats_query q = {.brief = workers.data != NULL, .has_worker = worker.data != NULL};
    int err = HF_ENOTFOUND;

    if (q.brief && !hf_str_eq(workers, HF_STR("brief"))) {
        refuse(r, "workers: must be brief, or missing");
        return;
    }
    if (!q.has_worker || hf_json_u53(worker, &q.worker) == 0)
        err = hf_service_stats(r->api->hub, &q, &r->answer);
    if (err == HF_ENOTFOUND)
        refuse(r, "worker: must be the slot of a worker, from 0");
    else
        hf_api_answer_written(r, err);
}

void hf_api_top(struct hf_api_request *r)
{
    struct hf_str limit = argument(r, "limit");
    uint64_t n = TOP_DEFAULT;

    if (limit.data != NULL && (hf_json_u53(limit, &n) < 0 || n < 1 || n > TOP_MAX))
        refuse(r, "limit: must be 1 to 100");
    else
        hf_api_answer_written(r, hf_service_top(r->api->hub, n, &r->answer));
}

void hf_api_metrics(struct hf_api_request *r)
{
    /* Prometheus, "Exposition formats", "Basic info". */
    r->content_type = "text/plain; version=0.0.4; charset=utf-8";
    hf_api_answer_written(r, hf_service_metrics(r->api->hub, &r->answer));
}

void hf_api_healthz(struct hf_api_request *r)
{
    hf_buf_puts(&r->answer, "{\"status\":\"ok\"}");
    hf_api_answer_written(r, 0);
}

void hf_api_readyz(struct hf_api_request *r)
{
    if (hf_service_ready(r->api->hub)) {
        hf_buf_puts(&r->answer, "{\"status\":\"ok\"}");
        hf_api_answer_written(r, 0);
    } else {
        hf_api_answer_error(r, HF_CODE_UNAVAILABLE, "this worker is draining");
    }
}
