/*
 * test_presence_hub.c - presence in whole hubs: members and events across workers, lost hints, slow watchers, and what the backend orders about sessions.
 */
#include "server/hub.h"
#include "server/presence_state.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "hub_fixture.h"
#include "hub_peer.h"

enum { TURNS_MAX = 2000, PEERS_MAX = 24 };

/* ---- The server and its peers ---- */

struct fixture {
    struct place place;
    struct peer peers[PEERS_MAX];
    uint32_t count;
};

static struct fixture *f;

static void turns(uint32_t ms)
{
    for (uint32_t at = 0; at <= ms; at += 5) {
        for (uint32_t slot = 0; slot < 2; slot++)
            if (f->place.hub[slot] != NULL)
                hf_hub_turn(f->place.hub[slot], f->place.now);
        f->place.now.mono_ms += 5;
        f->place.now.wall_ms += 5;
    }
}

static int set_up(void **state)
{
    (void)state;
    f = calloc(1, sizeof(*f));
    assert_non_null(f);
    place_init(&f->place, 2);
    f->place.config.heartbeat_interval_ms = 3600000;
    hub_start(&f->place, 0, &transport);
    hub_start(&f->place, 1, &transport);
    turns(5);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    place_release(&f->place);
    for (uint32_t i = 0; i < f->count; i++)
        hf_buf_release(&f->peers[i].got);
    free(f);
    return 0;
}

/* One turn after the other until it stands in what the peer got, so often. */
static void expect(struct peer *p, const char *word, unsigned often)
{
    for (int n = 0; n < TURNS_MAX && times(p, word) < often; n++)
        turns(0);
    if (times(p, word) != often)
        fail_msg("want %u times %s, have %u in: %s", often, word, times(p, word), text_of(p));
}

/* With the ticket that it has, if any. */
static void connect_to(struct peer *p, uint32_t slot)
{
    char ticket[TICKET_CHARS + 1];

    memcpy(ticket, p->ticket, sizeof(ticket));
    hf_buf_release(&p->got);
    peer_open(p, &f->place, slot, ticket);
    expect(p, "\"type\":\"welcome\"", 1);
    peer_welcomed(p);
}

static struct peer *peer_new(uint32_t slot)
{
    struct peer *p = &f->peers[f->count++];

    assert_true(f->count <= PEERS_MAX);
    connect_to(p, slot);
    return p;
}

static void say(struct peer *p, const char *text)
{
    peer_say(&f->place, p, text);
}

static struct peer *member(uint32_t slot, const char *room)
{
    struct peer *p = peer_new(slot);
    char text[128];

    snprintf(text, sizeof(text), "{\"type\":\"subscribe\",\"channel\":\"%s\"}", room);
    say(p, text);
    expect(p, "\"type\":\"subscribed\"", 1);
    return p;
}

/* One that asks for events, and for the members. */
static struct peer *watcher(uint32_t slot)
{
    struct peer *p = peer_new(slot);

    say(p, "{\"type\":\"subscribe\",\"channel\":\"room\",\"presence\":true}");
    expect(p, "\"type\":\"subscribed\"", 1);
    say(p, "{\"type\":\"presence\",\"id\":\"0\",\"channel\":\"room\"}");
    expect(p, "\"type\":\"presence\"", 1);
    return p;
}

static void lose(struct peer *p)
{
    hf_hub_lost(p->conn, true, f->place.now);
    p->conn = NULL;
}

static struct hf_session *session_of(const struct peer *p)
{
    struct hf_session *s = hf_sessions_get(&f->place.hub[0]->sessions, p->session);

    assert_non_null(s);
    return s;
}

/* "join" or "leave" of this peer, as it is written. */
static const char *event(const char *type, const struct peer *p)
{
    static char text[128];

    snprintf(text, sizeof(text), "{\"type\":\"%s\",\"channel\":\"room\",\"session\":\"%016llx\"", type,
             (unsigned long long)p->session);
    return text;
}

static const char *entry(const struct peer *p)
{
    static char text[64];

    snprintf(text, sizeof(text), "{\"session\":\"%016llx\"", (unsigned long long)p->session);
    return text;
}

static struct hf_session_sub *only_cell(const struct peer *p)
{
    uint32_t at = 0;
    struct hf_session_sub *cell = hf_session_sub_next(&f->place.hub[0]->sessions, session_of(p), &at);

