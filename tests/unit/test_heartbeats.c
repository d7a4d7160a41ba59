/*
 * test_heartbeats.c - a client's choice of heartbeat policy, and the file in which it remembers networks: kept over processes, replaced whole,
 * and harmless when it is damaged or cannot be written.
 */
#include "client/heartbeats.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

struct fixture {
    char folder[64];
    char path[128];
    struct hf_client_options options;
    struct hf_heartbeats h;
};

static int make_folder(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    (void)snprintf(f->folder, sizeof(f->folder), "%s", "test_heartbeats.XXXXXX");
    assert_non_null(mkdtemp(f->folder));
    (void)snprintf(f->path, sizeof(f->path), "%s/heartbeat", f->folder);
    hf_client_options_init(&f->options);
    f->options.heartbeat_memory = f->path;
    *state = f;
    return 0;
}

static int remove_folder(void **state)
{
    struct fixture *f = *state;

    (void)unlink(f->path);
    assert_int_equal(rmdir(f->folder), 0); /* nothing else was left in it */
    free(f);
    return 0;
}

static void begin(struct fixture *f, uint64_t now_ms)
{
    assert_int_equal(hf_heartbeats_init(&f->h, &f->options, 1, now_ms), 0);
    hf_heartbeat_policy_set_network(f->h.policy, 7, now_ms);
    hf_heartbeat_policy_connected(f->h.policy, now_ms);
}

/* The network is found to bear 40 s. */
static void learn(struct fixture *f, uint64_t now_ms)
{
    const struct hf_heartbeat_beat beat = {.gap_ms = 40000, .scheduled = true};

    hf_heartbeat_policy_record_success(f->h.policy, &beat, now_ms);
}

