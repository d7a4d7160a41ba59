/*
 * test_outbox_file.c - the outbox in a file: what is put survives, whatever is done to the process or to the file; and what cannot be
 * used is refused, and left as it is.
 */
#include "client/outbox_file.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[64], path[96], log_path[128];

/* --- the file system --- */

static int new_folder(void **state)
{
    (void)state;
    (void)snprintf(folder, sizeof(folder), "/tmp/holdfast-outbox-XXXXXX");
    if (mkdtemp(folder) == NULL)
        return -1;
    (void)snprintf(path, sizeof(path), "%s/outbox", folder);
    (void)snprintf(log_path, sizeof(log_path), "%s-wal", path);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    (void)unlink(path);
    (void)unlink(log_path);
    return rmdir(folder);
}

struct bytes {
    char *data;
    size_t len;
};

static struct bytes read_file(const char *name)
{
    struct bytes b = {calloc(1, 1 << 20), 0};
    int fd = open(name, O_RDONLY);
    ssize_t got = fd < 0 ? 0 : read(fd, b.data, 1 << 20);

    assert_non_null(b.data);
    assert_true(got >= 0 && got < 1 << 20);
    if (fd >= 0)
        assert_int_equal(close(fd), 0);
    b.len = (size_t)got;
    return b;
}

static void write_file(const char *name, const void *data, size_t len)
{
    int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, len), len);
    assert_int_equal(close(fd), 0);
}

/* --- the store --- */

static struct hf_outbox_file *opened(bool synced)
{
    struct hf_outbox_file *f = NULL;

    assert_int_equal(hf_outbox_file_open(path, synced, &f), 0);
    return f;
}

/* What was loaded, a line a publish. */
struct loaded {
    struct hf_store_state state;
    char text[4096], ticket[512];
    unsigned count;
};

static int take(void *arg, const struct hf_store_publish *p)
{
    struct loaded *l = arg;
    size_t len = strlen(l->text);

    l->count++;
    if (len < sizeof(l->text) - 200)
        (void)snprintf(l->text + len, sizeof(l->text) - len, "%d %.*s %s%.*s %s%.*s%s%.*s\n",
                       (int)p->publish_id, (int)p->channel.len, p->channel.data,
                       p->id.data == NULL ? "-" : "+", (int)p->id.len, p->id.data == NULL ? "" : p->id.data,
                       p->payload_raw ? "raw:" : "", (int)p->payload.len,
                       p->payload.len == 0 ? "" : p->payload.data, p->refusal.data == NULL ? "" : " !",
                       (int)p->refusal.len, p->refusal.data == NULL ? "" : p->refusal.data);
    return 0;
}

static int load(struct hf_outbox_file *f, struct loaded *l)
{
    const struct hf_store *s = hf_outbox_file_store(f);
    int err;

    memset(l, 0, sizeof(*l));
    err = s->load(s->ctx, &l->state, take, l);
    if (err == 0)
        (void)snprintf(l->ticket, sizeof(l->ticket), "%.*s", (int)l->state.ticket.len, l->state.ticket.data);
    return err;
}

static int put(struct hf_outbox_file *f, uint64_t publish_id, const char *payload)
{
    const struct hf_store *s = hf_outbox_file_store(f);
    const struct hf_store_publish p = {
        .publish_id = publish_id, .channel = HF_STR("demo"), .payload = hf_str_from(payload)};

    return s->put(s->ctx, &p);
}

static int save(struct hf_outbox_file *f, uint64_t first_id, uint64_t sent_id, const char *ticket)
{
    const struct hf_store *s = hf_outbox_file_store(f);
    const struct hf_store_state state = {.first_id = first_id,
                                         .sent_id = sent_id,
                                         .seq_base = 0,
                                         .attempts = 65,
                                         .ticket = hf_str_from(ticket)};

    return s->save(s->ctx, &state);
}

/* A check in a child process: cmocka's would go on with the parent's tests there. */
#define CHECK(condition)                                                                                     \
    do {                                                                                                     \
        if (!(condition))                                                                                    \
            _exit(3);                                                                                        \
    } while (false)

