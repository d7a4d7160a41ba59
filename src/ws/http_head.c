#include "ws/http_head.h"

#include "base/assert.h"
#include "base/err.h"

#include <stdint.h>
#include <string.h>

void hf_http_init(struct hf_http_head *head, char *data, size_t len)
{
    hf_http_init_within(head, data, len, HF_HTTP_HEAD_MAX, HF_HTTP_HEADERS_MAX);
}

void hf_http_init_within(struct hf_http_head *head, char *data, size_t len, size_t bytes_max,
                         size_t fields_max)
{
    hf_assert(bytes_max <= HF_HTTP_HEAD_CEILING && fields_max <= HF_HTTP_HEADERS_CEILING);
    head->data = data;
    head->len = len < bytes_max ? len : bytes_max;
    head->bytes_max = bytes_max;
    head->fields_max = fields_max;
    head->pos = 0;
    head->field_count = 0;
    head->status = 0;
    head->reason = NULL;
}

int hf_http_fail(struct hf_http_head *head, int status, const char *reason)
{
    head->status = status;
    head->reason = reason;
    return HF_EBADMSG;
}

/* RFC 9110 section 5.6.2, tchar: letters, digits and !#$%&'*+-.^_`|~ as a set of bits. */
bool hf_http_is_token_char(char c)
{
    static const uint32_t set[4] = {0, 0x03ff6cfa, 0xc7fffffe, 0x57ffffff};
    uint8_t byte = (uint8_t)c;

    return byte < 128 && (set[byte / 32] >> byte % 32 & 1) != 0;
}

/* RFC 9110 section 5.5: a field value is of visible characters, obs-text, spaces and tabs; no other control character. */
static bool is_value_char(char c)
{
    uint8_t byte = (uint8_t)c;

    return byte == '\t' || (byte >= 0x20 && byte != 0x7f);
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

bool hf_http_same(struct hf_str a, struct hf_str b)
{
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++) {
        if (lower(a.data[i]) != lower(b.data[i]))
            return false;
    }
    return true;
}

static struct hf_str trim(struct hf_str s)
{
    while (s.len > 0 && is_blank(s.data[0])) {
        s.data++;
        s.len--;
    }
    while (s.len > 0 && is_blank(s.data[s.len - 1]))
        s.len--;
    return s;
}

int hf_http_line(struct hf_http_head *head, struct hf_str *line)
{
    bool none = head->pos == head->len; /* data may be NULL then. */
    char *from = none ? NULL : head->data + head->pos;
    char *lf = none ? NULL : memchr(from, '\n', head->len - head->pos);

    if (lf == NULL)
        return head->len < head->bytes_max ? 0 : hf_http_fail(head, 431, "request head too large");
    /* RFC 9112 section 2.2 lets a recipient take a bare LF for a line's end. We do not: where two parsers in a row differ
     * about it, a request can be smuggled past the first. A bare CR is found as no character of what it stands in. */
    if (lf == from || lf[-1] != '\r')
        return hf_http_fail(head, 400, "line feed without carriage return");
    *line = (struct hf_str){from, (size_t)(lf - 1 - from)};
    head->pos = (size_t)(lf + 1 - head->data);
    return 1;
}

bool hf_http_can_be_status_line(const char *data, size_t len)
{
    static const char start[] = "HTTP/1.";

    return memcmp(data, start, len < sizeof(start) - 1 ? len : sizeof(start) - 1) == 0;
}

int hf_http_read_status(struct hf_str line, bool *http_1_1)
{
    int status = 0;

    if (line.len < 12 || line.data[7] < '0' || line.data[7] > '9' || line.data[8] != ' ' ||
        (line.len > 12 && line.data[12] != ' '))
        return 0;
    for (size_t i = 9; i < 12; i++) {
        if (line.data[i] < '0' || line.data[i] > '9')
            return 0;
        status = status * 10 + line.data[i] - '0';
    }
    *http_1_1 = line.data[7] != '0';
    return status >= 100 ? status : 0;
}

