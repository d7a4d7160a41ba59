/*
 * The server's TLS against OpenSSL's own client, over a socket pair: each byte that goes between them passes through the test.
 */
#include "net/tls.h"
#include "net/tls_stream.h"
#include "net/tls_ticket.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "tls_certificate.h"

enum { BIG = 1 << 20 };

static char folder[] = "/tmp/holdfast-tls-XXXXXX";
static struct hf_counters counters;
static char error[512];
static uint8_t buffer[64 * 1024];

/* ---- Certificates of the test's own ---- */

static const char *path(const char *name)
{
    static char paths[8][128];
    static unsigned next;
    char *p = paths[next++ % 8];

    snprintf(p, sizeof(paths[0]), "%s/%s", folder, name);
    return p;
}

static void write_text(const char *name, const char *text)
{
    FILE *f = fopen(path(name), "w");

    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    fclose(f);
}

static bool places_in_use;
static char doubts[512];

static void doubt(const char *file, const char *what)
{
    snprintf(doubts + strlen(doubts), sizeof(doubts) - strlen(doubts), "%s: %s\n", strrchr(file, '/') + 1,
             what);
}

static int load(const char *const *names, size_t count, struct hf_tls_policy policy, struct hf_tls **out)
{
    struct hf_tls_files files[4];
    static char texts[4][2][128];

    for (size_t i = 0; i < count; i++) {
        snprintf(texts[i][0], sizeof(texts[i][0]), "%s/%s.pem", folder, names[2 * i]);
        snprintf(texts[i][1], sizeof(texts[i][1]), "%s/%s.key", folder, names[2 * i + 1]);
        files[i] = (struct hf_tls_files){texts[i][0], texts[i][1]};
    }
    policy.files = files;
    policy.count = count;
    policy.warn = doubt;
    policy.ciphers = policy.ciphers == NULL ? "" : policy.ciphers;
    policy.ticket_rotation_ms = policy.ticket_rotation_ms == 0 ? 3600000 : policy.ticket_rotation_ms;
    doubts[0] = error[0] = '\0';
    return hf_tls_new(&policy, out, error, sizeof(error));
}

static struct hf_tls *load_one(struct hf_tls_policy policy)
{
    static const char *const names[] = {"one", "one"};
    struct hf_tls *tls = NULL;

    assert_int_equal(load(names, 1, policy, &tls), 0);
    return tls;
}

/* ---- Two ends ---- */

struct pair {
    struct hf_tls_io io;
    struct hf_tls *tls;
    struct hf_tls_stream *server;
    SSL_CTX *ctx;
    SSL *client;
    int fds[2];
};

