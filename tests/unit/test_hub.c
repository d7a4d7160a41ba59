/*
 * test_hub.c - whole hubs over a transport of the test's own, in time that the test makes: what a slow reader's other subscriptions get, and
 * how long a write may wait.
 */
#include "server/hub.h"

#include "server/logger.h"

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

enum { GOT_BYTES_MAX = 8 << 20, GATHER_ITEMS = 256, HOUR_MS = 3600000 };

/* ---- Peers: the other end of a connection, which the transport writes to ---- */

struct peer {
    struct hf_conn *conn;
    struct hf_buf got; /* all that was written to it; ends in NUL when it is looked at */
    bool deaf;         /* it takes nothing */
    bool closed;
};

static long peer_write(void *ctx, void *socket, const struct iovec *iov, int count)
{
    struct peer *p = socket;
    long written = 0;

    (void)ctx;
    if (p->deaf)
        return HF_EAGAIN;
    for (int i = 0; i < count; i++) {
        assert_int_equal(hf_buf_put(&p->got, iov[i].iov_base, iov[i].iov_len), 0);
        written += (long)iov[i].iov_len;
    }
    return written;
}

static void peer_pause(void *ctx, void *socket, bool paused)
{
    (void)ctx;
    (void)socket;
    (void)paused;
}

static void peer_finish(void *ctx, void *socket)
{
    (void)ctx;
    (void)socket;
}

static void peer_close(void *ctx, void *socket)
{
    (void)ctx;
    ((struct peer *)socket)->closed = true;
}

static void wake_nobody(void *ctx, uint32_t slot)
{
    (void)ctx;
    (void)slot;
}

static void seven(void *ctx, uint8_t *out, size_t len)
{
    (void)ctx;
    memset(out, 7, len);
}

static const struct hf_transport transport = {.write = peer_write,
                                              .pause = peer_pause,
                                              .finish = peer_finish,
                                              .close = peer_close,
                                              .wake = wake_nobody,
                                              .random = seven};

static const char *text_of(struct peer *p)
{
    assert_int_equal(hf_buf_put(&p->got, "", 1), 0);
    p->got.len--;
    return (const char *)p->got.data;
}

/* How often a word stands in what it got. */
static unsigned times(struct peer *p, const char *word)
{
    unsigned count = 0;

    for (const char *at = text_of(p); at < (const char *)p->got.data + p->got.len; at++) {
        at = memmem(at, (size_t)((const char *)p->got.data + p->got.len - at), word, strlen(word));
        if (at == NULL)
            break;
        count++;
    }
    return count;
}

static void turn(struct place *place, uint32_t slot)
{
    hf_hub_turn(place->hub[slot], place->now);
}

static void peer_say(struct place *place, struct peer *p, const char *text)
{
    uint8_t frame[1024];

    hf_hub_input(p->conn, frame, put_text(frame, text), place->now);
}

/* Connect to a worker and send the request; what becomes of it shows in the worker's next turns. */
static void peer_open(struct peer *p, struct place *place, uint32_t slot, const char *ticket)
{
    char request[1024];
    size_t len = put_request(request, sizeof(request), ticket);

    *p = (struct peer){0};
    hf_buf_init(&p->got, GOT_BYTES_MAX);
    p->conn = hf_hub_open(place->hub[slot], p, "127.0.0.1:1", place->now);
    assert_non_null(p->conn);
    hf_hub_input(p->conn, (uint8_t *)request, len, place->now);
    if (!p->closed)
        turn(place, slot);
}

static void peer_subscribe(struct place *place, uint32_t slot, struct peer *p, const char *channel)
{
    char text[256];

    snprintf(text, sizeof(text), "{\"type\":\"subscribe\",\"channel\":\"%s\"}", channel);
    peer_say(place, p, text);
    turn(place, slot);
    snprintf(text, sizeof(text), "\"type\":\"subscribed\",\"channel\":\"%s\"", channel);
    assert_int_equal(times(p, text), 1);
}

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
        cmocka_unit_test(a_channel_with_much_holds_no_other_back),
        cmocka_unit_test(channels_with_much_take_turns),
        cmocka_unit_test(what_the_transport_gets_rid_of_counts_as_progress),
        cmocka_unit_test(progress_of_one_who_waits_for_nothing_is_none),
    };

    return cmocka_run_group_tests(tests, log_errors, close_log);
}
