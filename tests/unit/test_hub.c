/*
 * test_hub.c - whole hubs over a transport of the test's own, in time that the test makes: what a slow reader's other subscriptions get, how long a write may wait, what a
 * takeover does when the worker that is asked does not answer, and what becomes of publishes that wait for an answer when their connection breaks.
 */
#include "server/hub.h"

#include "server/logger.h"
#include "wire/binary.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "hub_fixture.h"
#include "hub_peer.h"

enum { GATHER_ITEMS = 256, HOUR_MS = 3600000 };

/* ---- What a slow reader's other subscriptions get ---- */

/* A channel has more for a connection than one write takes: what its other subscription has goes with the next one. */
static void a_channel_with_much_holds_no_other_back(void **state)
{
    struct place place;
    struct peer p;

    (void)state;
    place_init(&place, 1);
    hub_start(&place, 0, &transport);
    peer_open(&p, &place, 0, "");
    peer_subscribe(&place, 0, &p, "much");
    peer_subscribe(&place, 0, &p, "little");
    publish_text(place.hub[0], "little", "\"a word\""); /* The one that is due last stands in front. */
    for (int i = 0; i < 4 * GATHER_ITEMS; i++)
        publish_text(place.hub[0], "much", "\"of many\"");
    turn(&place, 0);
    assert_int_equal(times(&p, "of many"), GATHER_ITEMS);
    assert_int_equal(times(&p, "a word"), 0);
    turn(&place, 0);
    assert_int_equal(times(&p, "a word"), 1);
    assert_int_equal(times(&p, "of many"), 2 * GATHER_ITEMS - 1);
    for (int i = 0; i < 3; i++)
        turn(&place, 0);
    assert_int_equal(times(&p, "of many"), 4 * GATHER_ITEMS);
    assert_int_equal(times(&p, "a word"), 1);
    place_release(&place);
    hf_buf_release(&p.got);
}

/* Two of the kind: one write is the one's, the next the other's. */
static void channels_with_much_take_turns(void **state)
{
    struct place place;
    struct peer p;
    unsigned left = 0, right = 0;

    (void)state;
    place_init(&place, 1);
    hub_start(&place, 0, &transport);
    peer_open(&p, &place, 0, "");
    peer_subscribe(&place, 0, &p, "left");
    peer_subscribe(&place, 0, &p, "right");
    for (int i = 0; i < 4 * GATHER_ITEMS; i++) {
        publish_text(place.hub[0], "left", "\"of the left\"");
        publish_text(place.hub[0], "right", "\"of the right\"");
    }
    for (unsigned writes = 1; writes <= 8; writes++) {
        turn(&place, 0);
        left = times(&p, "of the left");
        right = times(&p, "of the right");
        assert_int_equal(left + right, writes * GATHER_ITEMS);
        assert_true(left <= right + GATHER_ITEMS && right <= left + GATHER_ITEMS);
    }
    assert_int_equal(left, 4 * GATHER_ITEMS);
    place_release(&place);
    hf_buf_release(&p.got);
}

/* ---- Messages of many records ---- */

enum { MANY = 3 * HF_RECORDS_PER_PIECE, RECORD_BYTES = 64, WITH_SEQ = 1, WITH_CID = 4 };

/* Records of one WebSocket message, in the making. */
struct message {
    uint8_t bytes[MANY * 8 + 1024];
    size_t len;
};

/* type, then the body's length and the body, as docs/protocol.md has it; both shorter than 128. */
static void put_record(struct message *m, uint8_t type, const void *body, size_t len)
{
    assert_true(len < RECORD_BYTES && m->len + len + 2 <= sizeof(m->bytes));
    m->bytes[m->len++] = type;
    m->bytes[m->len++] = (uint8_t)len;
    memcpy(m->bytes + m->len, body, len);
    m->len += len;
}

static void put_named(struct message *m, uint8_t type, const char *channel)
{
    uint8_t body[RECORD_BYTES] = {0, (uint8_t)strlen(channel)};

    memcpy(body + 2, channel, body[1]);
    put_record(m, type, body, 2 + (size_t)body[1]);
}

static void say_records(struct place *place, struct peer *p, struct message *m)
{
    static uint8_t frame[sizeof(m->bytes) + 16];

    hf_hub_input(p->conn, frame, put_message(frame, HF_WS_BINARY, m->bytes, m->len), place->now);
    m->len = 0;
}

/* Another's cid, as small as those of few channels are. */
static uint8_t cid_of(const struct place *place, const char *channel)
{
    const struct hf_channel *found = hf_hub_find_channel(place->hub[0], hf_str_from(channel));
    uint64_t cid;

    assert_non_null(found);
    cid = hf_cid_to_wire(atomic_load(&found->cid));
    assert_true(cid > 0 && cid < 128);
    return (uint8_t)cid;
}