/* shared: of another pair, which is closed later; NULL: an own one. */
static void open_pair_of(struct pair *p, int version, struct hf_tls_policy policy, struct hf_tls_io *shared)
{
    int small = 4096;

    *p = (struct pair){.tls = load_one(policy)};
    memset(&counters, 0, sizeof(counters));
    if (shared == NULL)
        assert_int_equal(hf_tls_io_init(&p->io, &counters), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, p->fds), 0);
    setsockopt(p->fds[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
    p->server = hf_tls_stream_new(shared == NULL ? &p->io : shared, p->tls, p->fds[0]);
    assert_non_null(p->server);
    p->ctx = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_max_proto_version(p->ctx, version);
    SSL_CTX_set_session_cache_mode(p->ctx, SSL_SESS_CACHE_OFF);
    p->client = SSL_new(p->ctx);
    SSL_set_fd(p->client, p->fds[1]);
    SSL_set_connect_state(p->client);
}

static void open_pair(struct pair *p, int version, struct hf_tls_policy policy)
{
    open_pair_of(p, version, policy, NULL);
}

static void close_pair(struct pair *p)
{
    hf_tls_stream_free(p->server);
    hf_tls_drop(p->tls);
    hf_tls_io_release(&p->io);
    SSL_free(p->client);
    SSL_CTX_free(p->ctx);
    close(p->fds[0]);
    close(p->fds[1]);
    ERR_clear_error();
}

/* Read once; n or an error. */
static long server_read(struct pair *p, uint8_t *buf, size_t cap)
{
    bool more;

    return hf_tls_stream_read(p->server, buf, cap, false, &more);
}

static void shake_hands(struct pair *p)
{
    long n = HF_EAGAIN;

    for (int i = 0; i < 20 && (hf_tls_stream_state(p->server) == HF_TLS_HANDSHAKE || i < 3); i++) {
        (void)SSL_do_handshake(p->client);
        n = server_read(p, buffer, sizeof(buffer));
        assert_int_equal(n, HF_EAGAIN);
    }
    assert_int_equal(hf_tls_stream_state(p->server), HF_TLS_OPEN);
    assert_true(SSL_is_init_finished(p->client));
}

static uint64_t counted(enum hf_counter which)
{
    return counters.counter[which];
}

/* ---- Tests ---- */

static void names_match_as_rfc_6125_has_it(void **state)
{
    static const struct {
        const char *pattern, *name;
        bool matches;
    } cases[] = {
        {"example.org", "example.org", true},
        {"EXAMPLE.org", "Example.ORG", true},
        {"example.org", "www.example.org", false},
        {"*.example.org", "www.example.org", true},
        {"*.example.org", "WWW.EXAMPLE.ORG", true},
        /* 6.4.3: "If the wildcard character is the only character of the left-most label … the client SHOULD NOT compare against anything but the
         * left-most label of the reference identifier." */
        {"*.example.org", "a.b.example.org", false},
        {"*.example.org", "example.org", false},
        {"*.example.org", ".example.org", false},
        {"w*.example.org", "www.example.org", false},
        {"www.*.org", "www.example.org", false},
        {"*.org", "example.org", false},
        {"*", "example", false},
        {"*.example.org", "", false},
        {"", "example.org", false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_int_equal(hf_tls_name_matches(cases[i].pattern, cases[i].name), cases[i].matches);
}

static void the_certificate_with_the_name_is_selected(void **state)
{
    static const char *const names[] = {"one", "one", "wild", "wild", "exact", "exact", "common", "common"};
    struct hf_tls *tls;

    (void)state;
    assert_int_equal(load(names, 4, (struct hf_tls_policy){0}, &tls), 0);
    assert_int_equal(hf_tls_select(tls, "one.test"), 0);
    assert_int_equal(hf_tls_select(tls, "a.wild.test"), 1);
    assert_int_equal(hf_tls_select(tls, "exact.wild.test"),
                     2); /* It stands behind the wildcard, and goes before it. */
    assert_int_equal(hf_tls_select(tls, "second.exact.test"), 2);
    assert_int_equal(hf_tls_select(tls, "common.test"), 3);
    assert_int_equal(hf_tls_select(tls, "exact.test"),
                     0); /* RFC 6125 6.4.4: a common name beside DNS names. */
    assert_int_equal(hf_tls_select(tls, "elsewhere.test"), 0);
    hf_tls_drop(tls);
}

static void assert_load_fails(const char *certificate, const char *key, const char *words)
{
    const char *names[] = {certificate, key};
    struct hf_tls *tls = NULL;

    assert_int_equal(load(names, 1, (struct hf_tls_policy){0}, &tls), HF_EINVAL);
    if (strstr(error, words) == NULL)
        fail_msg("'%s' does not say '%s'", error, words);
    assert_null(tls);
}

static void what_is_wrong_with_files_is_told(void **state)
{
    static const char *const old[] = {"old", "old"}, *const open[] = {"one", "open"};
    struct hf_tls *tls;

    (void)state;
    assert_load_fails("none", "one", "none.pem: no certificate can be read from it: No such file");
    assert_load_fails("one", "none", "none.key: no private key can be read from it: No such file");
    assert_load_fails("text", "one", "text.pem: no certificate can be read from it: no start line");
    assert_load_fails("one", "text", "text.key: no private key can be read from it");
    assert_load_fails("one", "wild", "wild.key: the private key does not belong to the certificate");
    assert_load_fails("one", "locked", "locked.key: the private key is protected by a passphrase");
    assert_int_equal(load(old, 1, (struct hf_tls_policy){0}, &tls), 0);
    assert_string_equal(doubts, "old.pem: the certificate has expired\n");
    hf_tls_drop(tls);
    assert_int_equal(load(open, 1, (struct hf_tls_policy){0}, &tls), 0);
    assert_non_null(strstr(doubts, "open.key: the private key can be read by everybody"));
    assert_non_null(strstr(doubts, "one.pem: the certificate expires within 14 days"));
    hf_tls_drop(tls);
    assert_int_equal(load(open, 1, (struct hf_tls_policy){.ciphers = "nonsense"}, &tls), HF_EINVAL);
    assert_non_null(strstr(error, "tls.ciphers: OpenSSL knows no cipher in 'nonsense'"));
}

static void ticket_keys_follow_from_secret_and_time(void **state)
{
    uint8_t secret[HF_TICKET_SECRET_BYTES] = {1, 2, 3}, name[HF_TICKET_NAME_BYTES];
    struct hf_ticket_keys a, b;
    const struct hf_ticket_key *key;
    bool renew;

    (void)state;
    hf_ticket_keys_init(&a, secret, 1000);
    hf_ticket_keys_init(&b, secret, 1000);
    key = hf_ticket_keys_current(&a, 5500);
    assert_non_null(key);
    assert_int_equal(key->epoch, 5);
    memcpy(name, key->name, sizeof(name));
    /* Another worker, which began in a later epoch: the same key, to be renewed. */
    assert_int_equal(hf_ticket_keys_current(&b, 6999)->epoch, 6);
    assert_memory_not_equal(hf_ticket_keys_current(&b, 6999)->name, name, sizeof(name));
    key = hf_ticket_keys_find(&b, name, 6999, &renew);
    assert_non_null(key);
    assert_true(renew);
    assert_memory_equal(key->cipher, a.keys[0].cipher, sizeof(key->cipher));
    assert_memory_equal(key->mac, a.keys[0].mac, sizeof(key->mac));
    assert_memory_not_equal(key->mac, key->cipher, sizeof(key->mac));
    assert_null(hf_ticket_keys_find(&b, name, 7000, &renew));
    /* A clock that was set back. */
    assert_non_null(hf_ticket_keys_find(&b, name, 5000, &renew));
    assert_false(renew);
    secret[0] ^= 1;
    hf_ticket_keys_init(&b, secret, 1000);
    assert_null(hf_ticket_keys_find(&b, name, 5500, &renew));
    hf_ticket_keys_release(&a);
    assert_int_equal(a.secret[0], 0);
}

static void both_versions_carry_data_both_ways(void **state)
{
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    struct pair p;

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct iovec iov[] = {{(void *)(uintptr_t) "hel", 3}, {NULL, 0}, {(void *)(uintptr_t) "lo", 2}};

        open_pair(&p, versions[i], (struct hf_tls_policy){0});
        shake_hands(&p);
        assert_int_equal(
            counted(versions[i] == TLS1_3_VERSION ? HF_COUNT_TLS_1_3_FULL : HF_COUNT_TLS_1_2_FULL), 1);
        assert_int_equal(SSL_write(p.client, "ping", 4), 4);
        assert_int_equal(server_read(&p, buffer, sizeof(buffer)), 4);
        assert_memory_equal(buffer, "ping", 4);
        assert_int_equal(hf_tls_stream_write(p.server, iov, 3), 5);
        assert_int_equal(SSL_read(p.client, buffer, sizeof(buffer)), 5);
        assert_memory_equal(buffer, "hello", 5);
        hf_tls_stream_finish(p.server);
        assert_int_equal(SSL_read(p.client, buffer, sizeof(buffer)), 0);
        assert_int_equal(SSL_get_error(p.client, 0), SSL_ERROR_ZERO_RETURN);
        /* Half closed: what the client still says arrives, then its end. */
        assert_int_equal(SSL_write(p.client, "bye", 3), 3);
        assert_int_equal(server_read(&p, buffer, sizeof(buffer)), 3);
        (void)SSL_shutdown(p.client);
        assert_int_equal(server_read(&p, buffer, sizeof(buffer)), HF_ECLOSED);
        close_pair(&p);
    }
}

static void only_1_3_refuses_1_2(void **state)
{
    struct pair p;

    (void)state;
    open_pair(&p, TLS1_2_VERSION, (struct hf_tls_policy){.only_1_3 = true});
    (void)SSL_do_handshake(p.client);
    assert_int_equal(server_read(&p, buffer, sizeof(buffer)), HF_EPROTO);
    assert_int_equal(counted(HF_COUNT_TLS_FAILED_VERSION), 1);
    assert_int_equal(SSL_do_handshake(p.client), -1);
    assert_int_equal(ERR_GET_REASON(ERR_peek_error()), SSL_R_TLSV1_ALERT_PROTOCOL_VERSION);
    close_pair(&p);
}

static void alpn_takes_http_1_1_and_nothing_else(void **state)
{
    static const unsigned char both[] = "\x02h2\x08http/1.1", other[] = "\x02h2";
    const unsigned char *got;
    unsigned len;
    struct pair p;

    (void)state;
    open_pair(&p, TLS1_3_VERSION, (struct hf_tls_policy){0});
    SSL_set_alpn_protos(p.client, both, sizeof(both) - 1);
    shake_hands(&p);
    SSL_get0_alpn_selected(p.client, &got, &len);
    assert_int_equal(len, 8);
    assert_memory_equal(got, "http/1.1", 8);
    close_pair(&p);
    open_pair(&p, TLS1_3_VERSION, (struct hf_tls_policy){0});
    SSL_set_alpn_protos(p.client, other, sizeof(other) - 1);
    (void)SSL_do_handshake(p.client);
    assert_int_equal(server_read(&p, buffer, sizeof(buffer)), HF_EPROTO);
    assert_int_equal(counted(HF_COUNT_TLS_FAILED_ALPN), 1);
    assert_int_equal(SSL_do_handshake(p.client), -1);
    assert_int_equal(ERR_GET_REASON(ERR_peek_error()), SSL_R_TLSV1_ALERT_NO_APPLICATION_PROTOCOL);
    close_pair(&p);
}

/* Whatever comes in single bytes is the same as what comes at once. */
static void single_bytes_are_enough(void **state)
{
    struct pair p;
    uint8_t sent[4096];
    int n;

    (void)state;
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        BIO *out = BIO_new(BIO_s_mem());

        open_pair(&p, version, (struct hf_tls_policy){0});
        SSL_set0_wbio(p.client, out);
        for (int round = 0; round < 6; round++) {
            if (SSL_do_handshake(p.client) == 1 && round > 2)
                (void)SSL_write(p.client, "x", 1);
            n = BIO_read(out, sent, sizeof(sent));
            for (int i = 0; i < n; i++) {
                long got;

                assert_int_equal(write(p.fds[1], sent + i, 1), 1);
                got = server_read(&p, buffer, sizeof(buffer));
                assert_true(got == HF_EAGAIN || (got == 1 && buffer[0] == 'x' && i == n - 1));
            }
        }
        assert_int_equal(hf_tls_stream_state(p.server), HF_TLS_OPEN);
        close_pair(&p);
    }
}

/*
 * A reader that takes little at a time, and a writer that has something else to say each time it comes: what was taken arrives once and in order.
 */
static void what_is_taken_is_never_made_twice(void **state)
{
    uint8_t *sent = malloc(BIG), *got = malloc(BIG);
    size_t taken = 0, arrived = 0;
    unsigned refused = 0;
    struct pair p;

    (void)state;
    open_pair(&p, TLS1_3_VERSION, (struct hf_tls_policy){0});
    shake_hands(&p);
    for (unsigned turn = 0; taken < BIG; turn++) {
        size_t len = BIG - taken < 300000 ? BIG - taken : 300000;
        struct iovec iov[] = {{sent + taken, len / 3}, {sent + taken + len / 3, len - len / 3}};
        long n;
        int read;

        /* What waits to be written changes each time, as a hub's may. */
        memset(sent + taken, (int)(turn * 7), len);
        for (size_t i = taken; i < taken + len; i += 997)
            sent[i] = (uint8_t)(i ^ turn);
        n = hf_tls_stream_write(p.server, iov, 2);
        assert_true(n == HF_EAGAIN || n > 0);
        refused += n == HF_EAGAIN;
        taken += n > 0 ? (size_t)n : 0;
        read = SSL_read(p.client, got + arrived, 1500);
        arrived += read > 0 ? (size_t)read : 0;
    }
    assert_true(refused > 10);
    while (arrived < BIG) {
        int read = SSL_read(p.client, got + arrived, (int)(BIG - arrived));

        if (read <= 0)
            assert_int_not_equal(hf_tls_stream_flush(p.server), HF_ECLOSED);
        arrived += read > 0 ? (size_t)read : 0;
    }
    assert_memory_equal(got, sent, BIG);
    assert_int_equal(hf_tls_stream_flush(p.server), 0);
    close_pair(&p);
    free(sent);
    free(got);
}

/* close_notify and FIN come behind what the socket had not taken. */
static void the_end_waits_for_the_rest(void **state)
{
    static uint8_t data[50000];
    struct iovec iov = {data, sizeof(data)};
    size_t arrived = 0;
    struct pair p;
    int n;

    (void)state;
    open_pair(&p, TLS1_3_VERSION, (struct hf_tls_policy){0});
    shake_hands(&p);
    assert_int_equal(hf_tls_stream_write(p.server, &iov, 1), sizeof(data));
    assert_int_equal(hf_tls_stream_write(p.server, &iov, 1), HF_EAGAIN);
    hf_tls_stream_finish(p.server);
    while ((n = SSL_read(p.client, buffer, sizeof(buffer))) != 0) {
        arrived += n > 0 ? (size_t)n : 0;
        assert_int_not_equal(hf_tls_stream_flush(p.server), HF_ECLOSED);
    }
    assert_int_equal(arrived, sizeof(data));
    assert_int_equal(SSL_get_error(p.client, n), SSL_ERROR_ZERO_RETURN);
    assert_int_equal(read(p.fds[1], buffer, 1), 0);
    close_pair(&p);
}

/* What OpenSSL has to say by itself, while it reads (here an alert that refuses to renegotiate), goes behind what waits for the socket. */
static void answers_wait_behind_the_rest(void **state)
{
    static uint8_t data[50000];
    struct iovec iov = {data, sizeof(data)};
    size_t arrived = 0;
    struct pair p;

    (void)state;
    open_pair(&p, TLS1_2_VERSION, (struct hf_tls_policy){0});
    shake_hands(&p);
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)(i * 31);
    assert_int_equal(hf_tls_stream_write(p.server, &iov, 1), sizeof(data));
    assert_int_equal(hf_tls_stream_write(p.server, &iov, 1), HF_EAGAIN);
    assert_int_equal(SSL_renegotiate(p.client), 1);
    for (;;) {
        int n;

        /* Before the server hears of it, the client makes room. */
        while ((n = SSL_read(p.client, buffer, sizeof(buffer))) > 0) {
            assert_memory_equal(buffer, data + arrived, (size_t)n);
            arrived += (size_t)n;
        }
        if (SSL_get_error(p.client, n) != SSL_ERROR_WANT_READ)
            break;
        assert_int_equal(server_read(&p, buffer, 4), HF_EAGAIN);
        assert_int_not_equal(hf_tls_stream_flush(p.server), HF_ECLOSED);
    }
    assert_int_equal(ERR_GET_REASON(ERR_peek_error()), SSL_R_NO_RENEGOTIATION);
    assert_int_equal(arrived, sizeof(data));
    close_pair(&p);
}

