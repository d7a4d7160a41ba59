#include "sim/thief.h"

#include "base/assert.h"
#include "session/client_session_impl.h"
#include "sim/client.h"
#include "sim/sim.h"

#include <string.h>

/* It delivers to nobody: what it gets is the client's, and is not acknowledged. */
static void on_event(void *ctx, const struct hf_client_session_event *ev)
{
    struct sim_client *thief = ctx;

    sim_states_told(thief, ev);
    if (ev->type == HF_CSE_CONNECTED)
        sim_tell(thief->sim, "the thief of client %u has %s", thief->index,
                 ev->resumed ? "its session" : "a session of its own");
    if (ev->type == HF_CSE_ENDED)
        thief->ended = true;
}

/* What a copy of the process knows, had it published nothing that is not answered; and its attempts go on from there. */
static void copy_ticket(struct hf_client_session *to, const struct hf_client_session *from)
{
    memcpy(to->ticket, from->ticket, from->ticket_len);
    to->ticket_len = from->ticket_len;
    to->attempts = from->attempts;
    to->outbox.first_id = hf_outbox_seq_sent(&from->outbox) + 1;
}

void sim_thief_steal(struct sim *sim)
{
    struct sim_client *victim = sim->clients[sim_between(sim, 0, sim->options.clients - 1)];
    struct sim_client *thief;

    if (sim->thief_count == SIM_THIEVES_MAX || victim->ended || victim->session == NULL ||
        victim->session->ticket_len == 0)
        return;
    sim_tell(sim, "somebody steals the session of client %u", victim->index);
    sim->stats->thefts++;
    thief = sim_client_new(sim, victim->index, on_event);
    copy_ticket(thief->session, victim->session);
    victim->robbed = thief->robbed = true;
    sim->thieves[sim->thief_count++] = thief;
}

void sim_thieves_settle(struct sim *sim)
{
    for (uint32_t i = 0; i < sim->thief_count; i++) {
        hf_client_session_close(sim->thieves[i]->session, sim->now_ms);
        sim_actor_poke(&sim->thieves[i]->driver, sim->now_ms);
    }
}

void sim_thieves_free(struct sim *sim)
{
    while (sim->thief_count > 0)
        sim_client_free(sim->thieves[--sim->thief_count]);
}
