/*
 * test_client_socket.c - a session's slot on real sockets of this machine: what was prepared on doubt has, once it is wanted, the time of an attempt that is.
 * The connection that the session lives on is the test's own; the time is made, and only what the kernel does at once is waited for.
 */
#include "client_session_fixture.h"

#include "client/signals.h"
#include "client/socket.h"
#include "client/stuck.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tls_certificate.h"

enum { CALLERS = 8, PATIENCE_MS = 20000 };

/* A listener that accepts nothing. `full`: not even into its queue, so that a connection to it is never made. */
struct deaf {
    int fd, callers[CALLERS];
    unsigned port;
};

static struct deaf deaf_begin(bool full)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof(address);
    struct deaf d = {.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    unsigned i;

    assert_true(d.fd >= 0);
    assert_int_equal(bind(d.fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(d.fd, full ? 0 : CALLERS), 0);
    assert_int_equal(getsockname(d.fd, (struct sockaddr *)&address, &len), 0);
    d.port = ntohs(address.sin_port);
    for (i = 0; i < CALLERS; i++) {
        d.callers[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        assert_true(d.callers[i] >= 0);
        if (full)
            (void)connect(d.callers[i], (struct sockaddr *)&address, sizeof(address));
    }
    return d;
}

static void deaf_end(struct deaf *d)
{
    unsigned i;

    for (i = 0; i < CALLERS; i++)
        (void)close(d->callers[i]);
    (void)close(d->fd);
}

/* The spare's socket, and what it needs. */
struct spare {
    struct hf_socket sock;
    struct hf_servers servers;
    struct hf_client_tls *tls;
    uint8_t buf[HF_READ_BYTES];
};

static struct hf_socket_turn turn_of(struct spare *spare, const struct fixture *f)
{
    return (struct hf_socket_turn){.session = f->s,
                                   .servers = &spare->servers,
                                   .tls = spare->tls,
                                   .buf = spare->buf,
                                   .now_ms = f->now_ms};
}

/* Until the socket has come as far as this. */
static void run_to(struct spare *spare, struct fixture *f, enum hf_socket_stage stage)
{
    const struct hf_socket_turn turn = turn_of(spare, f);

    hf_socket_obey(&spare->sock, &turn);
    while (spare->sock.stage != stage) {
        struct pollfd fds[HF_SOCKET_FDS_MAX];
        int count = hf_socket_prepare(&spare->sock, &turn, fds), i;

        assert_true(count > 0 && poll(fds, (nfds_t)count, PATIENCE_MS) > 0);
        for (i = 0; i < count; i++)
            hf_socket_ready(&spare->sock, &fds[i], &turn);
        hf_socket_obey(&spare->sock, &turn);
    }
}

/*
 * The second connection is begun at the soft deadline, and is as far as `stage` when the hard one comes: from there it has the whole time of an
 * attempt, and not what is left of that which it had as a spare.
 */
static void has_its_time(struct fixture *f, const struct hf_servers_config *where, enum hf_socket_stage stage)
{
    struct spare *spare = calloc(1, sizeof(*spare));
    struct hf_socket_turn turn;
    uint64_t as_spare_ms, as_attempt_ms;
    int slot;

    assert_non_null(spare);
    assert_int_equal(hf_servers_init(&spare->servers, where), 0);
    if (hf_servers_need_tls(&spare->servers))
        assert_int_equal(hf_client_tls_new(NULL, &spare->tls), 0);
    live(f);
    while (wanted_slot(f) < 0)
        advance(f, 100);
    slot = wanted_slot(f);
    hf_socket_init(&spare->sock, (unsigned)slot);
    as_spare_ms = hf_client_session_want(f->s, (unsigned)slot).until_ms;
    run_to(spare, f, stage);
    while (hf_client_session_state(f->s) != HF_CLIENT_CONNECTING)
        advance(f, 100);
    HEARD(f, "disconnected 0\n");
    as_attempt_ms = hf_client_session_want(f->s, (unsigned)slot).until_ms;
    assert_true(f->now_ms < as_spare_ms && as_spare_ms < as_attempt_ms);
    turn = turn_of(spare, f);
    hf_socket_obey(&spare->sock, &turn);
    assert_int_equal(spare->sock.stage, stage);

    turn.now_ms = f->now_ms = as_spare_ms;
    assert_true(hf_socket_deadline_ms(&spare->sock, turn.now_ms) > as_spare_ms);
    hf_socket_tick(&spare->sock, &turn);
    hf_socket_obey(&spare->sock, &turn);
    assert_int_equal(spare->sock.stage, stage);
    HEARD(f, "");

    assert_true(hf_socket_deadline_ms(&spare->sock, turn.now_ms) <= as_attempt_ms);
    turn.now_ms = f->now_ms = as_attempt_ms;
    hf_socket_tick(&spare->sock, &turn);
    assert_int_equal(spare->sock.stage, HF_SOCKET_NONE);
    assert_int_equal(hf_client_session_state(f->s), HF_CLIENT_WAITING);
    hf_socket_release(&spare->sock);
    hf_client_tls_free(spare->tls);
    hf_servers_release(&spare->servers);
    free(spare);
}

static void at(char *out, size_t cap, const char *scheme, unsigned port, const char *path)
{
    (void)snprintf(out, cap, "%s://127.0.0.1:%u%s", scheme, port, path);
}

TEST(a_spare_that_is_dialling_has_its_time)
{
    struct deaf d = deaf_begin(true);
    char url[64];
    const char *const urls[] = {url};

    at(url, sizeof(url), "ws", d.port, "/ws");
    has_its_time(f, &(struct hf_servers_config){.urls = urls, .count = 1, .proxy = ""}, HF_SOCKET_DIALING);
    deaf_end(&d);
}

TEST(a_spare_that_waits_for_the_proxy_has_its_time)
{
    struct deaf d = deaf_begin(false);
    const char *const urls[] = {"ws://192.0.2.1:8000/ws"};
    char proxy[64];

    at(proxy, sizeof(proxy), "http", d.port, "");
    has_its_time(f, &(struct hf_servers_config){.urls = urls, .count = 1, .proxy = proxy},
                 HF_SOCKET_TUNNELING);
    deaf_end(&d);
}

TEST(a_spare_in_its_handshake_has_its_time)
{
    struct deaf d = deaf_begin(false);
    char url[64];
    const char *const urls[] = {url};

    at(url, sizeof(url), "wss", d.port, "/ws");
    has_its_time(f, &(struct hf_servers_config){.urls = urls, .count = 1, .proxy = ""}, HF_SOCKET_GREETING);
    deaf_end(&d);
}

/* --- the end of a connection that stood --- */

/* The server of the test: it takes the connection, and welcomes it. */
static int welcome(struct spare *one, struct fixture *f, const struct deaf *d)
{
    const struct hf_socket_turn turn = turn_of(one, f);
    int fd = accept(d->fd, NULL, NULL);
    struct pollfd readable = {.fd = one->sock.fd, .events = POLLIN};
    char head[4096], key[HF_WS_KEY_LEN];
    struct hf_handshake h;
    struct hf_buf out;
    ssize_t len;

    hf_socket_obey(&one->sock, &turn);
    assert_true(fd >= 0);
    len = recv(fd, head, sizeof(head), 0); /* loopback: it is one piece, and there */
    assert_true(len > 0 && hf_handshake_parse(&h, head, (size_t)len) == (int)len);
    memcpy(key, h.key.data, sizeof(key));
    hf_buf_init(&out, TEXT_MAX);
    assert_int_equal(
        hf_handshake_put_accept(&out, (struct hf_str){key, sizeof(key)}, HF_STR("holdfast.v1.json"), NULL),
        0);
    assert_int_equal(hf_ws_put_frame(&out, HF_WS_TEXT, WELCOME("s1", "false", "null", ""),
                                     strlen(WELCOME("s1", "false", "null", "")) - 1, NULL),
                     0);
    assert_int_equal(send(fd, out.data, out.len, MSG_NOSIGNAL), (ssize_t)out.len);
    hf_buf_release(&out);
    assert_int_equal(poll(&readable, 1, PATIENCE_MS), 1);
    hf_socket_ready(&one->sock, &readable, &turn);
    HEARD(f, "connected s1\n");
    hf_buf_reset(&f->moves);
    return fd;
}

/* The first connection, on a real socket; returns the server's end of it. */
static int stand(struct spare *one, struct fixture *f, const struct deaf *d)
{
    char url[64];
    const char *const urls[] = {url};

    at(url, sizeof(url), "ws", d->port, "/ws");
    assert_int_equal(
        hf_servers_init(&one->servers, &(struct hf_servers_config){.urls = urls, .count = 1, .proxy = ""}),
        0);
    advance(f, 0);
    hf_socket_init(&one->sock, (unsigned)wanted_slot(f));
    run_to(one, f, HF_SOCKET_CARRYING);
    return welcome(one, f, d);
}

/* Something has happened to the socket. */
static void notice(struct spare *one, struct fixture *f)
{
    const struct hf_socket_turn turn = turn_of(one, f);
    struct pollfd fd = {.fd = one->sock.fd, .events = POLLIN};

    assert_int_equal(poll(&fd, 1, PATIENCE_MS), 1);
    hf_socket_ready(&one->sock, &fd, &turn);
    assert_int_equal(one->sock.stage, HF_SOCKET_NONE);
    HEARD(f, "disconnected 0\n");
}

/* The peer takes nothing more, and TCP gives the connection up after so long. */
static void fill(int fd)
{
    static const char junk[65536];

    while (send(fd, junk, sizeof(junk), MSG_NOSIGNAL | MSG_DONTWAIT) > 0)
        continue;
    hf_tcp_give_up_after(fd, 50);
}

static void says_what_happened(struct fixture *f, const struct hf_client_session_event *ev)
{
    (void)f;
    if (ev->type == HF_CSE_DISCONNECTED)
        assert_non_null(strstr(ev->why, "timed out"));
}

TEST(what_tcp_gives_up_is_our_own_evidence)
{
    struct deaf d = deaf_begin(false);
    struct spare *one = calloc(1, sizeof(*one));
    int peer;

    assert_non_null(one);
    peer = stand(one, f, &d);
    fill(one->sock.fd);
    f->in_callback = says_what_happened;
    notice(one, f);
    MOVED(f, "live waiting timed_out\n");
    assert_in_range(f->next_attempt_ms, 0, 100);
    (void)close(peer);
    hf_socket_release(&one->sock);
    hf_servers_release(&one->servers);
    free(one);
    deaf_end(&d);
}

/* The same when a write meets it first. */
TEST(what_tcp_gives_up_is_our_own_evidence_to_a_write)
{
    struct deaf d = deaf_begin(false);
    struct spare *one = calloc(1, sizeof(*one));
    struct pollfd fd;
    struct hf_socket_turn turn;
    int peer;

    assert_non_null(one);
    peer = stand(one, f, &d);
    fill(one->sock.fd);
    fd = (struct pollfd){.fd = one->sock.fd};
    assert_int_equal(poll(&fd, 1, PATIENCE_MS), 1);
    publish(f, "1");
    f->in_callback = says_what_happened;
    turn = turn_of(one, f);
    hf_socket_obey(&one->sock, &turn);
    assert_int_equal(one->sock.stage, HF_SOCKET_NONE);
    HEARD(f, "disconnected 0\n");
    MOVED(f, "live waiting timed_out\n");
    (void)close(peer);
    hf_servers_release(&one->servers);
    free(one);
    deaf_end(&d);
}

/* The server's side of TLS, with a certificate of the test's own in `folder`. */
static SSL_CTX *server_context(const char *folder, char *pem, size_t cap)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    char key[128];

    make_certificate(folder, "server", "test", "IP:127.0.0.1", 3600);
    (void)snprintf(pem, cap, "%s/server.pem", folder);
    (void)snprintf(key, sizeof(key), "%s/server.key", folder);
    assert_non_null(ctx);
    assert_int_equal(SSL_CTX_use_certificate_file(ctx, pem, SSL_FILETYPE_PEM), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM), 1);
    assert_int_equal(unlink(key), 0);
    return ctx;
}

