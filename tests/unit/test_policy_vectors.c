/*
 * test_policy_vectors.c - the vectors of tests/vectors/heartbeat and tests/vectors/backoff (their README.md): facts that are told to a heartbeat, a policy, its
 * memory or a backoff, and what each then says. The TypeScript client plays the same files.
 */
#include "vector_file.h"

#include "base/buf.h"
#include "session/backoff.h"
#include "session/client_state.h"
#include "session/heartbeat.h"
#include "session/heartbeat_adaptive.h"
#include "session/heartbeat_classic.h"
#include "session/heartbeat_memory.h"

enum { BEGIN_MS = 1000000, TEXT_MAX = 1 << 16 };

/* All that a vector may be about. */
struct played {
    const json_t *config;
    struct hf_heartbeat heartbeat;
    struct hf_heartbeat_classic classic;
    struct hf_heartbeat_adaptive adaptive;
    struct hf_heartbeat_memory memory;
    struct hf_heartbeat_policy *policy;
    struct hf_backoff backoff;
    struct hf_rng rng;
};

static void put(json_t *in, const char *name, uint64_t number)
{
    json_object_set_new(in, name, json_integer((json_int_t)number));
}

static void put_hex(json_t *in, const char *name, uint64_t number)
{
    json_object_set_new(in, name, json_sprintf("%016llx", (unsigned long long)number));
}

static bool is(const json_t *in, const char *name)
{
    return vector_is(in, "in", name);
}

static void no_such_input(const json_t *in)
{
    fail_msg("there is no input \"%s\"", vector_text(in, "in"));
}

/* --- heartbeat --- */

static void play_heartbeat(struct played *p, json_t *in, uint64_t now_ms)
{
    static const char *const dues[] = {[HF_HEARTBEAT_OK] = "nothing",
                                       [HF_HEARTBEAT_PING] = "ping",
                                       [HF_HEARTBEAT_SUSPECT] = "suspect",
                                       [HF_HEARTBEAT_DEAD] = "dead"};
    struct hf_heartbeat *h = &p->heartbeat;
    uint64_t next_ms;

    if (is(in, "opened"))
        hf_heartbeat_opened(h, now_ms);
    else if (is(in, "interval"))
        hf_heartbeat_set_interval(h, vector_u64(in, "ms", 0));
    else if (is(in, "measured"))
        hf_heartbeat_measured(h, vector_u64(in, "ms", 0));
    else if (is(in, "received"))
        hf_heartbeat_data_received(h, now_ms);
    else if (is(in, "sent"))
        hf_heartbeat_data_sent(h, now_ms);
    else if (is(in, "moved"))
        hf_heartbeat_output_moved(h, now_ms);
    else if (is(in, "doubted"))
        hf_heartbeat_doubted(h);
    else if (is(in, "answer_late"))
        hf_heartbeat_answer_late(h, BEGIN_MS + vector_u64(in, "since", 0));
    else if (is(in, "pong"))
        hf_heartbeat_pong_received(h, vector_u64(in, "id", 0), now_ms);
    else if (is(in, "tick"))
        json_object_set_new(in, "due", json_string(dues[hf_heartbeat_tick(h, now_ms)]));
    else
        no_such_input(in);
    next_ms = hf_heartbeat_deadline_ms(h);
    put(in, "soft", hf_heartbeat_soft_ms(h));
    put(in, "hard", hf_heartbeat_hard_ms(h));
    put(in, "next", next_ms == 0 ? 0 : next_ms - BEGIN_MS);
}

/* --- policies --- */

static enum hf_heartbeat_probe outcome_of(const json_t *in)
{
    if (vector_is(in, "outcome", "alive"))
        return HF_HEARTBEAT_PROBE_ALIVE;
    return vector_is(in, "outcome", "dead") ? HF_HEARTBEAT_PROBE_DEAD : HF_HEARTBEAT_PROBE_UNKNOWN;
}

