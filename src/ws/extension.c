#include "ws/extension.h"

#include "base/assert.h"
#include "ws/http_head.h"

#include <stdio.h>

/* RFC 7692 section 7.1. */
enum param { SERVER_NO_CONTEXT, CLIENT_NO_CONTEXT, SERVER_BITS, CLIENT_BITS, PARAMS };

static const char *const param_names[PARAMS] = {
    [SERVER_NO_CONTEXT] = "server_no_context_takeover",
    [CLIENT_NO_CONTEXT] = "client_no_context_takeover",
    [SERVER_BITS] = "server_max_window_bits",
    [CLIENT_BITS] = "client_max_window_bits",
};

/* One element of the list. */
struct element {
    bool deflate;         /* its name is permessage-deflate */
    bool wrong;           /* a parameter is not of section 7.1, or not as it says */
    bool given[PARAMS];   /* the parameter is there */
    uint8_t bits[PARAMS]; /* its value; 0: it has none */
};

/* A parameter's value, without quotes. Longer than the array: no value that we know is. */
struct value {
    char text[4];
    size_t len;
};

/* ---- The grammar: extension-token *( ";" extension-param ), with the white space that RFC 2616 section 2.1 implies ---- */

static void skip(struct hf_str *s, size_t n)
{
    s->data += n;
    s->len -= n;
}

static void skip_blanks(struct hf_str *s)
{
    while (s->len > 0 && (s->data[0] == ' ' || s->data[0] == '\t'))
        skip(s, 1);
}

static bool take_char(struct hf_str *s, char c)
{
    skip_blanks(s);
    if (s->len == 0 || s->data[0] != c)
        return false;
    skip(s, 1);
    skip_blanks(s);
    return true;
}

/* Empty where there is none. */
static struct hf_str take_token(struct hf_str *s)
{
    struct hf_str token = {s->data, 0};

    while (token.len < s->len && hf_http_is_token_char(s->data[token.len]))
        token.len++;
    skip(s, token.len);
    return token;
}

static void value_add(struct value *v, char c)
{
    if (v->len < sizeof(v->text))
        v->text[v->len] = c;
    v->len++;
}

/* Section 9.1: "the value after quoted-string unescaping MUST conform to the 'token' ABNF". The first quote has been taken. */
static int take_quoted(struct hf_str *s, struct value *v)
{
    while (s->len > 0 && s->data[0] != '"') {
        if (s->data[0] == '\\')
            skip(s, 1);
        if (s->len == 0 || !hf_http_is_token_char(s->data[0]))
            return HF_EBADMSG;
        value_add(v, s->data[0]);
        skip(s, 1);
    }
    return take_char(s, '"') && v->len > 0 ? 0 : HF_EBADMSG;
}

/* token | quoted-string */
static int take_value(struct hf_str *s, struct value *v)
{
    struct hf_str token;

    if (s->len > 0 && s->data[0] == '"') {
        skip(s, 1);
        return take_quoted(s, v);
    }
    token = take_token(s);
    for (size_t i = 0; i < token.len; i++)
        value_add(v, token.data[i]);
    return token.len > 0 ? 0 : HF_EBADMSG;
}

/* ---- What it means ---- */

/* Section 7.1.2.1: "a decimal integer value without leading zeroes between 8 to 15, inclusive". 0: it is none. */
static uint8_t window_bits(const struct value *v)
{
    if (v->len == 1 && (v->text[0] == '8' || v->text[0] == '9'))
        return (uint8_t)(v->text[0] - '0');
    if (v->len == 2 && v->text[0] == '1' && v->text[1] >= '0' && v->text[1] <= '5')
        return (uint8_t)(10 + v->text[1] - '0');
    return 0;
}

static bool is_allowed(enum param p, const struct value *v)
{
    switch (p) {
    case SERVER_NO_CONTEXT: /* Sections 7.1.1.1 and 7.1.1.2: "no value". */
    case CLIENT_NO_CONTEXT:
        return v->len == 0;
    case SERVER_BITS:
        return window_bits(v) != 0;
    default: /* Section 7.1.2.2: "may have no value". */
        return v->len == 0 || window_bits(v) != 0;
    }
}