    assert_non_null(cell);
    return cell;
}

/* ---- Members and events ---- */

static void members_of_both_workers(void **state)
{
    struct peer *a = member(0, "room"), *b = member(1, "room"), *other = member(1, "hall"), *w = watcher(0);

    (void)state;
    for (uint32_t slot = 0; slot < 2; slot++) {
        struct peer *asks = peer_new(slot);

        say(asks, "{\"type\":\"presence\",\"id\":\"1\",\"channel\":\"room\"}");
        expect(asks, "\"type\":\"presence\",\"id\":\"1\"", 1);
        expect(asks, entry(a), 1);
        expect(asks, entry(b), 1);
        expect(asks, entry(w), 1);
        expect(asks, entry(other), 0);
    }
}

static void nobody_is_told_of_himself_or_twice(void **state)
{
    struct peer *w = watcher(0), *v = watcher(1), *x, *c;

    (void)state;
    expect(w, event("join", v), 1);
    x = peer_new(0); /* Where the channel is followed already. */
    say(x, "{\"type\":\"subscribe\",\"channel\":\"room\",\"presence\":true}");
    expect(w, event("join", x), 1);
    expect(v, event("join", x), 1);
    expect(x, event("join", x), 0);
    c = member(1, "room");
    expect(w, event("join", c), 1);
    expect(v, event("join", c), 1);
    say(c, "{\"type\":\"subscribe\",\"channel\":\"room\"}");
    lose(c);
    turns(500);
    connect_to(c, 0);
    turns(500);
    say(c, "{\"type\":\"bye\"}");
    expect(w, event("leave", c), 1);
    expect(v, event("leave", c), 1);
    turns(3000);
    assert_int_equal(times(x, event("join", x)), 0);
    assert_int_equal(times(w, "\"type\":\"join\""), 3);
    assert_int_equal(times(w, "\"type\":\"leave\""), 1);
    assert_int_equal(times(v, "\"type\":\"join\""), 2);
    assert_int_equal(times(v, "\"type\":\"leave\""), 1);
}

static void who_they_are_is_told(void **state)
{
    struct peer *w = watcher(0), *c = peer_new(1), *asks = peer_new(1);
    struct hf_hub *hub = f->place.hub[1];

    (void)state;
    assert_int_equal(hf_session_identity_set(&hub->sessions, session_of(c), HF_STR("ada"),
                                             HF_STR("{\"n\":1}"), f->place.now.mono_ms),
                     0);
    say(c, "{\"type\":\"subscribe\",\"channel\":\"room\"}");
    expect(w, event("join", c), 1);
    expect(w, "\"user\":\"ada\",\"info\":{\"n\":1}}", 1);
    say(asks, "{\"type\":\"presence\",\"id\":\"1\",\"channel\":\"room\"}");
    expect(asks, "\"user\":\"ada\",\"info\":{\"n\":1}}", 1);
    say(c, "{\"type\":\"unsubscribe\",\"channel\":\"room\"}");
    expect(w, event("leave", c), 1);
    expect(w, "\"user\":\"ada\",\"info\":{\"n\":1}}", 2);
}

static void expiry_is_a_leave(void **state)
{
    struct peer *w = watcher(0), *c = member(1, "room");

    (void)state;
    expect(w, event("join", c), 1);
    lose(c);
    turns(f->place.config.session_ttl_ms / 2);
    expect(w, event("leave", c), 0);
    turns(f->place.config.session_ttl_ms / 2 + 3000);
    expect(w, event("leave", c), 1);
}

/* ---- Lost hints ---- */

/* A worker dies between the change and its hint: who follows looks for himself when another process is in its place. */
static void a_death_before_the_hint(void **state)
{
    struct peer *w = watcher(0), *c = member(1, "room"), *d = member(1, "room");

    (void)state;
    expect(w, event("join", d), 1);
    hf_session_sub_remove(only_cell(c));
    turns(3000);
    expect(w, event("leave", c), 0);
    hub_restart(&f->place, 1, &transport);
    expect(w, event("leave", c), 1);
    turns(1000);
    assert_int_equal(times(w, "\"type\":\"leave\""), 1);
}

