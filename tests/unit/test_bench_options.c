#include "cli/bench_options.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { WORDS_MAX = 24 };

static char problem[HF_BENCH_TEXT_MAX];

/* "bench" and the words of a line, which may be cut at its spaces because getopt_long() changes no word. */
static enum hf_bench_parsed parse(struct hf_bench_options *o, const char *line)
{
    static char text[512];
    char *argv[WORDS_MAX + 1] = {text};
    int argc = 1;

    (void)snprintf(text, sizeof(text), "bench %s", line);
    for (char *at = text; *at != '\0'; at++) {
        if (*at != ' ')
            continue;
        *at = '\0';
        assert_true(argc < WORDS_MAX);
        argv[argc++] = at + 1;
    }
    if (line[0] == '\0')
        argc = 1;
    return hf_bench_options_parse(o, argc, argv, problem);
}

static void each_mode_has_its_defaults(void **state)
{
    struct hf_bench_options o;

    (void)state;
    assert_int_equal(parse(&o, "echo"), HF_BENCH_RUN);
    assert_int_equal(o.mode, HF_BENCH_ECHO);
    assert_int_equal(o.protocol, HF_BENCH_TEXT);
    assert_string_equal(o.url.target, "/echo");
    assert_int_equal(o.connections, 100);
    assert_int_equal(o.size, 64);
    assert_int_equal(parse(&o, "fanout"), HF_BENCH_RUN);
    assert_int_equal(o.protocol, HF_BENCH_HOLDFAST);
    assert_int_equal(o.window, 16);
    assert_int_equal(o.channels, 1);
    assert_string_equal(o.publish_url.target, "/ws");
    assert_int_equal(parse(&o, "publish"), HF_BENCH_RUN);
    assert_string_equal(o.url.port, "8001");
    assert_string_equal(o.url.target, "/api/publish");
    assert_int_equal(parse(&o, "idle"), HF_BENCH_RUN);
    assert_int_equal(o.warmup_ms, 0);
}

static void options_are_taken(void **state)
{
    struct hf_bench_options o;

    (void)state;
    assert_int_equal(parse(&o, "rate --rate 12.5 --subscribers 7 --publishers 3 --size 200 --seconds 0.25 "
                               "--json --server-pid 12 --server-pid 13"),
                     HF_BENCH_RUN);
    assert_true(o.rate == 12.5);
    assert_int_equal(o.connections, 7);
    assert_int_equal(o.publishers, 3);
    assert_int_equal(o.channels, 3);
    assert_int_equal(o.size, 200);
    assert_int_equal(o.seconds_ms, 250);
    assert_true(o.json);
    assert_int_equal(o.server_pids_count, 2);
    assert_int_equal(o.server_pids[1], 13);
    assert_int_equal(parse(&o, "fanout --one --window 9 --stuck 10"), HF_BENCH_RUN);
    assert_int_equal(o.window, 1);
    assert_int_equal(o.stuck_percent, 10);
}

static void schemes_tell_of_tls(void **state)
{
    struct hf_bench_options o;

    (void)state;
    assert_int_equal(parse(&o, "echo --url wss://a.example/echo --insecure"), HF_BENCH_RUN);
    assert_true(o.tls && o.publish_tls && o.insecure);
    assert_string_equal(o.url.port, "443");
    assert_int_equal(parse(&o, "publish --url https://a.example:9/api/publish --ca x.pem"), HF_BENCH_RUN);
    assert_true(o.tls);
    assert_string_equal(o.url.port, "9");
    assert_string_equal(o.ca, "x.pem");
    assert_int_equal(parse(&o, "fanout --url ws://a/s --publish-url wss://b/p"), HF_BENCH_RUN);
    assert_true(!o.tls && o.publish_tls);
    assert_string_equal(o.publish_url.host, "b");
}