/* Tens of thousands of records, with no answer that would hold them back: they come a piece a turn, and no turn looks through more of the log than it may. */
static void a_message_of_many_records_takes_turns(void **state)
{
    static struct message m;
    struct place place;
    struct peer p;
    uint8_t cid;

    (void)state;
    place_init(&place, 1);
    hub_start(&place, 0, &transport);
    peer_open_for(&p, &place, 0, HF_PROTOCOL_BINARY, "");
    put_named(&m, HF_MSG_SUBSCRIBE, "q");
    say_records(&place, &p, &m);
    cid = cid_of(&place, "q");
    for (int i = 0; i < 2 * GATHER_ITEMS; i++)
        publish_text(place.hub[0], "q", "1");
    for (int i = 0; i < 4; i++)
        turn(&place, 0);
    for (int i = 0; i < MANY; i++) /* An `ack` of an id that nothing has. */
        put_record(&m, HF_MSG_ACK, (uint8_t[]){1 | 4, cid, 1, 'z'}, 4);
    say_records(&place, &p, &m);
    assert_int_equal(counted(&place, 0, HF_COUNT_ACKS_IGNORED), HF_RECORDS_PER_PIECE);
    assert_int_equal(place.hub[0]->search_left, 0);
    for (unsigned piece = 2; piece <= 3; piece++) {
        assert_true(hf_hub_deadline_ms(place.hub[0], place.now) <= place.now.mono_ms); /* No wait between. */
        turn(&place, 0);
        assert_int_equal(counted(&place, 0, HF_COUNT_ACKS_IGNORED), piece * HF_RECORDS_PER_PIECE);
        assert_int_equal(place.hub[0]->search_left, 0);
    }
    assert_null(p.conn->stall);
    turn(&place, 0);
    assert_true(hf_hub_deadline_ms(place.hub[0], place.now) > place.now.mono_ms);
    /* The next turn has new steps: an ack by an id is found. */
    assert_int_equal(place.hub[0]->search_left, HF_SEARCH_PER_TURN);
    hf_service_publish(
        place.hub[0],
        &(struct hf_service_publish){.channel = HF_STR("q"), .payload = HF_STR("2"), .id = HF_STR("mine")},
        note_offset, &(struct hf_service_result){0});
    turn(&place, 0);
    put_record(&m, HF_MSG_ACK, (uint8_t[]){1 | 4, cid, 4, 'm', 'i', 'n', 'e'}, 7);
    say_records(&place, &p, &m);
    assert_int_equal(counted(&place, 0, HF_COUNT_ACKS_IGNORED), MANY);
    assert_int_equal(atomic_load(&p.conn->subs->cell->acked), 2 * GATHER_ITEMS + 1);
    place_release(&place);
    hf_buf_release(&p.got);
}

/* What stands behind the first piece is kept also where the output has grown meanwhile, and comes when that is gone. */
static void pieces_wait_for_output_too(void **state)
{
    static struct message m;
    struct place place;
    struct peer p;

    (void)state;
    place_init(&place, 1);
    hub_start(&place, 0, &transport);
    peer_open_for(&p, &place, 0, HF_PROTOCOL_BINARY, "");
    p.deaf = true;
    while (m.len + 8 < MANY * 8)
        put_record(&m, HF_MSG_PING, (uint8_t[]){1, 1, 'x'}, 3);
    put_named(&m, HF_MSG_SUBSCRIBE, "at the end");
    say_records(&place, &p, &m);
    assert_false(hf_list_empty(&place.hub[0]->stalled));
    while (p.conn->out.len < HF_OUT_SOFT_BYTES)
        hf_send_error(p.conn, &(struct hf_msg){0}, HF_CODE_OVERLOADED, "something else to say");
    for (int i = 0; i < 100; i++)
        turn(&place, 0);
    assert_true(hf_stall_on_output(p.conn->stall));
    assert_true(hf_list_empty(&place.hub[0]->stalled)); /* Nothing to look at again and again. */
    p.deaf = false;
    hf_hub_writable(p.conn, place.now);
    for (int i = 0; i < 100; i++)
        turn(&place, 0);
    assert_null(p.conn->stall);
    assert_int_equal(times(&p, "at the end"), 1);
    place_release(&place);
    hf_buf_release(&p.got);
}

/* ---- Channels by number ---- */

static void ask_history_by_cid(struct place *place, struct peer *p, uint8_t cid)
{
    static struct message m;

    put_record(&m, HF_MSG_HISTORY, (uint8_t[]){1, 1, 'h', cid}, 4);
    say_records(place, p, &m);
    turn(place, 0);
}

/* docs/protocol.md: a cid "is good on the connection on which it was told". */
static void a_cid_is_for_those_to_whom_it_was_told(void **state)
{
    static struct message m;
    struct place place;
    struct peer owner, other;
    uint8_t cid;

    (void)state;
    place_init(&place, 1);
    hub_start(&place, 0, &transport);
    peer_open(&owner, &place, 0, "");
    peer_subscribe(&place, 0, &owner, "secret");
    publish_text(place.hub[0], "secret", "\"whispered\"");
    peer_open_for(&other, &place, 0, HF_PROTOCOL_BINARY, "");
    for (cid = 1; cid < 127; cid++)
        ask_history_by_cid(&place, &other, cid);
    assert_int_equal(times(&other, "secret"), 0);
    assert_int_equal(times(&other, "whispered"), 0);
    cid = cid_of(&place, "secret");
    /* Who knows the name learns the cid by `history`, */
    put_record(&m, HF_MSG_HISTORY, "\0\1h\6secret", 10);
    say_records(&place, &other, &m);
    turn(&place, 0);
    assert_int_equal(times(&other, "whispered"), 1);
    ask_history_by_cid(&place, &other, cid);
    assert_int_equal(times(&other, "whispered"), 2);
    /* but not for the next connection. */
    hf_hub_lost(other.conn, true, place.now);
    turn(&place, 0);
    hf_buf_release(&other.got);
    peer_open_for(&other, &place, 0, HF_PROTOCOL_BINARY, "");
    ask_history_by_cid(&place, &other, cid);
    assert_int_equal(times(&other, "secret"), 0);
    place_release(&place);
    hf_buf_release(&owner.got);
    hf_buf_release(&other.got);
}