static void more_hints_than_are_kept(void **state)
{
    struct peer *w = watcher(0), *c = member(1, "room"), *d = member(1, "room");
    uint64_t cid = atomic_load(&only_cell(d)->cid);

    (void)state;
    expect(w, event("join", d), 1);
    hf_session_sub_remove(only_cell(c));
    for (int n = 0; n < HF_HINTS + 10; n++)
        hf_hints_put(hf_region_hints(&f->place.region, 1), cid, d->session);
    turns(100);
    expect(w, event("leave", c), 1);
    assert_int_equal(times(w, "\"type\":\"join\""), 2);
    assert_int_equal(times(w, "\"type\":\"leave\""), 1);
}

/* The watcher's own worker dies: it comes back to the other one, and watches there. */
static void a_watcher_moves(void **state)
{
    struct peer *w = watcher(0), *c;

    (void)state;
    hub_restart(&f->place, 0, &transport);
    connect_to(w, 1);
    c = member(0, "room");
    expect(w, event("join", c), 1);
    say(w, "{\"type\":\"presence\",\"id\":\"9\",\"channel\":\"room\"}");
    expect(w, "\"type\":\"presence\",\"id\":\"9\"", 1);
    expect(w, entry(c), 1);
}

/* ---- Slow watchers ---- */

static void come_and_go(struct peer *c, int count)
{
    for (int n = 0; n < count; n++) {
        say(c, "{\"type\":\"subscribe\",\"channel\":\"room\"}");
        turns(0);
        say(c, "{\"type\":\"unsubscribe\",\"channel\":\"room\"}");
        turns(0);
        hf_buf_reset(&c->got);
    }
}

static void one_that_does_not_read_gets_all_of_the_last(void **state)
{
    struct peer *w = watcher(0), *c = peer_new(1);

    (void)state;
    w->deaf = true;
    say(w, "{\"type\":\"ping\"}");
    turns(0);
    assert_true(w->conn->blocked);
    come_and_go(c, HF_PRESENCE_EVENTS / 2);
    turns(1000);
    w->deaf = false;
    hf_hub_writable(w->conn, f->place.now);
    turns(1000);
    assert_int_equal(times(w, event("join", c)), HF_PRESENCE_EVENTS / 2);
    assert_int_equal(times(w, event("leave", c)), HF_PRESENCE_EVENTS / 2);
    assert_int_equal(counted(&f->place, 0, HF_COUNT_PRESENCE_MISSED), 0);
}

static void beyond_that_it_is_told_to_ask(void **state)
{
    struct peer *w = watcher(0), *c = peer_new(1);

    (void)state;
    w->deaf = true;
    say(w, "{\"type\":\"ping\"}");
    turns(0);
    come_and_go(c, HF_PRESENCE_EVENTS / 2 + 1);
    w->deaf = false;
    hf_hub_writable(w->conn, f->place.now);
    turns(1000);
    assert_int_equal(times(w, event("join", c)), 0);
    expect(w, "{\"type\":\"error\",\"code\":\"overloaded\"", 1);
    expect(w, "\"re\":\"presence\",\"channel\":\"room\"", 1);
    assert_int_equal(counted(&f->place, 0, HF_COUNT_PRESENCE_MISSED), 1);
    come_and_go(c, 1);
    expect(w, event("join", c), 1);
    expect(w, event("leave", c), 1);
}

/* ---- Who may ---- */

static void who_may_not_any_more_is_told_no_more(void **state)
{
    struct hf_namespaces *list = &f->place.config.namespaces;
    struct peer *w = watcher(0), *c;
    struct hf_namespace *ns;
    const char *why;
    uint64_t flags;

    (void)state;
    assert_int_equal(hf_namespaces_add(list, HF_STR("room"), &ns, &why), 0);
    assert_int_equal(hf_namespace_allow(list, ns, HF_RIGHT_SUBSCRIBE, HF_STR("all"), &why), 0);
    assert_int_equal(hf_namespace_allow(list, ns, HF_RIGHT_PRESENCE, HF_STR("none"), &why), 0);
    hf_rules_changed(f->place.hub[0]);
    expect(w, "{\"type\":\"error\",\"code\":\"forbidden\"", 1);
    expect(w, "\"re\":\"presence\",\"channel\":\"room\"", 1);
    flags = atomic_load(&only_cell(w)->cid);
    assert_int_equal(flags & HF_SUB_PRESENCE, 0);
    c = member(0, "room");
    turns(1000);
    assert_int_equal(times(w, event("join", c)), 0);
    say(w, "{\"type\":\"presence\",\"id\":\"5\",\"channel\":\"room\"}");
    expect(w, "\"re\":\"presence\",\"id\":\"5\"", 1);
    say(c, "{\"type\":\"subscribe\",\"channel\":\"room\",\"presence\":true}");
    expect(c, "{\"type\":\"error\",\"code\":\"forbidden\"", 1);
}

