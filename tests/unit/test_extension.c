/*
 * test_extension.c - Sec-WebSocket-Extensions: what a server makes of offers, and a client of answers (RFC 6455 section 9.1,
 * RFC 7692 sections 5 and 7). The table is read in heap blocks of the exact size, and every beginning of each line too.
 */
#include "ws/extension.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define PMD "permessage-deflate"
#define BOTH "; server_no_context_takeover; client_no_context_takeover"

struct row {
    const char *value;
    const char *want; /* the answer; "": none; NULL: malformed */
};

static int accept_copy(const char *value, size_t len, struct hf_deflate_terms *terms)
{
    char *copy = malloc(len > 0 ? len : 1);
    int got;

    assert_non_null(copy);
    memcpy(copy, value, len);
    got = hf_deflate_accept((struct hf_str){copy, len}, terms);
    free(copy);
    return got;
}

static void check_row(const struct row *row)
{
    struct hf_deflate_terms terms;
    char out[HF_DEFLATE_ANSWER_MAX];
    int got = accept_copy(row->value, strlen(row->value), &terms);
    struct hf_str answer = hf_deflate_answer(&terms, out);
    bool right = row->want == NULL      ? got == HF_EBADMSG && answer.data == NULL
                 : row->want[0] == '\0' ? got == 0 && answer.data == NULL
                                        : got == 1 && hf_str_eq(answer, hf_str_from(row->want));

    if (!right)
        print_error("\"%s\": got %d, \"%.*s\"\n", row->value, got, (int)answer.len, answer.data);
    assert_true(right);
    for (size_t len = 0; len < strlen(row->value);
         len++) /* No read beyond the end; the verdict may be any. */
        assert_true(accept_copy(row->value, len, &terms) <= 1);
}

