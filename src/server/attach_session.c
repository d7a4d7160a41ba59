/*
 * attach_session.c - a connection and its session: together from the beginning, until they part.
 */
#include "server/attach_impl.h"

#include "server/presence.h"
#include "server/token.h"

bool hf_attach_bind(struct hf_conn *c, struct hf_session *s, uint64_t generation, uint64_t last_seq)
{
    struct hf_hub *hub = c->hub;

    if (hf_conns_bind(&hub->conns, c, s->number) < 0) {
        hf_session_park(&hub->sessions, s, generation, hub->now.mono_ms);
        return false;
    }
    c->session = s;
    hf_gauge_add(hub->counters, HF_GAUGE_ATTACHED, 1);
    c->generation = generation;
    hf_window_release(&c->window);
    hf_window_init(&c->window, last_seq + 1);
    return true;
}

static const struct hf_refusal refused_meanwhile = {
    HF_COUNT_REFUSED_HOOK, 503, HF_CODE_UNAVAILABLE,
    "the session has ended meanwhile, and the application was not asked for a new one"};

void hf_attach_new(struct hf_conn *c, const struct hf_welcome *w)
{
    struct hf_hub *hub = c->hub;
    const struct hf_upgrade *u = c->upgrade;
    uint8_t random[20];
    struct hf_session *s;

    if (hub->granted == NULL && hf_hooks_guard(hub)) {
        hf_attach_refuse(c, &refused_meanwhile);
        return;
    }
    hub->transport->random(hub->transport->ctx, random, sizeof(random));
    s = hf_sessions_add(&hub->sessions, random);
    if (s == NULL || !hf_attach_bind(c, s, 1, 0)) {
        hf_attach_refuse(c, &hf_refused_sessions);
        return;
    }
    if (c->identity != NULL && hf_token_sign_session(c, c->identity) < 0) {
        hf_detach(c, true);
        hf_attach_refuse(c, &hf_refused_sessions);
        return;
    }
    if (u->has_attempt)
        atomic_store(&s->attempt, u->attempt);
    hf_attach_accept(c);
    hf_journal_attached(c, false);
    hf_attach_welcome(c, w);
}

void hf_detach(struct hf_conn *c, bool end)
{
    struct hf_hub *hub = c->hub;

    while (c->subs != NULL)
        hf_sub_remove(c->subs);
    if (c->session == NULL)
        return;
    hf_conns_unbind(&hub->conns, c->session->number);
    if (end && hf_session_end(&hub->sessions, c->session, c->generation, hub->now.mono_ms))
        hf_presence_session_changed(hub, c->session);
    if (!end)
        hf_session_park(&hub->sessions, c->session, c->generation, hub->now.mono_ms);
    c->session = NULL;
    hf_gauge_add(hub->counters, HF_GAUGE_ATTACHED, -1);
    c->acks_due = false;
    hf_window_release(&c->window);
}

void hf_attach_orphan(struct hf_hub *hub, struct hf_session *s)
{
    uint64_t state = atomic_load(&s->state);

    if (hf_state_phase(state) == HF_SESSION_LIVE && hf_state_owner(state) == hub->slot &&
        hf_conns_by_session(&hub->conns, s->number) == NULL)
        (void)hf_session_park_orphan(&hub->sessions, s, state, hub->now.mono_ms);
}

void hf_attach_supersede(struct hf_conn *c)
{
    /* "Its older connection, if any, gets its output flushed as far as the socket takes it and is closed with 4001." */
    if (!c->blocked && !hf_deliver_flush(c))
        return;
    hf_conn_close(c, HF_CLOSE_SUPERSEDED, "the session has a new connection");
}
