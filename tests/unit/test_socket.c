/*
 * test_socket.c - the sockets of a worker between loop and hub, over socket pairs: how handshakes and those who are connected share a turn, and what the hub is told of a
 * record that goes out piece by piece, and the demo's harm. The clock is the test's.
 */
#include "server/socket.h"

#include "server/logger.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <errno.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "hub_fixture.h"
#include "tls_certificate.h"

/* docs/operations.md: "A worker reads those who are connected first, then up to 64 handshakes a turn"; docs/tls.md: 16 of TLS. */
enum { PLAIN_PER_TURN = 64, TLS_PER_TURN = 16, CROWD = 3 * PLAIN_PER_TURN / 2, MINUTE_MS = 60000 };

static char folder[] = "/tmp/holdfast-socket-XXXXXX";
static char certificate[64], key[64];
static struct hf_tls *tls;
static SSL_CTX *client_ctx;

struct fixture {
    struct place place;
    struct hf_loop *loop;
    struct hf_sockets sockets;
};

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

static const struct hf_transport transport = {.socket_bytes = HF_SOCKET_BYTES,
                                              .write = hf_socket_write,
                                              .pause = hf_socket_pause,
                                              .finish = hf_socket_finish,
                                              .close = hf_socket_close,
                                              .freeze = hf_socket_freeze,
                                              .wake = wake_nobody,
                                              .random = seven};

static void fixture_init(struct fixture *f)
{
    place_init(&f->place, 1);
    f->place.config.admission_rate = 0;
    hub_start(&f->place, 0, &transport);
    f->loop = hf_loop_new();
    assert_non_null(f->loop);
    assert_int_equal(hf_sockets_init(&f->sockets, f->place.hub[0], f->loop, &f->place.now,
                                     &f->place.region.slots[0].counters, &f->place.config, tls),
                     0);
}

static void fixture_release(struct fixture *f)
{
    place_release(&f->place); /* Closes the sockets. */
    hf_sockets_release(&f->sockets);
    hf_loop_free(f->loop);
    ERR_clear_error();
}

/* All edges that there are, as one wait of a worker takes them. */
static void take_edges(struct fixture *f)
{
    struct hf_now real;

    while (hf_loop_wait(f->loop, 0, &real) > 0)
        ;
}

static void turn(struct fixture *f)
{
    take_edges(f);
    hf_sockets_read(&f->sockets);
    hf_hub_turn(f->place.hub[0], f->place.now);
}

/* ---- Clients ---- */

struct client {
    int fd;
    SSL *ssl; /* NULL: plain */
};

static void client_open(struct fixture *f, struct client *c, bool secure)
{
    struct sockaddr_storage address = {.ss_family = AF_INET};
    int fds[2], small = 4096;

    *c = (struct client){0};
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
    c->fd = fds[1];
    if (secure) {
        c->ssl = SSL_new(client_ctx);
        SSL_set_fd(c->ssl, c->fd);
        SSL_set_connect_state(c->ssl);
        (void)SSL_do_handshake(c->ssl); /* Its hello goes out. */
    }
    assert_true(hf_sockets_open(&f->sockets, fds[0], &address, secure));
}

static void client_close(struct client *c)
{
    SSL_free(c->ssl);
    close(c->fd);
}

static void client_write(struct client *c, const void *data, size_t len)
{
    if (c->ssl != NULL)
        assert_int_equal(SSL_write(c->ssl, data, (int)len), len);
    else
        assert_int_equal(send(c->fd, data, len, MSG_NOSIGNAL), len);
}

/* What has come, as text; "" where that is nothing. Borrowed until the next call. */
static const char *client_read(struct client *c)
{
    static char text[64 * 1024];
    size_t len = 0;

    for (;;) {
        ssize_t n = c->ssl != NULL ? SSL_read(c->ssl, text + len, (int)(sizeof(text) - 1 - len))
                                   : recv(c->fd, text + len, sizeof(text) - 1 - len, 0);

        if (n <= 0)
            break;
        len += (size_t)n;
    }
    text[len] = '\0';
    for (size_t i = 0; i < len; i++) /* The headers of frames have bytes of 0. */
        text[i] = text[i] == '\0' ? ' ' : text[i];
    return text;
}

static bool has_an_answer(const struct client *c)
{
    char byte;

    return recv(c->fd, &byte, 1, MSG_PEEK) == 1;
}

static void client_say(struct client *c, const char *text)
{
    uint8_t frame[1024];

    client_write(c, frame, put_text(frame, text));
}