static void play_policy(struct played *p, json_t *in, uint64_t now_ms)
{
    struct hf_heartbeat_policy *policy = p->policy;
    const struct hf_heartbeat_beat beat = {vector_u64(in, "gap", 0), vector_true(in, "scheduled")};

    if (is(in, "connected"))
        hf_heartbeat_policy_connected(policy, now_ms);
    else if (is(in, "answered"))
        hf_heartbeat_policy_record_success(policy, &beat, now_ms);
    else if (is(in, "missed"))
        hf_heartbeat_policy_record_failure(policy, &beat, now_ms);
    else if (is(in, "disturbed"))
        hf_heartbeat_policy_disturbed(policy);
    else if (is(in, "bound"))
        hf_heartbeat_policy_set_bound(policy, vector_u64(in, "ms", 0));
    else if (is(in, "tolerance"))
        hf_heartbeat_adaptive_set_tolerance(&p->adaptive, vector_u64(in, "ms", 0));
    else if (is(in, "network"))
        hf_heartbeat_policy_set_network(policy, vector_hex(in, "key"), now_ms);
    else if (is(in, "probed"))
        hf_heartbeat_policy_probe_ended(policy, vector_u64(in, "gap", 0), outcome_of(in), now_ms);
    else if (is(in, "reset"))
        hf_heartbeat_policy_reset(policy);
    else if (!is(in, "look"))
        no_such_input(in);
    put(in, "interval", hf_heartbeat_policy_interval_ms(policy));
    put(in, "longest", hf_heartbeat_policy_longest_ms(policy));
    put(in, "probe", hf_heartbeat_policy_probe_gap_ms(policy, now_ms));
}

/* --- what is remembered of networks --- */

static void put_found(const struct played *p, json_t *in, uint64_t now_ms)
{
    const struct hf_heartbeat_network *n =
        hf_heartbeat_memory_find(&p->memory, vector_hex(in, "key"), now_ms);

    json_object_set_new(
        in, "found",
        n == NULL ? json_null()
                  : json_pack("{s:I, s:I}", "lo", (json_int_t)n->lo_ms, "hi", (json_int_t)n->hi_ms));
}

static void put_text(const struct played *p, json_t *in, uint64_t now_ms)
{
    struct hf_buf text;

    hf_buf_init(&text, TEXT_MAX);
    assert_int_equal(hf_heartbeat_memory_encode(&p->memory, now_ms, vector_u64(in, "unix", 0), &text), 0);
    json_object_set_new(in, "text", json_stringn((const char *)text.data, text.len));
    hf_buf_release(&text);
}

static void play_memory(struct played *p, json_t *in, uint64_t now_ms)
{
    const char *reason = NULL;

    if (is(in, "read")) {
        int err = hf_heartbeat_memory_decode(&p->memory, hf_str_from(vector_text(in, "text")), now_ms,
                                             vector_u64(in, "unix", 0), &reason);

        json_object_set_new(in, "ok", json_boolean(err == 0));
    } else if (is(in, "put")) {
        const struct hf_heartbeat_network n = {.key = vector_hex(in, "key"),
                                               .lo_ms = vector_u64(in, "lo", 0),
                                               .hi_ms = vector_u64(in, "hi", 0),
                                               .probed_at_ms =
                                                   (int64_t)(BEGIN_MS + vector_u64(in, "probed", 0)),
                                               .seen_at_ms = (int64_t)(BEGIN_MS + vector_u64(in, "seen", 0))};

        hf_heartbeat_memory_put(&p->memory, &n);
    } else if (is(in, "drop")) {
        hf_heartbeat_memory_drop(&p->memory, vector_hex(in, "key"));
    } else if (is(in, "find")) {
        put_found(p, in, now_ms);
    } else if (is(in, "write")) {
        put_text(p, in, now_ms);
    } else {
        no_such_input(in);
    }
}

/* --- backoff --- */

static enum hf_backoff_cause cause_of(const json_t *in)
{
    static const struct {
        const char *name;
        enum hf_backoff_cause cause;
    } causes[] = {{"signal", HF_CAUSE_SIGNAL}, {"own", HF_CAUSE_OWN},     {"loss", HF_CAUSE_LOSS},
                  {"advice", HF_CAUSE_ADVICE}, {"retry", HF_CAUSE_RETRY}, {"refused", HF_CAUSE_REFUSED}};
    size_t i = 0;