/* What a process does that is killed in the midst of it. */
static void in_dying_child(void (*work)(void))
{
    pid_t child = fork();
    int status;

    assert_true(child >= 0);
    if (child == 0) {
        work();
        (void)raise(SIGKILL);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void check_content(const char *text, uint64_t first_id, uint64_t sent_id, const char *ticket)
{
    struct hf_outbox_file *f = opened(false);
    struct loaded l;

    assert_int_equal(load(f, &l), 0);
    assert_string_equal(l.text, text);
    assert_int_equal(l.state.first_id, first_id);
    assert_int_equal(l.state.sent_id, sent_id);
    assert_string_equal(l.ticket, ticket);
    hf_outbox_file_close(f);
}

/* --- tests --- */

static void a_new_file_is_empty_and_ours_alone(void **state)
{
    struct hf_outbox_file *f = opened(false);
    struct loaded l;
    struct stat file;

    (void)state;
    assert_int_equal(load(f, &l), 0);
    assert_int_equal(l.count, 0);
    assert_int_equal(l.state.first_id, 1);
    assert_int_equal(l.state.ticket.len, 0);
    assert_int_equal(put(f, 1, "1"), 0);
    assert_int_equal(stat(path, &file), 0);
    assert_int_equal(file.st_mode & 0777, 0600);
    assert_int_equal(stat(log_path, &file), 0);
    assert_int_equal(file.st_mode & 0777, 0600);
    hf_outbox_file_close(f);
    assert_int_equal(stat(log_path, &file), -1); /* A closed one is one file. */
}

static void all_is_kept_as_it_was_given(void **state)
{
    struct hf_outbox_file *f = opened(true);
    const struct hf_store *s = hf_outbox_file_store(f);
    struct hf_store_publish p = {1, HF_STR("demo"), HF_STR(""), HF_STR("\"\xc3\xa4\""), false, {NULL, 0}};
    struct loaded l;

    (void)state;
    assert_int_equal(load(f, &l), 0);
    assert_int_equal(s->put(s->ctx, &p), 0);
    p = (struct hf_store_publish){2, HF_STR("a'b"), HF_STR("id-2"), HF_STR("{\"x\":1}"), false, {NULL, 0}};
    assert_int_equal(s->put(s->ctx, &p), 0);
    assert_int_equal(put(f, 3, "3"), 0);
    p = (struct hf_store_publish){4, HF_STR("demo"), {NULL, 0}, HF_STR("\xff{"), true, {NULL, 0}};
    assert_int_equal(s->put(s->ctx, &p), 0);
    p = (struct hf_store_publish){5, HF_STR("demo"), {NULL, 0}, HF_STR(""), true, {NULL, 0}};
    assert_int_equal(s->put(s->ctx, &p), 0);
    assert_int_equal(save(f, 1, 2, "t-1"), 0);
    hf_outbox_file_close(f);
    check_content(
        "1 demo + \"\xc3\xa4\"\n2 a'b +id-2 {\"x\":1}\n3 demo - 3\n4 demo - raw:\xff{\n5 demo - raw:\n", 1, 2,
        "t-1");
    f = opened(false);
    assert_int_equal(load(f, &l), 0);
    assert_int_equal(save(f, 5, 4, ""), 0);
    hf_outbox_file_close(f);
    check_content("5 demo - raw:\n", 5, 4, "");
}

static void dies_with_publishes(void)
{
    struct loaded l;
    struct hf_outbox_file *f = NULL;

    CHECK(hf_outbox_file_open(path, false, &f) == 0 && load(f, &l) == 0);
    CHECK(save(f, 1, 0, "t-1") == 0);
    CHECK(put(f, 1, "1") == 0);
    CHECK(put(f, 2, "2") == 0);
    CHECK(put(f, 3, "3") == 0);
    CHECK(save(f, 2, 3, "t-1") == 0);
    CHECK(put(f, 4, "4") == 0);
}

static void what_was_accepted_survives_a_kill(void **state)
{
    (void)state;
    in_dying_child(dies_with_publishes);
    check_content("2 demo - 2\n3 demo - 3\n4 demo - 4\n", 2, 3, "t-1");
}

static int refuse(struct hf_outbox_file *f, uint64_t publish_id, const char *code)
{
    const struct hf_store *s = hf_outbox_file_store(f);

    return s->refuse(s->ctx, publish_id, hf_str_from(code));
}

static void dies_with_a_refusal(void)
{
    struct loaded l;
    struct hf_outbox_file *f = NULL;

    CHECK(hf_outbox_file_open(path, false, &f) == 0 && load(f, &l) == 0);
    CHECK(put(f, 1, "1") == 0);
    CHECK(put(f, 2, "2") == 0);
    CHECK(put(f, 3, "3") == 0);
    CHECK(save(f, 1, 3, "t-1") == 0);
    CHECK(refuse(f, 2, "rate_limited") == 0);
}

/* It keeps its place and its payload, because its number counts in its session; and what was noted first stays. Of a code that no server
 * has, only the refusal is kept. */
static void a_refusal_survives_a_kill(void **state)
{
    struct hf_outbox_file *f;
    struct loaded l;

    (void)state;
    in_dying_child(dies_with_a_refusal);
    check_content("1 demo - 1\n2 demo - 2 !rate_limited\n3 demo - 3\n", 1, 3, "t-1");
    f = opened(true);
    assert_int_equal(load(f, &l), 0);
    assert_int_equal(refuse(f, 2, "too_large"), 0);
    assert_int_equal(refuse(f, 3, "a_code_of_more_bytes_than_any_server_gives_to_one"), 0);
    assert_int_equal(hf_outbox_file_flush(f), 0);
    assert_int_equal(save(f, 2, 3, "t-1"), 0);
    hf_outbox_file_close(f);
    check_content("2 demo - 2 !rate_limited\n3 demo - 3 !\n", 2, 3, "t-1");
}

/* --- faults: SQLite's way to the system can be replaced, call by call --- */

enum fault { FAULT_NONE, FAULT_DEATH, FAULT_NO_SPACE };

static struct {
    enum fault fault;
    int at;    /* the fault comes at that one of the calls that change something */
    int calls; /* so many until now */
    ssize_t (*pwrite)(int, const void *, size_t, off_t);
    int (*ftruncate)(int, off_t);
    int (*unlink)(const char *);
} injected;

/* Whether this call fails; one that is to be the last does not return. */
static bool faulty(void)
{
    if (++injected.calls != injected.at || injected.fault == FAULT_NONE)
        return false;
    if (injected.fault == FAULT_DEATH)
        (void)raise(SIGKILL);
    errno = ENOSPC;
    return true;
}

static ssize_t faulty_pwrite(int fd, const void *data, size_t len, off_t at)
{
    /* It dies in the midst of it. */
    if (injected.fault == FAULT_DEATH && injected.calls + 1 == injected.at)
        (void)!injected.pwrite(fd, data, len / 2, at);
    return faulty() ? -1 : injected.pwrite(fd, data, len, at);
}

static int faulty_ftruncate(int fd, off_t len)
{
    return faulty() ? -1 : injected.ftruncate(fd, len);
}

static int faulty_unlink(const char *name)
{
    return faulty() ? -1 : injected.unlink(name);
}

static void inject(enum fault fault, int at)
{
    sqlite3_vfs *vfs;

    assert_int_equal(sqlite3_initialize(), SQLITE_OK);
    vfs = sqlite3_vfs_find(NULL);
    if (injected.pwrite == NULL) {
        injected.pwrite = (ssize_t(*)(int, const void *, size_t, off_t))vfs->xGetSystemCall(vfs, "pwrite64");
        injected.ftruncate = (int (*)(int, off_t))vfs->xGetSystemCall(vfs, "ftruncate");
        injected.unlink = (int (*)(const char *))vfs->xGetSystemCall(vfs, "unlink");
        assert_int_equal(vfs->xSetSystemCall(vfs, "pwrite64", (sqlite3_syscall_ptr)faulty_pwrite), SQLITE_OK);
        assert_int_equal(vfs->xSetSystemCall(vfs, "ftruncate", (sqlite3_syscall_ptr)faulty_ftruncate),
                         SQLITE_OK);
        assert_int_equal(vfs->xSetSystemCall(vfs, "unlink", (sqlite3_syscall_ptr)faulty_unlink), SQLITE_OK);
    }
    injected.fault = fault;
    injected.at = at;
    injected.calls = 0;
}

/* --- a life, and what must be left of it --- */

/* Every fourth step saves; the others put. What is answered is three publishes behind. */
static bool step_saves(unsigned step)
{
    return step % 4 == 3;
}

static uint64_t puts_before(unsigned step)
{
    return step - step / 4;
}

static const char *payload_of(uint64_t publish_id, size_t len)
{
    static char payload[64 * 1024];

    assert_true(len < sizeof(payload));
    memset(payload, (int)('a' + publish_id % 26), len);
    payload[len] = '\0';
    return payload;
}

static int do_step(struct hf_outbox_file *f, unsigned step, size_t payload_len)
{
    uint64_t puts = puts_before(step);

    if (!step_saves(step))
        return put(f, puts + 1, payload_of(puts + 1, payload_len));
    return save(f, puts - 2, puts, step < 20 ? "t-1" : "t-2");
}

struct life {
    unsigned steps; /* wanted */
    unsigned done;  /* steps that have returned 0 */
    size_t payload_len;
    bool closed;
};

static struct life *life; /* seen by parent and child */

static void live(void)
{
    struct hf_outbox_file *f;
    struct loaded l;

    if (hf_outbox_file_open(path, false, &f) < 0 || load(f, &l) < 0)
        return;
    for (; life->done < life->steps; life->done++)
        if (do_step(f, life->done, life->payload_len) < 0)
            return;
    hf_outbox_file_close(f);
    life->closed = true;
}

struct expected {
    uint64_t first_id, sent_id, last_id;
    const char *ticket;
};

static struct expected expected_after(unsigned steps)
{
    struct expected e = {1, 0, puts_before(steps), ""};

    for (unsigned step = 3; step < steps; step += 4)
        e = (struct expected){puts_before(step) - 2, puts_before(step), e.last_id, step < 20 ? "t-1" : "t-2"};
    return e;
}

struct content {
    struct hf_store_state state;
    uint64_t first, last; /* 0: none */
    size_t payload_len;
    bool good;
};

static int take_content(void *arg, const struct hf_store_publish *p)
{
    struct content *c = arg;
    const char *payload = payload_of(p->publish_id, c->payload_len);

    c->good = c->good && (c->last == 0 || p->publish_id == c->last + 1) &&
              hf_str_eq(p->payload, (struct hf_str){payload, c->payload_len});
    c->first = c->first == 0 ? p->publish_id : c->first;
    c->last = p->publish_id;
    return 0;
}

static bool as_after(const struct content *c, unsigned steps)
{
    struct expected e = expected_after(steps);

    if (c->state.first_id != e.first_id || c->state.sent_id != e.sent_id ||
        !hf_str_eq(c->state.ticket, hf_str_from(e.ticket)))
        return false;
    return e.last_id == 0 ? c->last == 0 : c->first == e.first_id && c->last == e.last_id;
}

/* What was done is there; what was being done may be, wholly. */
static void check_what_is_left(void)
{
    struct content c = {.payload_len = life->payload_len, .good = true};
    struct hf_outbox_file *f = opened(false);
    const struct hf_store *s = hf_outbox_file_store(f);

    assert_int_equal(s->load(s->ctx, &c.state, take_content, &c), 0);
    assert_true(c.good);
    assert_true(as_after(&c, life->done) || as_after(&c, life->done + 1));
    hf_outbox_file_close(f);
}

static void dies_at_each_call(unsigned steps, size_t payload_len, int stride)
{
    int at = 1, deaths = 0;

    life = mmap(NULL, sizeof(*life), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(life != MAP_FAILED);
    do {
        *life = (struct life){.steps = steps, .payload_len = payload_len};
        inject(FAULT_DEATH, at);
        in_dying_child(live);
        inject(FAULT_NONE, 0);
        check_what_is_left();
        assert_int_equal(unlink(path), 0);
        at += stride;
        deaths++;
    } while (!life->closed);
    assert_in_range(deaths, 20, 10000);
    assert_int_equal(munmap(life, sizeof(*life)), 0);
}

/* The process dies at each call that changes a file, and in the midst of each write. */
static void every_moment_is_a_good_one_to_die(void **state)
{
    (void)state;
    dies_at_each_call(40, 100, 1);
}

/* The same while the log is copied into the file. */
static void every_moment_of_a_checkpoint_is_one_too(void **state)
{
    (void)state;
    dies_at_each_call(80, 50000, 61);
}

/* Each call fails once: what it was for is refused, nothing else is harmed, and the second try succeeds. */
static void a_full_disk_is_told_and_harms_nothing(void **state)
{
    static struct life mine; /* `life` still points to it afterwards */
    bool failed = true;

    (void)state;
    mine = (struct life){.steps = 40, .payload_len = 100};
    life = &mine;
    for (int at = 1; failed; at++) {
        struct hf_outbox_file *f = NULL;
        struct loaded l;
        int err;

        failed = false;
        mine.done = 0;
        inject(FAULT_NO_SPACE, at);
        while ((err = hf_outbox_file_open(path, false, &f)) < 0) {
            assert_int_equal(err, HF_ENOSPACE);
            assert_false(failed);
            failed = true;
        }
        while ((err = load(f, &l)) < 0) {
            assert_int_equal(err, HF_ENOSPACE);
            assert_false(failed);
            failed = true;
        }
        while (mine.done < mine.steps) {
            err = do_step(f, mine.done, mine.payload_len);
            if (err < 0) {
                assert_int_equal(err, HF_ENOSPACE);
                assert_false(failed);
                failed = true;
            } else {
                mine.done++;
            }
        }
        failed = failed || injected.calls >= at;
        hf_outbox_file_close(f);
        failed = failed || injected.calls >= at;
        inject(FAULT_NONE, 0);
        check_what_is_left();
        assert_int_equal(unlink(path), 0);
    }
}

/* --- files that cannot be used --- */

static void refused_and_left_alone(int wanted)
{
    struct bytes before = read_file(path), after;
    struct hf_outbox_file *f = NULL;
    struct loaded l;
    int err = hf_outbox_file_open(path, false, &f);

    if (err == 0) {
        err = load(f, &l);
        hf_outbox_file_close(f);
    }
    assert_int_equal(err, wanted);
    after = read_file(path);
    assert_int_equal(before.len, after.len);
    assert_memory_equal(before.data, after.data, before.len);
    free(before.data);
    free(after.data);
}

static void a_foreign_file_is_refused(void **state)
{
    static const char text[] = "dear diary";
    static char noise[20000];
    sqlite3 *db;

    (void)state;
    for (size_t i = 0; i < sizeof(noise); i++)
        noise[i] = (char)(i * 7919 >> 3);
    write_file(path, text, sizeof(text));
    refused_and_left_alone(HF_ECORRUPT);
    write_file(path, noise, sizeof(noise));
    refused_and_left_alone(HF_ECORRUPT);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(
        sqlite3_exec(db, "CREATE TABLE session (a); INSERT INTO session VALUES (1)", NULL, NULL, NULL),
        SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    refused_and_left_alone(HF_ECORRUPT);
    write_file(path, "", 0);
    check_content("", 1, 0, "");
}

static struct bytes full_file(void)
{
    struct hf_outbox_file *f = opened(false);
    struct loaded l;

    assert_int_equal(load(f, &l), 0);
    for (uint64_t n = 1; n <= 300; n++)
        assert_int_equal(put(f, n, payload_of(n, 200)), 0);
    hf_outbox_file_close(f);
    return read_file(path);
}

/* Cut at each place, and with a page of it overwritten: refused, or all is there. */
static void a_damaged_file_is_refused(void **state)
{
    struct bytes whole = full_file();
    char *broken = malloc(whole.len);

    (void)state;
    assert_non_null(broken);
    assert_true(whole.len > 60000);
    for (size_t len = 1; len < whole.len; len += 1021) {
        write_file(path, whole.data, len);
        refused_and_left_alone(HF_ECORRUPT);
    }
    write_file(path, whole.data, whole.len - 1);
    refused_and_left_alone(HF_ECORRUPT);
    for (size_t at = 0; at + 4096 <= whole.len; at += 4096) {
        memcpy(broken, whole.data, whole.len);
        memset(broken + at, 0x5a, 4096);
        write_file(path, broken, whole.len);
        refused_and_left_alone(HF_ECORRUPT);
    }
    free(broken);
    free(whole.data);
}

static void load_well(struct hf_outbox_file *f)
{
    struct loaded l;

    assert_int_equal(load(f, &l), 0);
}

static void damage(size_t at)
{
    struct bytes b = read_file(path);

    memset(b.data + at, 0x5a, 4096);
    write_file(path, b.data, b.len);
    free(b.data);
}

/* Pages that are free now and will be used again: damage there is seen before something is accepted that cannot be kept. */
static void damage_to_free_pages_is_no_surprise(void **state)
{
    struct bytes whole = full_file();
    unsigned refused = 0;

    (void)state;
    for (size_t at = 0; at + 4096 <= whole.len; at += 4096) {
        struct hf_outbox_file *f;

        write_file(path, whole.data, whole.len);
        f = opened(false);
        load_well(f);
        assert_int_equal(save(f, 300, 300, "t-1"), 0);
        hf_outbox_file_close(f);
        damage(at);
        if (hf_outbox_file_open(path, false, &f) < 0) {
            refused++;
            continue;
        }
        load_well(f);
        for (uint64_t n = 301; n <= 600; n++)
            assert_int_equal(put(f, n, payload_of(n, 200)), 0);
        hf_outbox_file_close(f);
    }
    assert_in_range(refused, 2, 10);
    free(whole.data);
}

/* As when somebody has had his hands in it. A publish that is missing is seen by the session. */
static void a_file_without_its_tables_is_refused(void **state)
{
    sqlite3 *db;

    (void)state;
    free(full_file().data);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "UPDATE session SET first_id = 'x'", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "DROP TABLE publish", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    refused_and_left_alone(HF_ECORRUPT);
}

/* "If the file is empty there can be no log": SQLite would throw it away. */
static void a_log_without_its_file_is_damage(void **state)
{
    struct bytes log;

    (void)state;
    in_dying_child(dies_with_publishes);
    log = read_file(log_path);
    assert_true(log.len > 0);
    write_file(path, "", 0);
    refused_and_left_alone(HF_ECORRUPT);
    free(log.data);
    log = read_file(log_path);
    assert_true(log.len > 0);
    free(log.data);
}

/* "File format write version" and "read version" (https://sqlite.org/fileformat2.html): SQLite opens one of a later version for reading, or not at all. */
static void a_file_of_a_later_format_is_refused(void **state)
{
    (void)state;
    for (size_t at = 18; at <= 19; at++) {
        struct bytes file = full_file();

        file.data[at] = 9;
        write_file(path, file.data, file.len);
        refused_and_left_alone(HF_ECORRUPT);
        free(file.data);
        assert_int_equal(unlink(path), 0);
    }
}

static void two_do_not_share_a_file(void **state)
{
    struct hf_outbox_file *f = opened(false), *g = NULL;
    struct loaded l;
    pid_t child;
    int status;

    (void)state;
    assert_int_equal(load(f, &l), 0);
    assert_int_equal(put(f, 1, "1"), 0);
    assert_int_equal(hf_outbox_file_open(path, false, &g), HF_EBUSY);
    child = fork();
    assert_true(child >= 0);
    if (child == 0)
        _exit(hf_outbox_file_open(path, false, &g) == HF_EBUSY ? 0 : 1);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_int_equal(put(f, 2, "2"), 0);
    hf_outbox_file_close(f);
    check_content("1 demo - 1\n2 demo - 2\n", 1, 0, "");
}

static void a_path_that_leads_nowhere_is_told(void **state)
{
    struct hf_outbox_file *f = NULL;

    (void)state;
    errno = 0;
    assert_int_equal(hf_outbox_file_open("/nonexistent/outbox", false, &f), HF_EIO);
    assert_int_equal(errno, ENOENT);
    assert_int_equal(hf_outbox_file_open(folder, false, &f), HF_EINVAL);
    assert_int_equal(hf_outbox_file_open("/dev/null", false, &f), HF_EINVAL);
    check_content("", 1, 0, "");
}

/* Names that SQLite would take for something else than a file. */
static void any_name_is_a_file(void **state)
{
    struct hf_outbox_file *f = NULL;
    struct loaded l;
    char old[256];

    (void)state;
    assert_non_null(getcwd(old, sizeof(old)));
    assert_int_equal(chdir(folder), 0);
    assert_int_equal(hf_outbox_file_open(":memory:", false, &f), 0);
    assert_int_equal(load(f, &l), 0);
    assert_int_equal(put(f, 1, "1"), 0);
    hf_outbox_file_close(f);
    assert_int_equal(hf_outbox_file_open(":memory:", false, &f), 0);
    assert_int_equal(load(f, &l), 0);
    assert_int_equal(l.count, 1);
    hf_outbox_file_close(f);
    assert_int_equal(unlink(":memory:"), 0);
    assert_int_equal(chdir(old), 0);
}

/* --- the machine crashed --- */

static void pretend_another_boot(void)
{
    sqlite3 *db;

    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(
        sqlite3_exec(db, "UPDATE session SET boot = x'3131' WHERE boot <> x''", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static void dies_again(void)
{
    struct loaded l;
    struct hf_outbox_file *f = NULL;

    CHECK(hf_outbox_file_open(path, false, &f) == 0 && load(f, &l) == 0);
}

static void dies_synced(void)
{
    struct loaded l;
    struct hf_outbox_file *f = NULL;

    CHECK(hf_outbox_file_open(path, true, &f) == 0 && load(f, &l) == 0);
    CHECK(put(f, 5, "5") == 0);
    CHECK(hf_outbox_file_flush(f) == 0);
}

/* What was not synced cannot be believed after the machine's crash: the session is forgotten, and all that is left may have been sent. */
static void another_boot_makes_uncertain_what_was_not_synced(void **state)
{
    (void)state;
    in_dying_child(dies_with_publishes);
    pretend_another_boot();
    in_dying_child(dies_again);
    check_content("2 demo - 2\n3 demo - 3\n4 demo - 4\n", 2, 4, "");
}

static void a_closed_or_synced_file_outlives_the_boot(void **state)
{
    (void)state;
    in_dying_child(dies_with_publishes);
    check_content("2 demo - 2\n3 demo - 3\n4 demo - 4\n", 2, 3, "t-1"); /* which closes it */
    pretend_another_boot();
    check_content("2 demo - 2\n3 demo - 3\n4 demo - 4\n", 2, 3, "t-1");
    in_dying_child(dies_synced);
    pretend_another_boot();
    check_content("2 demo - 2\n3 demo - 3\n4 demo - 4\n5 demo - 5\n", 2, 3, "t-1");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, new_folder, remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_new_file_is_empty_and_ours_alone),
        TEST(all_is_kept_as_it_was_given),
        TEST(what_was_accepted_survives_a_kill),
        TEST(a_refusal_survives_a_kill),
        TEST(every_moment_is_a_good_one_to_die),
        TEST(every_moment_of_a_checkpoint_is_one_too),
        TEST(a_full_disk_is_told_and_harms_nothing),
        TEST(a_foreign_file_is_refused),
        TEST(a_damaged_file_is_refused),
        TEST(damage_to_free_pages_is_no_surprise),
        TEST(a_file_without_its_tables_is_refused),
        TEST(a_log_without_its_file_is_damage),
        TEST(a_file_of_a_later_format_is_refused),
        TEST(two_do_not_share_a_file),
        TEST(a_path_that_leads_nowhere_is_told),
        TEST(any_name_is_a_file),
        TEST(another_boot_makes_uncertain_what_was_not_synced),
        TEST(a_closed_or_synced_file_outlives_the_boot),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
