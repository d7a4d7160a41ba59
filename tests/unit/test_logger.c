#include "server/logger.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

/* The logger writes into a pipe; what it wrote is read back. */
static int pipe_fds[2];
static char text[1 << 17];

static size_t read_back(void)
{
    ssize_t n = read(pipe_fds[0], text, sizeof(text) - 1);

    if (n < 0)
        assert_int_equal(errno, EAGAIN);
    n = n < 0 ? 0 : n;
    text[n] = '\0';
    return (size_t)n;
}

static int open_pipe(void **state)
{
    (void)state;
    if (pipe(pipe_fds) < 0 || fcntl(pipe_fds[0], F_SETFL, O_NONBLOCK) < 0)
        return -1;
    return fcntl(pipe_fds[1], F_SETPIPE_SZ, 65536) < 0 ? -1 : 0;
}

static int close_pipe(void **state)
{
    (void)state;
    hf_logger_close();
    close(pipe_fds[0]);
    close(pipe_fds[1]);
    return 0;
}

/* What stands behind the event's name in the one line that was written, without the line end. */
static const char *fields_of_line(void)
{
    size_t n = read_back();
    char *event = strstr(text, "event=it ");

    assert_true(n > 0 && text[n - 1] == '\n');
    text[n - 1] = '\0';
    assert_null(strchr(text, '\n'));
    assert_non_null(event);
    return event + strlen("event=it ");
}

static void a_logfmt_line_has_its_parts_in_order(void **state)
{
    char expected[128];
    struct tm tm = {0};
    time_t now = time(NULL);
    const char *end;

    (void)state;
    hf_logger_open(pipe_fds[1], HF_LOG_INFO, HF_LOG_LOGFMT);
    hf_logger_identify(2);
    hf_log(HF_LOG_WARNING, "it", hf_kv_i64("a", -5), hf_kv_u64("b", UINT64_MAX), hf_kv_bool("c", true),
           hf_kv_text("d", "x.y/z:1"), hf_kv_str("e", HF_STR("f")), hf_kv_errno("g", ENOENT),
           hf_kv_err("h", HF_EGAP));
    read_back();
    assert_int_equal(strncmp(text, "time=", 5), 0);
    end = strptime(text + 5, "%Y-%m-%dT%H:%M:%S", &tm);
    assert_non_null(end);
    assert_true(labs((long)(timegm(&tm) - now)) <= 2);
    assert_true(end[0] == '.' && end[4] == 'Z');
    snprintf(expected, sizeof(expected), " level=warning worker=2 pid=%d event=it ", (int)getpid());
    assert_int_equal(strncmp(end + 5, expected, strlen(expected)), 0);
    assert_string_equal(end + 5 + strlen(expected),
                        "a=-5 b=18446744073709551615 c=true d=x.y/z:1 e=f g=\"No such file or directory\" "
                        "h=\"the log no longer holds that offset\"\n");
}

static void the_supervisor_has_no_worker_and_an_event_needs_no_fields(void **state)
{
    (void)state;
    hf_logger_open(pipe_fds[1], HF_LOG_INFO, HF_LOG_LOGFMT);
    hf_logger_identify(-1);
    hf_log_event(HF_LOG_ERROR, "draining");
    read_back();
    assert_null(strstr(text, "worker"));
    assert_non_null(strstr(text, " level=error pid="));
    assert_non_null(strstr(text, " event=draining\n"));
}

static int evaluated;

static struct hf_log_field evaluate(void)
{
    evaluated++;
    return hf_kv_bool("x", true);
}

static void what_is_below_the_level_is_neither_written_nor_evaluated(void **state)
{
    (void)state;
    hf_logger_open(pipe_fds[1], HF_LOG_WARNING, HF_LOG_LOGFMT);
    hf_log(HF_LOG_INFO, "it", evaluate());
    hf_log_event(HF_LOG_DEBUG, "it");
    assert_int_equal(evaluated, 0);
    assert_int_equal(read_back(), 0);
    hf_log(HF_LOG_WARNING, "it", evaluate());
    assert_int_equal(evaluated, 1);
    assert_string_equal(fields_of_line(), "x=true");
}

