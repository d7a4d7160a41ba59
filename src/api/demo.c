#include "api/demo.h"

#include "api/demo_assets.h"
#include "api/routes.h"
#include "wire/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    FEED_EVERY_MS = 50, /* a chart that looks smooth */
    SESSION_BYTES_MAX = 128,
    KILL = 0, /* hf_service_may_harm()'s kind; the others are enum hf_harm */
};

static const char nobody[] = "no worker holds such a session now";
static const char chart_channel[] = "demo.chart";

/* ---- The page ---- */

/*
 * Whatever the page shows of other people's chat, it loads and runs nothing but its own files. connect-src must name the scheme, because the clients' port is
 * another origin, whose host is the one that the browser used.
 */
static const char page_policy[] = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
                                  "connect-src 'self' ws: wss:; base-uri 'none'; form-action 'none'; "
                                  "frame-ancestors 'none'";

void hf_api_demo_page(struct hf_api_request *r)
{
    r->content_policy = page_policy;
    hf_api_answer_file(r, "text/html; charset=utf-8", hf_demo_index_html);
}

void hf_api_demo_style(struct hf_api_request *r)
{
    hf_api_answer_file(r, "text/css; charset=utf-8", hf_demo_style_css);
}

void hf_api_demo_script(struct hf_api_request *r)
{
    hf_api_answer_file(r, "text/javascript; charset=utf-8", hf_demo_page_js);
}

void hf_api_demo_icon(struct hf_api_request *r)
{
    hf_api_answer_file(r, "image/svg+xml", hf_demo_icon_svg);
}

/* What the page cannot know by itself: where clients connect, and how long a freeze takes. An address of all interfaces is the page's own host. */
void hf_api_demo_server(struct hf_api_request *r)
{
    const struct hf_config *c = r->api->config;
    bool secure = c->listen_count == 0 || c->api_tls;
    const char *address = secure ? c->tls_listen[0] : c->listen[0], *port = strrchr(address, ':');
    bool any = strncmp(address, "0.0.0.0:", 8) == 0 || strncmp(address, "[::]:", 5) == 0;
    struct hf_str host = any ? HF_STR("") : (struct hf_str){address, (size_t)(port - address)};

    hf_buf_putf(&r->answer, "{\"scheme\":\"%s\",\"host\":", secure ? "wss" : "ws");
    hf_json_put_string(&r->answer, host);
    hf_buf_putf(&r->answer, ",\"port\":%s,\"workers\":%u,\"freezeMs\":%d,\"version\":\"%s\"}", port + 1,
                (unsigned)c->workers, HF_HARM_FREEZE_MS, HF_VERSION);
    hf_api_answer_written(r, 0);
}

/* ---- Harm ---- */

/* The request's session, which a worker holds and nobody has harmed just now; data NULL: the request is answered. Nobody's turn goes to a session that is not there. */
static struct hf_str read_victim(struct hf_api_request *r, unsigned kind)
{
    struct hf_api_member m[] = {
        {.name = "session", .kind = HF_API_TEXT, .required = true, .bytes_max = SESSION_BYTES_MAX}};
    char reason[HF_API_REASON_MAX];

    if (hf_api_body_read(hf_buf_str(&r->body), m, 1, reason) < 0)
        hf_api_answer_error(r, HF_CODE_BAD_MESSAGE, reason);
    else if (!hf_service_held(r->api->hub, m[0].value))
        hf_api_answer_error(r, HF_CODE_NOT_FOUND, nobody);
    else if (!hf_service_may_harm(r->api->hub, kind))
        hf_api_answer_error(r, HF_CODE_RATE_LIMITED,
                            kind == KILL ? "a worker was killed within the last three seconds: wait a moment"
                                         : "too much harm at a time: wait a moment");
    else
        return m[0].value;
    return (struct hf_str){NULL, 0};
}

/* hf_service_done of a session's harm. */
static void harm_done(void *ctx, const struct hf_service_result *result)
{
    struct hf_api_request *r = ctx;

    memcpy(r->work, result, sizeof(*result));
    hf_api_work_done(r);
}