/* A publish by number may be under way behind the `unsubscribe`. */
static void a_cid_outlives_its_subscription(void **state)
{
    static struct message m;
    struct place place;
    struct peer reader, p;
    uint8_t cid;

    (void)state;
    place_init(&place, 1);
    hub_start(&place, 0, &transport);
    peer_open(&reader, &place, 0, "");
    peer_subscribe(&place, 0, &reader, "q");
    peer_open_for(&p, &place, 0, HF_PROTOCOL_BINARY, "");
    put_named(&m, HF_MSG_SUBSCRIBE, "q");
    say_records(&place, &p, &m);
    cid = cid_of(&place, "q");
    put_named(&m, HF_MSG_UNSUBSCRIBE, "q");
    put_record(&m, HF_MSG_DATA, (uint8_t[]){WITH_SEQ | WITH_CID, 1, cid, 3, '"', 'a', '"'}, 7);
    say_records(&place, &p, &m);
    turn(&place, 0);
    turn(&place, 0);
    assert_int_equal(times(&reader, "\"payload\":\"a\""), 1);
    /* So many more, and it is forgotten. */
    for (int i = 0; i < HF_TOLD_MAX; i++)
        hf_conn_told(p.conn, UINT64_C(1) << 40 | (uint64_t)i);
    put_record(&m, HF_MSG_DATA, (uint8_t[]){WITH_SEQ | WITH_CID, 2, cid, 3, '"', 'b', '"'}, 7);
    say_records(&place, &p, &m);
    turn(&place, 0);
    turn(&place, 0);
    assert_int_equal(times(&reader, "\"payload\":\"b\""), 0);
    assert_true(times(&p, "not_found") + times(&p, hf_refusal_reason(HF_CODE_NOT_FOUND)) > 0);
    place_release(&place);
    hf_buf_release(&reader.got);
    hf_buf_release(&p.got);
}

/* ---- Messages that the socket takes in parts ---- */

enum { READERS_MAX = 3 };

static void publish_bytes(struct hf_hub *hub, const char *channel, size_t len)
{
    struct hf_service_result result = {.code = HF_CODE_TIMEOUT};
    char bytes[1000];

    assert_true(len <= sizeof(bytes));
    memset(bytes, 0xff, len);
    hf_service_publish(
        hub,
        &(struct hf_service_publish){.channel = hf_str_from(channel), .payload = {bytes, len}, .raw = true},
        note_offset, &result);
    assert_int_equal(result.code, HF_CODE_NONE);
}

/*
 * Readers subscribe, as many to a channel as there are, and messages of many kinds are published. Each takes `takes` bytes of a write, one byte more than the one
 * before it; all else is the same in every run. What the first got is copied to got, what it got of the messages begins at *begin.
 */
static void read_in_parts(bool binary, uint32_t readers, size_t takes, struct hf_buf *got, uint32_t *begin)
{
    struct place place;
    struct peer peers[READERS_MAX];

    place_init(&place, 1);
    hub_start(&place, 0, &transport);
    for (uint32_t i = 0; i < readers; i++) {
        static const char record[] = "\2\6\0\4demo"; /* subscribe */
        uint8_t frame[64];

        peer_open_for(&peers[i], &place, 0, binary ? HF_PROTOCOL_BINARY : HF_PROTOCOL_JSON, "");
        if (binary)
            hf_hub_input(peers[i].conn, frame, put_message(frame, HF_WS_BINARY, record, sizeof(record) - 1),
                         place.now);
        else
            peer_say(&place, &peers[i], "{\"type\":\"subscribe\",\"channel\":\"demo\"}");
        turn(&place, 0);
        peers[i].takes = takes == 0 ? 0 : takes + i;
    }
    *begin = peers[0].got.len;
    for (uint32_t i = 0; i < 2; i++) {
        publish_text(place.hub[0], "demo", "\"a text\"");
        publish_bytes(place.hub[0], "demo", 0);
        publish_bytes(place.hub[0], "demo", 60);
        publish_text(place.hub[0], "demo", "1");
        publish_bytes(place.hub[0], "demo", 500);
    }
    for (bool all = false; !all;) { /* Until all is written: the socket is always writable again. */
        uint32_t before = 0, after = 0;

        for (uint32_t i = 0; i < readers; i++)
            before += peers[i].got.len;
        turn(&place, 0);
        for (uint32_t i = 0; i < readers; i++) {
            after += peers[i].got.len;
            hf_hub_writable(peers[i].conn, place.now);
        }
        all = before == after;
    }
    for (uint32_t i = 1; i < readers; i++) { /* The same messages, whatever each took at a time. */
        assert_int_equal(peers[i].got.len, peers[0].got.len);
        assert_memory_equal(peers[i].got.data + *begin, peers[0].got.data + *begin,
                            peers[0].got.len - *begin);
    }
    assert_int_equal(hf_buf_put(got, peers[0].got.data, peers[0].got.len), 0);
    place_release(&place);
    for (uint32_t i = 0; i < readers; i++)
        hf_buf_release(&peers[i].got);
}