static void what_is_wrong_is_named(void **state)
{
    static const struct {
        const char *line, *says;
    } cases[] = {
        {"", "no mode given"},
        {"nonsense", "unknown mode nonsense"},
        {"--json echo", "the mode comes first"},
        {"echo --nonsense", "--nonsense"},
        {"echo left-over", "left-over"},
        {"echo --size", "a value is missing behind --size"},
        {"echo --size 0", "--size wants bytes"},
        {"echo --size 12x", "not 12x"},
        {"echo --size -1", "not -1"},
        {"fanout --size 33", "--size wants bytes"},
        {"echo --connections 0", "--connections wants a number"},
        {"echo --connections 5000000", "--connections wants a number"},
        {"echo --subscribers 5", "--subscribers means nothing to the mode echo"},
        {"publish --pipeline 65", "--pipeline wants a number"},
        {"fanout --connections 5", "--connections means nothing to the mode fanout"},
        {"idle --rate 5", "--rate means nothing to the mode idle"},
        {"echo --rate 0", "--rate wants"},
        {"echo --rate nan", "--rate wants"},
        {"rate", "rate needs --rate"},
        {"rate --rate 5 --publishers 3 --channels 2", "as many --channels as --publishers"},
        {"echo --url ftp://a/", "--url wants a URL"},
        {"echo --url ws://", "--url wants a URL"},
        {"echo --url a", "--url wants a URL"},
        {"echo --protocol xmpp", "--protocol wants holdfast, text"},
        {"resume-storm --protocol text", "only Holdfast has sessions"},
        {"idle --resume --protocol text", "only Holdfast has sessions"},
        {"churn --protocol bytes", "needs a handshake"},
        {"echo --seconds 0", "--seconds wants"},
        {"echo --seconds 1e9", "--seconds wants"},
        {"echo --processes 257", "--processes wants"},
        {"echo --connections 2 --processes 3", "more --processes than connections"},
        {"echo --server-pid 0", "--server-pid wants"},
        {"echo --channel a\"b", "--channel wants"},
        {"echo --header x", "--header wants"},
        {"echo --header :x", "--header wants"},
    };
    struct hf_bench_options o;

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(parse(&o, cases[i].line), HF_BENCH_WRONG);
        if (strstr(problem, cases[i].says) == NULL)
            fail_msg("'%s' is answered '%s', which lacks '%s'", cases[i].line, problem, cases[i].says);
    }
}

/* A header with a line end would add more to the request than one line. */
static void headers_are_one_line(void **state)
{
    struct hf_bench_options o;
    char good[] = "Authorization: Bearer a", bad[] = "A: b\r\nC: d";
    char name[] = "bench", mode[] = "echo", option[] = "--header";
    char *argv[] = {name, mode, option, good, NULL};

    (void)state;
    assert_int_equal(hf_bench_options_parse(&o, 4, argv, problem), HF_BENCH_RUN);
    assert_string_equal(o.header, good);
    argv[3] = bad;
    assert_int_equal(hf_bench_options_parse(&o, 4, argv, problem), HF_BENCH_WRONG);
}

static void help_is_asked_for(void **state)
{
    struct hf_bench_options o;

    (void)state;
    assert_int_equal(parse(&o, "--help"), HF_BENCH_HELP);
    assert_int_equal(parse(&o, "-h"), HF_BENCH_HELP);
    assert_int_equal(parse(&o, "echo --size 5 --help"), HF_BENCH_HELP);
    for (unsigned mode = 0; mode < HF_BENCH_MODES; mode++)
        assert_non_null(strstr(hf_bench_options_help(), hf_bench_mode_name((enum hf_bench_mode_id)mode)));
    for (unsigned p = 0; p < HF_BENCH_PROTOCOLS; p++)
        assert_non_null(
            strstr(hf_bench_options_help(), hf_bench_protocol_name((enum hf_bench_protocol_id)p)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_mode_has_its_defaults), cmocka_unit_test(options_are_taken),
        cmocka_unit_test(schemes_tell_of_tls),        cmocka_unit_test(what_is_wrong_is_named),
        cmocka_unit_test(headers_are_one_line),       cmocka_unit_test(help_is_asked_for),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
