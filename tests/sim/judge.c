#include "sim/judge.h"

#include "base/assert.h"
#include "base/base64.h"
#include "server/hub_state.h"
#include "sim/oracle.h"
#include "sim/sim.h"

#include <stdio.h>
#include <string.h>

enum {
    JUDGED_PERCENT = 30, /* of the schedules */
    ASKS_MAX = 512,
    QUICK_MS_MAX = 30,
    SLOW_MS_MAX = 2500, /* longer than a session's shortest life, and than many a connection's */
    SLOW_PERCENT = 15,
    REFUSED_OF = 8, /* one in so many */
};

/* A request that has no answer yet. */
struct ask {
    struct sim_worker *worker; /* NULL: a free place */
    uint64_t token, at_ms;
    enum hf_backend_outcome outcome;
    bool allow, nonsense;
};

static struct {
    struct sim_actor actor;
    struct ask asks[ASKS_MAX];
} judge;

/* ---- Verdicts ---- */

bool sim_judge_allows(const struct sim *sim, uint32_t publisher, uint32_t n)
{
    return !sim->options.judged || publisher >= SIM_CLIENTS_MAX || (publisher * 31 + n) % REFUSED_OF != 0;
}

/* The payload is the last member of a request. */
static bool verdict(const struct sim *sim, struct hf_str body)
{
    static const char plain[] = ",\"payload\":", base64[] = ",\"payloadBase64\":\"";
    const char *at = memmem(body.data, body.len, plain, sizeof(plain) - 1), *end = body.data + body.len - 1;
    uint8_t bytes[SIM_PAYLOAD_MAX];
    uint32_t publisher = 0, n = 0;
    struct hf_str payload;
    int len;

    if (at != NULL) {
        at += sizeof(plain) - 1;
        payload = (struct hf_str){at, (size_t)(end - at)};
    } else {
        at = memmem(body.data, body.len, base64, sizeof(base64) - 1);
        hf_assert(at != NULL);
        at += sizeof(base64) - 1;
        len = hf_base64_decode((struct hf_str){at, (size_t)(end - 1 - at)}, bytes);
        hf_assert(len >= 0);
        payload = (struct hf_str){(const char *)bytes, (size_t)len};
    }
    hf_assert(sim_oracle_names(payload, &publisher, &n));
    return sim_judge_allows(sim, publisher, n);
}

/* ---- Being asked ---- */

static struct ask *free_place(void)
{
    for (int i = 0; i < ASKS_MAX; i++)
        if (judge.asks[i].worker == NULL)
            return &judge.asks[i];
    return NULL;
}

/* What becomes of a request. */
static enum hf_backend_outcome draw_outcome(struct sim *sim)
{
    static const enum hf_backend_outcome failures[] = {HF_BACKEND_DOWN, HF_BACKEND_BROKEN, HF_BACKEND_TIMEOUT,
                                                       HF_BACKEND_TOO_LARGE, HF_BACKEND_FULL};

    return sim->settling || sim_chance(sim, 85) ? HF_BACKEND_ANSWERED : failures[sim_between(sim, 0, 4)];
}

static enum hf_backend_outcome start(void *ctx, const struct hf_backend_request *request)
{
    struct sim_worker *w = ctx;
    struct sim *sim = w->sim;
    struct ask *a = free_place();
    bool slow = sim_chance(sim, SLOW_PERCENT) &&
                !sim->settling; /* Else hundreds that wait for each other come to no rest. */

    hf_assert(request->hook == HF_HOOK_PUBLISH && a != NULL);
    sim->stats->judged++;
    if (!sim->settling && sim_chance(sim, 5))
        return sim_chance(sim, 50) ? HF_BACKEND_DOWN : HF_BACKEND_FULL;
    *a = (struct ask){.worker = w,
                      .token = request->token,
                      .at_ms = sim->now_ms + sim_between(sim, 0, slow ? SLOW_MS_MAX : QUICK_MS_MAX),
                      .outcome = draw_outcome(sim),
                      .allow = verdict(sim, request->body),
                      .nonsense = !sim->settling && sim_chance(sim, 3)};
    sim_actor_poke(&judge.actor, a->at_ms);
    return HF_BACKEND_STARTED;
}