/* Alone a reader is sent the pieces in the log, with others a run of messages: wherever a write ends, the bytes go on there. */
static void what_is_written_in_parts_is_whole(void **state)
{
    static const struct {
        bool binary;
        uint32_t readers;
    } cases[] = {{false, 1}, {false, 3}, {true, 1}, {true, 3}};

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        struct hf_buf want, got;
        uint32_t begin;

        hf_buf_init(&want, GOT_BYTES_MAX);
        hf_buf_init(&got, GOT_BYTES_MAX);
        read_in_parts(cases[i].binary, cases[i].readers, 0, &want, &begin);
        assert_true(want.len > begin + 2 * 500);
        for (size_t takes = 1; takes < 700; takes += 1 + takes / 16) {
            hf_buf_reset(&got);
            read_in_parts(cases[i].binary, cases[i].readers, takes, &got, &begin);
            assert_int_equal(got.len, want.len);
            assert_memory_equal(got.data, want.data, want.len);
        }
        hf_buf_release(&want);
        hf_buf_release(&got);
    }
}

/* ---- limits.write ---- */

static void start_writing(struct place *place, struct peer *p)
{
    place_init(place, 1);
    place->config.write_timeout_ms = 1000;
    place->config.heartbeat_interval_ms = place->config.heartbeat_max_ms = HOUR_MS;
    hub_start(place, 0, &transport);
    peer_open(p, place, 0, "");
    peer_subscribe(place, 0, p, "room");
}

static void pass(struct place *place, uint32_t ms)
{
    place->now.mono_ms += ms;
    turn(place, 0);
}

static void what_the_transport_gets_rid_of_counts_as_progress(void **state)
{
    struct place place;
    struct peer p;

    (void)state;
    start_writing(&place, &p);
    p.deaf = true;
    publish_text(place.hub[0], "room", "1");
    turn(&place, 0);
    for (int i = 0; i < 10; i++) { /* A little of a record every 0.9 s: nine seconds in all. */
        pass(&place, 900);
        assert_int_equal(counted(&place, 0, HF_COUNT_CLOSE_4005), 0);
        hf_hub_progress(p.conn, place.now);
    }
    pass(&place, 950);
    assert_int_equal(counted(&place, 0, HF_COUNT_CLOSE_4005), 0);
    pass(&place, 150);
    assert_int_equal(counted(&place, 0, HF_COUNT_CLOSE_4005), 1);
    place_release(&place);
    hf_buf_release(&p.got);
}

/* The last of a record goes while nothing waits: that begins no wait, and the next one has its whole time. */
static void progress_of_one_who_waits_for_nothing_is_none(void **state)
{
    struct place place;
    struct peer p;

    (void)state;
    start_writing(&place, &p);
    hf_hub_progress(p.conn, place.now);
    for (int i = 0; i < 5; i++)
        pass(&place, 1000);
    p.deaf = true;
    publish_text(place.hub[0], "room", "1");
    turn(&place, 0);
    pass(&place, 900);
    assert_int_equal(counted(&place, 0, HF_COUNT_CLOSE_4005), 0);
    pass(&place, 200);
    assert_int_equal(counted(&place, 0, HF_COUNT_CLOSE_4005), 1);
    place_release(&place);
    hf_buf_release(&p.got);
}

/* ---- A takeover whose owner is silent ---- */

/* A session of worker 0, and a connection to worker 1 that wants it: worker 0 is asked, and has no turn in which it could answer. */
struct takeover {
    struct place place;
    struct peer old, new;
};

/* What asks for the session of a connection, from its welcome. */
static void ticket_of(struct peer *p, const char *attempt, char *out, size_t cap)
{
    const char *at = strstr(text_of(p) + strlen("HTTP/1.1"), "\r\n\r\n");

    assert_non_null(at);
    at = memmem(at, (size_t)((const char *)p->got.data + p->got.len - at), "\"ticket\":\"", 10);
    assert_non_null(at);
    snprintf(out, cap, "%.*s%s", (int)strcspn(at + 10, "\""), at + 10, attempt);
}

static void takeover_begin_as(struct takeover *t, const char *attempt)
{
    char ticket[96];

    place_init(&t->place, 2);
    hub_start(&t->place, 0, &transport);
    hub_start(&t->place, 1, &transport);
    peer_open(&t->old, &t->place, 0, "");
    ticket_of(&t->old, attempt, ticket, sizeof(ticket));
    peer_open(&t->new, &t->place, 1, ticket);
    assert_int_equal(t->new.conn->phase, HF_CONN_TAKING);
    assert_int_equal(t->new.got.len, 0);
}

static void takeover_begin(struct takeover *t)
{
    takeover_begin_as(t, "");
}

