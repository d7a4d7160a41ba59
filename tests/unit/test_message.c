#include "wire/message.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void each_type_has_a_name_of_its_own(void **state)
{
    (void)state;
    for (int t = HF_MSG_NONE + 1; t < HF_MSG_TYPES; t++)
        assert_int_equal(hf_msg_type(hf_str_from(hf_msg_name((enum hf_msg_type)t))), t);
    assert_string_equal(hf_msg_name(HF_MSG_SYNC_REQUEST), "sync_request");
    assert_string_equal(hf_msg_name(HF_MSG_NONE), "");
    assert_string_equal(hf_msg_name(HF_MSG_TYPES), "");
    assert_int_equal(hf_msg_type(HF_STR("")), HF_MSG_NONE);
    assert_int_equal(hf_msg_type(HF_STR("dat")), HF_MSG_NONE);
    assert_int_equal(hf_msg_type(HF_STR("DATA")), HF_MSG_NONE);
    assert_int_equal(hf_msg_type(HF_STR("data\0")), HF_MSG_NONE);
}

static void each_code_has_a_name_of_its_own(void **state)
{
    (void)state;
    for (int c = HF_CODE_NONE + 1; c < HF_CODES; c++)
        assert_int_equal(hf_code_from(hf_str_from(hf_code_name((enum hf_code)c))), c);
    assert_string_equal(hf_code_name(HF_CODE_TOO_LARGE), "too_large");
    assert_string_equal(hf_code_name(HF_CODES), "");
    assert_int_equal(hf_code_from(HF_STR("too_big")), HF_CODE_NONE);
    assert_int_equal(hf_code_from(HF_STR("")), HF_CODE_NONE);
}

static void a_channel_name_is_text_without_control_characters(void **state)
{
    static const struct hf_str good[] = {
        {"a", 1}, {" ", 1}, {"room:42/x~", 10}, {"\xc3\xa9", 2}, {"\xc2\xa0", 2}, {"\xf0\x9f\x98\x80", 4},
    };
    static const struct hf_str bad[] = {
        {"", 0},
        {"\0", 1},
        {"a\x1f", 2},
        {"a\x7f", 2},
        {"\xc2\x80", 2}, /* U+0080 */
        {"a\xc2\x9f", 3},
        {"\xc2", 1},         /* cut */
        {"\xff", 1},         /* no UTF-8 */
        {"\xed\xa0\x80", 3}, /* a surrogate */
        {"\xc0\xaf", 2},     /* an overlong '/' */
    };
    char longest[HF_CHANNEL_BYTES_MAX + 1];

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        assert_true(hf_channel_name_valid(good[i]));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(hf_channel_name_valid(bad[i]));
    memset(longest, 'c', sizeof(longest));
    assert_true(hf_channel_name_valid((struct hf_str){longest, HF_CHANNEL_BYTES_MAX}));
    assert_false(hf_channel_name_valid((struct hf_str){longest, HF_CHANNEL_BYTES_MAX + 1}));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_type_has_a_name_of_its_own),
        cmocka_unit_test(each_code_has_a_name_of_its_own),
        cmocka_unit_test(a_channel_name_is_text_without_control_characters),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