/* The socket's edge comes once: what lies there must be asked for until it is empty. */
static void more_is_told_until_the_socket_is_empty(void **state)
{
    static uint8_t data[100000];
    size_t sent = 0, got = 0;
    bool more = true;
    struct pair p;

    (void)state;
    open_pair(&p, TLS1_3_VERSION, (struct hf_tls_policy){0});
    shake_hands(&p);
    while (sent < sizeof(data)) {
        int n = SSL_write(p.client, data + sent, 10000);

        assert_int_equal(n, 10000);
        sent += (size_t)n;
    }
    while (more) {
        long n = hf_tls_stream_read(p.server, buffer, 40000, false, &more);

        assert_true(n > 0 || n == HF_EAGAIN);
        got += n > 0 ? (size_t)n : 0;
    }
    assert_int_equal(got, sizeof(data));
    close_pair(&p);
}

static void a_flood_of_key_updates_is_ended(void **state)
{
    struct pair p;
    long got = HF_EAGAIN;
    unsigned sent = 0;

    (void)state;
    open_pair(&p, TLS1_3_VERSION, (struct hf_tls_policy){0});
    shake_hands(&p);
    /* Now and then is no flood: one for each 64 KiB, and some more. */
    for (int i = 0; i < 100; i++) {
        assert_int_equal(SSL_key_update(p.client, SSL_KEY_UPDATE_REQUESTED), 1);
        for (int k = 0; k < 32; k++) {
            assert_int_equal(SSL_write(p.client, buffer, 2048), 2048);
            assert_int_equal(server_read(&p, buffer, sizeof(buffer)), 2048);
            (void)SSL_read(p.client, buffer, sizeof(buffer)); /* The answer, a KeyUpdate. */
        }
    }
    while (got != HF_EPROTO && sent < 1000) {
        assert_int_equal(SSL_key_update(p.client, SSL_KEY_UPDATE_REQUESTED), 1);
        if (SSL_do_handshake(p.client) == 1)
            sent++;
        got = server_read(&p, buffer, sizeof(buffer));
        (void)SSL_read(p.client, buffer, 1);
    }
    assert_int_equal(got, HF_EPROTO);
    assert_true(sent < 100);
    assert_int_equal(counted(HF_COUNT_TLS_FLOODED), 1);
    close_pair(&p);
}

