/*
 * loop.h - readiness of descriptors, edge-triggered, one loop per process and thread.
 */
#ifndef HF_NET_LOOP_H
#define HF_NET_LOOP_H

#include "base/err.h"
#include "base/now.h"

#include <stdbool.h>
#include <stdint.h>

struct hf_loop;

/* What happened to a descriptor; several at once are possible. */
enum hf_ready {
    HF_READY_READ = 1,
    HF_READY_WRITE = 2,
    HF_READY_ENDED = 4 /* error, or the peer's end: read until it shows, no edge comes for it again */
};

/*
 * A watched descriptor; embed it in what it belongs to. ready() is called from hf_loop_wait(), with bits of enum hf_ready; it reads or writes
 * until EAGAIN, because the edge comes once. It may free its watch after hf_loop_remove().
 */
struct hf_watch {
    int fd;
    void (*ready)(struct hf_watch *w, unsigned what);
};

/* Returns NULL with errno set. */
struct hf_loop *hf_loop_new(void);
void hf_loop_free(struct hf_loop *l);
/* Watch a non-blocking descriptor. level: report readiness as long as it lasts (for descriptors that a library reads). Returns 0 or HF_EIO, errno set. */
int hf_loop_add(struct hf_loop *l, struct hf_watch *w, bool level) HF_MUST_CHECK;
/* The same, level-triggered, for a socket that several processes wait for: one of them is woken, or a few, and not all. Not for a descriptor of epoll. */
int hf_loop_add_shared(struct hf_loop *l, struct hf_watch *w) HF_MUST_CHECK;
/*
 * Watch a descriptor for these bits alone (HF_READY_READ, HF_READY_WRITE), as long as they last: for a library that says what it waits for. To be called again
 * when that changes. added: it is watched already. Returns 0 or HF_EIO, errno set.
 */
int hf_loop_want(struct hf_loop *l, struct hf_watch *w, unsigned what, bool added) HF_MUST_CHECK;
/* No more calls, not even of events that have been fetched already. */
void hf_loop_remove(struct hf_loop *l, struct hf_watch *w);
/* Wait at most timeout_ms (-1: for ever), read the clocks into *now, and call what is ready. Returns the number of calls. */
int hf_loop_wait(struct hf_loop *l, int timeout_ms, struct hf_now *now);
/* Both clocks. */
struct hf_now hf_now_read(void);
/* The monotonic one alone, in microseconds: hf_now_us() of now. */
uint64_t hf_now_read_us(void);

#endif