/* ---- Nobody follows for ever ---- */

static void what_nobody_asks_about_is_forgotten(void **state)
{
    struct peer *w = watcher(0), *asks = peer_new(0);
    struct hf_str room = HF_STR("room");

    (void)state;
    turns(2 * HF_PRESENCE_IDLE_MS);
    assert_int_equal(hf_presence_followed(f->place.hub[0]), 1);
    lose(w);
    say(asks, "{\"type\":\"presence\",\"id\":\"1\",\"channel\":\"room\"}");
    expect(asks, entry(w), 1);
    turns(HF_PRESENCE_IDLE_MS + 1000);
    assert_int_equal(hf_presence_followed(f->place.hub[0]), 0);
    assert_non_null(hf_hub_find_channel(f->place.hub[0], room));
    say(asks, "{\"type\":\"presence\",\"id\":\"2\",\"channel\":\"room\"}");
    expect(asks, "\"type\":\"presence\",\"id\":\"2\"", 1);
    expect(asks, entry(w), 2);
}

/* ---- Orders ---- */

static void note(void *ctx, const struct hf_service_result *result)
{
    *(struct hf_service_result *)ctx = *result;
}

/* Give it to the hub of this slot, and wait for the outcome. */
static struct hf_service_result order(uint32_t slot, const struct hf_service_order *o)
{
    struct hf_service_result result = {.code = HF_CODES};

    hf_service_order(f->place.hub[slot], o, note, &result);
    for (int n = 0; n < TURNS_MAX && result.code == HF_CODES; n++)
        turns(0);
    assert_int_not_equal(result.code, HF_CODES);
    return result;
}

static void name(struct peer *p, const char *user)
{
    assert_int_equal(hf_session_identity_set(&f->place.hub[p->slot]->sessions, session_of(p),
                                             hf_str_from(user), (struct hf_str){0}, f->place.now.mono_ms),
                     0);
}

static void all_sessions_of_a_user(void **state)
{
    struct peer *mine[4], *other = peer_new(0);
    struct hf_service_order o = {.act = HF_ACT_SUBSCRIBE, .user = HF_STR("ada"), .channel = HF_STR("room")};

    (void)state;
    for (uint32_t i = 0; i < 4; i++) {
        mine[i] = peer_new(i % 2);
        name(mine[i], "ada");
    }
    name(other, "bob");
    lose(mine[2]);
    lose(mine[3]);
    for (uint32_t slot = 0; slot < 2; slot++) {
        struct hf_service_result result;

        o.act = HF_ACT_SUBSCRIBE;
        result = order(slot, &o);
        assert_int_equal(result.code, HF_CODE_NONE);
        assert_int_equal(result.sessions, 4);
        expect(mine[0], "\"type\":\"subscribed\",\"channel\":\"room\"", slot + 1);
        expect(mine[1], "\"type\":\"subscribed\",\"channel\":\"room\"", slot + 1);
        assert_int_equal(times(other, "subscribed"), 0);
        o.act = HF_ACT_UNSUBSCRIBE;
        result = order(slot, &o);
        assert_int_equal(result.code, HF_CODE_NONE);
        assert_int_equal(result.sessions, 4);
        expect(mine[1], "\"type\":\"unsubscribed\",\"channel\":\"room\",\"code\":\"forbidden\"", slot + 1);
        assert_int_equal(order(slot, &o).sessions, 0);
    }
    o = (struct hf_service_order){.act = HF_ACT_DISCONNECT, .user = HF_STR("ada"), .close_code = 4003};
    assert_int_equal(order(1, &o).sessions, 4);
    turns(HF_CLOSE_LINGER_MS + 100);
    for (uint32_t i = 0; i < 4; i++)
        assert_null(mine[i]->conn);
    assert_non_null(other->conn);
    assert_int_equal(order(1, &o).sessions, 0);
}

