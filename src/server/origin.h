/*
 * origin.h - which web pages may connect (auth.origins). A browser sends the page's origin with each handshake, and a page cannot change it; other programs send none, or
 * what they like: this guards users' browsers against pages of others, and nothing else.
 */
#ifndef HF_SERVER_ORIGIN_H
#define HF_SERVER_ORIGIN_H

#include "base/str.h"
#include "server/config.h"

/*
 * Whether a page of this origin may. By the list, scheme and host without regard to case, the port as it is written; with "*.example.org" for its host,
 * any host below example.org, and not that one itself. Absent (data NULL), or with an empty list: yes.
 */
bool hf_origin_allowed(const struct hf_config *config, struct hf_str origin);

#endif
