#include "sim/follower.h"

#include "base/assert.h"
#include "sim/network.h"
#include "sim/oracle.h"
#include "wire/binary.h"
#include "wire/items.h"
#include "wire/json.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    RECV_BYTES_MAX = 1 << 20,
    SEND_BYTES_MAX = 1 << 16,
    PATIENCE_MS = 3000, /* for a connection and its welcome */
    RETRY_MS_MAX = 800,
    WRITES_MAX = 8,
};

static void tell_of(const struct sim_follower *f, const char *what, uint32_t channel, uint64_t session)
{
    sim_tell(f->sim, "follower %u, channel %u: %s %016" PRIx64, f->index, channel, what, session);
}

/* ---- Saying something ---- */

static void say(struct sim_follower *f, const struct hf_msg *m)
{
    struct hf_buf out;
    int err;

    if (f->link.state != HF_LINK_OPEN)
        return;
    hf_buf_init(&out, SEND_BYTES_MAX);
    err = f->link.encoding == HF_ENCODING_BINARY ? hf_binary_encode(&out, m) : hf_json_encode(&out, m);
    hf_assert(err == 0);
    err = hf_link_put_message(&f->link, hf_buf_str(&out), &f->rng);
    hf_assert(err == 0);
    hf_buf_release(&out);
}

/* The answer knows at least what every worker must know by now. */
static void ask(struct sim_follower *f, uint32_t channel)
{
    struct sim_follow *w = &f->follows[channel];
    char id[24];

    w->based = false;
    w->asked_id = ++f->ids;
    memset(w->known, 0, sizeof(w->known));
    for (uint32_t i = 0; i < sim_members_tracks(f->sim); i++)
        w->known[i] = sim_members_sure(f->sim, i, channel);
    (void)snprintf(id, sizeof(id), "%" PRIu64, w->asked_id);
    say(f, &(struct hf_msg){.type = HF_MSG_PRESENCE,
                            .has = HF_HAS_ID | HF_HAS_CHANNEL,
                            .id = hf_str_from(id),
                            .channel = sim_channel_name(channel)});
}

static void subscribe(struct sim_follower *f, uint32_t channel)
{
    struct sim_follow *w = &f->follows[channel];

    w->answers_left++;
    w->confirmed = false;
    say(f, &(struct hf_msg){.type = HF_MSG_SUBSCRIBE,
                            .has = HF_HAS_CHANNEL | HF_HAS_MODE | HF_HAS_PRESENCE,
                            .mode = HF_MODE_LATEST,
                            .presence = w->wish == SIM_FOLLOW_WATCH,
                            .channel = sim_channel_name(channel)});
}

/* It cannot know any more whether it is told of joins and leaves. */
static void begin_anew(struct sim_follower *f, uint32_t channel)
{
    subscribe(f, channel);
    if (f->follows[channel].wish == SIM_FOLLOW_WATCH)
        ask(f, channel);
}

static void unsubscribe(struct sim_follower *f, uint32_t channel)
{
    struct sim_follow *w = &f->follows[channel];

    w->wish = SIM_FOLLOW_NOT;
    w->based = false;
    w->asked_id = 0;
    say(f, &(struct hf_msg){
               .type = HF_MSG_UNSUBSCRIBE, .has = HF_HAS_CHANNEL, .channel = sim_channel_name(channel)});
}

/* ---- Connections ---- */

static void hang_up(struct sim_follower *f)
{
    if (f->conn != NULL)
        sim_conn_close(f->sim, f->conn, SIM_CLIENT);
    f->conn = NULL;
    f->connect_told = f->welcome = f->leaving = false;
    hf_link_drop(&f->link);
    for (uint32_t i = 0; i < SIM_CHANNELS_MAX; i++) {
        f->follows[i].based = false;
        f->follows[i].asked_id = f->follows[i].cid = 0;
        f->follows[i].answers_left = 0;
    }
    f->dial_at_ms = f->sim->now_ms + sim_between(f->sim, 0, RETRY_MS_MAX);
}

static void forget_session(struct sim_follower *f)
{
    f->ticket_len = 0;
    f->session = 0;
    for (uint32_t i = 0; i < SIM_CHANNELS_MAX; i++)
        f->follows[i].subscribed = false;
}

static void dial(struct sim_follower *f)
{
    char name[24];

    (void)snprintf(name, sizeof(name), "follower %u", f->index);
    hf_link_dial(&f->link, 1);
    f->conn = sim_connect_by(f->sim, &f->actor, name);
    f->heard_ms = f->sim->now_ms;
    f->binary = sim_chance(f->sim, 50);
}