/* Its time goes on as if nobody had touched it. */
static void a_parked_session_keeps_its_time(void **state)
{
    struct peer *c = peer_new(0), *w = watcher(1);
    char session[17];
    uint64_t parked_ms;

    (void)state;
    lose(c);
    parked_ms = atomic_load(&session_of(c)->parked_ms);
    turns(f->place.config.session_ttl_ms / 2);
    snprintf(session, sizeof(session), "%016llx", (unsigned long long)c->session);
    assert_int_equal(order(1, &(struct hf_service_order){.act = HF_ACT_SUBSCRIBE,
                                                         .session = hf_str_from(session),
                                                         .channel = HF_STR("room")})
                         .sessions,
                     1);
    expect(w, event("join", c), 1);
    assert_int_equal(hf_state_phase(atomic_load(&session_of(c)->state)), HF_SESSION_PARKED);
    assert_int_equal(atomic_load(&session_of(c)->parked_ms), parked_ms);
    turns(f->place.config.session_ttl_ms / 2 + 3000);
    expect(w, event("leave", c), 1);
    assert_null(hf_sessions_get(&f->place.hub[0]->sessions, c->session));
}

/* A channel that there is not is made, by whichever worker owns it; messages from then on reach the session. */
static void a_new_channel_by_order(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 8; i++) {
        struct peer *c = peer_new(i % 2);
        char session[17], room[16];

        snprintf(session, sizeof(session), "%016llx", (unsigned long long)c->session);
        snprintf(room, sizeof(room), "new-%u", (unsigned)i);
        assert_int_equal(order(i / 4, &(struct hf_service_order){.act = HF_ACT_SUBSCRIBE,
                                                                 .session = hf_str_from(session),
                                                                 .channel = hf_str_from(room)})
                             .sessions,
                         1);
        expect(c, "\"type\":\"subscribed\"", 1);
    }
}

/* "OPENING: the owner was asked to make the channel" - the answer to what the backend has ordered is no answer to what the client asks. */
static void an_order_takes_no_answer_of_the_client(void **state)
{
    char room[2][16], session[17], text[96];
    struct hf_hub *hub = f->place.hub[0];
    struct peer *c = peer_new(0), *other = peer_new(1);
    struct hf_service_result result = {.code = HF_CODES};
    uint32_t found = 0, made = 0;

    (void)state;
    for (uint32_t i = 0; found < 2; i++) { /* Both are another worker's to make. */
        snprintf(room[found], sizeof(room[0]), "room-%u", (unsigned)i);
        found += hf_region_owner(&f->place.region, hf_channel_shard(hf_channel_hash(hf_str_from(room[found])),
                                                                    hub->shards)) == 1;
    }
    for (uint32_t i = 0; made + 1 < f->place.config.channels_max; i++) { /* There is room for one more. */
        snprintf(text, sizeof(text), "other-%u", (unsigned)i);
        if (hf_region_owner(&f->place.region,
                            hf_channel_shard(hf_channel_hash(hf_str_from(text)), hub->shards)) != 1)
            continue;
        publish_text(f->place.hub[1], text, "1");
        made++;
    }
    snprintf(session, sizeof(session), "%016llx", (unsigned long long)c->session);
    hf_service_order(hub,
                     &(struct hf_service_order){.act = HF_ACT_SUBSCRIBE,
                                                .session = hf_str_from(session),
                                                .channel = hf_str_from(room[0])},
                     note, &result);
    snprintf(text, sizeof(text), "{\"type\":\"subscribe\",\"channel\":\"%s\"}", room[1]);
    say(c, text);
    say(other, text); /* On the owner, which makes it before it hears of either. */
    expect(c, "\"type\":\"subscribed\"", 1);
    expect(c, "\"type\":\"error\"", 0);
    for (int n = 0; n < TURNS_MAX && result.code == HF_CODES; n++)
        turns(0);
    assert_int_equal(result.code, HF_CODE_LIMIT);
}

/* ---- Questions that wait, and bounds ---- */

