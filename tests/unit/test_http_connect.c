#include "ws/http_connect.h"

#include "ws/handshake.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void the_request_names_host_and_port(void **state)
{
    struct hf_buf out;

    (void)state;
    hf_buf_init(&out, 4096);
    assert_int_equal(hf_http_connect_put(&out, HF_STR("example.org:443"), HF_STR("")), 0);
    assert_memory_equal(out.data,
                        "CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\n"
                        "User-Agent: libholdfast\r\n\r\n",
                        out.len);
    hf_buf_reset(&out);
    assert_int_equal(hf_http_connect_put(&out, HF_STR("[::1]:80"), HF_STR("Basic dTpw")), 0);
    assert_memory_equal(out.data,
                        "CONNECT [::1]:80 HTTP/1.1\r\nHost: [::1]:80\r\nProxy-Authorization: Basic dTpw\r\n"
                        "User-Agent: libholdfast\r\n\r\n",
                        out.len);
    hf_buf_release(&out);
}

static void nothing_breaks_out_of_its_line(void **state)
{
    struct hf_buf out;

    (void)state;
    hf_buf_init(&out, 4096);
    assert_int_equal(hf_http_connect_put(&out, HF_STR(""), HF_STR("")), HF_EINVAL);
    assert_int_equal(hf_http_connect_put(&out, HF_STR("a b:80"), HF_STR("")), HF_EINVAL);
    assert_int_equal(hf_http_connect_put(&out, HF_STR("a:80\r\nX: y"), HF_STR("")), HF_EINVAL);
    assert_int_equal(hf_http_connect_put(&out, HF_STR("a:80"), HF_STR("Basic x\r\nX: y")), HF_EINVAL);
    assert_int_equal(out.len, 0);
    hf_buf_release(&out);
    hf_buf_init(&out, 40);
    assert_int_equal(hf_http_connect_put(&out, HF_STR("example.org:443"), HF_STR("")), HF_ELIMIT);
    hf_buf_release(&out);
}

static const struct {
    const char *answer;
    int status;
    const char *behind; /* of the head: the tunnel's */
} good[] = {
    {"HTTP/1.1 200 Connection established\r\n\r\n", 200, ""},
    {"HTTP/1.0 200\r\n\r\n", 200, ""},
    {"HTTP/1.1 204 No Content\r\nVia: 1.1 squid\r\nContent-Length: 7\r\n\r\n", 204, "tunnel!"},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 200, "5\r\nhello"},
    {"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=\"x\"\r\n\r\n", 407,
     "<html>"},
    {"HTTP/1.1 403 Forbidden\r\n\r\n", 403, ""},
    {"HTTP/1.1 101 Switching Protocols\r\n\r\n", 101, ""},
    {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", 200,
     "x"},
};

/* A heap copy of exactly these bytes, so that a sanitizer sees the first one read beyond. */
static int parse_copy(const char *data, size_t len, int *status, const char **reason)
{
    char *copy = malloc(len > 0 ? len : 1);
    int got;

    assert_non_null(copy);
    memcpy(copy, data, len);
    got = hf_http_connect_parse(copy, len, status, reason);
    free(copy);
    return got;
}

static void answers_are_taken_whole_and_byte_by_byte(void **state)
{
    char all[512];
    const char *reason;

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        size_t head_len = strlen(good[i].answer), len;
        int status = 0;

        (void)snprintf(all, sizeof(all), "%s%s", good[i].answer, good[i].behind);
        for (len = 0; len < head_len; len++)
            assert_int_equal(parse_copy(all, len, &status, &reason), 0);
        for (; len <= strlen(all); len++) {
            assert_int_equal(parse_copy(all, len, &status, &reason), head_len);
            assert_int_equal(status, good[i].status);
        }
    }
}

/* Each is known for what it is with its first wrong byte, and stays so. */
static void what_is_no_such_answer_is_refused(void **state)
{
    static const struct {
        const char *answer;
        size_t known_at; /* bytes */
    } bad[] = {
        {"SSH-2.0-OpenSSH_9.2\r\n", 1},
        {"HTTP/2 200 OK\r\n\r\n", 6},
        {"HTTP/1.1 20 OK\r\n\r\n", 16},
        {"HTTP/1.1 2000 OK\r\n\r\n", 18},
        {"HTTP/1.1 099 Odd\r\n\r\n", 18},
        {"HTTP/1.1  200 OK\r\n\r\n", 18},
        {"HTTP/1.1 200 OK\n\n", 16},
        {"HTTP/1.1 200 OK\r\nNo colon\r\n\r\n", 27},
        {"HTTP/1.1 200 OK\r\n folded: x\r\n\r\n", 29},
        {"HTTP/1.1 200 OK\r\nA: \x01\r\n\r\n", 23},
        {"HTTP/1.1 100 Continue\r\n\r\nno answer\r\n\r\n", 26},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        for (size_t len = 0; len <= strlen(bad[i].answer); len++) {
            const char *reason = NULL;
            int status, got = parse_copy(bad[i].answer, len, &status, &reason);

            assert_int_equal(got, len < bad[i].known_at ? 0 : HF_EBADMSG);
            assert_true((reason != NULL) == (got < 0));
        }
    }
}

static void an_answer_has_bounds(void **state)
{
    static char answer[2 * HF_HTTP_HEAD_MAX];
    static const char interim[] = "HTTP/1.1 100 \r\n\r\n";
    const char *reason = NULL;
    int status;
    size_t len = 0;

    (void)state;
    /* Of bytes. */
    memset(answer, 'a', sizeof(answer));
    memcpy(answer, "HTTP/1.1 200 OK\r\nA: ", 20);
    assert_int_equal(parse_copy(answer, HF_HTTP_HEAD_MAX - 1, &status, &reason), 0);
    assert_int_equal(parse_copy(answer, HF_HTTP_HEAD_MAX, &status, &reason), HF_EBADMSG);
    assert_string_equal(reason, "too long an answer");
    memcpy(answer + HF_HTTP_HEAD_MAX - 4, "\r\n\r\n", 4);
    assert_int_equal(parse_copy(answer, HF_HTTP_HEAD_MAX, &status, &reason), HF_HTTP_HEAD_MAX);
    /* The bound is for all of it: an interim answer leaves less. */
    memmove(answer + sizeof(interim) - 1, answer, HF_HTTP_HEAD_MAX);
    memcpy(answer, interim, sizeof(interim) - 1);
    assert_int_equal(parse_copy(answer, HF_HTTP_HEAD_MAX + sizeof(interim) - 1, &status, &reason),
                     HF_EBADMSG);
    /* Of interim answers. */
    for (unsigned i = 0; i < 9; i++, len += sizeof(interim) - 1)
        memcpy(answer + len, interim, sizeof(interim) - 1);
    assert_int_equal(parse_copy(answer, len - (sizeof(interim) - 1), &status, &reason), 0);
    assert_int_equal(parse_copy(answer, len, &status, &reason), HF_EBADMSG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_request_names_host_and_port),
        cmocka_unit_test(nothing_breaks_out_of_its_line),
        cmocka_unit_test(answers_are_taken_whole_and_byte_by_byte),
        cmocka_unit_test(what_is_no_such_answer_is_refused),
        cmocka_unit_test(an_answer_has_bounds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