static void request(struct sim_follower *f)
{
    char protocols[200];
    struct hf_handshake_request req = {.host = HF_STR("sim:80"), .target = HF_STR("/ws")};

    (void)snprintf(protocols, sizeof(protocols), "%s%s%.*s",
                   f->binary ? HF_PROTOCOL_BINARY : HF_PROTOCOL_JSON, f->ticket_len > 0 ? ", hf.resume." : "",
                   (int)f->ticket_len, f->ticket);
    req.protocols = hf_str_from(protocols);
    hf_link_connected(&f->link);
    hf_assert(hf_link_request(&f->link, &req, &f->rng) == 0);
}

/* ---- Being told something ---- */

static uint64_t number_of(struct hf_str text)
{
    char copy[17] = "";

    memcpy(copy, text.data, text.len < 16 ? text.len : 16);
    return strtoull(copy, NULL, 16);
}

static uint32_t channel_of(const struct sim_follower *f, const struct hf_msg *m)
{
    for (uint32_t i = 0; i < SIM_CHANNELS_MAX; i++)
        if (m->channel.len > 0 ? hf_str_eq(sim_channel_name(i), m->channel)
                               : m->cid != 0 && f->follows[i].cid == m->cid)
            return i;
    sim_fail(f->sim, "follower %u: a message (%s) of an unknown channel", f->index, hf_msg_name(m->type));
    return UINT32_MAX;
}

/* "The ticket names a live session": its subscriptions are those of the welcome. */
static void take_positions(struct sim_follower *f, const struct hf_msg *m)
{
    struct hf_items it = hf_items(m, m->channels);
    struct hf_position p;

    for (uint32_t i = 0; i < SIM_CHANNELS_MAX; i++)
        f->follows[i].subscribed = false;
    while (hf_items_position(&it, &p) == 1) {
        uint32_t channel = channel_of(f, &(struct hf_msg){.type = HF_MSG_WELCOME, .channel = p.channel});

        if (channel == UINT32_MAX)
            return;
        f->follows[channel].subscribed = true;
        f->follows[channel].cid = p.cid;
    }
}

/*
 * "What happened while the connection was broken is not told after the resume: ask again after each welcome." And requests without an answer are asked again.
 */
static void go_on(struct sim_follower *f, uint32_t channel)
{
    struct sim_follow *w = &f->follows[channel];

    if (w->wish == SIM_FOLLOW_NOT && w->subscribed)
        unsubscribe(f, channel);
    else if (w->wish != SIM_FOLLOW_NOT &&
             (!w->subscribed || !w->confirmed || w->ordered || sim_chance(f->sim, 20)))
        begin_anew(f, channel);
    else if (w->wish == SIM_FOLLOW_WATCH)
        ask(f, channel);
}

static void told_welcome(struct sim_follower *f, const struct hf_msg *m)
{
    struct sim *sim = f->sim;

    if (m->ticket.len > sizeof(f->ticket)) {
        sim_fail(sim, "follower %u: its ticket has %zu bytes", f->index, m->ticket.len);
        return;
    }
    sim_tell(sim, "follower %u is welcome, %s", f->index, m->resumed ? "resumed" : "new");
    memcpy(f->ticket, m->ticket.data, m->ticket.len);
    f->ticket_len = m->ticket.len;
    f->session = number_of(m->session);
    f->welcome = true;
    take_positions(f, m);
    for (uint32_t i = 0; i < sim->options.channels && !sim->failed; i++)
        go_on(f, i);
}

static void told_subscribed(struct sim_follower *f, const struct hf_msg *m, uint32_t channel)
{
    struct sim_follow *w = &f->follows[channel];

    w->subscribed = true;
    w->cid = m->cid;
    if (w->answers_left > 0)
        w->confirmed = --w->answers_left == 0;
    else if (w->wish == SIM_FOLLOW_WATCH) /* The backend has made it, and asks for no events. */
        begin_anew(f, channel);
}