/* No value can end its line, forge a field or steer a terminal. */
static void a_hostile_value_stays_in_its_place(void **state)
{
    const struct {
        struct hf_str value;
        const char *logfmt;
    } cases[] = {
        {{"", 0}, "\"\""},
        {{NULL, 0}, "\"\""},
        {HF_STR("a b"), "\"a b\""},
        {HF_STR("a=b"), "\"a=b\""},
        {HF_STR("a\"b\\"), "\"a\\\"b\\\\\""},
        {HF_STR("a\nevent=forged"), "\"a\\nevent=forged\""},
        {HF_STR("\r\t\0\033[2J\x7f"), "\"\\r\\t\\x00\\x1b[2J\\x7f\""},
        {HF_STR("\xc3\xa9t\xc3\xa9 \xf0\x9f\x98\x80"), "\"\xc3\xa9t\xc3\xa9 \xf0\x9f\x98\x80\""},
        {HF_STR("\xc2\x9b"), "\"\\xc2\\x9b\""},          /* CSI as a C1 control */
        {HF_STR("\xff\xc3"), "\"\\xff\\xc3\""},          /* no UTF-8, and a cut sequence */
        {HF_STR("\xed\xa0\x80"), "\"\\xed\\xa0\\x80\""}, /* a surrogate */
    };

    (void)state;
    hf_logger_open(pipe_fds[1], HF_LOG_INFO, HF_LOG_LOGFMT);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        hf_log(HF_LOG_INFO, "it", hf_kv_str("v", cases[i].value), hf_kv_bool("end", true));
        assert_true(strncmp(fields_of_line(), "v=", 2) == 0);
        assert_int_equal(strncmp(strstr(text, "v=") + 2, cases[i].logfmt, strlen(cases[i].logfmt)), 0);
        assert_string_equal(strstr(text, "v=") + 2 + strlen(cases[i].logfmt), " end=true");
    }
}

/* Whatever the bytes are, a JSON line is one JSON object with that key and no other. */
static void a_json_line_is_json_whatever_the_bytes_are(void **state)
{
    char bytes[64];

    (void)state;
    hf_logger_open(pipe_fds[1], HF_LOG_INFO, HF_LOG_JSON);
    hf_logger_identify(0);
    for (unsigned first = 0; first < 256; first++) {
        json_t *line;

        for (size_t i = 0; i < sizeof(bytes); i++)
            bytes[i] = (char)(first + i * 7);
        hf_log(HF_LOG_INFO, "it", hf_kv_str("v", (struct hf_str){bytes, sizeof(bytes)}), hf_kv_i64("n", -1));
        assert_true(read_back() > 0);
        line = json_loads(text, JSON_ALLOW_NUL, NULL);
        assert_non_null(line);
        assert_int_equal(json_object_size(line), 7);
        assert_string_equal(json_string_value(json_object_get(line, "level")), "info");
        assert_string_equal(json_string_value(json_object_get(line, "event")), "it");
        assert_int_equal(json_integer_value(json_object_get(line, "worker")), 0);
        assert_int_equal(json_integer_value(json_object_get(line, "pid")), getpid());
        assert_int_equal(json_integer_value(json_object_get(line, "n")), -1);
        assert_true(json_is_string(json_object_get(line, "v")));
        json_decref(line);
    }
}

/* U+FFFD, not the character that has the byte as its number. */
static void a_json_line_replaces_what_is_no_utf8(void **state)
{
    (void)state;
    hf_logger_open(pipe_fds[1], HF_LOG_INFO, HF_LOG_JSON);
    hf_log(HF_LOG_INFO, "it", hf_kv_str("v", HF_STR("\xe9\x01\"")));
    read_back();
    assert_non_null(strstr(text, ",\"v\":\"\\ufffd\\u0001\\\"\"}\n"));
}

static void a_long_value_is_cut_between_characters(void **state)
{
    char value[2000];
    const char *fields;

    (void)state;
    hf_logger_open(pipe_fds[1], HF_LOG_INFO, HF_LOG_LOGFMT);
    memset(value, 'a', sizeof(value));
    hf_log(HF_LOG_INFO, "it", hf_kv_str("v", (struct hf_str){value, sizeof(value)}));
    assert_int_equal(strlen(fields_of_line()), 2 + HF_LOG_VALUE_MAX);
    for (size_t i = 1; i + 1 < sizeof(value); i += 2)
        memcpy(value + i, "\xc3\xa9", 2); /* The 512th byte is the first of a sequence. */
    hf_log(HF_LOG_INFO, "it", hf_kv_str("v", (struct hf_str){value, sizeof(value)}));
    fields = fields_of_line();
    assert_int_equal(strlen(fields), 2 + 2 + HF_LOG_VALUE_MAX - 1);
    assert_null(strstr(fields, "\\x"));
}

