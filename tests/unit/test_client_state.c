#include "session/client_state.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* The table of client_state.h once more, as a picture: a row may be followed by the columns that have an x. */
static const struct {
    const char *name;
    const char *follows;
} table[HF_CLIENT_STATE_COUNT] = {
    /*                     waiting connecting live doubtful offline closing ended */
    [HF_CLIENT_WAITING] = {"waiting", ".x..x.x"}, [HF_CLIENT_CONNECTING] = {"connecting", "x.x.x.x"},
    [HF_CLIENT_LIVE] = {"live", "xx.xxxx"},       [HF_CLIENT_DOUBTFUL] = {"doubtful", "xxx.xxx"},
    [HF_CLIENT_OFFLINE] = {"offline", "xx....x"}, [HF_CLIENT_CLOSING] = {"closing", "......x"},
    [HF_CLIENT_ENDED] = {"ended", "......."},
};

static void every_pair_of_states_is_allowed_or_forbidden(void **state)
{
    int from, to;

    (void)state;
    for (from = 0; from < HF_CLIENT_STATE_COUNT; from++)
        for (to = 0; to < HF_CLIENT_STATE_COUNT; to++)
            assert_int_equal(hf_client_state_may_follow((enum hf_client_session_state)from,
                                                        (enum hf_client_session_state)to),
                             table[from].follows[to] == 'x');
}

static void names_are_those_of_the_interface(void **state)
{
    int i, j;

    (void)state;
    for (i = 0; i < HF_CLIENT_STATE_COUNT; i++)
        assert_string_equal(hf_client_session_state_name((enum hf_client_session_state)i), table[i].name);
    assert_string_equal(hf_client_session_state_name((enum hf_client_session_state)99), "?");
    assert_string_equal(hf_client_session_cause_name(HF_BY_NETWORK_CHANGED), "network_changed");
    assert_string_equal(hf_client_session_cause_name((enum hf_client_session_cause)99), "none");
    for (i = 0; i <= HF_BY_CLOSED; i++)
        for (j = 0; j < i; j++)
            assert_string_not_equal(hf_client_session_cause_name((enum hf_client_session_cause)i),
                                    hf_client_session_cause_name((enum hf_client_session_cause)j));
    for (i = 1; i <= HF_BY_CLOSED; i++)
        assert_true(strlen(hf_client_session_cause_text((enum hf_client_session_cause)i)) > 0);
}

/* Every state but the first can be reached, and every one but the last be left for the end. */
static void no_state_is_an_island(void **state)
{
    int from, to;

    (void)state;
    for (to = 0; to < HF_CLIENT_STATE_COUNT; to++) {
        bool reached = to == HF_CLIENT_WAITING;

        for (from = 0; from < HF_CLIENT_STATE_COUNT; from++)
            reached = reached || hf_client_state_may_follow((enum hf_client_session_state)from,
                                                            (enum hf_client_session_state)to);
        assert_true(reached);
        assert_int_equal(hf_client_state_may_follow((enum hf_client_session_state)to, HF_CLIENT_ENDED),
                         to != HF_CLIENT_ENDED);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_pair_of_states_is_allowed_or_forbidden),
        cmocka_unit_test(names_are_those_of_the_interface),
        cmocka_unit_test(no_state_is_an_island),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