static void takeover_end(struct takeover *t)
{
    place_release(&t->place);
    hf_buf_release(&t->old.got);
    hf_buf_release(&t->new.got);
}

/* Worker 1 alone goes on: whenever it has asked to be woken. */
static void alone_for(struct takeover *t, uint32_t ms)
{
    uint64_t end = t->place.now.mono_ms + ms;

    while (t->place.now.mono_ms < end) {
        uint64_t at = hf_hub_deadline_ms(t->place.hub[1], t->place.now);

        assert_true(at > t->place.now.mono_ms); /* It waits, and does not spin. */
        t->place.now.mono_ms = at < end ? at : end;
        turn(&t->place, 1);
    }
}

static void check_resumed(struct takeover *t)
{
    assert_int_equal(times(&t->new, "HTTP/1.1 101 "), 1);
    assert_int_equal(times(&t->new, "\"resumed\":true"), 1);
    assert_int_equal(counted(&t->place, 1, HF_COUNT_RESUMES_OK), 1);
}

/* Whenever the owner dies, with the question unread in its ring: a twentieth of a second later the session is taken. */
static void the_session_of_an_owner_that_dies_is_taken(void **state)
{
    static const uint32_t lives_ms[] = {0, 1, 49, 50, 51, 777, 2900};

    (void)state;
    for (size_t i = 0; i < sizeof(lives_ms) / sizeof(lives_ms[0]); i++) {
        struct takeover t;

        takeover_begin(&t);
        alone_for(&t, lives_ms[i]);
        assert_int_equal(t.new.got.len, 0);
        hf_region_bury_worker(&t.place.region, 0);
        alone_for(&t, 100); /* The poll, and the width of a slot of the wheel. */
        check_resumed(&t);
        takeover_end(&t);
    }
}

/* The owner has parked it, because its connection broke, and has not come to the question: who asked sees it for himself. */
static void a_session_that_is_parked_meanwhile_is_taken(void **state)
{
    struct takeover t;

    (void)state;
    takeover_begin(&t);
    alone_for(&t, 500);
    hf_hub_lost(t.old.conn, true, t.place.now);
    alone_for(&t, 100);
    check_resumed(&t);
    takeover_end(&t);
}

/* It lives and says nothing: in the end the client is told to come again, and the session stays where it is. */
static void an_owner_that_never_answers_is_not_waited_for_for_ever(void **state)
{
    struct takeover t;

    (void)state;
    takeover_begin(&t);
    alone_for(&t, HF_TAKE_TIMEOUT_MS - 100);
    assert_int_equal(t.new.got.len, 0);
    alone_for(&t, 200);
    assert_int_equal(times(&t.new, "HTTP/1.1 503 "), 1);
    assert_int_equal(times(&t.new, "Retry-After: "), 1);
    assert_int_equal(counted(&t.place, 1, HF_COUNT_REFUSED_TAKEOVER), 1);
    assert_int_equal(counted(&t.place, 1, HF_COUNT_RESUMES_FAILED), 1);
    assert_int_equal(counted(&t.place, 1, HF_COUNT_RESUMES_OK), 0);
    assert_int_equal(t.old.conn->phase, HF_CONN_OPEN);
    takeover_end(&t);
}

/* Attempt 12 asked for the session, having looked at it in the moment before 13 took it: 13 keeps it, and 12 is told. */
static void a_late_attempt_does_not_take_the_session_from_a_newer_one(void **state)
{
    struct takeover t;

    (void)state;
    takeover_begin_as(&t, "&attempt=12");
    atomic_store(&t.old.conn->session->attempt, 13);
    turn(&t.place, 0);
    assert_int_equal(t.old.conn->phase, HF_CONN_OPEN);
    alone_for(&t, 100);
    assert_int_equal(times(&t.new, "HTTP/1.1 409 "), 1);
    assert_int_equal(counted(&t.place, 1, HF_COUNT_RESUMES_STALE), 1);
    takeover_end(&t);
}

static void a_newer_attempt_takes_the_session(void **state)
{
    struct takeover t;

    (void)state;
    takeover_begin_as(&t, "&attempt=12");
    atomic_store(&t.old.conn->session->attempt, 11);
    turn(&t.place, 0);
    assert_int_not_equal(t.old.conn->phase, HF_CONN_OPEN);
    alone_for(&t, 100);
    check_resumed(&t);
    takeover_end(&t);
}

/* ---- Publishes of a session whose first one is not answered ---- */

/*
 * A session at worker 0 whose publish 1 went to worker 1, which has no turn until answer() is called: so no answer leaves, and what is behind it is told to nobody.
 * It may publish RATE times in a second.
 */
enum { RATE = 20 };

struct held_up {
    struct place place;
    struct peer p;
    char ticket[96], remote[16], local[16];
};

static void name_of_worker(struct place *place, uint32_t slot, char out[16])
{
    for (unsigned i = 0;; i++) {
        snprintf(out, 16, "room%u", i);
        if (hf_region_owner(&place->region, hf_channel_shard(hf_channel_hash(hf_str_from(out)), 2)) == slot)
            return;
    }
}