    while (!vector_is(in, "cause", causes[i].name))
        assert_true(++i < sizeof(causes) / sizeof(causes[0]));
    return causes[i].cause;
}

static void play_backoff(struct played *p, json_t *in, uint64_t now_ms)
{
    if (is(in, "connected")) {
        hf_backoff_connected(&p->backoff, now_ms);
    } else if (is(in, "progressed")) {
        hf_backoff_progressed(&p->backoff);
    } else if (is(in, "background")) {
        hf_backoff_background(&p->backoff, vector_true(in, "background"));
    } else if (is(in, "ended")) {
        const struct hf_backoff_end end = {.cause = cause_of(in),
                                           .attempt_failed = vector_true(in, "failed"),
                                           .loss_spread_ms = vector_u64(in, "spread", 0),
                                           .min_ms = vector_u64(in, "min", 0),
                                           .max_ms = vector_u64(in, "max", 0)};

        put(in, "delay", hf_backoff_ended(&p->backoff, &end, &p->rng, now_ms));
    } else if (is(in, "signal")) {
        put(in, "delay", hf_backoff_signal_ms(&p->rng));
    } else {
        no_such_input(in);
    }
}

static void play_random(struct played *p, json_t *in, uint64_t now_ms)
{
    (void)now_ms;
    if (is(in, "next"))
        put_hex(in, "value", hf_rng_next(&p->rng));
    else if (is(in, "below"))
        put(in, "value", hf_rng_below(&p->rng, vector_u64(in, "n", 0)));
    else
        no_such_input(in);
}

/* --- states --- */

static enum hf_client_session_state state_of(const json_t *in, const char *name)
{
    int state = 0;

    while (!vector_is(in, name, hf_client_session_state_name((enum hf_client_session_state)state)))
        assert_true(++state < HF_CLIENT_STATE_COUNT);
    return (enum hf_client_session_state)state;
}

static void play_states(struct played *p, json_t *in, uint64_t now_ms)
{
    (void)p;
    (void)now_ms;
    if (!is(in, "may_follow"))
        no_such_input(in);
    json_object_set_new(in, "allowed",
                        json_boolean(hf_client_state_may_follow(state_of(in, "from"), state_of(in, "to"))));
}

/* --- all --- */

static void begin(struct played *p)
{
    bool remembers = vector_true(p->config, "memory");

    p->rng.state = vector_hex(p->config, "seed");
    hf_backoff_init(&p->backoff);
    hf_heartbeat_memory_init(&p->memory);
    hf_heartbeat_init(&p->heartbeat, NULL);
    hf_heartbeat_classic_init(&p->classic);
    hf_heartbeat_adaptive_init(&p->adaptive, vector_u64(p->config, "tolerance", 0),
                               remembers ? &p->memory : NULL, vector_hex(p->config, "seed"));
    p->policy = vector_is(p->config, "policy", "classic") ? &p->classic.base : &p->adaptive.base;
}

static void play(struct vector *v, unsigned variant)
{
    static const struct {
        const char *kind;
        void (*play)(struct played *, json_t *, uint64_t now_ms);
    } kinds[] = {{"heartbeat", play_heartbeat}, {"policy", play_policy}, {"memory", play_memory},
                 {"backoff", play_backoff},     {"random", play_random}, {"states", play_states}};
    struct played p = {.config = json_object_get(v->root, "config")};
    json_t *entry;
    size_t i, k = 0;

    (void)variant;
    while (!vector_is(v->root, "kind", kinds[k].kind))
        assert_true(++k < sizeof(kinds) / sizeof(kinds[0]));
    begin(&p);
    json_array_foreach(v->wanted, i, entry)
    {
        json_t *in = json_deep_copy(entry);

        kinds[k].play(&p, in, BEGIN_MS + vector_u64(in, "at", 0));
        json_array_append_new(v->seen, in);
    }
}

int main(int argc, char **argv)
{
    static const char *const folders[] = {"heartbeat", "backoff", NULL};
    static const struct vector_suite suite = {
        .name = "policies", .folders = folders, .least = 20, .variants = 1, .play = play};

    vector_arguments(argc, argv);
    return vector_run(&suite);
}
