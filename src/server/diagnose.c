#include "server/diagnose.h"

#include "wire/json.h"
#include "ws/frame.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    SILENT_CUT_MS = 5000, /* a connection that breaks sooner after its last byte was not cut for silence */
    CUTS_ALIKE = 2,       /* so many of like silence are no accident */
    ALIKE_PERCENT = 10,   /* timers of proxies are exact; what we see is late by a round trip or two */
    LOOP_RESUMES = 5,     /* so many within LOOP_MS are a loop */
    LOOP_MS = 60000,
    SILENCES_MAX = 64,
};

static const char *close_text(uint16_t code)
{
    switch (code) {
    case HF_CLOSE_NORMAL:
        return "closed by the client";
    case HF_CLOSE_GOING_AWAY:
        return "going away";
    case HF_CLOSE_PROTOCOL_ERROR:
    case HF_CLOSE_UNSUPPORTED:
    case HF_CLOSE_INVALID_DATA:
        return "the client broke the protocol";
    case HF_CLOSE_POLICY:
        return "too many messages that were wrong";
    case HF_CLOSE_TOO_BIG:
        return "a message beyond all bounds";
    case HF_CLOSE_INTERNAL:
        return "the server had no memory for it";
    case HF_CLOSE_TRY_AGAIN_LATER:
        return "the server asked to come back later";
    case HF_CLOSE_SUPERSEDED:
        return "superseded by a newer connection of the session";
    case HF_CLOSE_TOKEN_EXPIRED:
        return "its token ended";
    case HF_CLOSE_ENDED:
        return "ended by the backend";
    case HF_CLOSE_HEARTBEAT_MISSED:
        return "heartbeat missed";
    case HF_CLOSE_TOO_SLOW:
        return "took nothing of what waited for it";
    default:
        return "closed";
    }
}

const char *hf_diagnose_event(const struct hf_journal_event *e)
{
    switch (e->kind) {
    case HF_JOURNAL_STARTED:
        return "session began";
    case HF_JOURNAL_RESUMED:
        return "resumed";
    case HF_JOURNAL_CLOSED:
        return e->by == HF_JOURNAL_BY_PATH ? "cut without a word" : close_text(e->code);
    case HF_JOURNAL_HEARTBEAT:
        return "asked for another heartbeat interval";
    case HF_JOURNAL_GAP:
        return "told a gap";
    case HF_JOURNAL_ENDED:
        return e->code == HF_CLOSE_NORMAL ? "session ended by its client" : "session ended by the backend";
    case HF_JOURNAL_EXPIRED:
        return "session expired";
    }
    return "";
}

/* ---- Findings ---- */

struct findings {
    struct hf_buf *out;
    unsigned count;
};

static void put_text(struct hf_buf *out, const char *name, const char *format, va_list args)
{
    char text[400];

    (void)vsnprintf(text, sizeof(text), format, args);
    hf_buf_putf(out, "\"%s\":", name);
    hf_json_put_string(out, hf_str_from(text));
}

__attribute__((format(printf, 2, 3))) static void finding(struct findings *f, const char *format, ...)
{
    va_list args;

    hf_buf_puts(f->out, f->count++ > 0 ? ",{" : "{");
    va_start(args, format);
    put_text(f->out, "finding", format, args);
    va_end(args);
}

__attribute__((format(printf, 2, 3))) static void advice(struct findings *f, const char *format, ...)
{
    va_list args;

    hf_buf_puts(f->out, ",");
    va_start(args, format);
    put_text(f->out, "advice", format, args);
    va_end(args);
    hf_buf_puts(f->out, "}");
}

static size_t count_closes(const struct hf_journal_event *events, size_t count, uint16_t code)
{
    size_t n = 0;

    for (size_t i = 0; i < count; i++)
        n += events[i].kind == HF_JOURNAL_CLOSED && events[i].code == code;
    return n;
}