/* Where the members must be looked for, the client's next messages are carried out meanwhile. */
static void what_stands_behind_a_question_does_not_wait(void **state)
{
    struct peer *m = member(1, "room"), *c = peer_new(0);
    const char *pong, *members;

    (void)state;
    say(c, "{\"type\":\"presence\",\"id\":\"q\",\"channel\":\"room\"}");
    say(c, "{\"type\":\"ping\",\"id\":\"p\"}");
    expect(c, "\"type\":\"presence\",\"id\":\"q\"", 1);
    expect(c, entry(m), 1);
    pong = strstr(text_of(c), "\"type\":\"pong\"");
    members = strstr(text_of(c), "\"type\":\"presence\"");
    assert_non_null(pong);
    assert_true(pong < members);
}

/* Beyond so many its next ones wait, and all are answered; of one that is gone nothing is left. */
static void many_questions_at_once(void **state)
{
    enum { QUESTIONS = 2 * HF_PRESENCE_QUESTIONS + 3 };
    struct peer *c, *gone = peer_new(0);
    char text[96];

    (void)state;
    (void)member(1, "room");
    say(gone, "{\"type\":\"presence\",\"id\":\"q\",\"channel\":\"room\"}");
    assert_int_equal(f->place.hub[0]->presence->asking.count, 1);
    lose(gone);
    turns(50);
    assert_int_equal(f->place.hub[0]->presence->asking.count, 0);
    c = peer_new(0);
    turns(HF_PRESENCE_IDLE_MS); /* It is forgotten, and must be looked for anew. */
    for (unsigned i = 0; i < QUESTIONS; i++) {
        snprintf(text, sizeof(text), "{\"type\":\"presence\",\"id\":\"q%u\",\"channel\":\"room\"}", i);
        say(c, text);
    }
    assert_int_equal(hf_map_get(&f->place.hub[0]->presence->asking, c->conn->serial)->a,
                     HF_PRESENCE_QUESTIONS);
    expect(c, "\"type\":\"presence\"", QUESTIONS);
    for (unsigned i = 0; i < QUESTIONS; i++) {
        snprintf(text, sizeof(text), "\"id\":\"q%u\"", i);
        expect(c, text, 1);
    }
    assert_int_equal(f->place.hub[0]->presence->asking.count, 0);
}

/* A client that does not read gets no more of them into the server's memory than its output may have. */
static void answers_wait_for_one_that_does_not_read(void **state)
{
    struct peer *m = member(1, "room"), *c = peer_new(0);

    (void)state;
    c->deaf = true;
    say(c, "{\"type\":\"ping\"}");
    turns(50);
    assert_true(c->conn->blocked);
    say(c, "{\"type\":\"presence\",\"id\":\"q\",\"channel\":\"room\"}");
    turns(50);
    assert_int_equal(f->place.hub[0]->presence->asking.count, 1);
    c->deaf = false;
    hf_hub_writable(c->conn, f->place.now);
    expect(c, entry(m), 1);
}

/* All that it takes is counted: watchers and events with their channel, and given back with them. */
static void what_watching_takes_is_counted(void **state)
{
    struct peer *w = watcher(0), *m = member(1, "room");
    const struct hf_presence_state *p = f->place.hub[0]->presence;
    size_t with_event;

    (void)state;
    expect(w, event("join", m), 1);
    with_event = p->bytes;
    assert_true(with_event >
                HF_PRESENCE_EVENTS * sizeof(struct hf_presence_event) + sizeof(struct hf_follow));
    lose(w);
    turns(50);
    assert_true(p->bytes < with_event - HF_PRESENCE_EVENTS * sizeof(struct hf_presence_event));
    turns(HF_PRESENCE_IDLE_MS);
    assert_int_equal(p->follows.count, 0);
    assert_int_equal(p->bytes, 0);
}