static void held_up_begin(struct held_up *h)
{
    place_init(&h->place, 2);
    h->place.config.publish_rate = RATE;
    h->place.config.message_bytes_max = 64;
    hub_start(&h->place, 0, &transport);
    hub_start(&h->place, 1, &transport);
    name_of_worker(&h->place, 0, h->local);
    name_of_worker(&h->place, 1, h->remote);
    publish_text(h->place.hub[0], h->local, "0");
    publish_text(h->place.hub[1], h->remote, "0");
    peer_open(&h->p, &h->place, 0, "");
    ticket_of(&h->p, "", h->ticket, sizeof(h->ticket));
}

static void held_up_end(struct held_up *h)
{
    place_release(&h->place);
    hf_buf_release(&h->p.got);
}

static void held_up_publish(struct held_up *h, unsigned first, unsigned last)
{
    char text[128];

    for (unsigned seq = first; seq <= last; seq++) {
        snprintf(text, sizeof(text), "{\"type\":\"data\",\"channel\":\"%s\",\"seq\":%u,\"payload\":%u}",
                 seq == 1 ? h->remote : h->local, seq, seq);
        peer_say(&h->place, &h->p, text);
    }
    turn(&h->place, 0);
}

/* To a channel of that worker which was there once. */
static void held_up_by_number(struct held_up *h, unsigned seq, uint32_t slot)
{
    struct hf_channels *channels = &h->place.hub[0]->channels[slot];
    const char *name = slot == 0 ? h->local : h->remote;
    const struct hf_channel *channel =
        hf_channels_find(channels, hf_str_from(name), hf_channel_hash(hf_str_from(name)));
    struct hf_msg m = {.type = HF_MSG_DATA,
                       .encoding = HF_ENCODING_BINARY,
                       .has = HF_HAS_SEQ | HF_HAS_PAYLOAD,
                       .seq = seq,
                       .payload = HF_STR("1")};
    struct hf_buf record;
    uint8_t frame[128];
    hf_cid gone;

    assert_non_null(channel);
    gone = atomic_load(&channel->cid) + (UINT64_C(1) << 40); /* The next incarnation but some. */
    assert_int_equal(hf_cid_shard(gone), slot);
    assert_null(hf_channels_get(channels, gone));
    m.cid = hf_cid_to_wire(gone);
    hf_buf_init(&record, sizeof(frame));
    assert_int_equal(hf_binary_encode(&record, &m), 0);
    h->p.conn->binary = true; /* Answers are JSON, which is easier to look through. */
    hf_hub_input(h->p.conn, frame, put_message(frame, HF_WS_BINARY, record.data, record.len), h->place.now);
    h->p.conn->binary = false;
    hf_buf_release(&record);
}

/* Its connection breaks, and another one resumes the session; nothing has been acknowledged. */
static void held_up_resume(struct held_up *h)
{
    hf_hub_lost(h->p.conn, true, h->place.now);
    turn(&h->place, 0);
    hf_buf_release(&h->p.got);
    peer_open(&h->p, &h->place, 0, h->ticket);
    assert_int_equal(times(&h->p, "\"resumed\":true"), 1);
    assert_int_equal(times(&h->p, "\"lastSeq\":0"), 1);
}

static void held_up_answer(struct held_up *h)
{
    for (int i = 0; i < 4; i++) {
        turn(&h->place, 1);
        turn(&h->place, 0);
    }
}

static bool is_told(struct held_up *h, const char *what, unsigned seq)
{
    char text[64];

    snprintf(text, sizeof(text), "{\"type\":\"%s\",\"seq\":%u,", what, seq);
    return times(&h->p, text) > 0;
}

/* Publishes that are in a log, without the two that made the channels. */
static uint64_t applied(const struct held_up *h)
{
    return counted(&h->place, 0, HF_COUNT_PUBLISHES) + counted(&h->place, 1, HF_COUNT_PUBLISHES) - 2;
}

/* Those refused are sent again, twice, and the first time not to the end: each is refused in the end, and none takes another one's place. */
static void a_refusal_that_comes_again_pushes_no_other_out(void **state)
{
    struct held_up h;

    (void)state;
    held_up_begin(&h);
    held_up_publish(&h, 1, 44);
    pass(&h.place, 100);
    held_up_publish(&h, 45, 45);
    held_up_resume(&h);
    held_up_publish(&h, 1, 36);
    held_up_resume(&h);
    for (unsigned seq = 1; seq <= 45; seq++) {
        held_up_publish(&h, seq, seq);
        pass(&h.place, 50);
    }
    held_up_answer(&h);
    for (unsigned seq = 1; seq <= 45; seq++)
        assert_int_equal(is_told(&h, "nack", seq), seq > RATE && seq < 45);
    assert_true(is_told(&h, "ack", 45));
    assert_int_equal(applied(&h), 21);
    assert_int_equal(counted(&h.place, 0, HF_COUNT_PUBLISHES_REFUSED), 24);
    held_up_end(&h);
}