static int by_size(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

/* The silences before which the path was cut, of the newest ones, in order of size. */
static size_t silent_cuts(const struct hf_journal_event *events, size_t count, uint32_t out[SILENCES_MAX])
{
    size_t n = 0;

    for (size_t i = 0; i < count && n < SILENCES_MAX; i++)
        if (events[i].kind == HF_JOURNAL_CLOSED && events[i].by == HF_JOURNAL_BY_PATH &&
            events[i].silence_ms >= SILENT_CUT_MS)
            out[n++] = events[i].silence_ms;
    qsort(out, n, sizeof(out[0]), by_size);
    return n;
}

/* The largest group of silences that lie within a tenth of its shortest. */
static size_t alike(const uint32_t *silence, size_t n, uint32_t *shortest)
{
    size_t most = 0;

    for (size_t first = 0; first < n; first++) {
        uint64_t bound = silence[first] + (uint64_t)silence[first] * ALIKE_PERCENT / 100;
        size_t last = first;

        while (last < n && silence[last] <= bound)
            last++;
        if (last - first > most) {
            most = last - first;
            *shortest = silence[first];
        }
    }
    return most;
}

static void look_at_cuts(struct findings *f, const struct hf_journal_event *events, size_t count)
{
    uint32_t silence[SILENCES_MAX], shortest = 0;
    size_t n = silent_cuts(events, count, silence), same = alike(silence, n, &shortest);

    if (same < CUTS_ALIKE)
        return;
    finding(f, "%zu of %zu connections were cut after %u to %u s of silence", same, n, shortest / 1000,
            (unsigned)(((uint64_t)shortest * (100 + ALIKE_PERCENT) / 100 + 999) / 1000));
    advice(f,
           "something on the way (a proxy, a load balancer, a NAT) cuts what is silent for %u s: lower "
           "heartbeat.max "
           "below %u s, or raise its idle timeout",
           shortest / 1000, shortest / 1000);
}

static void look_at_loop(struct findings *f, const struct hf_journal_event *events, size_t count)
{
    size_t resumes = 0, superseded = 0;
    uint64_t newest = count > 0 ? events[0].wall_ms : 0;

    for (size_t i = 0; i < count && events[i].wall_ms + LOOP_MS >= newest; i++) {
        resumes += events[i].kind == HF_JOURNAL_RESUMED;
        superseded += events[i].kind == HF_JOURNAL_CLOSED && events[i].code == HF_CLOSE_SUPERSEDED;
    }
    if (resumes < LOOP_RESUMES)
        return;
    if (superseded * 2 >= resumes) {
        finding(f, "%zu connections of this session superseded each other within a minute", superseded);
        advice(f, "two clients seem to use the same ticket: a copied tab or a shared store gives each the "
                  "session of the other");
    } else {
        finding(f, "the session came back %zu times within a minute", resumes);
        advice(f, "look at what ended its connections below; a client that reconnects at once after a "
                  "refusal is not one of ours");
    }
}

/* What a close code says when it comes at all. */
static const struct {
    uint16_t code;
    const char *finding, *advice;
} codes[] = {
    {HF_CLOSE_HEARTBEAT_MISSED, "nothing came for two heartbeat intervals",
     "the device slept, lost its network without a word, or its page was frozen: it resumes when it is back. "
     "Where it is "
     "neither, a shorter interval finds it sooner"},
    {HF_CLOSE_TOO_SLOW, "the client took nothing of what waited for it for limits.write",
     "it does not read, or its path carries less than its channels bring: subscribe with mode `latest`, or "
     "to fewer channels"},
    {HF_CLOSE_TOO_BIG, "a message was larger than twice limits.message",
     "send large things another way, or raise limits.message"},
    {HF_CLOSE_POLICY, "more than 32 messages of one connection were refused as wrong",
     "the client does not speak this protocol: see the reasons in its `error` messages"},
    {HF_CLOSE_PROTOCOL_ERROR, "the client broke the WebSocket protocol",
     "a client's library, or a proxy that changes bytes"},
    {HF_CLOSE_UNSUPPORTED, "the client sent text on a binary connection, or the reverse",
     "it must keep to the encoding that was agreed on"},
    {HF_CLOSE_INVALID_DATA, "the client sent text that is no UTF-8, or broken compressed data",
     "a client's library, or a proxy that changes bytes"},
    {HF_CLOSE_INTERNAL, "the server had no memory for the connection",
     "see the memory of the machine, and limits.worker_memory"},
    {HF_CLOSE_TOKEN_EXPIRED, "its token ended before a fresh one came",
     "the client's getToken has to answer before the token's end"},
};

static void look_at_codes(struct findings *f, const struct hf_journal_event *events, size_t count)
{
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        size_t n = count_closes(events, count, codes[i].code);

        if (n == 0)
            continue;
        if (n == 1)
            finding(f, "%s, once", codes[i].finding);
        else
            finding(f, "%s, %zu times", codes[i].finding, n);
        advice(f, "%s", codes[i].advice);
    }
}

static void look_at_gaps(struct findings *f, const struct hf_journal_event *events, size_t count)
{
    uint64_t missed = 0;
    size_t gaps = 0;

    for (size_t i = 0; i < count; i++) {
        if (events[i].kind != HF_JOURNAL_GAP)
            continue;
        gaps++;
        missed += events[i].amount;
    }
    if (gaps == 0)
        return;
    finding(f, "%zu gaps were told, of %llu messages", gaps, (unsigned long long)missed);
    advice(f, "it came back later than history reaches, or cannot keep pace: raise history.messages, "
              "history.bytes or history.age of these channels");
}

int hf_diagnose_session(const struct hf_journal_event *events, size_t count, struct hf_buf *out)
{
    struct findings f = {.out = out};

    hf_buf_puts(out, "[");
    look_at_cuts(&f, events, count);
    look_at_loop(&f, events, count);
    look_at_codes(&f, events, count);
    look_at_gaps(&f, events, count);
    return hf_buf_puts(out, "]");
}