static void told_unsubscribed(struct sim_follower *f, const struct hf_msg *m, uint32_t channel)
{
    struct sim_follow *w = &f->follows[channel];

    w->subscribed = false;
    if (m->code.len == 0 || w->wish == SIM_FOLLOW_NOT)
        return;
    if (!w->ordered)
        sim_fail(f->sim, "follower %u, channel %u: unsubscribed by nobody", f->index, channel);
    if (f->sim->settling || sim_chance(f->sim, 50)) {
        begin_anew(f, channel);
        return;
    }
    w->wish = SIM_FOLLOW_NOT; /* But what it has asked for meanwhile may make it one once more. */
    if (w->answers_left > 0)
        unsubscribe(f, channel);
    w->based = false;
    w->asked_id = 0;
}

static bool is_in(uint32_t changes)
{
    return changes % 2 == 1;
}

/* A session is said to be a member, or none, by an answer. */
static void check_answer(struct sim_follower *f, uint32_t channel, uint32_t track, bool listed)
{
    struct sim *sim = f->sim;
    uint32_t *known = &f->follows[channel].known[track];

    if (is_in(*known) != listed)
        ++*known;
    if (*known > sim_members_changes(sim, track, channel))
        sim_fail(sim,
                 "follower %u, channel %u: the answer has %016" PRIx64
                 " as %s, and since it was asked that was not so",
                 f->index, channel, sim_members_session(sim, track), listed ? "a member" : "none");
}

static void told_members(struct sim_follower *f, struct hf_msg *m, uint32_t channel)
{
    static bool listed[SIM_TRACKS_MAX];
    struct hf_items it = hf_items(m, m->members);
    struct sim_follow *w = &f->follows[channel];
    struct hf_items_member member;
    struct sim *sim = f->sim;

    if (m->id.len == 0 || w->asked_id == 0 || strtoull(m->id.data, NULL, 10) != w->asked_id)
        return; /* Of an older question. */
    memset(listed, 0, sizeof(listed));
    while (hf_items_member(&it, &member) == 1) {
        uint32_t track = sim_members_track(sim, number_of(member.session));

        if (track == UINT32_MAX || listed[track] || member.user.len > 0 || member.info.data != NULL) {
            sim_fail(sim, "follower %u, channel %u: there is no such member as %016" PRIx64, f->index,
                     channel, number_of(member.session));
            return;
        }
        listed[track] = true;
    }
    for (uint32_t i = 0; i < sim_members_tracks(sim) && !sim->failed; i++)
        check_answer(f, channel, i, listed[i]);
    sim->stats->member_lists++;
    sim_tell(sim, "follower %u, channel %u: told the members", f->index, channel);
    w->asked_id = 0;
    w->based = true;
}

static void told_event(struct sim_follower *f, const struct hf_msg *m, uint32_t channel)
{
    struct sim_follow *w = &f->follows[channel];
    uint64_t session = number_of(m->session);
    uint32_t track = sim_members_track(f->sim, session);
    bool joined = m->type == HF_MSG_JOIN;
    struct sim *sim = f->sim;

    tell_of(f, hf_msg_name(m->type), channel, session);
    if (track == UINT32_MAX || m->user.len > 0)
        sim_fail(sim, "follower %u, channel %u: nobody has ever been %016" PRIx64, f->index, channel,
                 session);
    else if (session == f->session)
        sim_fail(sim, "follower %u, channel %u: told of itself", f->index, channel);
    else if (!w->subscribed)
        sim_fail(sim, "follower %u, channel %u: told of joins and leaves without a subscription", f->index,
                 channel);
    if (sim->failed || !w->based)
        return;
    sim->stats->joins += joined;
    sim->stats->leaves += !joined;
    if (is_in(w->known[track]) == joined)
        sim_fail(sim, "follower %u, channel %u: %016" PRIx64 " %s twice", f->index, channel, session,
                 joined ? "joins" : "leaves");
    else if (++w->known[track] > sim_members_changes(sim, track, channel))
        sim_fail(sim, "follower %u, channel %u: %016" PRIx64 " has not %s", f->index, channel, session,
                 joined ? "joined" : "left");
}

/* "error overloaded, re presence, without an id": what it knew is out of date. With an id: the question is not answered now. */
static void told_error(struct sim_follower *f, const struct hf_msg *m)
{
    uint32_t channel = m->channel.len == 0 ? UINT32_MAX : channel_of(f, m);

    if (!hf_str_eq(m->re, HF_STR("presence")) || !hf_str_eq(m->code, HF_STR("overloaded")) ||
        channel == UINT32_MAX) {
        sim_fail(f->sim, "follower %u: error %.*s: %.*s", f->index, (int)m->code.len, m->code.data,
                 (int)m->reason.len, m->reason.data);
        return;
    }
    f->sim->stats->left_out += m->id.len == 0;
    if (f->follows[channel].wish == SIM_FOLLOW_WATCH && f->follows[channel].subscribed)
        ask(f, channel);
}