/* "a nack follows for each of the session's last 32 refusals": a 33rd that nobody can be told of has to wait, and what is behind it. */
static void no_more_refusals_are_untold_than_are_kept(void **state)
{
    struct held_up h;

    (void)state;
    held_up_begin(&h);
    held_up_publish(&h, 1, 60);
    for (int i = 0; i < 3; i++)
        turn(&h.place, 0);
    assert_int_equal(counted(&h.place, 0, HF_COUNT_PUBLISHES_REFUSED), HF_REFUSALS_MAX);
    assert_int_equal(counted(&h.place, 0, HF_COUNT_PUBLISHES_RATE_LIMITED), HF_REFUSALS_MAX);
    held_up_resume(&h);
    held_up_publish(&h, 1, 60);
    held_up_answer(&h);
    for (unsigned seq = 1; seq <= 60; seq++)
        assert_int_equal(is_told(&h, "nack", seq), seq > RATE && seq <= RATE + HF_REFUSALS_MAX);
    assert_true(is_told(&h, "ack", 60));
    assert_int_equal(applied(&h), 60 - HF_REFUSALS_MAX);
    held_up_end(&h);
}

/* Once the first are answered, those that waited are refused in their turn. */
static void a_refusal_that_waited_is_told(void **state)
{
    struct held_up h;

    (void)state;
    held_up_begin(&h);
    held_up_publish(&h, 1, 60);
    held_up_answer(&h);
    for (unsigned seq = 1; seq <= 60; seq++)
        assert_int_equal(is_told(&h, "nack", seq), seq > RATE);
    assert_int_equal(applied(&h), RATE);
    assert_int_equal(counted(&h.place, 0, HF_COUNT_PUBLISHES_REFUSED), 40);
    held_up_end(&h);
}

/* The session's refusals are all behind this one, which could only be told before them. */
static void a_refusal_without_room_closes(void **state)
{
    struct held_up h;
    char text[256];

    (void)state;
    held_up_begin(&h);
    held_up_publish(&h, 1, 60);
    held_up_resume(&h);
    snprintf(text, sizeof(text), "{\"type\":\"data\",\"channel\":\"%s\",\"seq\":1,\"payload\":\"%0100d\"}",
             h.local, 0);
    peer_say(&h.place, &h.p, text);
    turn(&h.place, 0);
    assert_int_equal(times(&h.p, "the server has no room to note another refused publish"), 1);
    assert_int_equal(counted(&h.place, 0, HF_COUNT_PUBLISHES_REFUSED), HF_REFUSALS_MAX);
    held_up_end(&h);
}

/* The memory for refusals is used up: the 21st publish is neither acknowledged nor forgotten. */
static void a_refusal_without_memory_closes(void **state)
{
    struct held_up h;
    struct hf_sessions *t;

    (void)state;
    held_up_begin(&h);
    t = &h.place.hub[0]->sessions;
    for (uint32_t i = 0; i < t->shm->blocks_per_home; i++)
        atomic_store(&t->blocks[i].session, h.p.conn->session->number);
    atomic_store(&t->homes[0].blocks_high, t->shm->blocks_per_home);
    held_up_publish(&h, 1, RATE + 1);
    assert_int_equal(times(&h.p, "the server has no room to note another refused publish"), 1);
    assert_int_equal(counted(&h.place, 0, HF_COUNT_PUBLISHES_REFUSED), 0);
    held_up_end(&h);
}

/* Taken within the rate, and sent again at once after a resume: they have had their tokens, and most are in the log. */
static void what_was_taken_is_not_too_fast_when_it_comes_again(void **state)
{
    struct held_up h;

    (void)state;
    held_up_begin(&h);
    for (unsigned first = 1; first <= 60; first += RATE) {
        held_up_publish(&h, first, first + RATE - 1);
        pass(&h.place, 1050);
    }
    held_up_resume(&h);
    held_up_publish(&h, 1, 60 + RATE + 1); /* What follows is new. */
    held_up_answer(&h);
    for (unsigned seq = 1; seq <= 60 + RATE; seq++)
        assert_false(is_told(&h, "nack", seq));
    assert_true(is_told(&h, "nack", 60 + RATE + 1));
    assert_int_equal(applied(&h), 60 + RATE);
    held_up_end(&h);
}

/* Another worker has parked it since our turn began, by a clock that was read later. */
static void a_session_that_has_just_begun_to_wait_has_waited_no_time(void **state)
{
    struct place place;
    struct peer p;
    struct hf_buf out;
    const char *waiting;

    (void)state;
    place_init(&place, 1);
    hub_start(&place, 0, &transport);
    peer_open(&p, &place, 0, "");
    hf_hub_lost(p.conn, true,
                (struct hf_now){.mono_ms = place.now.mono_ms + 3, .wall_ms = place.now.wall_ms + 3});
    hf_hub_set_now(place.hub[0], place.now);
    hf_buf_init(&out, 4096);
    assert_int_equal(hf_service_sessions(place.hub[0], &(struct hf_session_query){.limit = 1}, &out), 0);
    assert_int_equal(hf_buf_put(&out, "", 1), 0);
    assert_non_null(strstr((const char *)out.data, "\"state\":\"waiting\""));
    waiting = strstr((const char *)out.data, "\"waitingMs\":");
    assert_non_null(waiting);
    assert_int_equal(strtoull(waiting + strlen("\"waitingMs\":"), NULL, 10), 0);
    hf_buf_release(&out);
    hf_buf_release(&p.got);
    place_release(&place);
}

