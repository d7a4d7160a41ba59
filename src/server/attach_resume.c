/*
 * attach_resume.c - a connection and a session that was there before: its own again (resume), or one that another connection or worker still holds (takeover); and what it is told where
 * that session has gone. docs/protocol.md "Resuming".
 */
#include "server/attach_impl.h"

#include "server/presence.h"
#include "server/token.h"

#include <string.h>

enum { TAKE_POLL_MS = 50 }; /* how often a session that is asked for is looked at */

/* The session's subscriptions in this worker: each goes on behind the last acknowledged offset. */
static bool restore_subs(struct hf_conn *c)
{
    struct hf_hub *hub = c->hub;
    struct hf_session_sub *cell;
    uint32_t cursor = 0;

    while ((cell = hf_session_sub_next(&hub->sessions, c->session, &cursor)) != NULL) {
        uint64_t cid = atomic_load(&cell->cid), head;
        bool latest = (cid & HF_SUB_LATEST) != 0;
        struct hf_topic *t;
        struct hf_sub *s;
        int err = hf_topic_get(hub, cid & HF_SUB_CID, &t);

        if (err == HF_EAGAIN) { /* The channel has been forgotten: not while a session that names it lives. */
            hf_session_sub_remove(cell);
            continue;
        }
        s = err < 0 ? NULL : hf_sub_add(c, t, cell, latest);
        if (s == NULL)
            return false;
        head = atomic_load(&t->channel->head);
        hf_cursor_resume(&s->cursor, atomic_load(&cell->acked), latest, head);
        s->catching_up = s->cursor.next_offset <= head;
        if (s->catching_up)
            hf_sub_due(s);
        if ((cid & HF_SUB_PRESENCE) != 0)
            hf_presence_watch(s);
    }
    return true;
}

static void attach_resumed(struct hf_conn *c, const struct hf_upgrade *u, struct hf_session *s,
                           uint64_t generation, bool settled)
{
    struct hf_welcome w = {
        .resumed = true, .last_seq_known = true, .last_seq = hf_session_last_seq(s, settled)};

    atomic_store(&s->last_seq, w.last_seq);
    if (!hf_attach_bind(c, s, generation, w.last_seq)) {
        hf_attach_refuse(c, &hf_refused_memory);
        return;
    }
    /* What was remembered is there already, and claims that have no room beside the session are not to be taken for none. */
    if (c->identity != NULL && !u->remembered && hf_token_sign_session(c, c->identity) < 0) {
        hf_detach(c, false);
        hf_attach_refuse(c, &hf_refused_sessions);
        return;
    }
    if (u->has_attempt)
        atomic_store(&s->attempt, u->attempt);
    hf_attach_accept(c);
    hf_journal_attached(c, true);
    if (!restore_subs(c)) {
        hf_conn_close(c, HF_CLOSE_TRY_AGAIN_LATER, "the server is short of memory");
        return;
    }
    hf_count(c->hub->counters, HF_COUNT_RESUMES_OK, 1);
    hf_attach_welcome(c, &w);
    hf_attach_send_refusals(c);
    hf_rules_enforce(c); /* Its token, or the rules, may be others now. */
}

/* What is known of the session that a ticket named once. */
static bool find_past(struct hf_conn *c, const struct hf_upgrade *u, const struct hf_session *ended,
                      struct hf_session_past *past)
{
    const struct hf_sessions *t = &c->hub->sessions;
    uint64_t number;

    if (!u->has_ticket)
        return false;
    memcpy(&number, u->ticket, sizeof(number));
    return (ended != NULL && hf_session_ended_past(t, ended, number, past)) ||
           hf_sessions_tombstone(t, u->ticket, c->hub->now.mono_ms, past) == 0;
}