static void renegotiation_is_refused_and_a_flood_of_it_ended(void **state)
{
    struct pair p;
    long got = HF_EAGAIN;
    unsigned tries = 0;

    (void)state;
    open_pair(&p, TLS1_2_VERSION, (struct hf_tls_policy){0});
    shake_hands(&p);
    while (got == HF_EAGAIN && tries++ < 1000) {
        if (SSL_renegotiate(p.client) != 1)
            SSL_clear_options(p.client, SSL_OP_NO_RENEGOTIATION);
        (void)SSL_do_handshake(p.client);
        got = server_read(&p, buffer, sizeof(buffer));
        (void)SSL_read(p.client, buffer, 1);
    }
    assert_true(tries < 100);
    assert_int_equal(counted(HF_COUNT_TLS_1_2_FULL), 1);
    close_pair(&p);
}

static void what_is_no_tls_is_refused(void **state)
{
    static const struct {
        const char *text;
        enum hf_counter counter;
        bool answered;
    } cases[] = {{"GET / HTTP/1.1\r\n\r\n", HF_COUNT_TLS_FAILED_PLAIN, true},
                 {"\r\n", HF_COUNT_TLS_FAILED_GARBAGE, false},
                 {"\x80\x2e\x01", HF_COUNT_TLS_FAILED_GARBAGE, false}};
    struct pair p;

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct iovec iov = {buffer, 10};
        ssize_t n;

        open_pair(&p, TLS1_3_VERSION, (struct hf_tls_policy){0});
        assert_int_equal(write(p.fds[1], cases[i].text, strlen(cases[i].text)), strlen(cases[i].text));
        assert_int_equal(server_read(&p, buffer, sizeof(buffer)), HF_EAGAIN);
        assert_int_equal(hf_tls_stream_state(p.server), HF_TLS_REFUSED);
        assert_int_equal(counted(cases[i].counter), 1);
        n = read(p.fds[1], buffer, sizeof(buffer) - 1);
        assert_true(cases[i].answered ? n > 0 : n == 0);
        if (n > 0) {
            const char *body;

            buffer[n] = '\0';
            body = strstr((const char *)buffer, "\r\n\r\n");
            assert_non_null(body);
            assert_int_equal(strtoul(strstr((const char *)buffer, "Content-Length: ") + 16, NULL, 10),
                             strlen(body + 4));
        }
        /* Nobody is there to write to; what comes is thrown away until the end. */
        assert_int_equal(hf_tls_stream_write(p.server, &iov, 1), 10);
        assert_int_equal(write(p.fds[1], "more", 4), 4);
        assert_int_equal(server_read(&p, buffer, sizeof(buffer)), HF_EAGAIN);
        shutdown(p.fds[1], SHUT_WR);
        assert_int_equal(server_read(&p, buffer, sizeof(buffer)), HF_ECLOSED);
        close_pair(&p);
    }
}

