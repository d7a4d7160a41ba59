/*
 * members.h - who is in a channel, as `holdfast presence` knows it: by whole lists, and by changes to them. What is new, and what is gone, is told once.
 */
#ifndef HF_CLI_MEMBERS_H
#define HF_CLI_MEMBERS_H

#include "base/err.h"
#include "holdfast/holdfast.h"

#include <stdbool.h>
#include <stdint.h>

struct hf_member {
    char *session, *user, *info; /* each ends with a NUL; "": none */
    uint32_t turn;               /* the last list that had it */
    struct hf_member *next;      /* of those that are about to leave */
};

enum hf_members_change { HF_MEMBERS_CAME, HF_MEMBERS_LEFT };

struct hf_members {
    void *tree;    /* of tsearch(3), by session */
    uint32_t turn; /* lists so far */
    void (*tell)(void *ctx, enum hf_members_change change, const struct hf_member *member);
    void *ctx;
};

void hf_members_init(struct hf_members *m,
                     void (*tell)(void *ctx, enum hf_members_change change, const struct hf_member *member),
                     void *ctx);
void hf_members_release(struct hf_members *m);

/* A list begins, or ends: who was put in between is in it, and all others have left. */
void hf_members_begin(struct hf_members *m);
void hf_members_end(struct hf_members *m);
/* This one is there: told, if that is new. HF_ENOMEM. */
int hf_members_put(struct hf_members *m, const struct hf_client_member *member) HF_MUST_CHECK;
/* This one has left: told, if it was there. */
void hf_members_remove(struct hf_members *m, const struct hf_client_member *member);

#endif
