/*
 * privileges.h - the supervisor gives up being root, for itself and for all workers that come after: once the sockets are bound and the certificates read. There is no way back.
 */
#ifndef HF_SERVER_PRIVILEGES_H
#define HF_SERVER_PRIVILEGES_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Who the server is to be. */
struct hf_privileges {
    bool wanted; /* false: it stays who it is */
    uid_t uid;
    gid_t gid;
    char user[256]; /* the name, for the groups; "": the user is a number without one */
};

/*
 * Look up user and group, each a name or a number; "": none is configured. A group alone keeps the user; a user alone brings his own group. Returns 0, or HF_EINVAL with one line in
 * error: no such user, or we are not root and somebody else.
 */
int hf_privileges_find(struct hf_privileges *p, const char *user, const char *group, char *error,
                       size_t error_cap) HF_MUST_CHECK;

/* Become that user, with his groups, and make sure that there is no way back. Returns 0, or HF_EIO with one line in error: then the process must not go on. */
int hf_privileges_drop(const struct hf_privileges *p, char *error, size_t error_cap) HF_MUST_CHECK;

#endif