/* A bad record, at each place of it. */
static void a_changed_byte_breaks_the_connection(void **state)
{
    struct pair p;
    uint8_t record[256];
    int len = 1;

    (void)state;
    for (int at = 0; at < len; at++) {
        BIO *out = BIO_new(BIO_s_mem());
        long n;

        open_pair(&p, TLS1_3_VERSION, (struct hf_tls_policy){0});
        shake_hands(&p);
        SSL_set0_wbio(p.client, out);
        assert_int_equal(SSL_write(p.client, "ping", 4), 4);
        len = BIO_read(out, record, sizeof(record));
        record[at] ^= 0x40;
        assert_int_equal(write(p.fds[1], record, (size_t)len), len);
        n = server_read(&p, buffer, sizeof(buffer));
        assert_true(n == HF_EPROTO ||
                    (n == HF_EAGAIN && (at == 3 || at == 4))); /* A greater length is waited for. */
        if (n == HF_EPROTO)
            assert_int_equal(counted(HF_COUNT_TLS_BROKEN), 1);
        close_pair(&p);
    }
    assert_true(len > 20);
}

static void an_end_without_close_notify_is_told(void **state)
{
    struct pair p;

    (void)state;
    open_pair(&p, TLS1_3_VERSION, (struct hf_tls_policy){0});
    shake_hands(&p);
    shutdown(p.fds[1], SHUT_WR);
    assert_int_equal(server_read(&p, buffer, sizeof(buffer)), HF_EPROTO);
    assert_int_equal(counted(HF_COUNT_TLS_TRUNCATED), 1);
    close_pair(&p);
    open_pair(&p, TLS1_3_VERSION, (struct hf_tls_policy){0});
    (void)SSL_do_handshake(p.client);
    assert_int_equal(server_read(&p, buffer, sizeof(buffer)), HF_EAGAIN);
    shutdown(p.fds[1], SHUT_WR);
    assert_int_equal(server_read(&p, buffer, sizeof(buffer)), HF_EPROTO);
    assert_int_equal(counted(HF_COUNT_TLS_FAILED_UNFINISHED), 1);
    close_pair(&p);
}

