/*
 * extension.h - the handshake's extensions (RFC 6455 section 9.1), of which one is spoken: permessage-deflate (RFC 7692), without
 * context takeover in either direction. Pure: header values come in, terms and header values come out.
 *
 * Without context takeover each message is a DEFLATE stream of its own: a message that is compressed once can be sent to everybody,
 * and no connection keeps a window between messages.
 */
#ifndef HF_WS_EXTENSION_H
#define HF_WS_EXTENSION_H

#include "base/err.h"
#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    HF_WINDOW_BITS_MIN = 8, /* RFC 7692 section 7.1.2: "between 8 and 15, inclusive" */
    HF_WINDOW_BITS_MAX = 15,
    HF_DEFLATE_ANSWER_MAX = 128, /* bytes that hf_deflate_answer() writes at most */
};

/* What a client of ours asks for, as the value of Sec-WebSocket-Extensions. */
#define HF_DEFLATE_OFFER "permessage-deflate; server_no_context_takeover; client_no_context_takeover"

/*
 * What was agreed on. A window of n bits reaches 2^n bytes back, so it is kept by whoever compresses no longer message than that.
 * That is how 8 bits are served, though zlib makes no stream for them.
 */
struct hf_deflate_terms {
    uint8_t server_window_bits; /* of what the server compresses, 8 to 15; 0: nothing is compressed */
    bool server_bits_asked;     /* the client named them: so does the answer */
};

/*
 * Server: choose among the offers of a request, which stand in the client's order of preference: the first that can be served as it
 * stands. Returns 1 with *terms set, 0 where none can (the connection does without), or HF_EBADMSG where the value breaks the grammar
 * of RFC 6455 section 9.1. offers with data NULL: there was no such header.
 * An offer is passed over for another extension's name, a parameter that is unknown, is there twice or has a value that RFC 7692 section 7.1
 * does not allow. client_max_window_bits is a hint that is not needed, for what comes in is read with the largest window.
 */
int hf_deflate_accept(struct hf_str offers, struct hf_deflate_terms *terms) HF_MUST_CHECK;

/* Server: write the value of the answer's Sec-WebSocket-Extensions; data NULL where the terms say that nothing is compressed. */
struct hf_str hf_deflate_answer(const struct hf_deflate_terms *terms, char out[HF_DEFLATE_ANSWER_MAX]);

/*
 * Client: read the answer to HF_DEFLATE_OFFER. Returns 1 with *terms set, 0 where the server does without, or HF_EBADMSG where the
 * answer is malformed or no answer to that offer: RFC 7692 section 5.1 has the connection failed then.
 */
int hf_deflate_accepted(struct hf_str answer, struct hf_deflate_terms *terms) HF_MUST_CHECK;

#endif