static void finish_harm(struct hf_api_request *r)
{
    const struct hf_service_result *result = r->work;

    if (result->code != HF_CODE_NONE) {
        hf_api_answer_error(r, result->code, result->reason == NULL ? "" : result->reason);
        return;
    }
    hf_buf_puts(&r->answer, "{\"done\":true}");
    hf_api_answer_written(r, 0);
}

static void do_harm(struct hf_api_request *r, enum hf_harm harm)
{
    struct hf_str session = read_victim(r, harm);

    if (session.data == NULL)
        return;
    r->work = calloc(1, sizeof(struct hf_service_result));
    if (r->work == NULL) {
        hf_api_answer_error(r, HF_CODE_INTERNAL, "out of memory");
        return;
    }
    r->finish = finish_harm;
    hf_api_work_begin(r);
    hf_service_disconnect(r->api->hub, session, (uint16_t)harm, harm_done, r);
}

void hf_api_demo_drop(struct hf_api_request *r)
{
    do_harm(r, HF_HARM_DROP);
}

void hf_api_demo_freeze(struct hf_api_request *r)
{
    do_harm(r, HF_HARM_FREEZE);
}

/* The answer leaves before the worker dies, even where it is this one: the supervisor looks every fifth of a second. */
void hf_api_demo_kill(struct hf_api_request *r)
{
    struct hf_str session = read_victim(r, KILL);

    if (session.data == NULL)
        return;
    if (!hf_service_kill_worker(r->api->hub, session)) {
        hf_api_answer_error(r, HF_CODE_NOT_FOUND, nobody);
        return;
    }
    hf_buf_puts(&r->answer, "{\"done\":true}");
    hf_api_answer_written(r, 0);
}

/* ---- The feed ---- */

static uint64_t clock_ms(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* A number in [-1, 1) that looks random, and is always the same for n (the finalizer of splitmix64). */
static double noise_at(uint64_t n)
{
    n += 0x9e3779b97f4a7c15u;
    n = (n ^ n >> 30) * 0xbf58476d1ce4e5b9u;
    n = (n ^ n >> 27) * 0x94d049bb133111ebu;
    n ^= n >> 31;
    return (double)(n >> 11) / (double)(UINT64_C(1) << 52) - 1;
}

/* A line through one random number each period. */
static double noise(uint64_t at_ms, uint64_t period_ms)
{
    uint64_t n = at_ms / period_ms;
    double part = (double)(at_ms % period_ms) / (double)period_ms, low = noise_at(n ^ period_ms << 40),
           high = noise_at((n + 1) ^ period_ms << 40);

    return low + (high - low) * (part * part * (3 - 2 * part));
}

/* Looks like a price. */
static double value_at(uint64_t at_ms)
{
    return 100 + 12 * noise(at_ms, 23000) + 5 * noise(at_ms, 5300) + 1.6 * noise(at_ms, 900) +
           0.5 * noise(at_ms, 130);
}

static void ignore(void *ctx, const struct hf_service_result *result)
{
    (void)ctx;
    (void)result; /* The next value comes in a moment. */
}

void hf_api_demo_start(struct hf_api *api)
{
    if (api->config->demo && hf_service_slot(api->hub) == 0)
        api->demo_due_ms = clock_ms(CLOCK_MONOTONIC) + FEED_EVERY_MS;
}

int hf_api_demo_timeout_ms(const struct hf_api *api)
{
    uint64_t now;

    if (api->demo_due_ms == 0)
        return -1;
    now = clock_ms(CLOCK_MONOTONIC);
    return api->demo_due_ms > now ? (int)(api->demo_due_ms - now) : 0;
}

void hf_api_demo_run(struct hf_api *api)
{
    uint64_t at_ms;
    char payload[64];
    int len;

    if (hf_api_demo_timeout_ms(api) != 0)
        return;
    at_ms = clock_ms(CLOCK_REALTIME);
    len = snprintf(payload, sizeof(payload), "{\"at\":%llu,\"value\":%.2f}", (unsigned long long)at_ms,
                   value_at(at_ms));
    /* From now on, not from when it was due: what a busy worker has missed is not made up for. */
    api->demo_due_ms = clock_ms(CLOCK_MONOTONIC) + FEED_EVERY_MS;
    hf_service_publish(api->hub,
                       &(struct hf_service_publish){.channel = hf_str_from(chart_channel),
                                                    .payload = {payload, (size_t)len}},
                       ignore, NULL);
}
