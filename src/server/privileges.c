#include "server/privileges.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ENTRY_MAX = 16384 };

/* A number, with nothing behind it. */
static bool read_number(const char *text, unsigned long *n)
{
    char *end;

    if (text[0] < '0' || text[0] > '9')
        return false;
    errno = 0;
    *n = strtoul(text, &end, 10);
    return *end == '\0' && errno == 0 && *n < UINT32_MAX;
}

static int complain(char *error, size_t cap, const char *key, const char *value, const char *what)
{
    snprintf(error, cap, "%s: %s: %s", key, value, what);
    return HF_EINVAL;
}

static int find_user(struct hf_privileges *p, const char *user, char *error, size_t cap)
{
    struct passwd entry, *found = NULL;
    char *buffer = malloc(ENTRY_MAX);
    unsigned long number = 0;
    bool is_number = read_number(user, &number);

    if (buffer == NULL)
        return complain(error, cap, "process.user", user, strerror(ENOMEM));
    if (is_number)
        (void)getpwuid_r((uid_t)number, &entry, buffer, ENTRY_MAX, &found);
    else
        (void)getpwnam_r(user, &entry, buffer, ENTRY_MAX, &found);
    if (found != NULL) {
        p->uid = found->pw_uid;
        p->gid = found->pw_gid;
        snprintf(p->user, sizeof(p->user), "%s", found->pw_name);
    } else if (is_number) {
        p->uid = (uid_t)number;
        p->gid = (gid_t)number;
    }
    free(buffer);
    return found != NULL || is_number ? 0
                                      : complain(error, cap, "process.user", user,
                                                 "there is no such user (adduser --system makes one)");
}

static int find_group(struct hf_privileges *p, const char *group, char *error, size_t cap)
{
    struct group entry, *found = NULL;
    char *buffer = malloc(ENTRY_MAX);
    unsigned long number;

    if (buffer == NULL)
        return complain(error, cap, "process.group", group, strerror(ENOMEM));
    (void)getgrnam_r(group, &entry, buffer, ENTRY_MAX, &found);
    if (found != NULL)
        p->gid = found->gr_gid;
    free(buffer);
    if (found != NULL)
        return 0;
    if (!read_number(group, &number))
        return complain(error, cap, "process.group", group, "there is no such group");
    p->gid = (gid_t)number;
    return 0;
}

int hf_privileges_find(struct hf_privileges *p, const char *user, const char *group, char *error,
                       size_t error_cap)
{
    int err = 0;

    *p = (struct hf_privileges){
        .wanted = user[0] != '\0' || group[0] != '\0', .uid = geteuid(), .gid = getegid()};
    if (user[0] != '\0')
        err = find_user(p, user, error, error_cap);
    if (err == 0 && group[0] != '\0')
        err = find_group(p, group, error, error_cap);
    if (err < 0)
        return err;
    if (geteuid() == 0)
        return 0;
    if (p->uid != geteuid() || p->gid != getegid())
        return complain(error, error_cap, user[0] != '\0' ? "process.user" : "process.group",
                        user[0] != '\0' ? user : group,
                        "only root can become somebody else: start the server as root, or as that user");
    p->wanted = false;
    return 0;
}

static int failed(char *error, size_t cap, const char *what)
{
    snprintf(error, cap, "%s: %s", what, strerror(errno));
    return HF_EIO;
}

int hf_privileges_drop(const struct hf_privileges *p, char *error, size_t error_cap)
{
    if (!p->wanted)
        return 0;
    /* In this order: who is not root any more can change neither groups nor the group. */
    if (p->user[0] != '\0' ? initgroups(p->user, p->gid) < 0 : setgroups(1, &p->gid) < 0)
        return failed(error, error_cap, "setgroups");
    if (setresgid(p->gid, p->gid, p->gid) < 0)
        return failed(error, error_cap, "setresgid");
    if (setresuid(p->uid, p->uid, p->uid) < 0)
        return failed(error, error_cap, "setresuid");
    if (p->uid != 0 &&
        (setresuid(0, 0, 0) == 0 || geteuid() != p->uid || getuid() != p->uid || getegid() != p->gid)) {
        snprintf(error, error_cap, "the kernel lets us become root again");
        return HF_EIO;
    }
    return 0;
}