/* Many connections by turns, so that each goes on where it was left. */
static void connections_by_turns_do_not_mix(void **state)
{
    enum { COUNT = HF_TLS_PLACES * 2 + 3 };
    static struct pair pairs[COUNT];
    struct pair *first = &pairs[0];

    (void)state;
    assert_true(places_in_use);
    for (int i = 0; i < COUNT; i++) {
        open_pair_of(&pairs[i], i % 2 == 0 ? TLS1_3_VERSION : TLS1_2_VERSION, (struct hf_tls_policy){0},
                     i == 0 ? NULL : &first->io);
    }
    for (int round = 0; round < 8; round++)
        for (int i = 0; i < COUNT; i++) {
            (void)SSL_do_handshake(pairs[i].client);
            assert_int_equal(server_read(&pairs[i], buffer, sizeof(buffer)), HF_EAGAIN);
        }
    for (int round = 0; round < 50; round++)
        for (int i = 0; i < COUNT; i++) {
            char text[32];
            int len = snprintf(text, sizeof(text), "%d of %d", round, i);
            struct iovec iov = {text, (size_t)len};

            assert_int_equal(SSL_write(pairs[i].client, text, len), len);
            assert_int_equal(server_read(&pairs[i], buffer, sizeof(buffer)), len);
            assert_memory_equal(buffer, text, (size_t)len);
            assert_int_equal(hf_tls_stream_write(pairs[i].server, &iov, 1), len);
            assert_int_equal(SSL_read(pairs[i].client, buffer, sizeof(buffer)), len);
            assert_memory_equal(buffer, text, (size_t)len);
        }
    for (int i = 1; i < COUNT; i++)
        close_pair(&pairs[i]);
    close_pair(first);
}

