/*
 * top_frame.c - a look at the server as lines of text that fit a screen.
 */
#include "cli/top.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum {
    LINE_BYTES = 1024,
    HEAD_LINES = 6,   /* of a frame, and an empty one */
    TABLES = 3,       /* each has a heading and an empty line before it */
    ROWS_LEAST = 2,   /* of each table that has so many */
    CHANNELS_ALL = 10 /* without a screen to fill */
};

struct frame {
    struct hf_buf *out;
    const struct hf_top_view *v;
    const struct hf_top_sample *before;
    const struct hf_top_screen *screen;
    unsigned lines;
};

/* ---- Lines ---- */

static bool is_continuation(char c)
{
    return ((unsigned char)c & 0xc0) == 0x80;
}

/* How many bytes of the text are at most so many characters. */
static size_t bytes_of(const char *text, unsigned characters)
{
    size_t at = 0;

    while (text[at] != '\0' && (characters > 0 || is_continuation(text[at]))) {
        characters -= !is_continuation(text[at]);
        at++;
    }
    return at;
}

/* What a terminal might take for more than a character is none. */
static void put_plain(struct hf_buf *out, const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        char c = (unsigned char)text[i] < ' ' || text[i] == 127 ? '?' : text[i];

        hf_buf_put(out, &c, 1);
    }
}

/* style: of the whole line, an SGR parameter such as "1", or NULL. */
__attribute__((format(printf, 3, 4))) static void line(struct frame *f, const char *style, const char *format,
                                                       ...)
{
    char text[LINE_BYTES];
    va_list args;

    if (f->screen->rows != 0 && f->lines >= f->screen->rows)
        return;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (style != NULL && f->screen->colour)
        hf_buf_putf(f->out, "\033[%sm", style);
    put_plain(f->out, text, bytes_of(text, f->screen->columns));
    hf_buf_puts(f->out, style != NULL && f->screen->colour ? "\033[0m\n" : "\n");
    f->lines++;
}

/* ---- Numbers ---- */

/* Four characters at most before the unit: 0, 3, 9.5, 120, 12.3k, 1.2M. */
static const char *number(char out[16], double n)
{
    static const char units[] = " kMGT";
    unsigned unit = 0;

    while (n >= 999.5 && unit < 4) {
        n /= 1000;
        unit++;
    }
    if (unit == 0)
        snprintf(out, 16, n > 0 && n < 9.95 && n != floor(n) ? "%.1f" : "%.0f", n);
    else
        snprintf(out, 16, n < 99.95 ? "%.1f%c" : "%.0f%c", n, units[unit]);
    return out;
}

static const char *milliseconds(char out[16], double ms)
{
    if (ms < 0)
        return "-";
    snprintf(out, 16, ms < 1 ? "%.3f" : ms < 100 ? "%.1f" : "%.0f", ms);
    return out;
}

#define N(value) number((char[16]){0}, value)
#define MS(value) milliseconds((char[16]){0}, value)

static const char *text_or(const json_t *object, const char *name, const char *otherwise)
{
    const char *text = json_string_value(json_object_get(object, name));

    return text == NULL ? otherwise : text;
}

/* ---- The head ---- */

static void put_up(char *out, size_t len, uint64_t ms)
{
    uint64_t s = ms / 1000;

    if (s >= 86400)
        snprintf(out, len, "%ud %02u:%02u", (unsigned)(s / 86400), (unsigned)(s / 3600 % 24),
                 (unsigned)(s / 60 % 60));
    else
        snprintf(out, len, "%u:%02u:%02u", (unsigned)(s / 3600), (unsigned)(s / 60 % 60), (unsigned)(s % 60));
}

static void put_health(struct frame *f)
{
    const struct hf_top_view *v = f->v;
    char text[LINE_BYTES] = "";
    size_t len = 0;

    if (v->problem_count == 0) {
        line(f, "32", "health: good - all workers run, nothing was lost, refused or held back");
        return;
    }
    for (unsigned i = 0; i < v->problem_count && len < sizeof(text); i++)
        len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s", i > 0 ? "; " : "", v->problem[i]);
    line(f, "1;31", "health: %s", text);
}

static void put_head(struct frame *f, const char *api)
{
    const struct hf_top_view *v = f->v;
    const json_t *stats = v->now->stats, *total = json_object_get(stats, "total");
    const struct hf_top_load *all = &v->all;
    char up[32];

    put_up(up, sizeof(up), v->up_ms);
    line(f, "1", "holdfast %s at %s, up %s", text_or(stats, "version", "?"), api, up);
    put_health(f);
    line(f, NULL, "connections %s (%s blocked)  sessions %s (%s waiting)  channels %s  subs %s",
         N((double)all->connections), N((double)hf_top_number(total, "connections_blocked")),
         N((double)hf_top_number(total, "sessions")), N((double)hf_top_number(total, "sessions_waiting")),
         N((double)hf_top_number(total, "channels")), N((double)all->subscriptions));
    line(f, NULL, "a second: %s publishes, %s deliveries, in %s messages %sB, out %sB, busy %.0f%%",
         N(all->publishes), N(all->deliveries), N(all->messages_in), N(all->bytes_in), N(all->bytes_out),
         all->busy * 100);
    line(f, NULL, "          %s opened, %s closed, %s resumed, %s refused, %s gaps, log %.0f%%, rings %.0f%%",
         N(v->opened), N(v->closed), N(v->resumes), N(v->refused), N(v->gaps), v->log_share * 100,
         v->ring_share * 100);
    line(f, NULL, "ms p50/p99: delivery %s/%s  heartbeat %s/%s  turn %s/%s  lag %s/%s",
         MS(v->delivery.p50_ms), MS(v->delivery.p99_ms), MS(v->heartbeat.p50_ms), MS(v->heartbeat.p99_ms),
         MS(v->turn.p50_ms), MS(v->turn.p99_ms), MS(v->lag.p50_ms), MS(v->lag.p99_ms));
}