static void client_request(struct client *c)
{
    char request[1024];

    client_write(c, request, put_request(request, sizeof(request), ""));
}

/* A client with its session. */
static void client_connect(struct fixture *f, struct client *c, bool secure)
{
    client_open(f, c, secure);
    for (int i = 0; secure && i < 10 && !SSL_is_init_finished(c->ssl); i++) {
        turn(f);
        (void)SSL_do_handshake(c->ssl);
    }
    client_request(c);
    turn(f);
    assert_non_null(strstr(client_read(c), "\"type\":\"welcome\""));
}

/* ---- How a turn is shared ---- */

static uint32_t answered(const struct client *crowd)
{
    uint32_t count = 0;

    for (int i = 0; i < CROWD; i++)
        count += has_an_answer(&crowd[i]);
    return count;
}

/* A crowd comes at once: so many of it have their turn, and whoever is connected has his in each one. */
static void a_crowd_of_handshakes(bool secure, uint32_t per_turn)
{
    static struct client crowd[CROWD];
    struct fixture f;
    struct client old;

    fixture_init(&f);
    client_connect(&f, &old, false);
    for (int i = 0; i < CROWD; i++) {
        client_open(&f, &crowd[i], secure);
        if (!secure)
            client_request(&crowd[i]);
    }
    for (uint32_t want = per_turn;; want += per_turn) {
        client_say(&old, "{\"type\":\"ping\"}");
        turn(&f);
        assert_non_null(strstr(client_read(&old), "\"type\":\"pong\""));
        assert_int_equal(answered(crowd), want < CROWD ? want : CROWD);
        assert_int_equal(hf_sockets_busy(&f.sockets), want < CROWD); /* The worker must not wait. */
        if (want >= CROWD)
            break;
    }
    for (int i = 0; i < CROWD; i++)
        client_close(&crowd[i]);
    client_close(&old);
    fixture_release(&f);
}

static void handshakes_in_plain_text_come_so_many_a_turn(void **state)
{
    (void)state;
    a_crowd_of_handshakes(false, PLAIN_PER_TURN);
}

/* Each costs as much as several in plain text. */
static void handshakes_of_tls_come_fewer_a_turn(void **state)
{
    (void)state;
    a_crowd_of_handshakes(true, TLS_PER_TURN);
}

/* The bound is on beginners alone: all who are connected are read in each turn. */
static void all_who_are_connected_are_read_in_each_turn(void **state)
{
    static struct client crowd[CROWD];
    struct fixture f;

    (void)state;
    fixture_init(&f);
    for (int i = 0; i < CROWD; i++)
        client_connect(&f, &crowd[i], false);
    for (int i = 0; i < CROWD; i++)
        client_say(&crowd[i], "{\"type\":\"ping\"}");
    turn(&f);
    assert_int_equal(answered(crowd), CROWD);
    for (int i = 0; i < CROWD; i++)
        client_close(&crowd[i]);
    fixture_release(&f);
}

/* ---- What is left of a record ---- */

/* Take what lies in the socket itself, without a look into the records. */
static size_t drain(const struct client *c)
{
    static uint8_t bytes[256 * 1024];
    ssize_t n = recv(c->fd, bytes, sizeof(bytes), 0);

    assert_true(n > 0 || errno == EAGAIN);
    return n < 0 ? 0 : (size_t)n;
}

/* Many records go out as one write, which the client takes in small pieces: each is told to the hub, until the last one is. */
static void pieces_of_a_record_are_progress(void **state)
{
    static char payload[50000];
    struct fixture f;
    struct client c;
    struct hf_conn *conn;
    uint32_t at = 0, pieces = 0;

    (void)state;
    fixture_init(&f);
    client_connect(&f, &c, true);
    client_say(&c, "{\"type\":\"subscribe\",\"channel\":\"room\"}");
    turn(&f);
    assert_non_null(strstr(client_read(&c), "\"type\":\"subscribed\""));
    conn = hf_conns_next(&f.place.hub[0]->conns, &at);
    assert_non_null(conn);
    memset(payload, 'x', sizeof(payload) - 1);
    payload[0] = payload[sizeof(payload) - 2] = '"';
    for (int i = 0; i < 3; i++)
        publish_text(f.place.hub[0], "room", payload);
    turn(&f);
    assert_true(conn->blocked);
    assert_int_equal(conn->progress_ms, f.place.now.mono_ms);
    while (conn->blocked) {
        uint64_t before_ms = conn->progress_ms;

        f.place.now.mono_ms += 1000;
        take_edges(&f); /* The client has taken nothing: no progress. */
        assert_int_equal(conn->progress_ms, before_ms);
        assert_true(drain(&c) > 0);
        take_edges(&f);
        if (conn->blocked)
            assert_int_equal(conn->progress_ms, f.place.now.mono_ms);
        pieces++;
        assert_true(pieces < 1000);
    }
    assert_true(pieces > 5);
    client_close(&c);
    fixture_release(&f);
}