static int set_up(void **state)
{
    FILE *f;
    EVP_PKEY *key;

    (void)state;
    if (mkdtemp(folder) == NULL)
        return -1;
    make_certificate(folder, "one", "ignored.test", "DNS:one.test", 3600);
    make_certificate(folder, "wild", "wild.test", "DNS:*.wild.test", 365 * 86400L);
    make_certificate(folder, "exact", "exact.test", "DNS:exact.wild.test,DNS:second.exact.test,IP:127.0.0.1",
                     365 * 86400L);
    make_certificate(folder, "common", "common.test", NULL, 365 * 86400L);
    make_certificate(folder, "old", "old.test", NULL, -3600);
    write_text("text.pem", "This is no certificate.\n");
    write_text("text.key", "This is no key.\n");
    f = fopen(path("one.key"), "r");
    key = PEM_read_PrivateKey(f, NULL, NULL, NULL);
    fclose(f);
    f = fopen(path("locked.key"), "w");
    PEM_write_PrivateKey(f, key, EVP_aes_128_cbc(), NULL, 0, NULL, (void *)(uintptr_t) "secret");
    fclose(f);
    f = fopen(path("open.key"), "w");
    PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL);
    fchmod(fileno(f), 0644);
    fclose(f);
    EVP_PKEY_free(key);
    return 0;
}