static bool has_room(void *ctx)
{
    (void)ctx;
    return true;
}

static void complain(void *ctx, enum hf_hook hook, const char *why)
{
    struct sim_worker *w = ctx;

    (void)hook;
    (void)why;
    w->sim->stats->nonsense++;
}

void sim_judge_serve(struct sim_worker *w)
{
    w->judge = (struct hf_backend){.ctx = w, .start = start, .has_room = has_room, .complain = complain};
    hf_hub_set_backend(w->hub, &w->judge);
}

/* ---- Answering ---- */

bool sim_judge_due(const struct sim_worker *w)
{
    for (int i = 0; i < ASKS_MAX; i++)
        if (judge.asks[i].worker == w && judge.asks[i].at_ms <= w->sim->now_ms)
            return true;
    return false;
}

static void answer(struct sim_worker *w, const struct ask *a)
{
    char body[64];
    struct hf_backend_answer answer = {.outcome = a->outcome, .status = 200};

    snprintf(body, sizeof(body), "%s",
             a->nonsense ? "{\"allow\":nonsense"
             : a->allow  ? "{\"allow\":true}"
                         : "{\"allow\":false}");
    if (a->outcome == HF_BACKEND_ANSWERED)
        answer.body = hf_str_from(body);
    hf_hub_backend_answered(w->hub, a->token, &answer, w->now);
}

void sim_judge_answer(struct sim_worker *w)
{
    for (int i = 0; i < ASKS_MAX; i++) {
        struct ask a = judge.asks[i];

        if (a.worker != w || a.at_ms > w->sim->now_ms)
            continue;
        judge.asks[i].worker = NULL; /* First: the answer may bring on the next request. */
        answer(w, &a);
    }
}

static void judge_act(struct sim *sim, void *self)
{
    (void)self;
    judge.actor.at_ms = SIM_NEVER;
    for (int i = 0; i < ASKS_MAX; i++) {
        if (judge.asks[i].worker == NULL)
            continue;
        if (judge.asks[i].at_ms <= sim->now_ms)
            sim_worker_poke(judge.asks[i].worker);
        else
            sim_actor_poke(&judge.actor, judge.asks[i].at_ms);
    }
}

void sim_judge_worker_died(const struct sim_worker *w)
{
    for (int i = 0; i < ASKS_MAX; i++)
        if (judge.asks[i].worker == w)
            judge.asks[i].worker = NULL;
}

bool sim_judge_settled(const struct sim *sim, const char **why)
{
    *why = "a worker waits for the backend's answer";
    for (int i = 0; i < ASKS_MAX; i++)
        if (judge.asks[i].worker != NULL)
            return false;
    *why = "a worker waits for an answer that has come";
    for (uint32_t slot = 0; slot < sim->options.workers; slot++)
        if (sim->workers[slot].hub != NULL && sim->workers[slot].hub->asks.count > 0)
            return false;
    return true;
}

/* ---- Life ---- */

static void leave_to_the_backend(struct hf_config *c)
{
    const char *why;
    struct hf_namespace *ns;

    hf_assert(hf_namespaces_add(&c->namespaces, HF_STR("*"), &ns, &why) == 0);
    for (int right = 0; right < HF_RIGHTS; right++)
        hf_assert(hf_namespace_allow(&c->namespaces, ns, (enum hf_right)right,
                                     right == HF_RIGHT_PUBLISH ? HF_STR("backend") : HF_STR("all"),
                                     &why) == 0);
    snprintf(c->hooks.url[HF_HOOK_PUBLISH], HF_URL_MAX, "http://backend/");
}

void sim_judge_start(struct sim *sim)
{
    memset(&judge, 0, sizeof(judge));
    sim_actor_add(sim, &judge.actor, judge_act, NULL);
    sim->options.judged = sim_chance(sim, JUDGED_PERCENT);
    if (sim->options.judged)
        leave_to_the_backend(&sim->config);
}

void sim_judge_free(struct sim *sim)
{
    sim_actor_remove(sim, &judge.actor);
}