/* ---- The tables ---- */

static void put_workers(struct frame *f, size_t rows)
{
    const json_t *workers = json_object_get(f->v->now->stats, "workers");

    line(f, NULL, "%s", "");
    line(f, "7", "%6s %8s %5s %7s %8s %7s %9s %7s %7s %6s", "WORKER", "PID", "BUSY", "CONNS", "SESSIONS",
         "PUB/S", "DELIV/S", "IN/S", "OUT/S", "STATE");
    for (size_t i = 0; i < rows; i++) {
        const json_t *worker = json_array_get(workers, i);
        struct hf_top_load load = hf_top_worker(f->before, f->v->now, i);

        line(f, NULL, "%6zu %8llu %4.0f%% %7s %8s %7s %9s %7s %7s %6s", i,
             (unsigned long long)hf_top_number(worker, "pid"), load.busy * 100, N((double)load.connections),
             N((double)load.sessions), N(load.publishes), N(load.deliveries), N(load.bytes_in),
             N(load.bytes_out), json_is_true(json_object_get(worker, "running")) ? "runs" : "DOWN");
    }
    if (rows < hf_top_workers(f->v->now))
        line(f, NULL, "       and %zu more", hf_top_workers(f->v->now) - rows);
}

static void put_channels(struct frame *f, size_t rows)
{
    const json_t *channels = json_object_get(f->v->now->top, "channels");

    line(f, NULL, "%s", "");
    line(f, "7", "%7s %9s  %-60s", "PUB/S", "DELIV/S", "BUSIEST CHANNELS");
    for (size_t i = 0; i < rows; i++) {
        const json_t *channel = json_array_get(channels, i);

        line(f, NULL, "%7s %9s  %s", N((double)hf_top_number(channel, "publishes")),
             N((double)hf_top_number(channel, "deliveries")), text_or(channel, "channel", "(forgotten)"));
    }
    if (rows == 0)
        line(f, NULL, "%19s", "none");
}

static void put_slow(struct frame *f, size_t rows)
{
    const json_t *slow = json_object_get(f->v->now->top, "slow");

    line(f, NULL, "%s", "");
    line(f, "7", "%-16s %6s %7s %8s %9s  %-27s", "SLOW SESSIONS", "WORKER", "BEHIND", "LAG S", "BLOCKED S",
         "CHANNEL");
    for (size_t i = 0; i < rows; i++) {
        const json_t *one = json_array_get(slow, i);

        line(f, "33", "%-16s %6llu %7s %8.1f %9.1f  %s", text_or(one, "session", "?"),
             (unsigned long long)hf_top_number(one, "worker"), N((double)hf_top_number(one, "behind")),
             (double)hf_top_number(one, "lag_ms") / 1000, (double)hf_top_number(one, "blocked_ms") / 1000,
             text_or(one, "channel", "(none)"));
    }
    if (rows == 0)
        line(f, NULL, "none");
}

/* How many rows of a table there is room for: what the others need least is kept for them. */
static size_t share_of(size_t *room, size_t want, size_t kept_for_others)
{
    size_t may = *room > kept_for_others ? *room - kept_for_others : 0;
    size_t rows = want < may ? want : may;

    *room -= rows;
    return rows;
}

static size_t least(size_t rows)
{
    return rows == 0 ? 1 : rows < ROWS_LEAST ? rows : ROWS_LEAST; /* "none" is a row, too. */
}

static void put_tables(struct frame *f)
{
    size_t workers = hf_top_workers(f->v->now), all = workers;
    size_t channels = json_array_size(json_object_get(f->v->now->top, "channels"));
    size_t slow = json_array_size(json_object_get(f->v->now->top, "slow"));
    size_t room = f->screen->rows > HEAD_LINES + 2 * TABLES ? f->screen->rows - HEAD_LINES - 2 * TABLES : 0;

    if (f->screen->rows == 0) {
        channels = channels < CHANNELS_ALL ? channels : CHANNELS_ALL;
        slow = slow < CHANNELS_ALL ? slow : CHANNELS_ALL;
    } else {
        workers = share_of(&room, workers, least(channels) + least(slow));
        if (workers < all && workers > 0)
            workers--; /* For the line that says so. */
        slow = share_of(&room, slow, least(channels));
        channels = share_of(&room, channels, slow == 0);
    }
    put_workers(f, workers);
    put_channels(f, channels);
    put_slow(f, slow);
}

void hf_top_frame_put(struct hf_buf *out, const struct hf_top_view *v, const struct hf_top_sample *before,
                      const char *api, const struct hf_top_screen *screen)
{
    struct frame f = {.out = out, .v = v, .before = before, .screen = screen};

    put_head(&f, api);
    put_tables(&f);
}
