#include "sim/client.h"

#include "base/assert.h"
#include "sim/network.h"
#include "sim/oracle.h"
#include "sim/roaming.h"
#include "sim/sim.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    ROUNDS = 4, /* one slot's news may change what is wanted in the other */
    WRITES_MAX = 8,
    TOO_LARGE_PERCENT = 1,
    CALLBACK_PUBLISH_PERCENT = 3,
};

/* ---- The driver: as src/client/socket.c and client.c, see client_session.h ---- */

static bool still_wanted(const struct sim_client *c, unsigned slot)
{
    struct hf_client_session_want want;

    if (c->store.dead)
        return false;
    want = hf_client_session_want(c->session, slot);

    return c->socket[slot] != NULL && want.attempt == c->socket[slot]->attempt && want.wish != HF_WISH_NONE;
}

static void close_socket(struct sim_client *c, unsigned slot)
{
    sim_conn_close(c->sim, c->socket[slot], SIM_CLIENT);
    c->socket[slot] = NULL;
    c->connect_told[slot] = c->write_ended[slot] = false;
}

static void lost(struct sim_client *c, unsigned slot, const char *why)
{
    close_socket(c, slot);
    hf_client_session_lost(c->session, slot, why, c->sim->now_ms);
}

static void read_some(struct sim_client *c, unsigned slot)
{
    struct sim *sim = c->sim;
    uint32_t len;

    while (still_wanted(c, slot) && (len = sim_conn_readable(sim, c->socket[slot], SIM_CLIENT)) > 0) {
        uint8_t *data;

        if (sim_chance(sim, 20))
            len = (uint32_t)sim_between(sim, 1, len);
        data = malloc(len);
        hf_assert(data != NULL);
        sim_conn_read(sim, c->socket[slot], SIM_CLIENT, data, len);
        c->states.reading = c->socket[slot]->attempt;
        hf_client_session_recv(c->session, slot, data, len, sim->now_ms);
        c->states.reading = 0;
        free(data);
    }
    if (!still_wanted(c, slot))
        return;
    switch (sim_conn_end(sim, c->socket[slot], SIM_CLIENT)) {
    case SIM_END_NONE:
        break;
    case SIM_END_FIN:
        lost(c, slot, "the server ended the connection without a word");
        break;
    case SIM_END_RESET:
        lost(c, slot, "the connection was reset");
        break;
    }
}

static void take_events(struct sim_client *c, unsigned slot)
{
    if (!still_wanted(c, slot))
        return;
    if (!c->connect_told[slot]) {
        if (c->socket[slot]->connect_at_ms != SIM_NEVER)
            return;
        if (c->socket[slot]->refused) {
            lost(c, slot, "the connection was refused");
            return;
        }
        c->connect_told[slot] = true;
        hf_client_session_connected(c->session, slot, c->sim->now_ms);
    }
    if (c->reads_from_ms <= c->sim->now_ms)
        read_some(c, slot);
}

/* Returns whether all is written. */
static bool write_some(struct sim_client *c, unsigned slot)
{
    for (int i = 0; i < WRITES_MAX; i++) {
        struct hf_str out = hf_client_session_output(c->session, slot, c->sim->now_ms);
        long n;

        if (c->store.dead)
            return false;
        if (out.len == 0)
            return true;
        if (!still_wanted(c, slot))
            return false;
        n = sim_conn_write(c->sim, c->socket[slot], SIM_CLIENT, out.data, out.len);
        if (n < 0) {
            read_some(c, slot); /* What the server said before the end. */
            if (still_wanted(c, slot))
                lost(c, slot, "the connection was reset");
            return false;
        }
        c->socket[slot]->pipe[SIM_SERVER].room_due = false;
        hf_client_session_sent(c->session, slot, (size_t)n, c->sim->now_ms);
        if ((size_t)n < out.len)
            return false;
    }
    return false;
}

static void obey(struct sim_client *c, unsigned slot)
{
    struct hf_client_session_want want = hf_client_session_want(c->session, slot);

    if (c->store.dead)
        return;
    if (c->socket[slot] != NULL && !still_wanted(c, slot))
        close_socket(c, slot);
    switch (want.wish) {
    case HF_WISH_NONE:
        break;
    case HF_WISH_CONNECT:
        if (c->socket[slot] == NULL)
            sim_states_dials(c);
        if (c->socket[slot] == NULL)
            c->socket[slot] = sim_connect(c->sim, c, slot, want.attempt);
        break;
    case HF_WISH_CARRY:
        if (c->connect_told[slot])
            (void)write_some(c, slot);
        break;
    case HF_WISH_CLOSE:
        if (!c->write_ended[slot] && write_some(c, slot) && c->socket[slot] != NULL) {
            sim_conn_finish(c->sim, c->socket[slot], SIM_CLIENT);
            c->write_ended[slot] = true;
        }
        break;
    }
}