static void offers_are_answered(void **state)
{
    static const struct row rows[] = {
        {PMD, PMD BOTH},
        {PMD BOTH, PMD BOTH},
        {PMD "; client_max_window_bits", PMD BOTH},
        {PMD "; client_max_window_bits=8", PMD BOTH},
        {PMD "; client_max_window_bits=15", PMD BOTH},
        {PMD "; server_max_window_bits=8", PMD BOTH "; server_max_window_bits=8"},
        {PMD "; server_max_window_bits=9", PMD BOTH "; server_max_window_bits=9"},
        {PMD "; server_max_window_bits=10", PMD BOTH "; server_max_window_bits=10"},
        {PMD "; server_max_window_bits=11", PMD BOTH "; server_max_window_bits=11"},
        {PMD "; server_max_window_bits=12", PMD BOTH "; server_max_window_bits=12"},
        {PMD "; server_max_window_bits=13", PMD BOTH "; server_max_window_bits=13"},
        {PMD "; server_max_window_bits=14", PMD BOTH "; server_max_window_bits=14"},
        {PMD "; server_max_window_bits=15", PMD BOTH "; server_max_window_bits=15"},
        {PMD ";server_max_window_bits=\"10\"", PMD BOTH "; server_max_window_bits=10"},
        {PMD ";server_max_window_bits=\"\\1\\0\"", PMD BOTH "; server_max_window_bits=10"},
        {PMD "; client_max_window_bits; server_max_window_bits=12; client_no_context_takeover",
         PMD BOTH "; server_max_window_bits=12"},
        /* White space, and empty elements of a list. */
        {" \t" PMD " \t;\tserver_max_window_bits = 9 ", PMD BOTH "; server_max_window_bits=9"},
        {",, ," PMD ",,", PMD BOTH},
        /* The first offer that can be served counts, wherever it stands. */
        {PMD "; server_max_window_bits=10, " PMD, PMD BOTH "; server_max_window_bits=10"},
        {PMD "; server_max_window_bits=16, " PMD, PMD BOTH},
        {PMD "; x, " PMD "; server_max_window_bits=11", PMD BOTH "; server_max_window_bits=11"},
        {"x-unknown, foo; bar=baz; q=\"r\", " PMD, PMD BOTH},
        {PMD ", x-unknown", PMD BOTH},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        check_row(&rows[i]);
}

static void offers_are_passed_over(void **state)
{
    static const struct row rows[] = {
        {"x-unknown", ""},
        {"Permessage-Deflate", ""},
        {"x-webkit-deflate-frame", ""},
        {"permessage-deflate2", ""},
        {"permessage-bzip2; a=\"b\"", ""},
        {PMD "; unknown", ""},
        {PMD "; unknown=1", ""},
        {PMD "; Server_no_context_takeover", ""},
        {PMD "; server_no_context_takeover=1", ""},
        {PMD "; server_no_context_takeover=\"true\"", ""},
        {PMD "; client_no_context_takeover=15", ""},
        {PMD "; server_no_context_takeover; server_no_context_takeover", ""},
        {PMD "; client_max_window_bits; client_max_window_bits", ""},
        {PMD "; client_max_window_bits=10; client_max_window_bits=10", ""},
        {PMD "; server_max_window_bits", ""},
        {PMD "; server_max_window_bits=10; server_max_window_bits=10", ""},
        {PMD "; server_max_window_bits=0", ""},
        {PMD "; server_max_window_bits=7", ""},
        {PMD "; server_max_window_bits=16", ""},
        {PMD "; server_max_window_bits=08", ""},
        {PMD "; server_max_window_bits=010", ""},
        {PMD "; server_max_window_bits=100", ""},
        {PMD "; server_max_window_bits=1000000000000", ""},
        {PMD "; server_max_window_bits=+9", ""},
        {PMD "; server_max_window_bits=9x", ""},
        {PMD "; server_max_window_bits=1", ""},
        {PMD "; client_max_window_bits=7", ""},
        {PMD "; client_max_window_bits=16", ""},
        {PMD "; client_max_window_bits=x", ""},
        {PMD "; a, " PMD "; b", ""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        check_row(&rows[i]);
}

static void malformed_values(void **state)
{
    static const struct row rows[] = {
        {"", NULL},
        {" ", NULL},
        {",", NULL},
        {", ,", NULL},
        {";", NULL},
        {"=", NULL},
        {PMD ";", NULL},
        {PMD "; ", NULL},
        {PMD ";;server_no_context_takeover", NULL},
        {PMD "; ;", NULL},
        {PMD " server_no_context_takeover", NULL},
        {PMD "; server_no_context_takeover client_no_context_takeover", NULL},
        {PMD "=1", NULL},
        {PMD "; =1", NULL},
        {PMD "; server_max_window_bits=", NULL},
        {PMD "; server_max_window_bits= ", NULL},
        {PMD "; server_max_window_bits==9", NULL},
        {PMD "; server_max_window_bits=9=9", NULL},
        {PMD "; server_max_window_bits=\"9", NULL},
        {PMD "; server_max_window_bits=9\"", NULL},
        {PMD "; server_max_window_bits=\"\"", NULL},
        {PMD "; server_max_window_bits=\"9\"9", NULL},
        {PMD "; server_max_window_bits=\"\\", NULL},
        {PMD "; server_max_window_bits=\"\\\"\"", NULL},
        {PMD "; server_max_window_bits=\" 9\"", NULL},
        {PMD "; x=\"a,b\"", NULL},
        {PMD "; x=\"a b\"", NULL},
        {"\"" PMD "\"", NULL},
        {"(" PMD ")", NULL},
        {PMD ", ;", NULL},
        {PMD ", \xff", NULL}, /* What is good before it does not help. */
        {PMD ", x y", NULL},
        {"x/y, " PMD, NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        check_row(&rows[i]);
}

static void no_header_is_no_offer(void **state)
{
    struct hf_deflate_terms terms = {.server_window_bits = 15};
    char out[HF_DEFLATE_ANSWER_MAX];

    (void)state;
    assert_int_equal(hf_deflate_accept((struct hf_str){0}, &terms), 0);
    assert_null(hf_deflate_answer(&terms, out).data);
    terms.server_window_bits = 15;
    assert_int_equal(hf_deflate_accepted((struct hf_str){0}, &terms), 0);
    assert_int_equal(terms.server_window_bits, 0);
}

static void answers_to_a_client(void **state)
{
    static const struct {
        const char *value;
        int want; /* window bits of the server, or HF_EBADMSG */
    } rows[] = {
        {PMD BOTH, 15},
        {PMD "; server_no_context_takeover", 15},
        {PMD "; server_max_window_bits=10" BOTH, 10},
        {PMD "; server_no_context_takeover; server_max_window_bits=\"8\"", 8},
        {PMD, HF_EBADMSG}, /* accepts, but not what was offered */
        {PMD "; client_no_context_takeover", HF_EBADMSG},
        {PMD BOTH "; client_max_window_bits=15", HF_EBADMSG},
        {PMD BOTH "; client_max_window_bits", HF_EBADMSG},
        {PMD BOTH "; server_max_window_bits", HF_EBADMSG},
        {PMD BOTH "; server_max_window_bits=7", HF_EBADMSG},
        {PMD BOTH "; server_no_context_takeover", HF_EBADMSG},
        {PMD BOTH "; x", HF_EBADMSG},
        {PMD BOTH ", " PMD BOTH, HF_EBADMSG},
        {PMD BOTH ", x", HF_EBADMSG},
        {"x", HF_EBADMSG},
        {"", HF_EBADMSG},
        {PMD BOTH ";", HF_EBADMSG},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct hf_deflate_terms terms;
        int got = hf_deflate_accepted(hf_str_from(rows[i].value), &terms);

        if (got != (rows[i].want < 0 ? rows[i].want : 1))
            print_error("answer \"%s\": %d\n", rows[i].value, got);
        assert_int_equal(got, rows[i].want < 0 ? rows[i].want : 1);
        assert_int_equal(terms.server_window_bits, rows[i].want < 0 ? 0 : rows[i].want);
    }
}

/* What we offer as a client we take as a server, and the answer to that is one to our offer. */
static void our_own_sides_agree(void **state)
{
    struct hf_deflate_terms server, client;
    char out[HF_DEFLATE_ANSWER_MAX];

    (void)state;
    assert_int_equal(hf_deflate_accept(HF_STR(HF_DEFLATE_OFFER), &server), 1);
    assert_int_equal(hf_deflate_accepted(hf_deflate_answer(&server, out), &client), 1);
    assert_int_equal(server.server_window_bits, client.server_window_bits);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(offers_are_answered), cmocka_unit_test(offers_are_passed_over),
        cmocka_unit_test(malformed_values),    cmocka_unit_test(no_header_is_no_offer),
        cmocka_unit_test(answers_to_a_client), cmocka_unit_test(our_own_sides_agree),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