static void told(struct sim_follower *f, struct hf_msg *m)
{
    uint32_t channel = UINT32_MAX;

    if (m->type == HF_MSG_SUBSCRIBED || m->type == HF_MSG_UNSUBSCRIBED || m->type == HF_MSG_PRESENCE ||
        m->type == HF_MSG_JOIN || m->type == HF_MSG_LEAVE) {
        channel = channel_of(f, m);
        if (channel == UINT32_MAX)
            return;
    }
    switch (m->type) {
    case HF_MSG_WELCOME:
        told_welcome(f, m);
        break;
    case HF_MSG_SUBSCRIBED:
        told_subscribed(f, m, channel);
        break;
    case HF_MSG_UNSUBSCRIBED:
        told_unsubscribed(f, m, channel);
        break;
    case HF_MSG_PRESENCE:
        told_members(f, m, channel);
        break;
    case HF_MSG_JOIN:
    case HF_MSG_LEAVE:
        told_event(f, m, channel);
        break;
    case HF_MSG_ERROR:
        told_error(f, m);
        break;
    case HF_MSG_PING:
        say(f, &(struct hf_msg){.type = HF_MSG_PONG});
        break;
    case HF_MSG_RECONNECT:
        f->leaving = true;
        break;
    default: /* What publishers publish is the oracle's. */
        break;
    }
}

static void take_message(struct sim_follower *f, struct hf_link_event *ev)
{
    struct hf_binary_record record;
    struct hf_binary_reader reader;
    enum hf_binary_fault fault;
    const char *reason;
    struct hf_msg m;

    if (f->link.encoding == HF_ENCODING_JSON) {
        if (hf_json_decode(&m, ev->data, ev->len, true, &reason) < 0)
            sim_fail(f->sim, "follower %u cannot read: %s", f->index, reason);
        else
            told(f, &m);
        return;
    }
    hf_binary_reader_init(&reader, ev->data, ev->len);
    while (f->link.state == HF_LINK_OPEN && hf_binary_next(&reader, &record, &fault) == 1) {
        if (hf_binary_decode(&m, &record, true, &fault) < 0)
            sim_fail(f->sim, "follower %u cannot read a record", f->index);
        else
            told(f, &m);
    }
}

/* "1000, 4003: stays away"; then somebody else comes in its place. */
static bool ends_session(uint16_t code)
{
    return code == HF_CLOSE_NORMAL || code == HF_CLOSE_ENDED;
}

/* Returns whether the connection goes on. */
static bool heed(struct sim_follower *f, struct hf_link_event *ev)
{
    switch (ev->type) {
    case HF_LINK_EV_NONE:
    case HF_LINK_EV_OPENED:
        return true;
    case HF_LINK_EV_MESSAGE:
        take_message(f, ev);
        return !f->leaving;
    case HF_LINK_EV_CLOSED:
        sim_tell(f->sim, "follower %u is closed with %u", f->index, ev->close_code);
        if (ends_session(ev->close_code))
            forget_session(f);
        return false;
    case HF_LINK_EV_REFUSED:
        return false;
    case HF_LINK_EV_BROKEN:
        sim_fail(f->sim, "follower %u: %s", f->index, ev->reason);
        return false;
    }
    return false;
}

/* Returns whether the connection goes on. */
static bool read_some(struct sim_follower *f)
{
    struct sim *sim = f->sim;
    uint32_t len;
    bool on = true;

    while (on && !sim->failed && (len = sim_conn_readable(sim, f->conn, SIM_CLIENT)) > 0) {
        struct hf_link_event ev;
        uint8_t *data;
        size_t at = 0;

        if (sim_chance(sim, 20))
            len = (uint32_t)sim_between(sim, 1, len);
        data = malloc(len);
        hf_assert(data != NULL);
        sim_conn_read(sim, f->conn, SIM_CLIENT, data, len);
        f->heard_ms = sim->now_ms;
        do {
            at += hf_link_recv(&f->link, data + at, len - at, &f->rng, &ev);
            on = heed(f, &ev);
        } while (on && !sim->failed && (at < len || ev.type != HF_LINK_EV_NONE));
        free(data);
    }
    return on && sim_conn_end(sim, f->conn, SIM_CLIENT) == SIM_END_NONE;
}