/* The process is dead: the kernel closes its sockets, and nothing but its store is left. */
static void bury(struct sim_client *c)
{
    for (unsigned slot = 0; slot < HF_CLIENT_SESSION_SLOTS; slot++)
        if (c->socket[slot] != NULL)
            close_socket(c, slot);
    hf_client_session_free(c->session);
    c->session = NULL;
    c->reborn_at_ms = c->sim->now_ms + sim_spread(c->sim, 1500);
    c->driver.at_ms = c->reborn_at_ms;
    c->application.at_ms = SIM_NEVER;
    c->sim->stats->deaths++;
    sim_tell(c->sim, "client %u: its process is dead, %u publishes are left", c->index, c->store.count);
}

/* What its sockets and the clock have for it. */
static void live(struct sim_client *c)
{
    struct sim *sim = c->sim;
    uint64_t deadline_ms;

    sim_roaming_hear(c);
    for (unsigned slot = 0; slot < HF_CLIENT_SESSION_SLOTS; slot++)
        take_events(c, slot);
    if (!c->store.dead && hf_client_session_deadline_ms(c->session) <= sim->now_ms)
        hf_client_session_tick(c->session, sim->now_ms);
    for (unsigned i = 0; i < ROUNDS; i++)
        obey(c, i % HF_CLIENT_SESSION_SLOTS);
    deadline_ms = hf_client_session_deadline_ms(c->session);
    if (deadline_ms <= sim->now_ms)
        deadline_ms = sim->now_ms + 1;
    if (c->reads_from_ms > sim->now_ms)
        sim_actor_poke(&c->driver, c->reads_from_ms);
    sim_actor_poke(&c->driver, deadline_ms);
}

static void reborn(struct sim_client *c);

static void driver_act(struct sim *sim, void *self)
{
    struct sim_client *c = self;
    uint64_t not_before_ms = c->session == NULL ? c->reborn_at_ms : c->asleep_until_ms;

    if (not_before_ms > sim->now_ms) {
        c->driver.at_ms = not_before_ms;
        return;
    }
    if (c->session == NULL)
        reborn(c);
    live(c);
    if (c->store.dead)
        bury(c);
}

void sim_client_poke(struct sim *sim, struct sim_client *c)
{
    sim_actor_poke(&c->driver, sim->now_ms + sim_between(sim, 0, 1));
}

/* ---- The application ---- */

static uint32_t payload_bytes(struct sim_client *c)
{
    struct sim *sim = c->sim;

    if (sim_chance(
            sim,
            TOO_LARGE_PERCENT)) /* To be refused by nack, by the end of the connection, or by the client itself. */
        return (uint32_t)sim_between(sim, sim->config.message_bytes_max + 1, SIM_PAYLOAD_MAX - 1);
    return (uint32_t)sim_between(sim, 0, sim_chance(sim, 30) ? sim->options.pad_bytes : 64);
}

static bool publish(struct sim_client *c)
{
    struct sim *sim = c->sim;
    uint32_t channel = (uint32_t)sim_between(sim, 0, sim->options.channels - 1);
    uint32_t n = c->published + 1, bytes = payload_bytes(c);
    char payload[SIM_PAYLOAD_MAX], id[32];
    struct hf_str id_text = {NULL, 0};
    uint64_t publish_id = 0;
    size_t len = sim_payload(c->index, n, channel, bytes, payload);
    int err;

    if (n >= SIM_PUBLISHES_MAX || c->ended)
        return false;
    if (sim_chance(sim, 20))
        id_text = (struct hf_str){id, (size_t)snprintf(id, sizeof(id), "id-%u", n)};
    err = sim_payload_raw(c->index, n)
              ? hf_client_session_publish_bytes(c->session, sim_channel_name(channel), id_text,
                                                (struct hf_str){payload, len},
                                                (struct hf_completion){NULL, NULL}, &publish_id, sim->now_ms)
              : hf_client_session_publish(c->session, sim_channel_name(channel), id_text,
                                          (struct hf_str){payload, len}, &publish_id, sim->now_ms);
    if (err == HF_EAGAIN || err == HF_ESTATE || (c->store.dead && sim_store_last_id(&c->store) < n))
        return false;
    if (c->store.dead) { /* It was kept, and the application did not live to be told so. */
        c->published = n;
        sim_oracle_published(sim, c->index, n, channel, bytes);
        return false;
    }
    if (err == HF_ETOOLARGE) {
        if (len <= sim->config.message_bytes_max)
            sim_fail(sim, "client %u refuses a payload of %zu bytes", c->index, len);
        return false;
    }
    if (err < 0 || publish_id != n) {
        sim_fail(sim, "client %u: publish %u gave %d, number %llu", c->index, n, err,
                 (unsigned long long)publish_id);
        return false;
    }
    c->published = n;
    sim_oracle_published(sim, c->index, n, channel, bytes);
    return true;
}

