#include "client/heartbeats.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { SUFFIX_BYTES = sizeof(".XXXXXX") };

static uint64_t unix_ms(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_REALTIME, &t); /* It fails for unknown clocks only. */
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void say(struct hf_heartbeats *h, const char *what, const char *why)
{
    (void)snprintf(h->problem, sizeof(h->problem), "%.160s: %s: %.60s", h->path, what, why);
}

static void say_errno(struct hf_heartbeats *h, const char *what)
{
    char text[60];

    say(h, what, strerror_r(errno, text, sizeof(text)));
}

/* --- reading --- */

/* The file's bytes, at most cap; -1: it cannot be read, with errno set. */
static ssize_t read_file(const char *path, char *buf, size_t cap)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* A fifo must not hold anybody up. */
    ssize_t n = 0, len = 0;
    int saved;

    if (fd < 0)
        return -1;
    while ((size_t)len < cap &&
           ((n = read(fd, buf + len, cap - (size_t)len)) > 0 || (n < 0 && errno == EINTR)))
        if (n > 0)
            len += n;
    saved = errno;
    (void)close(fd);
    errno = saved;
    return n < 0 ? -1 : len;
}

static void load(struct hf_heartbeats *h, uint64_t now_ms)
{
    char text[HF_HEARTBEAT_FILE_BYTES_MAX + 1];
    ssize_t len = read_file(h->path, text, sizeof(text));
    const char *reason = "it is too long";

    if (len < 0) {
        if (errno != ENOENT)
            say_errno(h, "what is remembered of networks cannot be read");
        return;
    }
    if (len <= HF_HEARTBEAT_FILE_BYTES_MAX &&
        hf_heartbeat_memory_decode(&h->memory, (struct hf_str){text, (size_t)len}, now_ms, unix_ms(),
                                   &reason) == 0)
        return;
    say(h, "this is no file of remembered networks, and will be replaced by one", reason);
}

/* --- writing --- */

static bool write_all(int fd, struct hf_str text)
{
    while (text.len > 0) {
        ssize_t n = write(fd, text.data, text.len);

        if (n < 0 && errno != EINTR)
            return false;
        if (n > 0) {
            text.data += n;
            text.len -= (size_t)n;
        }
    }
    return true;
}

/*
 * A new file in the same folder takes the old one's name. There is no fsync(): a file that a power cut left empty is refused when it is read, and
 * then learnt again, which is cheaper than to hold up a program for a disk.
 */
static bool replace_file(const char *path, struct hf_str text)
{
    size_t len = strlen(path);
    char *temporary = malloc(len + SUFFIX_BYTES);
    bool done = false;
    int fd, saved;

    if (temporary == NULL)
        return false;
    memcpy(temporary, path, len);
    memcpy(temporary + len, ".XXXXXX", SUFFIX_BYTES);
    fd = mkostemp(temporary,
                  O_CLOEXEC); /* Nobody but its owner may read in it where he has been: mode 0600. */
    if (fd >= 0) {
        done = write_all(fd, text);
        done = close(fd) == 0 && done;
        done = done && rename(temporary, path) == 0;
        saved = errno;
        if (!done)
            (void)unlink(temporary);
        errno = saved;
    }
    free(temporary);
    return done;
}

static void write_memory(struct hf_heartbeats *h, uint64_t now_ms)
{
    struct hf_buf text;

    hf_buf_init(&text, HF_HEARTBEAT_FILE_BYTES_MAX);
    errno = ENOMEM;
    if ((hf_heartbeat_memory_encode(&h->memory, now_ms, unix_ms(), &text) < 0 ||
         !replace_file(h->path, hf_buf_str(&text))) &&
        !h->told) {
        say_errno(h, "what is learnt of networks cannot be written; give a file in a folder that is there");
        h->told = true;
    }
    hf_buf_release(&text);
}

void hf_heartbeats_save(struct hf_heartbeats *h, uint64_t now_ms)
{
    if (h->path == NULL || !h->memory.changed || now_ms < h->save_at_ms)
        return;
    h->memory.changed = false;
    h->save_at_ms = now_ms + HF_HEARTBEATS_SAVE_MS;
    write_memory(h, now_ms);
}

/* --- making --- */

static bool tolerance_valid(uint64_t tolerance_ms)
{
    return tolerance_ms > 0 && tolerance_ms <= HF_ADAPTIVE_TOLERANCE_MS_MAX;
}

int hf_heartbeats_set_tolerance(struct hf_heartbeats *h, uint64_t tolerance_ms)
{
    if (h->policy != &h->adaptive.base)
        return HF_ESTATE;
    if (!tolerance_valid(tolerance_ms))
        return HF_EINVAL;
    hf_heartbeat_adaptive_set_tolerance(&h->adaptive, tolerance_ms);
    return 0;
}

static int init_adaptive(struct hf_heartbeats *h, const struct hf_client_options *options, uint64_t seed,
                         uint64_t now_ms)
{
    if (!tolerance_valid(options->heartbeat_tolerance_ms))
        return HF_EINVAL;
    hf_heartbeat_adaptive_init(&h->adaptive, options->heartbeat_tolerance_ms, &h->memory, seed);
    h->policy = &h->adaptive.base;
    if (options->heartbeat_memory == NULL)
        return 0;
    h->path = strdup(options->heartbeat_memory);
    if (h->path == NULL)
        return HF_ENOMEM;
    load(h, now_ms);
    return 0;
}

int hf_heartbeats_init(struct hf_heartbeats *h, const struct hf_client_options *options, uint64_t seed,
                       uint64_t now_ms)
{
    *h = (struct hf_heartbeats){.policy = NULL};
    hf_heartbeat_memory_init(&h->memory);
    if (options->heartbeat_interval_ms > 0 || options->heartbeat == HF_CLIENT_HEARTBEAT_FIXED)
        return 0;
    if (options->heartbeat == HF_CLIENT_HEARTBEAT_ADAPTIVE)
        return init_adaptive(h, options, seed, now_ms);
    if (options->heartbeat != HF_CLIENT_HEARTBEAT_CLASSIC)
        return HF_EINVAL;
    hf_heartbeat_classic_init(&h->classic);
    h->policy = &h->classic.base;
    return 0;
}

void hf_heartbeats_release(struct hf_heartbeats *h, uint64_t now_ms)
{
    if (h->path != NULL && h->memory.changed)
        write_memory(h, now_ms);
    free(h->path);
    h->path = NULL;
    h->policy = NULL;
}
