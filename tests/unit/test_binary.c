/* The golden vectors of the binary form, as they are, cut at every place, and with every bit turned; and what they cannot show. */
#include "../vectors/meaning.h"
#include "wire/binary.h"
#include "wire/binary_parts.h"
#include "ws/frame.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { FROM_SERVER, FROM_CLIENT, LENIENT, MALFORMED, FILES };
static const char *const names[FILES] = {"from_server.json", "from_client.json", "lenient.json",
                                         "malformed.json"};
static json_t *files[FILES];

static int load_all(void **state)
{
    const char *root = getenv("HF_SOURCE_ROOT");
    char path[4096];

    (void)state;
    for (int i = 0; i < FILES; i++) {
        snprintf(path, sizeof(path), "%s/tests/vectors/binary/%s", root == NULL ? "." : root, names[i]);
        files[i] = json_load_file(path, JSON_ALLOW_NUL, NULL);
        if (files[i] == NULL)
            return -1;
    }
    return 0;
}

static int forget_all(void **state)
{
    (void)state;
    for (int i = 0; i < FILES; i++)
        json_decref(files[i]);
    return 0;
}

/* A vector's bytes on the heap, without a byte to spare. */
struct vector {
    const char *name;
    bool from_server;
    uint8_t *data;
    size_t len;
    json_t *records;
};

static uint8_t *exact_copy(const uint8_t *data, size_t len)
{
    uint8_t *copy = malloc(len > 0 ? len : 1);

    assert_non_null(copy);
    if (len > 0)
        memcpy(copy, data, len);
    return copy;
}

static unsigned nibble(char c)
{
    const char *digits = "0123456789abcdef", *at = strchr(digits, c);

    assert_true(c != '\0' && at != NULL);
    return (unsigned)(at - digits);
}

static struct vector open_vector(json_t *object)
{
    const char *hex = json_string_value(json_object_get(object, "hex"));
    struct vector v = {.name = json_string_value(json_object_get(object, "name")),
                       .records = json_object_get(object, "records")};

    assert_non_null(hex);
    assert_true(json_is_array(v.records));
    v.from_server = strcmp(json_string_value(json_object_get(object, "from")), "server") == 0;
    v.len = strlen(hex) / 2;
    v.data = malloc(v.len > 0 ? v.len : 1);
    assert_non_null(v.data);
    for (size_t i = 0; i < v.len; i++)
        v.data[i] = (uint8_t)(nibble(hex[2 * i]) << 4 | nibble(hex[2 * i + 1]));
    return v;
}

static void each_vector(int first, int last, void (*check)(const struct vector *v))
{
    json_t *object;
    size_t i;

    for (int file = first; file <= last; file++) {
        json_array_foreach(json_object_get(files[file], "vectors"), i, object)
        {
            struct vector v = open_vector(object);

            check(&v);
            free(v.data);
        }
        assert_true(i > 10); /* And the file was not empty. */
    }
}

static void assert_meaning(const struct vector *v, json_t *got, json_t *want)
{
    char *got_text, *want_text;

    if (json_equal(got, want))
        return;
    got_text = json_dumps(got, JSON_COMPACT);
    want_text = json_dumps(want, JSON_COMPACT);
    print_error("%s:\n  got  %s\n  want %s\n", v->name, got_text, want_text);
    fail();
}

/* ---- The vectors ---- */

static void check_decoded(const struct vector *v)
{
    json_t *got = meaning_of_records(v->data, v->len, v->from_server);

    assert_meaning(v, got, v->records);
    json_decref(got);
}

static void each_vector_is_decoded(void **state)
{
    (void)state;
    each_vector(FROM_SERVER, MALFORMED, check_decoded);
}

static void check_encoded(const struct vector *v)
{
    struct meaning_room room;
    struct hf_buf out;
    struct hf_msg m;

    meaning_room_init(&room);
    hf_buf_init(&out, 1u << 20);
    assert_null(
        meaning_read(json_object_get(json_array_get(v->records, 0), "message"), v->from_server, &room, &m));
    assert_int_equal(hf_binary_encode(&out, &m), 0);
    if (out.len != v->len || memcmp(out.data, v->data, v->len) != 0)
        print_error("%s: encoded otherwise\n", v->name);
    assert_int_equal(out.len, v->len);
    assert_memory_equal(out.data, v->data, v->len);
    hf_buf_release(&out);
    meaning_room_release(&room);
}

static void each_message_is_encoded_to_its_bytes(void **state)
{
    (void)state;
    each_vector(FROM_SERVER, FROM_CLIENT, check_encoded);
}

static bool vector_has_type(int file, enum hf_msg_type type)
{
    json_t *object, *message;
    size_t i;

    json_array_foreach(json_object_get(files[file], "vectors"), i, object)
    {
        message = json_object_get(json_array_get(json_object_get(object, "records"), 0), "message");
        if (strcmp(json_string_value(json_object_get(message, "type")), hf_msg_name(type)) == 0)
            return true;
    }
    return false;
}

