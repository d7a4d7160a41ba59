#include "ws/forwarded.h"

#include "ws/http_head.h"

#include <string.h>

enum { NODE_BYTES_MAX = 64 /* "[", an address, "]", ":", a port: longer names are obfuscated ones */ };

/* One hop's word: the text of its `for`, or none. */
struct hop {
    char node[NODE_BYTES_MAX];
    size_t len; /* 0: it does not say */
};

/* The last hops of the list, as in a ring. */
struct hops {
    struct hop hop[HF_FORWARDED_HOPS_MAX];
    size_t count; /* of all that came */
};

static struct hop *next_hop(struct hops *h)
{
    struct hop *hop = &h->hop[h->count++ % HF_FORWARDED_HOPS_MAX];

    hop->len = 0;
    return hop;
}

/* What is too long is no address: it is taken as not said. */
static void put_char(struct hop *hop, size_t *len, char c)
{
    if (hop != NULL && *len < NODE_BYTES_MAX)
        hop->node[*len] = c;
    ++*len;
}

/* ---- Lists ---- */

static bool skip_blanks(struct hf_str *s)
{
    while (s->len > 0 && (s->data[0] == ' ' || s->data[0] == '\t')) {
        s->data++;
        s->len--;
    }
    return s->len > 0;
}

static bool take_char(struct hf_str *s, char c)
{
    if (s->len == 0 || s->data[0] != c)
        return false;
    s->data++;
    s->len--;
    return true;
}

static int read_plain(struct hops *h, struct hf_str value)
{
    struct hf_str node;

    while (hf_handshake_next_token(&value, &node)) {
        struct hop *hop = next_hop(h);

        if (node.len <= NODE_BYTES_MAX) {
            memcpy(hop->node, node.data, node.len);
            hop->len = node.len;
        }
    }
    return 0;
}

/* RFC 9110 section 5.6.4: quoted-string, behind its first quote, with its escapes undone. */
static int take_quoted(struct hf_str *s, struct hop *to)
{
    size_t len = 0;

    while (s->len > 0) {
        char c = s->data[0];

        s->data++;
        s->len--;
        if (c == '"') {
            if (to != NULL)
                to->len = len <= NODE_BYTES_MAX ? len : 0;
            return 0;
        }
        if (c == '\\') {
            if (s->len == 0)
                return HF_EBADMSG;
            c = s->data[0];
            s->data++;
            s->len--;
        }
        put_char(to, &len, c);
    }
    return HF_EBADMSG;
}

static struct hf_str take_token(struct hf_str *s)
{
    struct hf_str token = {s->data, 0};

    while (token.len < s->len && hf_http_is_token_char(s->data[token.len]))
        token.len++;
    s->data += token.len;
    s->len -= token.len;
    return token;
}

/* RFC 7239 section 4: "forwarded-pair = token "=" value", value = token / quoted-string. */
static int take_pair(struct hf_str *s, struct hop *hop, bool *has_for)
{
    struct hf_str name = take_token(s), value;
    bool is_for = hf_http_same(name, HF_STR("for"));

    if (name.len == 0 || !take_char(s, '='))
        return HF_EBADMSG;
    /* "Each parameter MUST NOT occur more than once per field-value." */
    if (is_for && *has_for)
        return HF_EBADMSG;
    *has_for |= is_for;
    if (take_char(s, '"'))
        return take_quoted(s, is_for ? hop : NULL);
    value = take_token(s);
    if (value.len == 0)
        return HF_EBADMSG;
    if (is_for && value.len <= NODE_BYTES_MAX) {
        memcpy(hop->node, value.data, value.len);
        hop->len = value.len;
    }
    return 0;
}

/* "forwarded-element = [ forwarded-pair ] *( ";" [ forwarded-pair ] )" */
static int take_element(struct hops *h, struct hf_str *s)
{
    struct hop *hop = next_hop(h);
    bool has_for = false;

    for (;;) {
        if (skip_blanks(s) && s->data[0] != ';' && s->data[0] != ',' && take_pair(s, hop, &has_for) < 0)
            return HF_EBADMSG;
        if (!skip_blanks(s) || s->data[0] == ',')
            return 0;
        if (!take_char(s, ';'))
            return HF_EBADMSG;
    }
}

static int read_rfc7239(struct hops *h, struct hf_str value)
{
    while (skip_blanks(&value)) {
        if (take_char(&value, ','))
            continue; /* RFC 9110 section 5.6.1.2: empty elements are ignored. */
        if (take_element(h, &value) < 0)
            return HF_EBADMSG;
    }
    return 0;
}

/* ---- Who is the client ---- */

static int judge(const struct hops *h, const struct hf_network *trusted, size_t trusted_count,
                 struct hf_endpoint *client)
{
    size_t kept = h->count < HF_FORWARDED_HOPS_MAX ? h->count : HF_FORWARDED_HOPS_MAX;

    for (size_t i = 1; i <= kept; i++) {
        const struct hop *hop = &h->hop[(h->count - i) % HF_FORWARDED_HOPS_MAX];
        struct hf_endpoint e;

        if (hop->len == 0 || hf_endpoint_parse((struct hf_str){hop->node, hop->len}, &e) < 0)
            return 0;
        *client = e;
        if (!hf_network_any(trusted, trusted_count, &e.ip))
            return 1;
    }
    return kept > 0 && kept == h->count; /* All are proxies: the first of them began it. */
}

int hf_forwarded_client(enum hf_forwarded_form form, struct hf_str value, const struct hf_network *trusted,
                        size_t trusted_count, struct hf_endpoint *client)
{
    struct hops hops = {.count = 0};
    int err;

    if (value.data == NULL || form == HF_FORWARDED_NONE)
        return 0;
    err = form == HF_FORWARDED_RFC7239 ? read_rfc7239(&hops, value) : read_plain(&hops, value);
    return err < 0 ? err : judge(&hops, trusted, trusted_count, client);
}