/* Both sides go on in turns until each has ended the handshake; neither waits. */
static void shake_hands(struct spare *one, struct fixture *f, SSL *server)
{
    const struct hf_socket_turn turn = turn_of(one, f);
    bool accepted = false;

    assert_int_equal(fcntl(SSL_get_fd(server), F_SETFL, O_NONBLOCK), 0);
    while (!accepted || one->sock.stage != HF_SOCKET_CARRYING) {
        struct pollfd fd = {.fd = one->sock.fd, .revents = POLLIN};

        accepted = accepted || SSL_accept(server) == 1;
        if (one->sock.stage == HF_SOCKET_GREETING)
            hf_socket_ready(&one->sock, &fd, &turn);
    }
}

TEST(what_tcp_gives_up_is_our_own_evidence_through_tls)
{
    char folder[] = "/tmp/holdfast-socket-XXXXXX", pem[128], url[64];
    const char *const urls[] = {url};
    struct deaf d = deaf_begin(false);
    struct spare *one = calloc(1, sizeof(*one));
    SSL_CTX *ctx;
    SSL *server;
    long len;
    int peer;

    assert_non_null(one);
    assert_non_null(mkdtemp(folder));
    ctx = server_context(folder, pem, sizeof(pem));
    assert_int_equal(hf_client_tls_new(pem, &one->tls), 0);
    at(url, sizeof(url), "wss", d.port, "/ws");
    assert_int_equal(
        hf_servers_init(&one->servers, &(struct hf_servers_config){.urls = urls, .count = 1, .proxy = ""}),
        0);
    advance(f, 0);
    hf_socket_init(&one->sock, (unsigned)wanted_slot(f));
    run_to(one, f, HF_SOCKET_GREETING);
    peer = accept(d.fd, NULL, NULL);
    server = SSL_new(ctx);
    assert_true(peer >= 0 && server != NULL && SSL_set_fd(server, peer) == 1);
    shake_hands(one, f, server);
    fill(one->sock.fd);
    do { /* Before the end there are tickets to be read. */
        struct pollfd fd = {.fd = one->sock.fd, .events = POLLIN};

        assert_int_equal(poll(&fd, 1, PATIENCE_MS), 1);
        len = hf_tls_conn_read(one->sock.tls, one->buf, sizeof(one->buf));
    } while (len == HF_EAGAIN);
    assert_true(len < 0);
    assert_int_equal(hf_tls_conn_errno(one->sock.tls), ETIMEDOUT);
    assert_non_null(strstr(hf_tls_conn_why(one->sock.tls), "timed out"));
    hf_socket_release(&one->sock);
    SSL_free(server);
    SSL_CTX_free(ctx);
    (void)close(peer);
    hf_client_tls_free(one->tls);
    hf_servers_release(&one->servers);
    free(one);
    deaf_end(&d);
    assert_int_equal(unlink(pem) | rmdir(folder), 0);
}