/* ---- The demo's harm ---- */

static struct hf_conn *only_conn(struct fixture *f)
{
    uint32_t at = 0;
    struct hf_conn *conn = hf_conns_next(&f->place.hub[0]->conns, &at);

    assert_non_null(conn);
    return conn;
}

static void session_text(struct fixture *f, char out[17])
{
    snprintf(out, 17, "%016llx", (unsigned long long)only_conn(f)->session->number);
}

static enum hf_code try_harm(struct fixture *f, const char *session, enum hf_harm harm)
{
    struct hf_service_result result = {.code = HF_CODE_TIMEOUT};

    hf_service_disconnect(f->place.hub[0], hf_str_from(session), (uint16_t)harm, note_offset, &result);
    return result.code;
}

static void do_harm(struct fixture *f, const char *session, enum hf_harm harm)
{
    assert_int_equal(try_harm(f, session, harm), HF_CODE_NONE);
}

/* Nothing goes in or out in that time, and then all of it does. */
static void a_frozen_socket_is_silent_until_its_time_is_over(bool secure)
{
    char session[17];
    const char *text;
    struct fixture f;
    struct client c;

    fixture_init(&f);
    client_connect(&f, &c, secure);
    client_say(&c, "{\"type\":\"subscribe\",\"channel\":\"room\"}");
    turn(&f);
    assert_non_null(strstr(client_read(&c), "\"type\":\"subscribed\""));
    session_text(&f, session);
    do_harm(&f, session, HF_HARM_FREEZE);
    do_harm(&f, session, HF_HARM_FREEZE); /* Once more changes nothing. */
    client_say(&c, "{\"type\":\"ping\",\"id\":\"p\"}");
    publish_text(f.place.hub[0], "room", "\"while frozen\"");
    turn(&f);
    f.place.now.mono_ms += HF_HARM_FREEZE_MS - 1;
    turn(&f);
    assert_string_equal(client_read(&c), "");
    assert_int_equal(f.sockets.frozen_count, 1);
    f.place.now.mono_ms += 1;
    turn(&f);
    text = client_read(&c);
    assert_non_null(strstr(text, "\"type\":\"pong\""));
    assert_non_null(strstr(text, "while frozen"));
    assert_int_equal(f.sockets.frozen_count, 0);
    client_close(&c);
    fixture_release(&f);
}

static void a_freeze_holds_both_directions(void **state)
{
    (void)state;
    a_frozen_socket_is_silent_until_its_time_is_over(false);
}

static void a_freeze_holds_both_directions_of_tls(void **state)
{
    (void)state;
    a_frozen_socket_is_silent_until_its_time_is_over(true);
}

/* No close frame, and the session waits for its client. A frozen connection may be dropped as well. */
static void a_drop_says_nothing(void **state)
{
    char session[17], byte;
    struct fixture f;
    struct client c;
    struct hf_session *s;

    (void)state;
    fixture_init(&f);
    client_connect(&f, &c, false);
    session_text(&f, session);
    s = only_conn(&f)->session;
    do_harm(&f, session, HF_HARM_FREEZE);
    do_harm(&f, session, HF_HARM_DROP);
    assert_int_equal(f.sockets.frozen_count, 0);
    turn(&f);
    assert_int_equal(recv(c.fd, &byte, 1, 0), 0);
    assert_int_equal(hf_state_phase(atomic_load(&s->state)), HF_SESSION_PARKED);
    assert_false(hf_service_held(f.place.hub[0], hf_str_from(session)));
    assert_int_equal(try_harm(&f, session, HF_HARM_DROP), HF_CODE_NOT_FOUND); /* It has no connection. */
    assert_int_equal(try_harm(&f, session, HF_HARM_FREEZE), HF_CODE_NOT_FOUND);
    client_close(&c);
    fixture_release(&f);
}

