/*
 * hooks_tls.h - whom a backend with https is believed by, and who we say that we are: the PEM files of hooks.tls, read and checked. The supervisor reads them at the start, when it may
 * still be root, and to check a reload; each worker when it follows one. docs/hooks.md "TLS".
 */
#ifndef HF_SERVER_HOOKS_TLS_H
#define HF_SERVER_HOOKS_TLS_H

#include "base/err.h"
#include "server/config.h"

#include <stddef.h>
#include <stdint.h>

enum { HF_HOOKS_TLS_FILE_MAX = 256 << 10 }; /* bytes of a file: Debian's store of all public CAs has 220 KB */

/* The bytes of a file; on the heap. */
struct hf_hooks_pem {
    uint8_t *data; /* NULL: there is none */
    size_t len;
};

/* Zeroed it has nothing: the system's certificates count, and no certificate of ours is shown. */
struct hf_hooks_tls {
    struct hf_hooks_pem ca;          /* hooks.tls.ca: at least one certificate */
    struct hf_hooks_pem certificate; /* hooks.tls.certificate, with its chain */
    struct hf_hooks_pem key;         /* its private key, without passphrase */
};

/*
 * Read the files that the configuration names into *out, which has nothing yet. Returns 0, HF_EINVAL with one line in error ("hooks.tls.ca: FILE: what is wrong; what to do") where one cannot be read, has no
 * certificate, or the key is none or another one's. Then *out has nothing.
 */
int hf_hooks_tls_load(const struct hf_hooks_config *config, struct hf_hooks_tls *out, char *error,
                      size_t error_cap) HF_MUST_CHECK;
/* It has nothing then; private bytes are overwritten. */
void hf_hooks_tls_release(struct hf_hooks_tls *tls);

#endif
