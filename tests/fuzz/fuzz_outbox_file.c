/*
 * fuzz_outbox_file.c - the outbox's file, and the log beside it: flags (1 byte), the file's length (3 bytes, low one first), the file, the log.
 * Whatever lies there, opening it ends soon, and either says that it is corrupt or gives what a session can go on with; and what was given once
 * is given again, with what was put meanwhile. FLAG_SUMS: the log's checksums are set right first, so that its content is believed.
 */
#include "base/assert.h"
#include "client/outbox_file.h"
#include "session/client_session.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    FLAG_SUMS = 1,
    HEAD_BYTES = 4,
    LOG_HEADER = 32,
    FRAME_HEADER = 24,
    PAGE_BYTES = 4096,
    SECONDS_MAX = 20, /* of one input, with sanitizers, on a machine that does other things */
};

static char folder[64], path[96], log_path[104], journal_path[112];

static void remove_folder(void)
{
    (void)unlink(path);
    (void)unlink(log_path);
    (void)unlink(journal_path);
    (void)rmdir(folder);
}

/* In memory if possible: nothing of what is written must outlive us. */
static void make_folder(void)
{
    (void)snprintf(folder, sizeof(folder), "%s/holdfast-fuzz-XXXXXX",
                   access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    hf_assert(mkdtemp(folder) != NULL);
    (void)snprintf(path, sizeof(path), "%s/outbox", folder);
    (void)snprintf(log_path, sizeof(log_path), "%s-wal", path);
    (void)snprintf(journal_path, sizeof(journal_path), "%s-journal", path);
    (void)atexit(remove_folder);
}

static void write_file(const char *name, const uint8_t *data, size_t len)
{
    int fd;

    (void)unlink(name);
    if (len == 0 && name == log_path)
        return;
    fd = open(name, O_WRONLY | O_CREAT | O_EXCL, 0600);
    hf_assert(fd >= 0 && write(fd, data, len) == (ssize_t)len && close(fd) == 0);
}

/* --- the log's checksums (https://sqlite.org/fileformat2.html, "Checksum Algorithm") --- */

static uint32_t word(const uint8_t *at, bool big)
{
    return big ? (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3]
               : (uint32_t)at[3] << 24 | (uint32_t)at[2] << 16 | (uint32_t)at[1] << 8 | at[0];
}

static void put_word(uint8_t *at, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        at[i] = (uint8_t)(value >> (24 - 8 * i));
}

static void sum(uint32_t s[2], const uint8_t *data, size_t len, bool big)
{
    for (size_t i = 0; i + 8 <= len; i += 8) {
        s[0] += word(data + i, big) + s[1];
        s[1] += word(data + i + 4, big) + s[0];
    }
}

static void set_sums(uint8_t *log, size_t len)
{
    uint32_t s[2] = {0, 0}, page;
    bool big;

    if (len < LOG_HEADER)
        return;
    big = (log[3] & 1) != 0;
    page = word(log + 8, true);
    sum(s, log, 24, big);
    put_word(log + 24, s[0]);
    put_word(log + 28, s[1]);
    for (size_t at = LOG_HEADER; page >= 512 && page <= 65536 && at + FRAME_HEADER + page <= len;
         at += FRAME_HEADER + page) {
        memcpy(log + at + 8, log + 16, 8); /* salts */
        sum(s, log + at, 8, big);
        sum(s, log + at + FRAME_HEADER, page, big);
        put_word(log + at + 16, s[0]);
        put_word(log + at + 20, s[1]);
    }
}

/* --- what is in it --- */

struct content {
    uint64_t first_id, sent_id, seq_base, attempts, count, sum;
};

static void add(struct content *c, struct hf_str s)
{
    c->sum = c->sum * 31 + s.len + (s.data == NULL);
    for (size_t i = 0; i < s.len; i++)
        c->sum = c->sum * 31 + (uint8_t)s.data[i];
}

static int take(void *arg, const struct hf_store_publish *p)
{
    struct content *c = arg;

    c->count++;
    c->sum = c->sum * 31 + p->publish_id;
    add(c, p->channel);
    add(c, p->id);
    add(c, p->payload);
    add(c, p->refusal);
    return 0;
}

static int read_content(struct content *c)
{
    struct hf_outbox_file *f = NULL;
    struct hf_store_state state;
    int err = hf_outbox_file_open(path, false, &f);

    memset(c, 0, sizeof(*c));
    if (err < 0)
        return err;
    err = hf_outbox_file_store(f)->load(hf_outbox_file_store(f)->ctx, &state, take, c);
    if (err == 0) {
        c->first_id = state.first_id;
        c->sent_id = state.sent_id;
        c->seq_base = state.seq_base;
        c->attempts = state.attempts;
        add(c, state.ticket);
    }
    hf_outbox_file_close(f);
    return err;
}

static void on_event(void *ctx, const struct hf_client_session_event *ev)
{
    (void)ctx;
    (void)ev;
}

/* A client goes on with it, and publishes one more. Returns whether it could. */
static bool use(void)
{
    struct hf_client_session_config config = {.host = "h",
                                              .target = "/ws",
                                              .outbox_messages_max = 1000,
                                              .outbox_bytes_max = 1 << 20,
                                              .window = 10,
                                              .subscriptions_max = 1,
                                              .recv_bytes_max = 1 << 16,
                                              .seed = 1,
                                              .on_event = on_event};
    struct hf_client_session *s = NULL;
    struct hf_outbox_file *f = NULL;
    uint64_t publish_id;
    int err = hf_outbox_file_open(path, false, &f);

    hf_assert(err == 0);
    config.store = hf_outbox_file_store(f);
    err = hf_client_session_new(&config, 1000, &s);
    hf_assert(err == 0 || err == HF_ECORRUPT);
    if (err == 0)
        err = hf_client_session_publish(s, HF_STR("demo"), (struct hf_str){NULL, 0}, HF_STR("1"), &publish_id,
                                        1000);
    hf_client_session_free(s);
    hf_outbox_file_close(f);
    return err == 0;
}

/* lossy: what is there has certainly lost something. */
static void check(bool lossy)
{
    struct content first, again;
    int err = read_content(&first);

    hf_assert(err == HF_ECORRUPT || (err == 0 && !lossy));
    if (err < 0)
        return;
    hf_assert(read_content(&again) == 0);
    hf_assert(memcmp(&first, &again, sizeof(first)) == 0);
    if (!use())
        return;
    hf_assert(read_content(&again) == 0);
    hf_assert(again.count == first.count + 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    time_t begun = time(NULL);
    size_t len, log_len;
    uint8_t *log;

    if (size < HEAD_BYTES)
        return 0;
    if (folder[0] == '\0')
        make_folder();
    len = data[1] | (size_t)data[2] << 8 | (size_t)data[3] << 16;
    len = len < size - HEAD_BYTES ? len : size - HEAD_BYTES;
    log = malloc(size);
    hf_assert(log != NULL);
    log_len = size - HEAD_BYTES - len;
    memcpy(log, data + HEAD_BYTES + len, log_len);
    if ((data[0] & FLAG_SUMS) != 0)
        set_sums(log, log_len);
    (void)unlink(journal_path);
    write_file(path, data + HEAD_BYTES, len);
    write_file(log_path, log, log_len);
    free(log);
    check(log_len > 0 ? len == 0 : len % PAGE_BYTES != 0);
    hf_assert(time(NULL) - begun < SECONDS_MAX);
    return 0;
}