static void put_file(const struct fixture *f, const char *content)
{
    FILE *file = fopen(f->path, "w");

    assert_non_null(file);
    assert_true(fputs(content, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void what_is_learnt_outlives_the_client(void **state)
{
    struct fixture *f = *state;
    struct stat st;

    begin(f, 1000);
    assert_string_equal(f->h.problem, "");
    assert_int_equal(f->h.adaptive.net.lo_ms, 0);
    learn(f, 50000);
    hf_heartbeats_save(&f->h, 50000);
    assert_int_equal(stat(f->path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    hf_heartbeats_release(&f->h, 51000);
    begin(f, 500); /* after a restart of the machine, say */
    assert_int_equal(f->h.adaptive.net.lo_ms, 40000);
    hf_heartbeats_release(&f->h, 600);
}

static void the_file_is_written_when_there_is_news_and_not_too_often(void **state)
{
    struct fixture *f = *state;

    begin(f, 1000);
    hf_heartbeats_save(&f->h, 1000);
    assert_int_equal(access(f->path, F_OK), -1);
    learn(f, 50000);
    hf_heartbeats_save(&f->h, 50000);
    assert_int_equal(access(f->path, F_OK), 0);
    hf_heartbeat_policy_probe_ended(f->h.policy, 64000, HF_HEARTBEAT_PROBE_ALIVE, 51000);
    assert_int_equal(unlink(f->path), 0);
    hf_heartbeats_save(&f->h, 50000 + HF_HEARTBEATS_SAVE_MS - 1);
    assert_int_equal(access(f->path, F_OK), -1);
    hf_heartbeats_save(&f->h, 50000 + HF_HEARTBEATS_SAVE_MS);
    assert_int_equal(access(f->path, F_OK), 0);
    hf_heartbeats_release(&f->h, 70000);
}

/* The end of a client comes between two writes. */
static void the_last_news_is_written_at_the_end(void **state)
{
    struct fixture *f = *state;

    begin(f, 1000);
    learn(f, 50000);
    hf_heartbeats_release(&f->h, 50000);
    assert_int_equal(access(f->path, F_OK), 0);
}

static void a_damaged_file_is_told_and_replaced(void **state)
{
    struct fixture *f = *state;
    char *huge = malloc(HF_HEARTBEAT_FILE_BYTES_MAX + 2);

    put_file(f, "rubbish\n");
    begin(f, 1000);
    assert_non_null(strstr(f->h.problem, f->path));
    assert_non_null(strstr(f->h.problem, "holdfast-heartbeat 1"));
    learn(f, 50000);
    hf_heartbeats_release(&f->h, 50000);
    begin(f, 1000);
    assert_string_equal(f->h.problem, "");
    assert_int_equal(f->h.adaptive.net.lo_ms, 40000);
    hf_heartbeats_release(&f->h, 1000);

    assert_non_null(huge);
    memset(huge, '1', HF_HEARTBEAT_FILE_BYTES_MAX + 1);
    huge[HF_HEARTBEAT_FILE_BYTES_MAX + 1] = '\0';
    put_file(f, huge);
    free(huge);
    begin(f, 1000);
    assert_non_null(strstr(f->h.problem, "too long"));
    hf_heartbeats_release(&f->h, 1000);
}

static void what_is_no_file_is_told(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(mkdir(f->path, 0700), 0);
    begin(f, 1000);
    assert_non_null(strstr(f->h.problem, "cannot be read"));
    learn(f, 50000);
    hf_heartbeats_save(&f->h, 50000);
    assert_non_null(strstr(f->h.problem, "cannot be written"));
    hf_heartbeats_release(&f->h, 60000);
    assert_int_equal(rmdir(f->path), 0); /* and nothing that was begun is left beside it */
}

static void a_folder_that_is_not_there_is_told_once(void **state)
{
    struct fixture *f = *state;
    char path[256];

    (void)snprintf(path, sizeof(path), "%s/no/heartbeat", f->folder);
    f->options.heartbeat_memory = path;
    begin(f, 1000);
    assert_string_equal(f->h.problem, "");
    learn(f, 50000);
    hf_heartbeats_save(&f->h, 50000);
    assert_non_null(strstr(f->h.problem, "No such file"));
    f->h.problem[0] = '\0';
    f->h.memory.changed = true;
    hf_heartbeats_save(&f->h, 100000);
    assert_string_equal(f->h.problem, "");
    hf_heartbeats_release(&f->h, 100000);
}

static void the_options_choose_the_policy(void **state)
{
    struct fixture *f = *state;

    begin(f, 0);
    assert_ptr_equal(f->h.policy, &f->h.adaptive.base);
    assert_int_equal(hf_heartbeat_policy_longest_ms(f->h.policy), 30000);
    assert_int_equal(hf_heartbeats_set_tolerance(&f->h, 120000), 0);
    assert_int_equal(hf_heartbeat_policy_longest_ms(f->h.policy), 120000);
    assert_int_equal(hf_heartbeats_set_tolerance(&f->h, 0), HF_EINVAL);
    assert_int_equal(hf_heartbeats_set_tolerance(&f->h, 3600001), HF_EINVAL);
    hf_heartbeats_release(&f->h, 0);
    f->options.heartbeat = HF_CLIENT_HEARTBEAT_CLASSIC;
    assert_int_equal(hf_heartbeats_init(&f->h, &f->options, 1, 0), 0);
    assert_ptr_equal(f->h.policy, &f->h.classic.base);
    assert_int_equal(hf_heartbeats_set_tolerance(&f->h, 120000), HF_ESTATE);
    hf_heartbeats_release(&f->h, 0);
    f->options.heartbeat = HF_CLIENT_HEARTBEAT_FIXED;
    assert_int_equal(hf_heartbeats_init(&f->h, &f->options, 1, 0), 0);
    assert_null(f->h.policy);
    f->options.heartbeat = HF_CLIENT_HEARTBEAT_ADAPTIVE;
    f->options.heartbeat_interval_ms = 5000;
    assert_int_equal(hf_heartbeats_init(&f->h, &f->options, 1, 0), 0);
    assert_null(f->h.policy);
    f->options.heartbeat_interval_ms = 0;
    f->options.heartbeat_tolerance_ms = 0;
    assert_int_equal(hf_heartbeats_init(&f->h, &f->options, 1, 0), HF_EINVAL);
    hf_heartbeats_release(&f->h, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_learnt_outlives_the_client, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(the_file_is_written_when_there_is_news_and_not_too_often, make_folder,
                                        remove_folder),
        cmocka_unit_test_setup_teardown(the_last_news_is_written_at_the_end, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(a_damaged_file_is_told_and_replaced, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(what_is_no_file_is_told, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(a_folder_that_is_not_there_is_told_once, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(the_options_choose_the_policy, make_folder, remove_folder),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