static void fields_that_do_not_fit_are_left_out_whole(void **state)
{
    static char value[HF_LOG_VALUE_MAX];
    struct hf_log_field v;
    json_t *line;

    (void)state;
    memset(value, 1, sizeof(value)); /* Six bytes each in JSON. */
    v = hf_kv_str("v", (struct hf_str){value, sizeof(value)});
    hf_logger_open(pipe_fds[1], HF_LOG_INFO, HF_LOG_JSON);
    hf_log(HF_LOG_INFO, "it", v, v, hf_kv_u64("n", 7));
    assert_true(read_back() <= HF_LOG_LINE_MAX);
    line = json_loads(text, 0, NULL);
    assert_non_null(line);
    assert_int_equal(json_integer_value(json_object_get(line, "n")), 7);
    assert_true(json_is_true(json_object_get(line, "cut")));
    json_decref(line);
}

static long elapsed_ms(const struct timespec *since)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (now.tv_sec - since->tv_sec) * 1000 + (now.tv_nsec - since->tv_nsec) / 1000000;
}

/* A reader that stands still stops nobody; what it missed is counted in the next line that gets through. */
static void a_full_pipe_drops_lines_and_tells_how_many(void **state)
{
    enum { LINES = 2000 };
    struct timespec start;
    unsigned got = 0;
    char *report, *line;
    size_t n;

    (void)state;
    hf_logger_open(pipe_fds[1], HF_LOG_INFO, HF_LOG_LOGFMT);
    clock_gettime(CLOCK_MONOTONIC, &start);
    for (unsigned i = 0; i < LINES; i++)
        hf_log(HF_LOG_INFO, "it", hf_kv_u64("i", i));
    assert_true(elapsed_ms(&start) < 2000);
    n = read_back();
    assert_true(n <= 65536 && text[n - 1] == '\n');
    for (line = text; (line = strstr(line, "event=it ")) != NULL; line++)
        got++;
    assert_true(got > 0 && got < LINES);

    hf_log(HF_LOG_INFO, "it", hf_kv_u64("i", LINES));
    read_back();
    report = strstr(text, "level=warning pid=");
    assert_non_null(report);
    report = strstr(report, "event=log_lines_dropped lines=");
    assert_non_null(report);
    assert_int_equal(strtoul(report + strlen("event=log_lines_dropped lines="), NULL, 10), LINES - got);
    assert_non_null(strstr(report, "event=it i=2000\n"));
    assert_int_equal(fcntl(pipe_fds[1], F_GETFL) & O_NONBLOCK,
                     0); /* The others who have it are left alone. */

    hf_log(HF_LOG_INFO, "it", hf_kv_u64("i", 1));
    assert_string_equal(fields_of_line(), "i=1");
}

static void a_full_socket_does_not_block_either(void **state)
{
    struct timespec start;
    int fds[2];

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    hf_logger_open(fds[0], HF_LOG_INFO, HF_LOG_LOGFMT);
    clock_gettime(CLOCK_MONOTONIC, &start);
    for (unsigned i = 0; i < 5000; i++)
        hf_log(HF_LOG_INFO, "it", hf_kv_u64("i", i));
    assert_true(elapsed_ms(&start) < 2000);
    hf_logger_close();
    close(fds[0]);
    close(fds[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_logfmt_line_has_its_parts_in_order, open_pipe, close_pipe),
        cmocka_unit_test_setup_teardown(the_supervisor_has_no_worker_and_an_event_needs_no_fields, open_pipe,
                                        close_pipe),
        cmocka_unit_test_setup_teardown(what_is_below_the_level_is_neither_written_nor_evaluated, open_pipe,
                                        close_pipe),
        cmocka_unit_test_setup_teardown(a_hostile_value_stays_in_its_place, open_pipe, close_pipe),
        cmocka_unit_test_setup_teardown(a_json_line_is_json_whatever_the_bytes_are, open_pipe, close_pipe),
        cmocka_unit_test_setup_teardown(a_json_line_replaces_what_is_no_utf8, open_pipe, close_pipe),
        cmocka_unit_test_setup_teardown(a_long_value_is_cut_between_characters, open_pipe, close_pipe),
        cmocka_unit_test_setup_teardown(fields_that_do_not_fit_are_left_out_whole, open_pipe, close_pipe),
        cmocka_unit_test_setup_teardown(a_full_pipe_drops_lines_and_tells_how_many, open_pipe, close_pipe),
        cmocka_unit_test(a_full_socket_does_not_block_either),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