/* With all of it taken by channels that are watched, no more are followed; one that is only asked about gives way. */
static void without_room_no_more_are_followed(void **state)
{
    struct peer *w = watcher(0), *m = member(1, "room"), *c = peer_new(0);
    struct hf_presence_state *p = f->place.hub[0]->presence;
    size_t taken;

    (void)state;
    (void)member(1, "hall");
    (void)member(1, "lobby");
    expect(w, event("join", m), 1);
    say(c, "{\"type\":\"presence\",\"id\":\"1\",\"channel\":\"hall\"}");
    expect(c, "\"type\":\"presence\"", 1);
    assert_int_equal(p->follows.count, 2);
    taken = HF_PRESENCE_BYTES_MAX - p->bytes;
    p->bytes += taken;
    say(c, "{\"type\":\"presence\",\"id\":\"2\",\"channel\":\"lobby\"}");
    expect(c, "\"type\":\"presence\"", 2);
    assert_int_equal(p->follows.count, 2); /* In the place of the hall. */
    p->bytes += HF_PRESENCE_BYTES_MAX - p->bytes;
    say(c, "{\"type\":\"subscribe\",\"channel\":\"lobby\",\"presence\":true}");
    expect(c, "\"code\":\"overloaded\"", 1);
    say(c, "{\"type\":\"presence\",\"id\":\"3\",\"channel\":\"hall\"}");
    expect(c, "\"type\":\"presence\"", 3);
    p->bytes += HF_PRESENCE_BYTES_MAX - p->bytes + sizeof(struct hf_follow);
    say(c, "{\"type\":\"presence\",\"id\":\"4\",\"channel\":\"lobby\"}");
    expect(c, "\"code\":\"overloaded\"", 2);
    lose(m);
    m = member(1, "room");
    expect(w, "\"code\":\"overloaded\",\"reason\":\"joins and leaves were left out", 1);
    lose(w);
}

/* Two that wait for their members do not take each other's room away, for ever: of the second is said at once that there is none. */
static void what_is_looked_for_does_not_give_way(void **state)
{
    struct peer *w = watcher(0), *c = peer_new(0);
    struct hf_presence_state *p = f->place.hub[0]->presence;

    (void)state;
    say(c, "{\"type\":\"subscribe\",\"channel\":\"hall\"}");
    say(c, "{\"type\":\"subscribe\",\"channel\":\"lobby\"}");
    expect(c, "\"type\":\"subscribed\"", 2);
    say(c, "{\"type\":\"unsubscribe\",\"channel\":\"hall\"}");
    say(c, "{\"type\":\"unsubscribe\",\"channel\":\"lobby\"}");
    turns(50);
    p->bytes += HF_PRESENCE_BYTES_MAX - p->bytes - 3 * sizeof(struct hf_follow) / 2;
    say(c, "{\"type\":\"presence\",\"id\":\"1\",\"channel\":\"hall\"}");
    say(c, "{\"type\":\"presence\",\"id\":\"2\",\"channel\":\"lobby\"}");
    expect(c, "\"code\":\"overloaded\"", 1);
    expect(c, "\"type\":\"presence\",\"id\":\"1\"", 1);
    say(c, "{\"type\":\"presence\",\"id\":\"3\",\"channel\":\"lobby\"}");
    expect(c, "\"type\":\"presence\",\"id\":\"3\"", 1);
    assert_int_equal(p->follows.count, 2);
    lose(w);
}

#define HUB_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        HUB_TEST(members_of_both_workers),
        HUB_TEST(nobody_is_told_of_himself_or_twice),
        HUB_TEST(who_they_are_is_told),
        HUB_TEST(expiry_is_a_leave),
        HUB_TEST(a_death_before_the_hint),
        HUB_TEST(more_hints_than_are_kept),
        HUB_TEST(a_watcher_moves),
        HUB_TEST(one_that_does_not_read_gets_all_of_the_last),
        HUB_TEST(beyond_that_it_is_told_to_ask),
        HUB_TEST(who_may_not_any_more_is_told_no_more),
        HUB_TEST(what_nobody_asks_about_is_forgotten),
        HUB_TEST(all_sessions_of_a_user),
        HUB_TEST(a_parked_session_keeps_its_time),
        HUB_TEST(a_new_channel_by_order),
        HUB_TEST(an_order_takes_no_answer_of_the_client),
        HUB_TEST(what_stands_behind_a_question_does_not_wait),
        HUB_TEST(many_questions_at_once),
        HUB_TEST(answers_wait_for_one_that_does_not_read),
        HUB_TEST(what_watching_takes_is_counted),
        HUB_TEST(without_room_no_more_are_followed),
        HUB_TEST(what_is_looked_for_does_not_give_way),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