static void note_param(struct element *e, struct hf_str name, const struct value *v)
{
    enum param p = 0;

    while (p < PARAMS && !hf_str_eq(name, hf_str_from(param_names[p])))
        p++;
    if (p == PARAMS || e->given[p] || !is_allowed(p, v)) {
        e->wrong = true;
        return;
    }
    e->given[p] = true;
    e->bits[p] = window_bits(v);
}

/* ";" has been taken. */
static int take_param(struct hf_str *s, struct element *e)
{
    struct hf_str name = take_token(s);
    struct value v = {.len = 0};

    if (name.len == 0)
        return HF_EBADMSG;
    if (take_char(s, '=') && take_value(s, &v) < 0)
        return HF_EBADMSG;
    note_param(e, name, &v);
    return 0;
}

/* The next element. Returns 1, 0 at the list's end, or HF_EBADMSG. */
static int take_element(struct hf_str *s, struct element *e)
{
    struct hf_str name;

    *e = (struct element){0};
    skip_blanks(s);
    while (
        take_char(s, ',')) /* RFC 9110 section 5.6.1.2: a recipient takes empty elements, and ignores them. */
        ;
    if (s->len == 0)
        return 0;
    name = take_token(s);
    if (name.len == 0)
        return HF_EBADMSG;
    e->deflate = hf_str_eq(name, HF_STR("permessage-deflate"));
    while (take_char(s, ';'))
        if (take_param(s, e) < 0)
            return HF_EBADMSG;
    return s->len == 0 || s->data[0] == ',' ? 1 : HF_EBADMSG;
}

static void set_terms(struct hf_deflate_terms *terms, const struct element *e)
{
    terms->server_bits_asked = e->given[SERVER_BITS];
    terms->server_window_bits = e->given[SERVER_BITS] ? e->bits[SERVER_BITS] : HF_WINDOW_BITS_MAX;
}

int hf_deflate_accept(struct hf_str offers, struct hf_deflate_terms *terms)
{
    struct element e;
    size_t count = 0;
    int got;

    *terms = (struct hf_deflate_terms){0};
    if (offers.data == NULL)
        return 0;
    while ((got = take_element(&offers, &e)) > 0) {
        count++;
        if (e.deflate && !e.wrong && terms->server_window_bits == 0)
            set_terms(terms, &e);
    }
    /* Section 9.1: malformed data fails the connection, wherever it stands; and the list has one element at least. */
    if (got < 0 || count == 0) {
        *terms = (struct hf_deflate_terms){0};
        return HF_EBADMSG;
    }
    return terms->server_window_bits > 0 ? 1 : 0;
}

struct hf_str hf_deflate_answer(const struct hf_deflate_terms *terms, char out[HF_DEFLATE_ANSWER_MAX])
{
    /* Sections 7.1.1.1 and 7.1.1.2: a server may say both, whether the offer did or not. */
    static const char always[] = HF_DEFLATE_OFFER;
    int len;

    if (terms->server_window_bits == 0)
        return (struct hf_str){0};
    /* Section 7.1.2.1: a server accepts an offer with this parameter by the same or a smaller value. */
    if (terms->server_bits_asked)
        len = snprintf(out, HF_DEFLATE_ANSWER_MAX, "%s; %s=%u", always, param_names[SERVER_BITS],
                       terms->server_window_bits);
    else
        len = snprintf(out, HF_DEFLATE_ANSWER_MAX, "%s", always);
    hf_assert(len > 0 && len < HF_DEFLATE_ANSWER_MAX);
    return (struct hf_str){out, (size_t)len};
}

int hf_deflate_accepted(struct hf_str answer, struct hf_deflate_terms *terms)
{
    struct element e, second;

    *terms = (struct hf_deflate_terms){0};
    if (answer.data == NULL)
        return 0;
    if (take_element(&answer, &e) <= 0 || take_element(&answer, &second) != 0)
        return HF_EBADMSG;
    /* Section 7.1.1.1: who accepts the offer of server_no_context_takeover says it too. Section 7.1.2.2: client_max_window_bits may
     * be answered only where it was offered, and we do not. */
    if (!e.deflate || e.wrong || !e.given[SERVER_NO_CONTEXT] || e.given[CLIENT_BITS])
        return HF_EBADMSG;
    set_terms(terms, &e);
    return 1;
}