static void each_type_has_a_vector_where_it_has_a_message(void **state)
{
    (void)state;
    for (int t = HF_MSG_NONE + 1; t < HF_MSG_TYPES; t++) {
        enum hf_msg_type type = (enum hf_msg_type)t;

        assert_int_equal(hf_binary_parts(type, true) != NULL, vector_has_type(FROM_SERVER, type));
        assert_int_equal(hf_binary_parts(type, false) != NULL, vector_has_type(FROM_CLIENT, type));
        /* "the same messages with the same meaning" as in JSON */
        assert_int_equal(hf_binary_parts(type, true) != NULL, hf_msg_parts(type, true) != NULL);
        assert_int_equal(hf_binary_parts(type, false) != NULL, hf_msg_parts(type, false) != NULL);
    }
}

static void each_fault_has_a_vector(void **state)
{
    char *text = json_dumps(files[MALFORMED], 0), key[32];

    (void)state;
    assert_non_null(text);
    for (int f = HF_BINARY_OK + 1; f < HF_BINARY_FAULTS; f++) {
        snprintf(key, sizeof(key), ": \"%s\"", hf_binary_fault_key((enum hf_binary_fault)f));
        if (strstr(text, key) == NULL)
            print_error("no vector has the fault%s\n", key);
        assert_non_null(strstr(text, key));
        assert_true(strlen(hf_binary_fault_text((enum hf_binary_fault)f)) > 10);
    }
    free(text);
    assert_string_equal(hf_binary_fault_text(HF_BINARY_OK), "");
    assert_string_equal(hf_binary_fault_key(HF_BINARY_FAULTS), "");
}

/* ---- Cut and turned ---- */

static void check_cut_message(const struct vector *v)
{
    json_t *got, *last;

    for (size_t len = 1; len < v->len; len++) {
        uint8_t *copy = exact_copy(v->data, len);
        size_t i;

        got = meaning_of_records(copy, len, v->from_server);
        last = json_array_get(got, json_array_size(got) - 1);
        /* What stands whole before the cut is as it was; then the framing is broken, or the cut is between two records. */
        for (i = 0; i + 1 < json_array_size(got); i++)
            assert_meaning(v, json_array_get(got, i), json_array_get(v->records, i));
        if (last != NULL && json_object_get(last, "framing") == NULL)
            assert_meaning(v, last, json_array_get(v->records, i));
        json_decref(got);
        free(copy);
    }
}

static void a_message_may_be_cut_anywhere(void **state)
{
    (void)state;
    each_vector(FROM_SERVER, LENIENT, check_cut_message);
}

/* "A record whose body ends before its last field is malformed." */
static void check_cut_body(const struct vector *v)
{
    enum hf_binary_fault fault = HF_BINARY_OK;
    struct hf_binary_reader reader;
    struct hf_binary_record record;
    struct hf_msg m;

    hf_binary_reader_init(&reader, v->data, v->len);
    assert_int_equal(hf_binary_next(&reader, &record, &fault), 1);
    for (size_t len = 1; len < record.body.len; len++) {
        uint8_t *copy = exact_copy((const uint8_t *)record.body.data, len);
        const struct hf_binary_record cut = {record.type, {(const char *)copy, len}};

        fault = HF_BINARY_OK;
        if (hf_binary_decode(&m, &cut, v->from_server, &fault) == 0)
            print_error("%s: taken with %zu of %zu bytes\n", v->name, len, record.body.len);
        assert_int_equal(fault, HF_BINARY_SHORT);
        free(copy);
    }
}

static void a_body_may_be_cut_anywhere(void **state)
{
    (void)state;
    each_vector(FROM_SERVER, FROM_CLIENT, check_cut_body);
}

