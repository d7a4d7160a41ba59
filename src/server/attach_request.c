/*
 * attach_request.c - what the upgrade request asks for: the encoding, the session's ticket, the number of the attempt. docs/protocol.md "Opening".
 */
#include "server/attach_impl.h"

#include "base/base64.h"
#include "wire/json.h"
#include "ws/handshake.h"

#include <string.h>

static bool strip_prefix(struct hf_str *s, const char *prefix)
{
    size_t len = strlen(prefix);

    if (s->len < len || memcmp(s->data, prefix, len) != 0)
        return false;
    s->data += len;
    s->len -= len;
    return true;
}

static const char *take_attempt(struct hf_upgrade *u, struct hf_str text)
{
    return hf_json_u53(text, &u->attempt) == 0 ? (u->has_attempt = true, NULL)
                                               : "the attempt is not a number";
}

/* Anything that is no ticket of ours gives false: to the client it is the same as a session that has gone. */
static bool ticket_read(struct hf_str text, uint8_t ticket[HF_TICKET_BYTES])
{
    uint8_t bytes[HF_TICKET_BYTES + 2]; /* hf_base64url_decode() may use two more. */

    if (text.len != HF_TICKET_TEXT || hf_base64url_decode(text, bytes) != HF_TICKET_BYTES)
        return false;
    memcpy(ticket, bytes, HF_TICKET_BYTES);
    return true;
}

static void take_ticket(struct hf_upgrade *u, struct hf_str text)
{
    u->ticket_given = true;
    u->has_ticket = ticket_read(text, u->ticket);
}

/* "The server picks one of the two": binary where it is offered at all, for it costs both sides less. Returns whether the token was one of them. */
static bool take_encoding(struct hf_upgrade *u, struct hf_str token)
{
    bool binary = hf_str_eq(token, HF_STR(HF_PROTOCOL_BINARY));

    if (!binary && !hf_str_eq(token, HF_STR(HF_PROTOCOL_JSON)))
        return false;
    u->named = true;
    u->binary = u->binary || binary;
    return true;
}

static const char *read_protocols(struct hf_upgrade *u, const struct hf_handshake *h)
{
    struct hf_str rest = h->protocols, token;
    const char *wrong = NULL;

    if (h->protocols.data == NULL)
        return NULL;
    while (wrong == NULL && hf_handshake_next_token(&rest, &token)) {
        if (take_encoding(u, token))
            continue;
        if (strip_prefix(&token, "hf.resume."))
            take_ticket(u, token);
        else if (strip_prefix(&token, "hf.attempt."))
            wrong = take_attempt(u, token);
    }
    if (wrong == NULL && !u->named)
        wrong = "Sec-WebSocket-Protocol must offer " HF_PROTOCOL_BINARY " or " HF_PROTOCOL_JSON;
    return wrong;
}

const char *hf_attach_read_request(struct hf_conn *c, const struct hf_handshake *h)
{
    struct hf_upgrade *u = c->upgrade;
    char value[256];
    const char *wrong = read_protocols(u, h);
    int len;

    if (wrong == NULL && h->resume.data != NULL)
        take_ticket(u, h->resume);
    if (wrong == NULL && h->attempt.data != NULL)
        wrong = take_attempt(u, h->attempt);
    len = hf_query_get(h->query, "resume", value, sizeof(value));
    if (len >= 0)
        take_ticket(u, (struct hf_str){value, (size_t)len});
    else if (wrong == NULL && len != HF_ENOTFOUND)
        wrong = "the value of resume in the query is malformed";
    len = hf_query_get(h->query, "attempt", value, sizeof(value));
    if (wrong == NULL && len >= 0)
        wrong = take_attempt(u, (struct hf_str){value, (size_t)len});
    else if (wrong == NULL && len != HF_ENOTFOUND)
        wrong = "the value of attempt in the query is malformed";
    return wrong;
}
