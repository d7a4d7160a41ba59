#include "sim/roaming.h"

#include "sim/client.h"
#include "sim/network.h"
#include "sim/sim.h"

enum {
    OUTAGE_MEAN_MS = 8000, /* some are longer than the half minute between two probes */
    SLEEP_MEAN_MS = 4000,
    NEWS_MS_MAX = 400,   /* the watcher's debouncing, and some */
    SILENT_PERCENT = 15, /* of what happens the system says nothing */
};

/* ---- What the system says ---- */

void sim_roaming_start(struct sim_client *c)
{
    c->news = (struct sim_news){.at_ms = SIM_NEVER};
}

/* It will be heard a little later, together with what has not been heard yet. */
static struct sim_news *news(struct sim_client *c)
{
    struct sim *sim = c->sim;

    if (c->news.at_ms == SIM_NEVER)
        c->news.at_ms = sim->now_ms + sim_between(sim, 0, NEWS_MS_MAX);
    sim_actor_poke(&c->driver, c->news.at_ms);
    return &c->news;
}

static void tell(struct sim_client *c, const struct sim_news *heard)
{
    struct hf_network_facts facts = {.offline = heard->offline};

    for (unsigned slot = 0; slot < HF_CLIENT_SESSION_SLOTS; slot++)
        if (c->socket[slot] != NULL && c->socket[slot]->attempt <= heard->up_to_attempt)
            facts.paths[slot] = heard->path;
    sim_states_way(c);
    hf_client_session_network(c->session, &facts, c->sim->now_ms);
}

void sim_roaming_hear(struct sim_client *c)
{
    static const char *const paths[] = {
        [HF_PATH_SAME] = "", [HF_PATH_MOVED] = " moved", [HF_PATH_GONE] = " address gone"};
    struct sim *sim = c->sim;
    struct sim_news heard = c->news;

    if (heard.at_ms > sim->now_ms) {
        if (heard.at_ms != SIM_NEVER)
            sim_actor_poke(&c->driver, heard.at_ms);
        return;
    }
    c->news.at_ms = SIM_NEVER;
    c->news.woke_up = false;
    c->news.path = HF_PATH_SAME;
    c->news.up_to_attempt = 0;
    sim_tell(sim, "client %u hears:%s%s%s", c->index, heard.offline ? " offline" : "", paths[heard.path],
             heard.woke_up ? " woke up" : "");
    sim_states_signal(c);
    if (heard.woke_up)
        hf_client_session_woke_up(c->session, sim->now_ms);
    sim_states_signal(c); /* It may have promised something in the meantime. */
    tell(c, &heard);
}

/* ---- What happens ---- */

/* The connections that there are, or are being made, are not on the way that new ones will take. */
static void way_is_another(struct sim_client *c, enum hf_session_path path)
{
    struct sim_news *n = news(c);

    n->path = path > n->path ? path : n->path;
    for (unsigned slot = 0; slot < HF_CLIENT_SESSION_SLOTS; slot++)
        if (c->socket[slot] != NULL && c->socket[slot]->attempt > n->up_to_attempt)
            n->up_to_attempt = c->socket[slot]->attempt;
}

/* Another network, another address: what stood is dead, and nobody is told but, perhaps, by the system. */
static void move_on(struct sim *sim, struct sim_client *c)
{
    bool gone = sim_chance(sim, 60);

    sim_tell(sim, "client %u moves to another network", c->index);
    sim->stats->moves++;
    sim_network_forsake(sim, c);
    if (sim_chance(sim, SILENT_PERCENT))
        return;
    way_is_another(c, gone ? HF_PATH_GONE : HF_PATH_MOVED);
}

static void lose_network(struct sim *sim, struct sim_client *c)
{
    c->unreachable_until_ms = sim->now_ms + sim_spread(sim, OUTAGE_MEAN_MS);
    sim_tell(sim, "client %u has no network for %llu ms", c->index,
             (unsigned long long)(c->unreachable_until_ms - sim->now_ms));
    sim->stats->outages++;
    if (sim_chance(sim, 50))
        sim_network_forsake(sim, c);
    else
        sim_network_suspend(sim, c, c->unreachable_until_ms);
    if (!sim_chance(sim, SILENT_PERCENT))
        news(c)->offline = true;
}

/* "because signals lie": there is no way, it says, or there is one, or another. */
static void lie(struct sim *sim, struct sim_client *c)
{
    news(c)->offline = sim_chance(sim, 50);
    if (sim_chance(sim, 30))
        way_is_another(c, HF_PATH_MOVED);
}

void sim_roaming_sleep(struct sim *sim, struct sim_client *c, uint64_t ms_mean)
{
    c->asleep_until_ms = sim->now_ms + sim_spread(sim, ms_mean);
    sim_tell(sim, "client %u sleeps for %llu ms", c->index,
             (unsigned long long)(c->asleep_until_ms - sim->now_ms));
    if (!sim_chance(sim, SILENT_PERCENT))
        news(c)->woke_up = true; /* It will hear it then. */
}

static void change_use(struct sim *sim, struct sim_client *c)
{
    bool background = sim_chance(sim, 50);

    if (c->session == NULL)
        return;
    if (!background)
        sim_states_signal(c);
    c->background = background;
    hf_client_session_background(c->session, background, sim->now_ms);
    sim_actor_poke(&c->driver, sim->now_ms);
}

void sim_roaming_fault(struct sim *sim)
{
    struct sim_client *c = sim->clients[sim_between(sim, 0, sim->options.clients - 1)];

    switch (sim_between(sim, 0, 7)) {
    case 0:
    case 1:
        move_on(sim, c);
        break;
    case 2:
    case 3:
        lose_network(sim, c);
        break;
    case 4: /* It is over, and the system says so: or what it says is early. */
        news(c)->offline = false;
        break;
    case 5:
        lie(sim, c);
        break;
    case 6:
        sim_roaming_sleep(sim, c, SLEEP_MEAN_MS);
        break;
    default:
        change_use(sim, c);
        break;
    }
}

void sim_roaming_settle(struct sim_client *c)
{
    struct sim *sim = c->sim;

    c->unreachable_until_ms = 0;
    if (c->news.offline && !sim_chance(sim, SILENT_PERCENT)) /* Else a probe finds out. */
        news(c)->offline = false;
    if (!c->background || c->session == NULL)
        return;
    sim_states_signal(c);
    hf_client_session_background(c->session, false, sim->now_ms);
}