static void check_turned(const struct vector *v)
{
    uint8_t *copy = exact_copy(v->data, v->len);

    for (size_t bit = 0; bit < v->len * 8 && bit < 4096; bit++) {
        const char *wrong;

        copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
        for (int from_server = 0; from_server <= 1; from_server++) {
            wrong = meaning_check(copy, v->len, from_server == 1);
            if (wrong != NULL)
                print_error("%s, bit %zu: %s\n", v->name, bit, wrong);
            assert_null(wrong);
        }
        copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    free(copy);
}

static void any_bit_may_be_turned(void **state)
{
    (void)state;
    each_vector(FROM_SERVER, MALFORMED, check_turned);
}

/* ---- The head of a `data` ---- */

static void check_head(const struct vector *v)
{
    enum hf_binary_fault fault = HF_BINARY_OK;
    uint8_t header[HF_WS_HEADER_MAX];
    struct hf_binary_reader reader;
    struct hf_binary_record record;
    struct hf_buf head;
    struct hf_msg m;
    size_t n;

    hf_binary_reader_init(&reader, v->data, v->len);
    if (hf_binary_next(&reader, &record, &fault) != 1 || record.type != HF_MSG_DATA)
        return;
    assert_int_equal(hf_binary_decode(&m, &record, true, &fault), 0);
    hf_buf_init(&head, 1u << 16);
    assert_int_equal(hf_binary_put_data_head(&head, &m, false), 0);
    assert_int_equal(head.len, hf_binary_data_head_bytes(&m, false));
    assert_int_equal(head.len + m.payload.len, v->len);
    assert_memory_equal(head.data, v->data, head.len);
    hf_buf_reset(&head);
    assert_int_equal(hf_binary_put_data_head(&head, &m, true), 0);
    assert_int_equal(head.len, hf_binary_data_head_bytes(&m, true));
    n = hf_ws_header(header, HF_WS_BINARY, v->len, NULL);
    assert_memory_equal(head.data, header, n);
    assert_memory_equal(head.data + n, v->data, head.len - n);
    assert_int_equal(head.len - n + m.payload.len, v->len);
    hf_buf_release(&head);
}

static void head_and_payload_are_a_frame(void **state)
{
    (void)state;
    each_vector(FROM_SERVER, FROM_SERVER, check_head);
}

static void an_encoder_without_room_says_so(void **state)
{
    const struct hf_msg m = {
        .type = HF_MSG_DATA, .cid = 18, .offset = 1, .payload = HF_STR("1"), .has = HF_HAS_OFFSET};
    struct hf_buf out;
    uint32_t bytes;

    (void)state;
    hf_buf_init(&out, 100);
    assert_int_equal(hf_binary_encode(&out, &m), 0);
    bytes = out.len;
    hf_buf_release(&out);
    hf_buf_init(&out, bytes - 1);
    assert_int_equal(hf_binary_encode(&out, &m), HF_ELIMIT);
    hf_buf_release(&out);
    hf_buf_init(&out, hf_binary_data_head_bytes(&m, true) - 1);
    assert_int_equal(hf_binary_put_data_head(&out, &m, true), HF_ELIMIT);
    hf_buf_release(&out);
}

/* ---- Varints ---- */

static void a_number_is_written_in_its_shortest_form(void **state)
{
    static const uint64_t edges[] = {0, 1, 127, 128, 16383, 16384, HF_NUMBER_MAX - 1, HF_NUMBER_MAX};

    (void)state;
    for (size_t i = 0; i < sizeof(edges) / sizeof(edges[0]); i++) {
        uint8_t bytes[HF_VARINT_BYTES_MAX];
        size_t len = hf_varint_put(bytes, edges[i]);
        struct hf_str rest = {(const char *)bytes, len};
        uint64_t n = 99;

        assert_int_equal(len, hf_varint_bytes(edges[i]));
        assert_true(hf_varint_take(&rest, &n));
        assert_true(n == edges[i] && rest.len == 0);
        rest = (struct hf_str){(const char *)bytes, len - 1};
        assert_false(hf_varint_take(&rest, &n));
    }
}

/* ---- The example in docs/protocol.md ---- */

/* The bytes of a line "< 06 11 …", up to the first word that is no byte. */
static size_t example_bytes(const char *line, uint8_t *out)
{
    size_t n = 0;

    for (const char *at = line + 2; strspn(at, "0123456789abcdef") == 2; at += at[2] == ' ' ? 3 : 2)
        out[n++] = (uint8_t)(nibble(at[0]) << 4 | nibble(at[1]));
    return n;
}

static void the_example_of_the_specification_is_right(void **state)
{
    const char *root = getenv("HF_SOURCE_ROOT");
    char path[4096], line[4096];
    bool inside = false;
    int count = 0;
    FILE *f;

    (void)state;
    snprintf(path, sizeof(path), "%s/docs/protocol.md", root == NULL ? "." : root);
    f = fopen(path, "r");
    assert_non_null(f);
    while (fgets(line, sizeof(line), f) != NULL) {
        uint8_t bytes[64];
        size_t len;
        json_t *records;

        inside = inside || strncmp(line, "### An example", 14) == 0;
        if (!inside || (line[0] != '<' && line[0] != '>') || strstr(line, "\xe2\x80\xa6") != NULL)
            continue;
        len = example_bytes(line, bytes);
        records = meaning_of_records(bytes, len, line[0] == '<');
        if (json_array_size(records) != 1 || json_object_get(json_array_get(records, 0), "message") == NULL)
            print_error("no record: %s", line);
        assert_int_equal(json_array_size(records), 1);
        assert_non_null(json_object_get(json_array_get(records, 0), "message"));
        json_decref(records);
        count++;
    }
    fclose(f);
    assert_int_equal(count, 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_vector_is_decoded),
        cmocka_unit_test(each_message_is_encoded_to_its_bytes),
        cmocka_unit_test(each_type_has_a_vector_where_it_has_a_message),
        cmocka_unit_test(each_fault_has_a_vector),
        cmocka_unit_test(a_message_may_be_cut_anywhere),
        cmocka_unit_test(a_body_may_be_cut_anywhere),
        cmocka_unit_test(any_bit_may_be_turned),
        cmocka_unit_test(head_and_payload_are_a_frame),
        cmocka_unit_test(an_encoder_without_room_says_so),
        cmocka_unit_test(a_number_is_written_in_its_shortest_form),
        cmocka_unit_test(the_example_of_the_specification_is_right),
    };

    return cmocka_run_group_tests(tests, load_all, forget_all);
}