TEST(what_the_peer_ends_is_a_loss)
{
    const struct linger reset = {.l_onoff = 1};
    struct deaf d = deaf_begin(false);
    struct spare *one = calloc(1, sizeof(*one));
    int peer;

    assert_non_null(one);
    peer = stand(one, f, &d);
    assert_int_equal(setsockopt(peer, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)), 0);
    (void)close(peer);
    notice(one, f);
    MOVED(f, "live waiting connection_lost\n");
    hf_servers_release(&one->servers);
    free(one);
    deaf_end(&d);
}

/*
 * Of a silence the session knows better what it means, and comes back sooner: TCP's own end comes behind the session's, also where the ping went out behind what is not
 * acknowledged, by the time that a doubt takes.
 */
TEST(tcp_gives_up_after_the_session)
{
    struct hf_socket sockets[HF_CLIENT_SESSION_SLOTS];
    struct hf_signals_turn turn = {.session = f->s, .sockets = sockets, .now_ms = f->now_ms};
    struct deaf d = deaf_begin(false);
    struct spare *one = calloc(1, sizeof(*one));
    struct hf_signals signals;
    unsigned slot, given_ms = 0;
    socklen_t len = sizeof(given_ms);
    int peer;

    assert_non_null(one);
    for (slot = 0; slot < HF_CLIENT_SESSION_SLOTS; slot++)
        hf_socket_init(&sockets[slot], slot);
    hf_signals_init(&signals, false);
    peer = stand(one, f, &d);
    sockets[one->sock.slot] = one->sock;
    hf_signals_process(&signals, &turn);
    assert_int_equal(getsockopt(one->sock.fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &given_ms, &len), 0);
    assert_in_range(given_ms, hf_client_session_hard_ms(f->s) + HF_STUCK_UNMOVED_MS,
                    hf_client_session_hard_ms(f->s) + HF_STUCK_UNMOVED_MS + 1000);
    hf_signals_release(&signals);
    (void)close(peer);
    hf_socket_release(&one->sock);
    hf_servers_release(&one->servers);
    free(one);
    deaf_end(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_spare_that_is_dialling_has_its_time),
        cmocka_unit_test(a_spare_that_waits_for_the_proxy_has_its_time),
        cmocka_unit_test(a_spare_in_its_handshake_has_its_time),
        cmocka_unit_test(what_tcp_gives_up_is_our_own_evidence),
        cmocka_unit_test(what_tcp_gives_up_is_our_own_evidence_to_a_write),
        cmocka_unit_test(what_tcp_gives_up_is_our_own_evidence_through_tls),
        cmocka_unit_test(what_the_peer_ends_is_a_loss),
        cmocka_unit_test(tcp_gives_up_after_the_session),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