static int take_field(struct hf_http_head *head, struct hf_str line)
{
    size_t colon = 0;
    struct hf_str value;

    /* RFC 9112 section 5.2: a server "MUST either reject the message" with obsolete line folding or unfold it. */
    if (is_blank(line.data[0]))
        return hf_http_fail(head, 400, "folded header line");
    while (colon < line.len && hf_http_is_token_char(line.data[colon]))
        colon++;
    /* RFC 9112 section 5.1: "A server MUST reject ... any received request message that contains whitespace between a header
     * field name and colon". */
    if (colon == 0 || colon == line.len || line.data[colon] != ':')
        return hf_http_fail(head, 400, "malformed header name");
    value = (struct hf_str){line.data + colon + 1, line.len - colon - 1};
    for (size_t i = 0; i < value.len; i++) {
        if (!is_value_char(value.data[i]))
            return hf_http_fail(head, 400, "control character in a header");
    }
    if (head->field_count == head->fields_max)
        return hf_http_fail(head, 431, "too many headers");
    head->fields[head->field_count++] =
        (struct hf_http_field){.name = {line.data, colon}, .value = trim(value)};
    return 1;
}

int hf_http_fields(struct hf_http_head *head)
{
    struct hf_str line;
    int got;

    while ((got = hf_http_line(head, &line)) > 0 && line.len > 0) {
        got = take_field(head, line);
        if (got < 0)
            return got;
    }
    return got;
}

const struct hf_http_field *hf_http_find(const struct hf_http_head *head, struct hf_str name, size_t *index)
{
    while (*index < head->field_count) {
        const struct hf_http_field *field = &head->fields[(*index)++];

        if (hf_http_same(field->name, name))
            return field;
    }
    return NULL;
}

int hf_http_once(struct hf_http_head *head, struct hf_str name, struct hf_str *value)
{
    size_t index = 0;
    const struct hf_http_field *field = hf_http_find(head, name, &index);

    *value = field == NULL ? (struct hf_str){0} : field->value;
    if (field != NULL && hf_http_find(head, name, &index) != NULL)
        return hf_http_fail(head, 400, "header given twice that may stand only once");
    return 0;
}

/*
 * Bring the value of field `second` behind that of `first`, with ", " between them. What lies between goes towards the end by as
 * much: the second's name and colon, two bytes at least, are needed no more and make room for the ", ".
 */
static void join_two(struct hf_http_head *head, size_t first, size_t second)
{
    struct hf_str *a = &head->fields[first].value, b = head->fields[second].value;
    char *to = head->data + (a->data + a->len - head->data);
    size_t between = (size_t)(b.data - to);
    char moved[HF_HTTP_HEAD_CEILING];

    memcpy(moved, b.data, b.len);
    memmove(to + 2 + b.len, to, between - 2);
    memcpy(to, ", ", 2);
    memcpy(to + 2, moved, b.len);
    a->len += 2 + b.len;
    for (size_t i = first + 1; i < second; i++) {
        head->fields[i].name.data += 2 + b.len;
        head->fields[i].value.data += 2 + b.len;
    }
}

static void remove_field(struct hf_http_head *head, size_t index)
{
    head->field_count--;
    memmove(&head->fields[index], &head->fields[index + 1],
            (head->field_count - index) * sizeof(head->fields[0]));
}

struct hf_str hf_http_joined(struct hf_http_head *head, struct hf_str name)
{
    size_t next = 0, first;

    if (hf_http_find(head, name, &next) == NULL)
        return (struct hf_str){0};
    first = next - 1;
    while (hf_http_find(head, name, &next) != NULL) {
        join_two(head, first, next - 1);
        remove_field(head, --next);
    }
    return head->fields[first].value;
}

bool hf_http_has_token(const struct hf_http_head *head, struct hf_str name, struct hf_str token)
{
    const struct hf_http_field *field;
    struct hf_str rest, one;
    size_t index = 0;

    while ((field = hf_http_find(head, name, &index)) != NULL) {
        rest = field->value;
        while (hf_handshake_next_token(&rest, &one)) {
            if (hf_http_same(one, token))
                return true;
        }
    }
    return false;
}

/* RFC 9110 section 5.6.1: elements between commas, white space around them, empty ones to be ignored. */
bool hf_handshake_next_token(struct hf_str *rest, struct hf_str *token)
{
    while (rest->len > 0) {
        const char *comma = memchr(rest->data, ',', rest->len);
        size_t len = comma == NULL ? rest->len : (size_t)(comma - rest->data);
        size_t step = comma == NULL ? len : len + 1;

        *token = trim((struct hf_str){rest->data, len});
        rest->data += step;
        rest->len -= step;
        if (token->len > 0)
            return true;
    }
    return false;
}