/* Returns whether the connection goes on. */
static bool write_some(struct sim_follower *f)
{
    struct hf_buf *out = &f->link.out;

    for (int i = 0; i < WRITES_MAX && out->len > 0; i++) {
        long n = sim_conn_write(f->sim, f->conn, SIM_CLIENT, out->data, out->len);

        if (n < 0)
            return false;
        f->conn->pipe[SIM_SERVER].room_due = false;
        hf_buf_drop(out, (size_t)n);
        if (n == 0)
            break;
    }
    return true;
}

/* ---- What it does by itself ---- */

static bool is_welcome(const struct sim_follower *f)
{
    return f->link.state == HF_LINK_OPEN && f->welcome;
}

static void change_wish(struct sim_follower *f, uint32_t channel)
{
    struct sim_follow *w = &f->follows[channel];

    if (w->wish == SIM_FOLLOW_NOT) {
        w->wish = sim_chance(f->sim, 75) ? SIM_FOLLOW_WATCH : SIM_FOLLOW_MEMBER;
        begin_anew(f, channel);
    } else if (sim_chance(f->sim, 70)) {
        unsubscribe(f, channel);
    } else {
        w->wish = w->wish == SIM_FOLLOW_WATCH ? SIM_FOLLOW_MEMBER : SIM_FOLLOW_WATCH;
        w->based = false;
        w->asked_id = 0;
        begin_anew(f, channel);
    }
}

/* Away for a while; longer than its grace where sessions may expire. */
static void break_off(struct sim_follower *f)
{
    struct sim *sim = f->sim;

    hang_up(f);
    f->dial_at_ms = sim->now_ms + (sim->options.outages ? sim_between(sim, 0, 2 * sim->config.session_ttl_ms)
                                                        : sim_spread(sim, 500));
}

static void act_by_itself(struct sim_follower *f)
{
    struct sim *sim = f->sim;
    uint32_t channel = (uint32_t)sim_between(sim, 0, sim->options.channels - 1);

    f->application_at_ms = sim->now_ms + sim_spread(sim, sim->options.pace_mean_ms);
    if (!is_welcome(f))
        return;
    switch (sim_between(sim, 0, 19)) {
    case 0:
        sim_tell(sim, "follower %u says goodbye", f->index);
        say(f, &(struct hf_msg){.type = HF_MSG_BYE});
        break;
    case 1:
        sim_tell(sim, "follower %u is never seen again", f->index);
        hang_up(f);
        forget_session(f);
        break;
    case 2:
    case 3:
        break_off(f);
        break;
    case 4:
        f->reads_from_ms = sim->now_ms + sim_spread(sim, 500);
        break;
    case 5:
    case 6:
        if (f->follows[channel].wish == SIM_FOLLOW_WATCH)
            ask(f, channel);
        break;
    default:
        change_wish(f, channel);
        break;
    }
}

/* ---- Steering ---- */

/* Returns whether the connection goes on. */
static bool carry(struct sim_follower *f)
{
    struct sim *sim = f->sim;
    uint64_t patience_ms = is_welcome(f) ? 3 * (uint64_t)sim->config.heartbeat_interval_ms : PATIENCE_MS;

    if (sim->now_ms > f->heard_ms + patience_ms && f->reads_from_ms <= sim->now_ms)
        return false;
    if (f->conn->connect_at_ms != SIM_NEVER)
        return true;
    if (f->conn->refused)
        return false;
    if (!f->connect_told)
        request(f);
    f->connect_told = true;
    if (f->reads_from_ms <= sim->now_ms && !read_some(f))
        return false;
    return write_some(f);
}

static void schedule(struct sim_follower *f)
{
    uint64_t now_ms = f->sim->now_ms, at = f->conn == NULL ? f->dial_at_ms : now_ms + PATIENCE_MS / 3;

    if (!f->sim->settling && f->application_at_ms < at)
        at = f->application_at_ms;
    if (f->conn != NULL && f->reads_from_ms > now_ms && f->reads_from_ms < at)
        at = f->reads_from_ms;
    sim_actor_poke(&f->actor, at > now_ms ? at : now_ms + 1);
}

static void follower_act(struct sim *sim, void *self)
{
    struct sim_follower *f = self;

    if (!sim->settling && f->application_at_ms <= sim->now_ms)
        act_by_itself(f);
    if (f->conn == NULL && f->dial_at_ms <= sim->now_ms)
        dial(f);
    if (f->conn != NULL && !carry(f))
        hang_up(f);
    schedule(f);
}

