/*
 * bench_load_impl.h - what bench_load.c, bench_conn.c and bench_input.c know of each other, and the modes do not.
 */
#ifndef HF_CLI_BENCH_LOAD_IMPL_H
#define HF_CLI_BENCH_LOAD_IMPL_H

#include "cli/bench_load.h"

/* With which all frames are masked. */
extern const uint8_t hf_bench_mask[4];

/* bench_conn.c */

/* The server has ended the connection, or it broke. */
void hf_bench_lost(struct hf_bench_load *load, struct hf_bench_conn *c, const char *why);
/* The socket takes output. */
void hf_bench_flush(struct hf_bench_load *load, struct hf_bench_conn *c);
/* connect() has come to an end, good or bad. */
void hf_bench_connect_ended(struct hf_bench_load *load, struct hf_bench_conn *c);
/*
 * The answer to the upgrade request. Returns the bytes taken, 0 where it is not whole, or a negative number where the connection is gone.
 */
ssize_t hf_bench_recv_response(struct hf_bench_load *load, struct hf_bench_conn *c, uint8_t *data,
                               size_t len);
/* The server's first word has come: subscribe, or be open. */
void hf_bench_greeted(struct hf_bench_load *load, struct hf_bench_conn *c);
void hf_bench_opened(struct hf_bench_load *load, struct hf_bench_conn *c);
/* 429, 503 or `reconnect`: it is closed, and opened again after the delay and a random part of the spread. */
void hf_bench_come_back_later(struct hf_bench_load *load, struct hf_bench_conn *c, uint64_t delay_ms,
                              uint64_t spread_ms);

/* bench_input.c */

/* What epoll tells of a connection. */
void hf_bench_conn_event(struct hf_bench_load *load, struct hf_bench_conn *c, uint32_t events);

#endif