/* "It does not (expired, server lost it, another machine, not a ticket of this server at all): resumed:false" */
static void attach_instead(struct hf_conn *c, const struct hf_upgrade *u, const struct hf_session *ended)
{
    struct hf_session_past past = {.last_seq = 0};
    struct hf_welcome w = {.last_seq_known = find_past(c, u, ended, &past)};

    if (w.last_seq_known) {
        w.last_seq = past.last_seq;
        w.past = &past;
    }
    if (u->remembered) { /* What was known of its user was that session's, and nobody has let him in anew. */
        hf_identity_drop(c->identity);
        c->identity = NULL;
    }
    hf_count(c->hub->counters, w.last_seq_known ? HF_COUNT_RESUMES_TOMBSTONE : HF_COUNT_RESUMES_EXPIRED, 1);
    hf_attach_new(c, &w);
}

/* The session stays with whom it belongs to, and what was published in it may still be on its way: lastSeq is null. */
static void attach_stranger(struct hf_conn *c)
{
    hf_count(c->hub->counters, HF_COUNT_RESUMES_OTHER_USER, 1);
    hf_attach_new(c, &(struct hf_welcome){0});
}

/* Whether the session can be taken now; if not, whoever holds it has been asked. */
static bool free_to_take(struct hf_conn *c, struct hf_upgrade *u, const struct hf_session *s, uint64_t state)
{
    struct hf_hub *hub = c->hub;
    uint32_t owner = hf_state_owner(state);

    if (hf_state_phase(state) == HF_SESSION_PARKED)
        return true;
    if (owner == hub->slot) {
        struct hf_conn *old = hf_conns_by_session(&hub->conns, s->number);

        if (old != NULL)
            hf_attach_supersede(old);
        return old == NULL || hf_state_phase(atomic_load(&s->state)) == HF_SESSION_PARKED;
    }
    if (!hf_region_lives(hub->region, owner, hf_state_life(state)))
        return true; /* Its process is dead. */
    if (u->asked != owner + 1 &&
        hf_exchange_take(hub, owner, s->number, u->has_attempt ? u->attempt : 0, c->serial))
        u->asked = owner + 1;
    return false;
}

void hf_attach_resume(struct hf_conn *c)
{
    struct hf_hub *hub = c->hub;
    struct hf_upgrade *u = c->upgrade;
    struct hf_session *s = u->has_ticket ? hf_sessions_by_ticket(&hub->sessions, u->ticket) : NULL;
    uint64_t state, generation;

    if (s == NULL || hf_state_phase(atomic_load(&s->state)) == HF_SESSION_ENDED) {
        attach_instead(c, u, s);
        return;
    }
    hf_hooks_remember(c, s);
    if (!hf_token_owns(c, s)) {
        attach_stranger(c);
        return;
    }
    /* "the server takes none that is not above the session's last" */
    if (u->has_attempt && atomic_load(&s->attempt) >= u->attempt) {
        hf_count(hub->counters, HF_COUNT_RESUMES_STALE, 1);
        hf_conn_refuse(c, HF_COUNT_REFUSED_ATTEMPT, 409, HF_CODE_BAD_SEQ,
                       "a newer attempt of this session has been taken", 0);
        return;
    }
    if (free_to_take(c, u, s, atomic_load(&s->state))) {
        bool settled;

        state = atomic_load(&s->state); /* After a local takeover it has changed. */
        settled = hf_state_phase(state) == HF_SESSION_PARKED &&
                  atomic_load(&s->parked_ms) < hf_region_settled_ms(hub->region, hub->now.mono_ms);
        generation = hf_session_take(&hub->sessions, s, state);
        if (generation != 0) {
            attach_resumed(c, u, s, generation, settled);
            return;
        }
    }
    hf_young_end(c);
    c->phase = HF_CONN_TAKING; /* Asked, or somebody was faster: look again soon. */
    hf_wheel_add(&hub->wheel, &c->timer, hub->now.mono_ms + TAKE_POLL_MS);
}

void hf_attach_taken(struct hf_conn *c)
{
    if (c->phase != HF_CONN_TAKING)
        return;
    hf_attach_resume(c);
    if (c->phase == HF_CONN_TAKING)
        return;
    hf_attach_upgraded(c);
    if (c->phase == HF_CONN_OPEN)
        hf_conn_resume_input(c);
}
