/*
 * top.h - the parts of `holdfast top`: what the server tells (top_sample.c), what that means between two looks at it (top_view.c), and how it is shown
 * (top_frame.c as text, top_json.c as JSON). top.c has the options, the terminal and the loop.
 */
#ifndef HF_CLI_TOP_H
#define HF_CLI_TOP_H

#include "base/buf.h"
#include "base/err.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* ---- top_sample.c ---- */

struct hf_top_source {
    const char *api; /* http://…, https://… or unix:/PATH */
    const char *key; /* NULL: none */
    const char *ca;  /* NULL: those of the system */
    void *curl;
};

/* What the server told at one moment. Owns its JSON. */
struct hf_top_sample {
    json_t *stats, *top; /* GET /api/stats, GET /api/top */
};

/* Returns 0 or HF_ENOMEM. hf_top_source_close() takes one that has not been opened, too. */
int hf_top_source_open(struct hf_top_source *s) HF_MUST_CHECK;
void hf_top_source_close(struct hf_top_source *s);
/* Ask; blocks for some seconds at most. Returns 0 with *sample, or HF_EIO with `why`: a whole sentence for people. */
int hf_top_sample_take(struct hf_top_source *s, struct hf_top_sample *sample, char *why,
                       size_t why_len) HF_MUST_CHECK;
void hf_top_sample_drop(struct hf_top_sample *sample);

/* ---- top_view.c ---- */

enum { HF_TOP_PROBLEMS = 8 };

/* Of one histogram, between two samples; ms, or negative where nothing was measured. */
struct hf_top_spread {
    double p50_ms, p99_ms;
};

/* Of one worker, or of all. */
struct hf_top_load {
    double messages_in, publishes, deliveries, bytes_in, bytes_out; /* a second */
    double busy; /* share of the time, 0 to 1; of all: the mean */
    uint64_t connections, sessions, subscriptions;
};

/* What two samples of one server say. Borrows from `now`. */
struct hf_top_view {
    const struct hf_top_sample *now;
    double seconds; /* between the two */
    uint64_t up_ms;
    struct hf_top_load all;
    double resumes, opened, closed, refused, gaps, skipped; /* a second */
    double log_share, ring_share;
    struct hf_top_spread delivery, heartbeat, turn, lag;
    char problem[HF_TOP_PROBLEMS][120]; /* what an operator should know; none: all is well */
    unsigned problem_count;
};

/* before: of the same server and earlier. Returns 0, or HF_EBADMSG where one is no such answer, or they are not of one life of one server. */
int hf_top_view_make(struct hf_top_view *v, const struct hf_top_sample *before,
                     const struct hf_top_sample *now) HF_MUST_CHECK;
/* Of the worker at that place of the list; place < hf_top_workers(). */
struct hf_top_load hf_top_worker(const struct hf_top_sample *before, const struct hf_top_sample *now,
                                 size_t place);
size_t hf_top_workers(const struct hf_top_sample *now);
/* A whole number in an object; 0 where it is none. */
uint64_t hf_top_number(const json_t *object, const char *name);

/* ---- top_frame.c, top_json.c ---- */

struct hf_top_screen {
    unsigned columns, rows; /* rows 0: as many as there is to tell */
    bool colour;
};

/* Append the lines of a frame, each ended by "\n", none longer than the screen. */
void hf_top_frame_put(struct hf_buf *out, const struct hf_top_view *v, const struct hf_top_sample *before,
                      const char *api, const struct hf_top_screen *screen);
/* Append the same as one JSON object, without an end of line. */
void hf_top_json_put(struct hf_buf *out, const struct hf_top_view *v, const struct hf_top_sample *before);

#endif
