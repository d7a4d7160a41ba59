/*
 * forwarded.h - whose request a reverse proxy passes on, by the headers `Forwarded` (RFC 7239) and `X-Forwarded-For`.
 *
 * Each proxy appends the address of its peer, and a client may have written whatever it likes in front. So the list is read from
 * its right end: as long as an address is that of a trusted proxy, that proxy's word about its own peer, to the left, counts too. The first one that is
 * not trusted is the client; what stands left of it is hearsay.
 */
#ifndef HF_WS_FORWARDED_H
#define HF_WS_FORWARDED_H

#include "base/err.h"
#include "base/ip.h"
#include "base/str.h"

enum { HF_FORWARDED_HOPS_MAX = 32 /* proxies in a row; a guess: real chains have one to four */ };

/* How the header is written. */
enum hf_forwarded_form { HF_FORWARDED_NONE, HF_FORWARDED_X_FORWARDED_FOR, HF_FORWARDED_RFC7239 };

/*
 * Read the header of a request that came from a trusted proxy. Returns 1 with *client set, 0 where it names nobody (no header, "unknown" or an obfuscated
 * name in the place that counts: the last trusted proxy that was named is *client then, if there is one, else nothing is written), or HF_EBADMSG
 * where it is malformed: then no part of it is believed.
 */
int hf_forwarded_client(enum hf_forwarded_form form, struct hf_str value, const struct hf_network *trusted,
                        size_t trusted_count, struct hf_endpoint *client) HF_MUST_CHECK;

#endif
