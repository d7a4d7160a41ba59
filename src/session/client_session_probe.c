/*
 * client_session_probe.c - probes of the network for the heartbeat policy: how much silence does it bear?
 * A probe is a second connection, with a session of its own that subscribes to nothing and ends with the probe. The server is asked not to
 * ping in the meantime; then both sides are silent for the gap; then it is pinged. Nothing is lost with it, and the live
 * connection is not concerned.
 *
 *   NONE    -> DIALING   the policy wants one, and the live connection has just been answered
 *   DIALING -> ASKING    it stands: the upgrade is out, then the server is asked for a longer interval
 *   ASKING  -> SILENT    the server has granted it
 *   SILENT  -> PINGED    the gap is over
 *   PINGED  -> NONE      the pong has come: the network bears it
 *   SILENT, PINGED -> JUDGING   there is no pong, or the connection is gone without a word
 *   JUDGING -> NONE      the live connection has been answered since: the network is good, and the silence to blame
 *   any     -> NONE      something else came between: nothing is known
 */
#include "base/assert.h"
#include "session/client_session_impl.h"
#include "session/heartbeat_adaptive.h"

enum {
    OPEN_MS = 8000,   /* up to the granted interval; as long as a repeated attempt of the session has */
    JUDGE_MS = 10000, /* the live connection must be answered within its longest hard deadline */
};

static struct hf_link *link_of(struct hf_client_session *s)
{
    return &s->links[HF_CLIENT_SESSION_PROBE_SLOT];
}

static void put(struct hf_client_session *s, const struct hf_msg *m, uint64_t now_ms)
{
    if (hf_cs_put_on(s, link_of(s), m) < 0)
        hf_cs_probe_abandon(s, now_ms);
}

static void move(struct hf_client_session *s, enum hf_cs_probe to, uint64_t at_ms)
{
    s->probe = to;
    s->probe_at_ms = at_ms;
}

static void end(struct hf_client_session *s, enum hf_heartbeat_probe outcome, uint64_t now_ms)
{
    if (link_of(s)->state != HF_LINK_CLOSING)
        hf_link_drop(link_of(s));
    move(s, HF_CS_PROBE_NONE, HF_NEVER);
    hf_heartbeat_policy_probe_ended(s->config.heartbeat_policy, s->probe_gap_ms, outcome, now_ms);
}

void hf_cs_probe_abandon(struct hf_client_session *s, uint64_t now_ms)
{
    if (s->probe != HF_CS_PROBE_NONE)
        end(s, HF_HEARTBEAT_PROBE_UNKNOWN, now_ms);
}

void hf_cs_probe_network_good(struct hf_client_session *s, uint64_t now_ms)
{
    struct hf_heartbeat_policy *policy = s->config.heartbeat_policy;

    if (policy == NULL || s->state != HF_CLIENT_LIVE || s->next != HF_NO_SLOT)
        return;
    if (s->probe == HF_CS_PROBE_JUDGING)
        end(s, HF_HEARTBEAT_PROBE_DEAD, now_ms);
    if (s->probe != HF_CS_PROBE_NONE || link_of(s)->state != HF_LINK_IDLE)
        return;
    s->probe_gap_ms = hf_heartbeat_policy_probe_gap_ms(policy, now_ms);
    if (s->probe_gap_ms == 0)
        return;
    hf_link_dial(link_of(s), ++s->probes);
    move(s, HF_CS_PROBE_DIALING, now_ms + OPEN_MS);
}

void hf_cs_probe_connected(struct hf_client_session *s, uint64_t now_ms)
{
    if (s->probe != HF_CS_PROBE_DIALING || link_of(s)->state != HF_LINK_DIALING)
        return;
    hf_link_connected(link_of(s));
    move(s, HF_CS_PROBE_ASKING, s->probe_at_ms);
    if (hf_cs_put_upgrade(s, link_of(s), false) < 0)
        hf_cs_probe_abandon(s, now_ms);
}

/* No pong, or no connection: is the network to blame? Only if the live connection is answered now. */
static void judge(struct hf_client_session *s, uint64_t now_ms)
{
    hf_link_drop(link_of(s));
    move(s, HF_CS_PROBE_JUDGING, now_ms + JUDGE_MS);
    hf_heartbeat_doubted(&s->heartbeat);
}

