#include "server/diagnose.h"

#include "ws/frame.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <jansson.h>

enum { SECOND_MS = 1000 };

static struct hf_journal_event closed(enum hf_journal_by by, uint16_t code, uint32_t silence_ms)
{
    return (struct hf_journal_event){
        .kind = HF_JOURNAL_CLOSED, .by = by, .code = code, .silence_ms = silence_ms};
}

static struct hf_journal_event cut(uint32_t silence_ms)
{
    return closed(HF_JOURNAL_BY_PATH, HF_CLOSE_ABNORMAL, silence_ms);
}

/* What is found, as text; "" where nothing is. Each finding is an object with an advice. */
static const char *findings(const struct hf_journal_event *events, size_t count)
{
    static char text[4096];
    struct hf_buf out;
    json_t *list, *one;
    size_t i;

    hf_buf_init(&out, 65536);
    assert_int_equal(hf_diagnose_session(events, count, &out), 0);
    list = json_loadb((const char *)out.data, out.len, 0, NULL);
    assert_true(json_is_array(list));
    hf_buf_reset(&out);
    hf_buf_puts(&out, "");
    json_array_foreach(list, i, one)
    {
        assert_true(strlen(json_string_value(json_object_get(one, "advice"))) > 10);
        hf_buf_putf(&out, "%s\n", json_string_value(json_object_get(one, "finding")));
    }
    assert_true(out.len < sizeof(text));
    (void)snprintf(text, sizeof(text), "%.*s", (int)out.len, (const char *)out.data);
    json_decref(list);
    hf_buf_release(&out);
    return text;
}

static void nothing_out_of_the_ordinary_is_no_finding(void **state)
{
    const struct hf_journal_event events[] = {
        {.kind = HF_JOURNAL_ENDED, .code = HF_CLOSE_NORMAL},   {.kind = HF_JOURNAL_RESUMED}, cut(300),
        {.kind = HF_JOURNAL_HEARTBEAT, .heartbeat_ms = 20000}, {.kind = HF_JOURNAL_STARTED},
    };

    (void)state;
    assert_string_equal(findings(NULL, 0), "");
    assert_string_equal(findings(events, 5), "");
}

static void cuts_after_the_same_silence_are_a_proxy(void **state)
{
    const struct hf_journal_event proxy[] = {cut(60 * SECOND_MS), cut(400), cut(62 * SECOND_MS),
                                             cut(20 * SECOND_MS), cut(61 * SECOND_MS)};
    const struct hf_journal_event once[] = {cut(60 * SECOND_MS), cut(20 * SECOND_MS)};
    const struct hf_journal_event soon[] = {cut(4000), cut(4000), cut(4000)};
    const struct hf_journal_event told[] = {
        closed(HF_JOURNAL_BY_SERVER, HF_CLOSE_GOING_AWAY, 60 * SECOND_MS),
        closed(HF_JOURNAL_BY_SERVER, HF_CLOSE_GOING_AWAY, 60 * SECOND_MS)};

    (void)state;
    assert_string_equal(findings(proxy, 5), "3 of 4 connections were cut after 60 to 66 s of silence\n");
    assert_string_equal(findings(once, 2), "");
    assert_string_equal(findings(soon, 3), "");
    assert_string_equal(findings(told, 2), "");
}

/* Ten per cent: 60 and 66 are alike, 60 and 67 are not. */
static void silences_are_alike_within_a_tenth(void **state)
{
    const struct hf_journal_event near[] = {cut(60 * SECOND_MS), cut(66 * SECOND_MS)};
    const struct hf_journal_event far[] = {cut(60 * SECOND_MS), cut(67 * SECOND_MS)};

    (void)state;
    assert_string_equal(findings(near, 2), "2 of 2 connections were cut after 60 to 66 s of silence\n");
    assert_string_equal(findings(far, 2), "");
}

static void more_cuts_than_are_looked_at(void **state)
{
    struct hf_journal_event events[200];

    (void)state;
    for (int i = 0; i < 200; i++)
        events[i] = cut(30 * SECOND_MS);
    assert_string_equal(findings(events, 200), "64 of 64 connections were cut after 30 to 33 s of silence\n");
}

static void close_codes_have_their_findings(void **state)
{
    const struct hf_journal_event events[] = {
        closed(HF_JOURNAL_BY_SERVER, HF_CLOSE_HEARTBEAT_MISSED, 50 * SECOND_MS),
        closed(HF_JOURNAL_BY_SERVER, HF_CLOSE_TOO_SLOW, 100),
        closed(HF_JOURNAL_BY_SERVER, HF_CLOSE_HEARTBEAT_MISSED, 50 * SECOND_MS),
    };

    (void)state;
    assert_string_equal(findings(events, 3),
                        "nothing came for two heartbeat intervals, 2 times\n"
                        "the client took nothing of what waited for it for limits.write, once\n");
}

static void a_loop_is_found_and_its_kind(void **state)
{
    struct hf_journal_event twins[20], loop[10];

    (void)state;
    for (int i = 0; i < 20; i++) {
        twins[i] = i % 2 == 0 ? (struct hf_journal_event){.kind = HF_JOURNAL_RESUMED}
                              : closed(HF_JOURNAL_BY_SERVER, HF_CLOSE_SUPERSEDED, 10);
        twins[i].wall_ms = 1000000 - (uint64_t)i * 100;
    }
    for (int i = 0; i < 10; i++)
        loop[i] =
            (struct hf_journal_event){.kind = HF_JOURNAL_RESUMED, .wall_ms = 1000000 - (uint64_t)i * 6000};
    assert_string_equal(findings(twins, 20),
                        "10 connections of this session superseded each other within a minute\n");
    assert_string_equal(findings(loop, 10), "the session came back 10 times within a minute\n");
    for (int i = 0; i < 10; i++)
        loop[i].wall_ms = 1000000 - (uint64_t)i * 20000;
    assert_string_equal(findings(loop, 10), "");
}

static void gaps_are_added_up(void **state)
{
    const struct hf_journal_event events[] = {{.kind = HF_JOURNAL_GAP, .amount = 7},
                                              {.kind = HF_JOURNAL_GAP, .amount = 5}};

    (void)state;
    assert_string_equal(findings(events, 2), "2 gaps were told, of 12 messages\n");
}

static void every_event_has_a_text(void **state)
{
    (void)state;
    for (int kind = HF_JOURNAL_STARTED; kind <= HF_JOURNAL_EXPIRED; kind++)
        assert_true(
            strlen(hf_diagnose_event(&(struct hf_journal_event){.kind = (enum hf_journal_kind)kind})) > 3);
    assert_string_equal(
        hf_diagnose_event(&(struct hf_journal_event){.kind = HF_JOURNAL_CLOSED, .by = HF_JOURNAL_BY_PATH}),
        "cut without a word");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_out_of_the_ordinary_is_no_finding),
        cmocka_unit_test(cuts_after_the_same_silence_are_a_proxy),
        cmocka_unit_test(silences_are_alike_within_a_tenth),
        cmocka_unit_test(more_cuts_than_are_looked_at),
        cmocka_unit_test(close_codes_have_their_findings),
        cmocka_unit_test(a_loop_is_found_and_its_kind),
        cmocka_unit_test(gaps_are_added_up),
        cmocka_unit_test(every_event_has_a_text),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
