/*
 * harm.c - what the demo breaks on purpose. Nothing here runs unless demo.enabled: only its routes ask for it.
 */
#include "server/hub_state.h"
#include "server/service.h"

#include "base/assert.h"

#include <assert.h>

/*
 * At most one in that time, of all workers together: a page's buttons stay quick, and a script cannot keep the server down. Kills are so far apart that a successor is
 * there, and its clients are back, before the next one; both are guesses.
 */
enum { KILL_KIND, KINDS = HF_HARM_FREEZE + 1, KILL_EVERY_MS = 3000, HARM_EVERY_MS = 200 };

static_assert(sizeof(((struct hf_region_header *)NULL)->harmed_ms) == KINDS * sizeof(uint64_t),
              "one for each kind");

bool hf_service_may_harm(struct hf_hub *hub, unsigned kind)
{
    _Atomic uint64_t *at = hub->region->header->harmed_ms;
    uint64_t last, now = hub->now.mono_ms;

    hf_assert(kind < KINDS);
    at += kind;
    last = atomic_load(at);
    if (last != 0 && now < last + (kind == KILL_KIND ? KILL_EVERY_MS : HARM_EVERY_MS))
        return false;
    return atomic_compare_exchange_strong(at, &last, now);
}

/* Returns whether a worker holds it; *state is then the session's. */
static bool held(const struct hf_hub *hub, struct hf_str session, uint64_t *state)
{
    const struct hf_session *s = hf_sessions_get(&hub->sessions, hf_service_session(session));

    *state = s == NULL ? 0 : atomic_load(&s->state);
    return s != NULL && hf_state_phase(*state) == HF_SESSION_LIVE;
}

bool hf_service_held(struct hf_hub *hub, struct hf_str session)
{
    uint64_t state;

    return held(hub, session, &state);
}

bool hf_service_kill_worker(struct hf_hub *hub, struct hf_str session)
{
    uint64_t state;

    if (!held(hub, session, &state))
        return false;
    atomic_store(&hub->region->slots[hf_state_owner(state)].condemned, 1);
    return true;
}

bool hf_harm_known(uint16_t code)
{
    return code == HF_HARM_DROP || code == HF_HARM_FREEZE;
}

int hf_harm_apply(struct hf_conn *c, uint16_t harm)
{
    const struct hf_transport *transport = c->hub->transport;

    if (harm == HF_HARM_DROP) {
        hf_conn_drop(c, HF_CLOSE_ABNORMAL);
        return 0;
    }
    return transport->freeze != NULL &&
                   transport->freeze(transport->ctx, hf_conn_socket(c), HF_HARM_FREEZE_MS)
               ? 0
               : HF_ELIMIT;
}

uint32_t hf_service_slot(const struct hf_hub *hub)
{
    return hub->slot;
}