void hf_cs_probe_lost(struct hf_client_session *s, uint64_t now_ms)
{
    if (s->probe == HF_CS_PROBE_SILENT) /* What the network did not bear is shorter than what was asked. */
        s->probe_gap_ms = now_ms - s->probe_silent_from_ms;
    if (s->probe == HF_CS_PROBE_SILENT || s->probe == HF_CS_PROBE_PINGED)
        judge(s, now_ms);
    else
        hf_cs_probe_abandon(s, now_ms);
}

/* --- what the server says --- */

/* Ask the server to be silent for longer than the gap. */
static void ask(struct hf_client_session *s, uint64_t now_ms)
{
    put(s,
        &(struct hf_msg){.type = HF_MSG_HEARTBEAT,
                         .has = HF_HAS_INTERVAL,
                         .interval_ms = s->probe_gap_ms + HF_ADAPTIVE_BOUND_ROOM_MS},
        now_ms);
}

static void be_silent(struct hf_client_session *s, const struct hf_msg *m, uint64_t now_ms)
{
    if (m->interval_ms <= s->probe_gap_ms) {
        hf_cs_probe_abandon(s, now_ms);
        return;
    }
    s->probe_silent_from_ms = now_ms;
    move(s, HF_CS_PROBE_SILENT, now_ms + s->probe_gap_ms);
}

/* The network bears the gap. The server may forget the probe's session at once. */
static void survived(struct hf_client_session *s, uint64_t now_ms)
{
    put(s, &(struct hf_msg){.type = HF_MSG_BYE}, now_ms);
    hf_link_close(link_of(s), HF_CLOSE_NORMAL, &s->rng);
    if (s->probe != HF_CS_PROBE_NONE)
        end(s, HF_HEARTBEAT_PROBE_ALIVE, now_ms);
}

static void take_message(struct hf_client_session *s, const struct hf_msg *m, uint64_t now_ms)
{
    if (s->probe == HF_CS_PROBE_ASKING && m->type == HF_MSG_WELCOME)
        ask(s, now_ms);
    else if (s->probe == HF_CS_PROBE_ASKING && m->type == HF_MSG_HEARTBEAT)
        be_silent(s, m, now_ms);
    else if (s->probe == HF_CS_PROBE_PINGED && m->type == HF_MSG_PONG)
        survived(s, now_ms);
    else if (
        s->probe != HF_CS_PROBE_PINGED ||
        m->type !=
            HF_MSG_PING) /* It was to be silent; or it wants us to leave, and says so on the live connection, too. */
        hf_cs_probe_abandon(s, now_ms);
}

static void take_messages(struct hf_client_session *s, struct hf_link_event *lev, uint64_t now_ms)
{
    struct hf_cs_messages in;
    struct hf_msg m;
    const char *reason;
    int found = 0;

    hf_cs_messages_init(&in, link_of(s)->encoding, lev->data, lev->len);
    while (s->probe != HF_CS_PROBE_NONE && (found = hf_cs_next_message(&in, &m, &reason)) == 1)
        take_message(s, &m, now_ms);
    if (found < 0)
        hf_cs_probe_abandon(s, now_ms);
}

void hf_cs_probe_recv(struct hf_client_session *s, uint8_t *data, size_t len, uint64_t now_ms)
{
    struct hf_link_event lev;
    size_t used;

    do {
        used = hf_link_recv(link_of(s), data, len, &s->rng, &lev);
        data += used;
        len -= used;
        if (lev.type == HF_LINK_EV_MESSAGE)
            take_messages(s, &lev, now_ms);
        else if (lev.type != HF_LINK_EV_NONE && lev.type != HF_LINK_EV_OPENED)
            hf_cs_probe_abandon(s, now_ms);
    } while ((len > 0 || lev.type != HF_LINK_EV_NONE) && s->probe != HF_CS_PROBE_NONE);
}

void hf_cs_probe_tick(struct hf_client_session *s, uint64_t now_ms)
{
    const struct hf_msg ping = {.type = HF_MSG_PING, .has = HF_HAS_ID, .id = HF_STR("1")};

    if (now_ms < s->probe_at_ms)
        return;
    if (s->probe == HF_CS_PROBE_SILENT) {
        move(s, HF_CS_PROBE_PINGED, now_ms + hf_heartbeat_hard_ms(&s->heartbeat));
        put(s, &ping, now_ms);
    } else if (s->probe == HF_CS_PROBE_PINGED) {
        judge(s, now_ms);
    } else {
        hf_cs_probe_abandon(s, now_ms);
    }
}
