/*
 * bench_stream.h - the bytes of one connection of the load generator: a socket, and TLS over it where the URL asks for it.
 * Nothing else knows of TLS. Never blocks.
 */
#ifndef HF_CLI_BENCH_STREAM_H
#define HF_CLI_BENCH_STREAM_H

#include "cli/bench_options.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct ssl_st;
struct ssl_ctx_st;

struct hf_bench_stream {
    int fd;             /* -1: none */
    bool wants_write;   /* TLS: the last call waits for the socket to take something */
    struct ssl_st *ssl; /* NULL: plain */
};

/* What all TLS connections share: NULL, with a complaint in problem, where the options cannot be followed. */
struct ssl_ctx_st *hf_bench_tls_new(const struct hf_bench_options *o, char problem[HF_BENCH_TEXT_MAX]);
void hf_bench_tls_free(struct ssl_ctx_st *tls);

/* Whether the TLS session was resumed; false without TLS. */
bool hf_bench_stream_resumed(const struct hf_bench_stream *s);

/* Put TLS over s->fd; name is the server's, for SNI and the certificate. Returns 0 or HF_ENOMEM. */
int hf_bench_stream_secure(struct hf_bench_stream *s, struct ssl_ctx_st *tls, const char *name);

/*
 * Both return the bytes moved, HF_EAGAIN, or HF_ECLOSED: the peer has ended it, or it has failed.
 * With TLS, bytes may be left in its own buffer after a read that filled `data`: read until HF_EAGAIN.
 */
ssize_t hf_bench_stream_read(struct hf_bench_stream *s, void *data, size_t len);
ssize_t hf_bench_stream_write(struct hf_bench_stream *s, const void *data, size_t len);

/* Why the last call failed; static storage, or errno's text. */
const char *hf_bench_stream_problem(const struct hf_bench_stream *s);

/* Close it; `abrupt` by a reset. */
void hf_bench_stream_close(struct hf_bench_stream *s, bool abrupt);

#endif