/* More than the table holds are left alone, and the answer says so. */
static void so_many_are_frozen_at_a_time(void **state)
{
    static struct client crowd[HF_FROZEN_MAX + 1];
    struct fixture f;
    uint32_t at = 0;
    struct hf_conn *conn;

    (void)state;
    fixture_init(&f);
    for (int i = 0; i <= HF_FROZEN_MAX; i++)
        client_connect(&f, &crowd[i], false);
    for (int i = 0; (conn = hf_conns_next(&f.place.hub[0]->conns, &at)) != NULL; i++) {
        char session[17];

        snprintf(session, sizeof(session), "%016llx", (unsigned long long)conn->session->number);
        assert_int_equal(try_harm(&f, session, HF_HARM_FREEZE),
                         i < HF_FROZEN_MAX ? HF_CODE_NONE : HF_CODE_RATE_LIMITED);
    }
    assert_int_equal(f.sockets.frozen_count, HF_FROZEN_MAX);
    for (int i = 0; i <= HF_FROZEN_MAX; i++)
        client_say(&crowd[i], "{\"type\":\"ping\"}");
    turn(&f);
    at = 0;
    for (int i = 0; i <= HF_FROZEN_MAX; i++) {
        at += strstr(client_read(&crowd[i]), "\"type\":\"pong\"") != NULL;
        client_close(&crowd[i]);
    }
    assert_int_equal(at, 1);
    fixture_release(&f);
}

static void harm_has_its_rate_for_each_kind(void **state)
{
    struct fixture f;
    char session[17];
    struct client c;

    (void)state;
    fixture_init(&f);
    client_connect(&f, &c, false);
    session_text(&f, session);
    assert_true(hf_service_may_harm(f.place.hub[0], 0));
    assert_false(hf_service_may_harm(f.place.hub[0], 0));
    assert_true(hf_service_may_harm(f.place.hub[0], HF_HARM_DROP));
    assert_true(hf_service_may_harm(f.place.hub[0], HF_HARM_FREEZE));
    assert_false(hf_service_may_harm(f.place.hub[0], HF_HARM_FREEZE));
    f.place.now.mono_ms += 200;
    turn(&f);
    assert_true(hf_service_may_harm(f.place.hub[0], HF_HARM_FREEZE));
    f.place.now.mono_ms += 2799;
    turn(&f);
    assert_false(hf_service_may_harm(f.place.hub[0], 0));
    f.place.now.mono_ms += 1;
    turn(&f);
    assert_true(hf_service_may_harm(f.place.hub[0], 0));
    /* The supervisor kills who is condemned: the worker that holds the session. */
    assert_false(hf_service_kill_worker(f.place.hub[0], HF_STR("0000000000000000")));
    assert_int_equal(atomic_load(&f.place.region.slots[0].condemned), 0);
    assert_true(hf_service_kill_worker(f.place.hub[0], hf_str_from(session)));
    assert_int_equal(atomic_load(&f.place.region.slots[0].condemned), 1);
    client_close(&c);
    fixture_release(&f);
}

/* ---- All of them ---- */

static int prepare(void **state)
{
    struct hf_tls_files files = {certificate, key};
    struct hf_tls_policy policy = {
        .files = &files, .count = 1, .ciphers = "", .ticket_rotation_ms = MINUTE_MS};
    char error[512];

    (void)state;
    hf_logger_open(STDERR_FILENO, HF_LOG_ERROR, HF_LOG_LOGFMT);
    if (mkdtemp(folder) == NULL)
        return -1;
    make_certificate(folder, "one", "one.test", NULL, 3600);
    snprintf(certificate, sizeof(certificate), "%s/one.pem", folder);
    snprintf(key, sizeof(key), "%s/one.key", folder);
    client_ctx = SSL_CTX_new(TLS_client_method());
    return client_ctx == NULL ? -1 : hf_tls_new(&policy, &tls, error, sizeof(error));
}

static int clear_up(void **state)
{
    (void)state;
    hf_tls_drop(tls);
    SSL_CTX_free(client_ctx);
    unlink(certificate);
    unlink(key);
    hf_logger_close();
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(handshakes_in_plain_text_come_so_many_a_turn),
        cmocka_unit_test(handshakes_of_tls_come_fewer_a_turn),
        cmocka_unit_test(all_who_are_connected_are_read_in_each_turn),
        cmocka_unit_test(pieces_of_a_record_are_progress),
        cmocka_unit_test(a_freeze_holds_both_directions),
        cmocka_unit_test(a_freeze_holds_both_directions_of_tls),
        cmocka_unit_test(a_drop_says_nothing),
        cmocka_unit_test(so_many_are_frozen_at_a_time),
        cmocka_unit_test(harm_has_its_rate_for_each_kind),
    };

    return cmocka_run_group_tests(tests, prepare, clear_up);
}