static int tear_down(void **state)
{
    static const char *const files[] = {"one.pem",   "one.key",    "wild.pem",   "wild.key", "exact.pem",
                                        "exact.key", "common.pem", "common.key", "old.pem",  "old.key",
                                        "text.pem",  "text.key",   "locked.key", "open.key"};

    (void)state;
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
        unlink(path(files[i]));
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_match_as_rfc_6125_has_it),
        cmocka_unit_test(the_certificate_with_the_name_is_selected),
        cmocka_unit_test(what_is_wrong_with_files_is_told),
        cmocka_unit_test(ticket_keys_follow_from_secret_and_time),
        cmocka_unit_test(both_versions_carry_data_both_ways),
        cmocka_unit_test(only_1_3_refuses_1_2),
        cmocka_unit_test(alpn_takes_http_1_1_and_nothing_else),
        cmocka_unit_test(single_bytes_are_enough),
        cmocka_unit_test(what_is_taken_is_never_made_twice),
        cmocka_unit_test(the_end_waits_for_the_rest),
        cmocka_unit_test(answers_wait_behind_the_rest),
        cmocka_unit_test(more_is_told_until_the_socket_is_empty),
        cmocka_unit_test(a_flood_of_key_updates_is_ended),
        cmocka_unit_test(renegotiation_is_refused_and_a_flood_of_it_ended),
        cmocka_unit_test(what_is_no_tls_is_refused),
        cmocka_unit_test(a_changed_byte_breaks_the_connection),
        cmocka_unit_test(an_end_without_close_notify_is_told),
        cmocka_unit_test(connections_by_turns_do_not_mix),
    };

    places_in_use = hf_tls_places_setup();
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
