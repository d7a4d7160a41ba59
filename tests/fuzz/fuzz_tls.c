/*
 * fuzz_tls.c - what a client sends to the server's TLS, in pieces: first as it is, on a fresh connection; then, with the other end in the hands of
 * OpenSSL's client, as what goes over an established one. The first byte says where to cut, and which of both.
 */
#include "base/assert.h"
#include "net/tls_stream.h"

#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct hf_counters counters;
static struct hf_tls_io io;
static struct hf_tls *tls;
static SSL_CTX *client_ctx;
static uint8_t buffer[64 * 1024];

/* A certificate and its key in one file that exists in memory only. */
static void make_file(char *path, size_t cap)
{
    int fd = memfd_create("pem", MFD_CLOEXEC);
    FILE *f = fdopen(fd, "w");
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x = X509_new();

    hf_assert(f != NULL && key != NULL && x != NULL);
    X509_gmtime_adj(X509_getm_notBefore(x), 0);
    X509_gmtime_adj(X509_getm_notAfter(x), 30 * 86400L);
    X509_set_pubkey(x, key);
    hf_assert(X509_sign(x, key, EVP_sha256()) > 0);
    hf_assert(PEM_write_X509(f, x) == 1 && PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL) == 1);
    fflush(f); /* It stays open, as the file does. */
    snprintf(path, cap, "/proc/self/fd/%d", fd);
    X509_free(x);
    EVP_PKEY_free(key);
}

static void set_up(void)
{
    char path[64], error[256];
    struct hf_tls_files files = {path, ""};
    struct hf_tls_policy policy = {.files = &files, .count = 1, .ciphers = "", .ticket_rotation_ms = 3600000};

    if (tls != NULL)
        return;
    (void)hf_tls_places_setup();
    make_file(path, sizeof(path));
    hf_assert(hf_tls_new(&policy, &tls, error, sizeof(error)) == 0);
    hf_assert(hf_tls_io_init(&io, &counters) == 0);
    client_ctx = SSL_CTX_new(TLS_client_method());
}

/* Read until nothing is left; returns whether the connection still stands. */
static bool read_all(struct hf_tls_stream *s, bool ended)
{
    enum hf_tls_state before;
    bool more = true;

    for (int i = 0; more; i++) {
        long n;

        hf_assert(i < 10000);
        before = hf_tls_stream_state(s);
        n = hf_tls_stream_read(s, buffer, sizeof(buffer), ended, &more);
        hf_assert(n != 0 && n <= (long)sizeof(buffer));
        hf_assert(n > 0 || n == HF_EAGAIN || n == HF_ECLOSED || n == HF_EPROTO);
        /* What is over stays over. */
        hf_assert(before <= HF_TLS_OPEN || hf_tls_stream_state(s) == before);
        if (n == HF_ECLOSED || n == HF_EPROTO)
            return false;
    }
    return true;
}

static void shake_hands(SSL *client, struct hf_tls_stream *s)
{
    for (int i = 0; i < 4; i++) {
        (void)SSL_do_handshake(client);
        hf_assert(read_all(s, false));
    }
    hf_assert(hf_tls_stream_state(s) == HF_TLS_OPEN);
}

/* Send a piece, if there is room; false: the connection is over. */
static bool send_piece(int fd, struct hf_tls_stream *s, const uint8_t *data, size_t len)
{
    return len == 0 || send(fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 || read_all(s, false);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct iovec iov = {buffer, 1000};
    struct hf_tls_stream *s;
    SSL *client = NULL;
    int fds[2];
    size_t cut;

    if (size < 2)
        return 0;
    set_up();
    hf_assert(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) == 0);
    s = hf_tls_stream_new(&io, tls, fds[0]);
    hf_assert(s != NULL);
    if (data[0] % 8 == 7) {
        client = SSL_new(client_ctx);
        SSL_set_fd(client, fds[1]);
        SSL_set_connect_state(client);
        SSL_set_max_proto_version(client, data[0] % 16 == 15 ? TLS1_3_VERSION : TLS1_2_VERSION);
        shake_hands(client, s);
    }
    cut = 1 + data[0] * (size - 1) / 256;
    if (send_piece(fds[1], s, data + 1, cut - 1) && send_piece(fds[1], s, data + cut, size - cut)) {
        hf_assert(hf_tls_stream_write(s, &iov, 1) != 0);
        shutdown(fds[1], SHUT_WR);
        hf_assert(!read_all(s, true));
    }
    hf_tls_stream_free(s);
    SSL_free(client);
    close(fds[0]);
    close(fds[1]);
    return 0;
}