static void start(struct sim_follower *f)
{
    struct sim *sim = f->sim;

    hf_link_init(&f->link, RECV_BYTES_MAX, SEND_BYTES_MAX);
    f->rng.state = hf_rng_next(&sim->rng);
    for (uint32_t i = 0; i < sim->options.channels; i++)
        f->follows[i].wish = sim_chance(sim, 60) ? SIM_FOLLOW_WATCH : SIM_FOLLOW_NOT;
    f->dial_at_ms = sim->now_ms + sim_between(sim, 0, 50);
    f->application_at_ms = sim->now_ms + sim_spread(sim, sim->options.pace_mean_ms);
    sim_actor_add(sim, &f->actor, follower_act, f);
    f->actor.at_ms = f->dial_at_ms;
}

void sim_followers_start(struct sim *sim)
{
    for (uint32_t i = 0; i < sim->options.followers; i++) {
        struct sim_follower *f = calloc(1, sizeof(*f));

        hf_assert(f != NULL);
        f->sim = sim;
        f->index = i;
        sim->followers[i] = f;
        start(f);
    }
}

void sim_followers_settle(struct sim *sim)
{
    for (uint32_t i = 0; i < sim->options.followers; i++) {
        sim->followers[i]->reads_from_ms = 0;
        sim_actor_poke(&sim->followers[i]->actor, sim->now_ms);
    }
}

void sim_followers_free(struct sim *sim)
{
    for (uint32_t i = 0; i < sim->options.followers; i++) {
        struct sim_follower *f = sim->followers[i];

        if (f == NULL)
            continue;
        if (f->conn != NULL)
            sim_conn_close(sim, f->conn, SIM_CLIENT);
        hf_link_release(&f->link);
        sim_actor_remove(sim, &f->actor);
        free(f);
        sim->followers[i] = NULL;
    }
}

/* ---- At rest ---- */

uint32_t sim_followers_connected(const struct sim *sim)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < sim->options.followers; i++)
        count += is_welcome(sim->followers[i]);
    return count;
}

uint32_t sim_followers_subscriptions(const struct sim *sim)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < sim->options.followers; i++)
        for (uint32_t channel = 0; channel < sim->options.channels; channel++)
            count += sim->followers[i]->follows[channel].subscribed;
    return count;
}

/* What it has been told must add up to what there is; of itself it is told in answers only. */
static bool knows_members(const struct sim_follower *f, uint32_t channel, char why[160])
{
    const struct sim_follow *w = &f->follows[channel];

    for (uint32_t i = 0; i < sim_members_tracks(f->sim); i++) {
        bool in = is_in(sim_members_changes(f->sim, i, channel));

        if (sim_members_session(f->sim, i) == f->session || is_in(w->known[i]) == in)
            continue;
        (void)snprintf(why, 160, "follower %u, channel %u: %016" PRIx64 " is %s, and it was not told",
                       f->index, channel, sim_members_session(f->sim, i), in ? "a member" : "none");
        return false;
    }
    return true;
}

/* A subscription that it does not wish for can only be one that the backend has made. */
static bool has_its_wish(const struct sim_follow *w)
{
    return w->wish == SIM_FOLLOW_NOT ? !w->subscribed || w->ordered : w->subscribed;
}

static bool settled(const struct sim_follower *f, char why[160])
{
    (void)snprintf(why, 160, "follower %u has no connection, or something is on its way", f->index);
    if (!is_welcome(f) || f->conn == NULL || f->link.out.len > 0 || f->conn->pipe[SIM_SERVER].bytes.len > 0 ||
        f->conn->pipe[SIM_CLIENT].bytes.len > 0)
        return false;
    for (uint32_t i = 0; i < f->sim->options.channels; i++) {
        const struct sim_follow *w = &f->follows[i];

        (void)snprintf(why, 160, "follower %u, channel %u: it waits for an answer", f->index, i);
        if (w->answers_left > 0 || w->asked_id != 0 || !has_its_wish(w))
            return false;
        if (w->wish == SIM_FOLLOW_WATCH && (!w->based || !knows_members(f, i, why)))
            return false;
    }
    return true;
}

bool sim_followers_settled(const struct sim *sim, const char **why)
{
    static char text[160];

    *why = text;
    for (uint32_t i = 0; i < sim->options.followers; i++)
        if (!settled(sim->followers[i], text))
            return false;
    return true;
}
