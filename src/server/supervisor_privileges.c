/*
 * supervisor_privileges.c - who the server is, and whether the kernel will take the workers' filter of system calls.
 */
#include "server/supervisor_impl.h"

#include "server/confine.h"
#include "server/logger.h"

#include <errno.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* What would stop the workers must stop the start. */
static int check_seccomp(const struct hf_supervisor *s)
{
    int status = 0;
    pid_t child;

    if (s->config->process_seccomp != HF_SECCOMP_ON)
        return 0;
    if (!hf_confine_possible())
        return hf_cannot_start(
            "filter system calls", "process.seccomp",
            "this is a sanitizer's build, which needs more of them: set it to auto or off");
    child = fork(); /* The filter is for ever: somebody else tries it. */
    if (child == 0)
        _exit(hf_confine() == 0 ? 0 : errno);
    if (child < 0 || waitpid(child, &status, 0) != child || status == 0)
        return child < 0 ? hf_cannot_start("fork", "", strerror(errno)) : 0;
    return hf_cannot_start("filter system calls", "process.seccomp",
                           WIFEXITED(status) ? strerror(WEXITSTATUS(status)) : "the kernel ends who tries");
}

int hf_supervisor_find_privileges(struct hf_supervisor *s)
{
    char error[300];

    return hf_privileges_find(&s->privileges, s->config->process_user, s->config->process_group, error,
                              sizeof(error)) < 0
               ? hf_cannot_start("start", "", error)
               : check_seccomp(s);
}

/* The API's socket belongs to whom we become, as if he had made it. */
int hf_supervisor_drop_privileges(struct hf_supervisor *s)
{
    char error[300];

    if (geteuid() == 0 && !s->privileges.wanted)
        hf_log(HF_LOG_WARNING, "running_as_root",
               hf_kv_text("advice", "set process.user: serving takes no rights once the sockets are bound"));
    if (s->privileges.wanted && s->unix_path != NULL &&
        chown(s->unix_path, s->privileges.uid, s->privileges.gid) < 0)
        return hf_cannot_start("give the API's socket to process.user", "", strerror(errno));
    if (hf_privileges_drop(&s->privileges, error, sizeof(error)) < 0)
        return hf_cannot_start("become process.user", "", error);
    if (s->privileges.wanted)
        hf_log(HF_LOG_INFO, "privileges_dropped", hf_kv_u64("uid", s->privileges.uid),
               hf_kv_u64("gid", s->privileges.gid));
    return 0;
}
