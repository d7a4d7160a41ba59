#include "session/client_session_impl.h"

static void live_gone(struct hf_client_session *s, uint64_t now_ms)
{
    const struct hf_ending gone = {.why = "the network that the connection was made on is gone",
                                   .cause = HF_CAUSE_OWN};

    hf_cs_live_ended(s, &gone, now_ms);
}

/*
 * Whether the attempt under way may be begun anew. Not once its request is out: the server could take it after the new one, and the session would be
 * superseded by itself. It has its deadline.
 */
static bool may_begin_anew(const struct hf_client_session *s)
{
    return s->next != HF_NO_SLOT && s->links[s->next].state < HF_LINK_OPENING;
}

/* Make, or go on to make, the connection that shall follow. One that was begun on a way which is not the way any more is begun anew. */
static void make_next(struct hf_client_session *s, bool old_way, uint64_t now_ms)
{
    if (old_way && may_begin_anew(s))
        hf_cs_drop_next(s);
    if (s->next == HF_NO_SLOT)
        hf_cs_start_attempt(s, false, now_ms);
    else
        hf_cs_release_next(s, now_ms);
}

static void network_of_live(struct hf_client_session *s, const struct hf_network_facts *facts, bool back,
                            bool next_old, uint64_t now_ms)
{
    enum hf_session_path path = facts->paths[s->live];

    if (path == HF_PATH_GONE) {
        if (next_old && may_begin_anew(s))
            hf_cs_drop_next(s);
        live_gone(s, now_ms);
        return;
    }
    if (facts->offline)
        return; /* It may yet come back, and the heartbeat tells when it has taken too long. */
    hf_heartbeat_doubted(&s->heartbeat);
    if (path == HF_PATH_MOVED || back)
        make_next(s, back || next_old, now_ms);
}

static void network_of_waiting(struct hf_client_session *s, bool offline, uint64_t now_ms)
{
    uint64_t soon = now_ms + hf_rng_below(&s->rng, HF_BACKOFF_OWN_MS_MAX + 1);

    if (offline) {
        if (s->attempt_at_ms < now_ms + HF_OFFLINE_PROBE_MS)
            s->attempt_at_ms = now_ms + HF_OFFLINE_PROBE_MS;
    } else if (soon < s->attempt_at_ms) {
        s->attempt_at_ms = soon;
    }
}

/* An attempt whose packets went out on a way that is gone would wait for its deadline. */
static void network_of_attempt(struct hf_client_session *s, bool next_old, uint64_t now_ms)
{
    if (!next_old || !may_begin_anew(s))
        return;
    hf_cs_drop_next(s);
    /* CONNECTING and OPENING need a `next`: through WAITING to the new one, without a pause and without news for the application. */
    hf_cs_move(s, HF_CLIENT_WAITING);
    hf_cs_start_attempt(s, false, now_ms);
}

void hf_cs_network(struct hf_client_session *s, const struct hf_network_facts *facts, uint64_t now_ms)
{
    bool back = s->offline && !facts->offline;
    bool next_old = s->next != HF_NO_SLOT && facts->paths[s->next] != HF_PATH_SAME;

    s->offline = facts->offline;
    hf_heartbeat_disturbed(&s->heartbeat);
    hf_cs_probe_abandon(s, now_ms);
    switch (s->state) {
    case HF_CLIENT_LIVE:
        network_of_live(s, facts, back, next_old, now_ms);
        break;
    case HF_CLIENT_WAITING:
        network_of_waiting(s, facts->offline, now_ms);
        break;
    case HF_CLIENT_CONNECTING:
    case HF_CLIENT_OPENING:
        if (!facts->offline)
            network_of_attempt(s, back || next_old, now_ms);
        break;
    case HF_CLIENT_CLOSING:
    case HF_CLIENT_ENDED:
        break;
    }
}

void hf_client_session_doubted(struct hf_client_session *s)
{
    if (s->state == HF_CLIENT_LIVE)
        hf_heartbeat_doubted(&s->heartbeat);
}

int hf_client_session_live_slot(const struct hf_client_session *s)
{
    return s->live;
}

uint64_t hf_client_session_hard_ms(const struct hf_client_session *s)
{
    return hf_heartbeat_hard_ms(&s->heartbeat);
}