static void subscribe(struct sim_client *c, uint32_t channel)
{
    struct sim *sim = c->sim;
    struct hf_client_session_start start = {.since_offset = 0};
    uint64_t offset;
    char epoch[32];
    int err;

    if (sim_oracle_position(sim, c->index, channel, epoch, &offset) && sim_chance(sim, 70)) {
        start.since_epoch = hf_str_from(epoch);
        start.since_offset = offset;
    } else if (sim_chance(sim, 20)) {
        start.last = sim_between(sim, 1, 20);
    } else if (sim_chance(sim, 20)) {
        start.latest = true;
    }
    err = hf_client_session_subscribe(c->session, sim_channel_name(channel), &start, sim->now_ms);
    if (err == 0)
        sim_oracle_subscribes(sim, c->index, channel, &start);
    else
        sim_fail(sim, "client %u: subscribe gave %d", c->index, err);
}

static void change_subscription(struct sim_client *c)
{
    uint32_t channel = (uint32_t)sim_between(c->sim, 0, c->sim->options.channels - 1);

    if (sim_oracle_leaving(c->sim, c->index, channel))
        return; /* Its end has not been told: HF_EEXIST. */
    if (!sim_oracle_subscribed(c->sim, c->index, channel)) {
        subscribe(c, channel);
        return;
    }
    sim_oracle_unsubscribes(c->sim, c->index, channel);
    if (hf_client_session_unsubscribe(c->session, sim_channel_name(channel), c->sim->now_ms) < 0)
        sim_fail(c->sim, "client %u cannot unsubscribe", c->index);
}

/* A watcher that knows nothing and says anything: what it says may cost time, never a message. */
static void tell_network(struct sim_client *c)
{
    struct hf_network_facts facts = {.offline = sim_chance(c->sim, 20)};
    unsigned slot;

    for (slot = 0; slot < HF_CLIENT_SESSION_SLOTS; slot++)
        facts.paths[slot] = (enum hf_session_path)sim_between(c->sim, HF_PATH_SAME, HF_PATH_GONE);
    hf_client_session_network(c->session, &facts, c->sim->now_ms);
}

static void application_act(struct sim *sim, void *self)
{
    struct sim_client *c = self;

    c->application.at_ms = sim->now_ms + sim_spread(sim, sim->options.pace_mean_ms);
    if (sim->settling || c->ended || c->session == NULL) {
        c->application.at_ms = SIM_NEVER;
        return;
    }
    if (c->asleep_until_ms > sim->now_ms)
        return;
    if (c->publishes && sim_chance(sim, 85)) {
        for (uint64_t i = sim_between(sim, 1, sim->options.burst); i > 0 && publish(c); i--)
            ;
    } else if (sim_chance(sim, 80)) {
        change_subscription(c);
    } else if (sim_chance(sim, 70)) {
        sim_states_signal(c);
        sim_states_way(c);
        tell_network(c);
    } else {
        hf_client_session_output_stuck(c->session, (unsigned)sim_between(sim, 0, 1), sim->now_ms);
    }
    sim_actor_poke(&c->driver, sim->now_ms);
    if (c->store.dead)
        bury(c);
}

static void on_event(void *ctx, const struct hf_client_session_event *ev)
{
    struct sim_client *c = ctx;
    struct sim *sim = c->sim;

    if (c->store.dead)
        return;
    if (ev->type == HF_CSE_ENDED)
        c->ended = true;
    sim_states_told(c, ev);
    sim_oracle_told(sim, c->index, ev);
    /* An application may publish whenever it is told something. */
    if (ev->type == HF_CSE_MESSAGE && c->publishes && !sim->settling &&
        sim_chance(sim, CALLBACK_PUBLISH_PERCENT))
        (void)publish(c);
}

struct sim_client *sim_client_new(struct sim *sim, uint32_t index,
                                  void (*told)(void *, const struct hf_client_session_event *))
{
    struct sim_client *c = calloc(1, sizeof(*c));
    struct hf_client_session_config config = {
        .host = "sim:80",
        .target = "/ws",
        .outbox_messages_max = (uint32_t)sim_between(sim, 4, 400),
        .outbox_bytes_max = 256 * 1024,
        /* Where much is refused, no more than a resumed session tells again. */
        .window = (uint32_t)sim_between(sim, 1, sim->config.publish_rate > 0 ? HF_REFUSALS_MAX : 200),
        .subscriptions_max = 64,
        .recv_bytes_max = 1 << 20,
        .seed = hf_rng_next(&sim->rng),
        .offer = sim_chance(sim, 50) ? HF_OFFER_BOTH : HF_OFFER_JSON,
        .on_event = told,
        .ctx = c,
    };

    hf_assert(c != NULL);
    c->sim = sim;
    c->index = index;
    c->config = config;
    /* A thief is nobody's process. */
    c->durable = told == on_event && sim->options.deaths && sim_chance(sim, 80);
    sim_store_init(&c->store, sim);
    if (c->durable)
        c->config.store = &c->store.store;
    sim_states_start(c);
    sim_roaming_start(c);
    hf_assert(hf_client_session_new(&c->config, sim->now_ms, &c->session) == 0);
    sim_actor_add(sim, &c->driver, driver_act, c);
    sim_actor_add(sim, &c->application, application_act, c);
    c->driver.at_ms = sim->now_ms + sim_between(sim, 0, 50);
    return c;
}