/*
 * Sent again by the number of a channel that has been forgotten meanwhile: what is in the log is acknowledged, and only what is in none is refused, by whichever
 * worker.
 */
static void what_was_applied_to_a_forgotten_channel_is_acknowledged(void **state)
{
    struct held_up h;

    (void)state;
    held_up_begin(&h);
    held_up_publish(&h, 1, 2);
    turn(&h.place, 1);
    hf_hub_lost(h.p.conn, true, h.place.now);
    hf_buf_release(&h.p.got);
    peer_open(&h.p, &h.place, 0, h.ticket);
    hf_session_take_seq(h.p.conn->session, 4); /* 3 and 4 were on their way in a worker that died. */
    held_up_by_number(&h, 1, 1);
    held_up_by_number(&h, 2, 0);
    held_up_by_number(&h, 3, 1);
    held_up_by_number(&h, 4, 0);
    turn(&h.place, 0);
    held_up_answer(&h);
    for (unsigned seq = 1; seq <= 4; seq++)
        assert_int_equal(is_told(&h, "nack", seq), seq > 2);
    assert_true(is_told(&h, "ack", 4));
    assert_int_equal(times(&h.p, "\"code\":\"not_found\""), 2);
    assert_int_equal(applied(&h), 2);
    held_up_end(&h);
}

/* "seq: a publish's place in its session, 1, 2, 3 …": 0 is no readable one, and answered as no publish. */
static void a_malformed_publish_with_seq_0_gets_an_error(void **state)
{
    struct held_up h;

    (void)state;
    held_up_begin(&h);
    peer_say(&h.place, &h.p, "{\"type\":\"data\",\"seq\":0,\"channel\":\"\",\"payload\":1}");
    peer_say(&h.place, &h.p, "{\"type\":\"data\",\"seq\":0,\"channel\":\"a\",\"payload\":1}");
    turn(&h.place, 0);
    assert_int_equal(times(&h.p, "\"code\":\"bad_message\""), 2);
    assert_int_equal(times(&h.p, "\"type\":\"error\""), 2);
    assert_int_equal(times(&h.p, "seq begins at 1"), 1); /* The other one has a channel without a name. */
    assert_false(is_told(&h, "ack", 0));
    held_up_end(&h);
}

/* A hub alone is no worker that serves: the supervisor, which tells the service manager, and health checks go by the slot's state. */
static void a_slot_runs_when_its_worker_serves(void **state)
{
    struct place p;

    (void)state;
    place_init(&p, 1);
    atomic_store(&p.region.slots[0].state, HF_SLOT_STARTING);
    p.hub[0] = hf_hub_new(&p.region, 0, &p.config, &transport, p.now);
    assert_non_null(p.hub[0]);
    assert_int_equal(atomic_load(&p.region.slots[0].state), HF_SLOT_STARTING);
    hf_hub_serves(p.hub[0]);
    assert_int_equal(atomic_load(&p.region.slots[0].state), HF_SLOT_RUNNING);
    place_release(&p);
}

static int log_errors(void **state)
{
    (void)state;
    hf_logger_open(STDERR_FILENO, HF_LOG_ERROR, HF_LOG_LOGFMT);
    return 0;
}

static int close_log(void **state)
{
    (void)state;
    hf_logger_close();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_slot_runs_when_its_worker_serves),
        cmocka_unit_test(a_channel_with_much_holds_no_other_back),
        cmocka_unit_test(channels_with_much_take_turns),
        cmocka_unit_test(a_message_of_many_records_takes_turns),
        cmocka_unit_test(pieces_wait_for_output_too),
        cmocka_unit_test(a_cid_is_for_those_to_whom_it_was_told),
        cmocka_unit_test(a_cid_outlives_its_subscription),
        cmocka_unit_test(what_is_written_in_parts_is_whole),
        cmocka_unit_test(what_the_transport_gets_rid_of_counts_as_progress),
        cmocka_unit_test(progress_of_one_who_waits_for_nothing_is_none),
        cmocka_unit_test(the_session_of_an_owner_that_dies_is_taken),
        cmocka_unit_test(a_session_that_is_parked_meanwhile_is_taken),
        cmocka_unit_test(a_late_attempt_does_not_take_the_session_from_a_newer_one),
        cmocka_unit_test(a_newer_attempt_takes_the_session),
        cmocka_unit_test(an_owner_that_never_answers_is_not_waited_for_for_ever),
        cmocka_unit_test(a_refusal_that_comes_again_pushes_no_other_out),
        cmocka_unit_test(no_more_refusals_are_untold_than_are_kept),
        cmocka_unit_test(a_refusal_that_waited_is_told),
        cmocka_unit_test(a_refusal_without_room_closes),
        cmocka_unit_test(a_refusal_without_memory_closes),
        cmocka_unit_test(what_was_taken_is_not_too_fast_when_it_comes_again),
        cmocka_unit_test(a_session_that_has_just_begun_to_wait_has_waited_no_time),
        cmocka_unit_test(what_was_applied_to_a_forgotten_channel_is_acknowledged),
        cmocka_unit_test(a_malformed_publish_with_seq_0_gets_an_error),
    };

    return cmocka_run_group_tests(tests, log_errors, close_log);
}