static void begin_application(struct sim_client *c)
{
    struct sim *sim = c->sim;

    c->publishes = c->index == 0 || sim_chance(sim, 70);
    c->closes = sim_chance(sim, 10);
    c->application.at_ms = sim->now_ms + sim_spread(sim, sim->options.pace_mean_ms);
}

/* The next process: it subscribes to what the one before it had, behind what that one's application has. */
static void reborn(struct sim_client *c)
{
    struct sim *sim = c->sim;

    c->store.dead = false;
    c->store.die_in = 0;
    c->config.seed = hf_rng_next(&sim->rng);
    c->background = false;
    sim_states_start(c);
    hf_assert(hf_client_session_new(&c->config, sim->now_ms, &c->session) == 0);
    sim_tell(sim, "client %u: a new process, %u publishes are left", c->index,
             hf_client_session_unanswered(c->session));
    if (hf_client_session_next_id(c->session) != c->published + 1)
        sim_fail(sim, "client %u: goes on with publish %u behind %u", c->index,
                 (unsigned)hf_client_session_next_id(c->session), c->published);
    sim->stats->successions += hf_client_session_unanswered(c->session) > 0;
    sim_oracle_reborn(sim, c->index);
    for (uint32_t channel = 0; channel < sim->options.channels; channel++)
        if (sim_oracle_subscribed(sim, c->index, channel))
            subscribe(c, channel);
    if (sim->settling && c->closes)
        hf_client_session_close(c->session, sim->now_ms);
    c->application.at_ms = sim->now_ms + sim_spread(sim, sim->options.pace_mean_ms);
}

void sim_client_kill(struct sim_client *c)
{
    if (!c->durable || c->session == NULL || c->ended)
        return;
    if (sim_chance(c->sim, 60)) {
        c->store.die_in = (uint32_t)sim_between(c->sim, 1, 12);
        return;
    }
    c->store.dead = true;
    bury(c);
}

void sim_clients_start(struct sim *sim)
{
    for (uint32_t i = 0; i < sim->options.clients; i++) {
        sim->clients[i] = sim_client_new(sim, i, on_event);
        begin_application(sim->clients[i]);
        for (uint32_t channel = 0; channel < sim->options.channels; channel++)
            if (sim_chance(sim, i == 1 ? 90 : 50))
                subscribe(sim->clients[i], channel);
    }
}

void sim_clients_settle(struct sim *sim)
{
    for (uint32_t i = 0; i < sim->options.clients; i++) {
        struct sim_client *c = sim->clients[i];

        c->reads_from_ms = c->reborn_at_ms = 0;
        if (c->asleep_until_ms > sim->now_ms) /* It slept until now, and what it has to do begins now. */
            c->asleep_until_ms = sim->now_ms;
        c->store.die_in = 0;
        sim_roaming_settle(c);
        if (c->closes && c->session != NULL)
            hf_client_session_close(c->session, sim->now_ms);
        sim_actor_poke(&c->driver, sim->now_ms);
    }
}

bool sim_client_settled(const struct sim_client *c)
{
    if (c->session == NULL)
        return false;
    if (c->ended)
        return c->socket[0] == NULL && c->socket[1] == NULL;
    return hf_client_state_connected(hf_client_session_state(c->session)) &&
           hf_client_session_unanswered(c->session) == 0;
}

void sim_client_free(struct sim_client *c)
{
    if (c == NULL)
        return;
    for (unsigned slot = 0; slot < HF_CLIENT_SESSION_SLOTS; slot++)
        if (c->socket[slot] != NULL)
            close_socket(c, slot);
    hf_client_session_free(c->session);
    sim_store_release(&c->store);
    sim_actor_remove(c->sim, &c->driver);
    sim_actor_remove(c->sim, &c->application);
    free(c);
}

void sim_clients_free(struct sim *sim)
{
    for (uint32_t i = 0; i < sim->options.clients; i++) {
        sim_client_free(sim->clients[i]);
        sim->clients[i] = NULL;
    }
}
