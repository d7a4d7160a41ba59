#include "server/confine.h"

#include "server/logger.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    SYSCALLS_MAX = 1024, /* numbers that are looked at; Linux 6 has some 460 */
    BINARY_TREE = 2,     /* seccomp_attr_set(3), SCMP_FLTATR_CTL_OPTIMIZE */
};

/* By name, because not every architecture has each: one that it lacks is passed over. */
static const char *const allowed[] = {
    /* sockets and what is sent over them */
    "accept",
    "accept4",
    "bind",
    "connect",
    "getpeername",
    "getsockname",
    "getsockopt",
    "listen",
    "recvfrom",
    "recvmmsg",
    "recvmsg",
    "sendfile",
    "sendmmsg",
    "sendmsg",
    "sendto",
    "setsockopt",
    "shutdown",
    "socketpair",
    /* descriptors */
    "close",
    "close_range",
    "dup",
    "dup2",
    "dup3",
    "epoll_create",
    "epoll_create1",
    "epoll_ctl",
    "epoll_pwait",
    "epoll_pwait2",
    "epoll_wait",
    "eventfd2",
    "fcntl",
    "ioctl",
    "pipe",
    "pipe2",
    "poll",
    "ppoll",
    "pselect6",
    "read",
    "readv",
    "pread64",
    "preadv",
    "select",
    "signalfd4",
    "timerfd_create",
    "timerfd_gettime",
    "timerfd_settime",
    "write",
    "writev",
    /* files that are read: certificates, names of hosts */
    "access",
    "faccessat",
    "faccessat2",
    "fstat",
    "fstatfs",
    "getcwd",
    "getdents64",
    "lseek",
    "lstat",
    "newfstatat",
    "readlink",
    "readlinkat",
    "stat",
    "statfs",
    "statx",
    /* memory */
    "brk",
    "madvise",
    "membarrier",
    "mincore",
    "mlock",
    "mmap",
    "mprotect",
    "mremap",
    "munlock",
    "munmap",
    /* threads: a library's resolver of names has some */
    "futex",
    "futex_waitv",
    "get_robust_list",
    "gettid",
    "rseq",
    "sched_getaffinity",
    "sched_getparam",
    "sched_getscheduler",
    "sched_yield",
    "set_robust_list",
    "set_tid_address",
    /* time, chance, and who we are */
    "clock_getres",
    "clock_gettime",
    "clock_nanosleep",
    "getcpu",
    "getegid",
    "geteuid",
    "getgid",
    "getpid",
    "getppid",
    "getrandom",
    "getrlimit",
    "getrusage",
    "gettimeofday",
    "getuid",
    "nanosleep",
    "sysinfo",
    "time",
    "times",
    "uname",
    /* signals, and the end */
    "exit",
    "exit_group",
    "restart_syscall",
    "rt_sigaction",
    "rt_sigpending",
    "rt_sigprocmask",
    "rt_sigreturn",
    "rt_sigtimedwait",
    "sigaltstack",
    "tgkill",
};

/* These have rules about their arguments. */
static const char *const examined[] = {"clone",   "clone3", "open",      "openat",
                                       "openat2", "prctl",  "prlimit64", "socket"};

bool hf_confine_possible(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    return false;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
    return false;
#else
    return true;
#endif
#else
    return true;
#endif
}

/* It comes from within the system call, in the thread that asked for it. The call has not been made. */
static void violated(int signal_number, siginfo_t *info, void *context)
{
    char *name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, info->si_syscall);

    (void)context;
    hf_log(HF_LOG_ERROR, "seccomp_violation", hf_kv_text("syscall", name != NULL ? name : "unknown"),
           hf_kv_i64("number", info->si_syscall));
    (void)signal(signal_number, SIG_DFL);
    (void)raise(signal_number);
}

static int watch_violations(void)
{
    struct sigaction action = {.sa_sigaction = violated, .sa_flags = SA_SIGINFO | SA_NODEFER};
    sigset_t set;

    sigemptyset(&action.sa_mask);
    sigemptyset(&set);
    sigaddset(&set, SIGSYS);
    return sigaction(SIGSYS, &action, NULL) < 0 || sigprocmask(SIG_UNBLOCK, &set, NULL) < 0 ? -1 : 0;
}

/* Mark the numbers of these. */
static void mark(bool *marked, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        int number = seccomp_syscall_resolve_name(names[i]);

        if (number >= 0 && number < SYSCALLS_MAX)
            marked[number] = true;
    }
}

/* Returns 0 or a negative errno, as libseccomp does; what this architecture lacks is no error. */
static int rule(scmp_filter_ctx f, uint32_t action, const char *name, unsigned count,
                const struct scmp_arg_cmp *arguments)
{
    int number = seccomp_syscall_resolve_name(name);

    return number < 0 ? 0 : seccomp_rule_add_array(f, action, number, count, arguments);
}

static int allow_listed(scmp_filter_ctx f)
{
    int err = 0;

    for (size_t i = 0; err == 0 && i < sizeof(allowed) / sizeof(allowed[0]); i++)
        err = rule(f, SCMP_ACT_ALLOW, allowed[i], 0, NULL);
    return err;
}

/* Open to read; a thread of our own and no process; sockets of the Internet, of this machine, and of the kernel's list of addresses. */
static int allow_examined(scmp_filter_ctx f)
{
    static const int families[] = {AF_INET, AF_INET6, AF_UNIX, AF_NETLINK};
    enum { WRITES = O_ACCMODE | O_CREAT | O_TRUNC };
    struct scmp_arg_cmp reads = SCMP_A1(SCMP_CMP_MASKED_EQ, WRITES, O_RDONLY),
                        reads_at = SCMP_A2(SCMP_CMP_MASKED_EQ, WRITES, O_RDONLY),
                        thread = SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD),
                        asks = SCMP_A2(SCMP_CMP_EQ, 0, 0), names = SCMP_A0(SCMP_CMP_EQ, PR_SET_NAME, 0);
    int err = rule(f, SCMP_ACT_ALLOW, "open", 1, &reads);

    if (err == 0)
        err = rule(f, SCMP_ACT_ALLOW, "openat", 1, &reads_at);
    if (err == 0)
        err = rule(f, SCMP_ACT_ALLOW, "clone", 1, &thread);
    if (err == 0)
        err = rule(f, SCMP_ACT_ALLOW, "prlimit64", 1, &asks);
    if (err == 0)
        err = rule(f, SCMP_ACT_ALLOW, "prctl", 1, &names);
    for (size_t i = 0; err == 0 && i < sizeof(families) / sizeof(families[0]); i++) {
        struct scmp_arg_cmp family = SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)families[i], 0);

        err = rule(f, SCMP_ACT_ALLOW, "socket", 1, &family);
    }
    return err;
}

/* What those of `examined` get whose arguments are not allowed; the others get what is the default. */
static int answer_others(scmp_filter_ctx f)
{
    static const int writes[] = {O_WRONLY, O_RDWR};
    struct scmp_arg_cmp process = SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, 0);
    int err = 0;

    for (size_t i = 0; err == 0 && i < sizeof(writes) / sizeof(writes[0]); i++) {
        struct scmp_arg_cmp how = SCMP_A1(SCMP_CMP_MASKED_EQ, O_ACCMODE, (scmp_datum_t)writes[i]),
                            how_at = SCMP_A2(SCMP_CMP_MASKED_EQ, O_ACCMODE, (scmp_datum_t)writes[i]);

        err = rule(f, SCMP_ACT_ERRNO(EACCES), "open", 1, &how);
        if (err == 0)
            err = rule(f, SCMP_ACT_ERRNO(EACCES), "openat", 1, &how_at);
    }
    if (err == 0)
        err = rule(f, SCMP_ACT_TRAP, "clone", 1, &process);
    return err;
}

/* All that libseccomp knows by name and that stands in neither list. */
static int forbid_others(scmp_filter_ctx f)
{
    bool listed[SYSCALLS_MAX] = {false};
    int err = 0;

    mark(listed, allowed, sizeof(allowed) / sizeof(allowed[0]));
    mark(listed, examined, sizeof(examined) / sizeof(examined[0]));
    for (int number = 0; err == 0 && number < SYSCALLS_MAX; number++) {
        char *name = listed[number] ? NULL : seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, number);

        if (name != NULL)
            err = seccomp_rule_add(f, SCMP_ACT_TRAP, number, 0);
        free(name);
    }
    return err;
}

int hf_confine(void)
{
    scmp_filter_ctx f = seccomp_init(SCMP_ACT_ERRNO(ENOSYS));
    int err = f == NULL ? -ENOMEM : allow_listed(f);

    if (err == 0)
        err = allow_examined(f);
    if (err == 0)
        err = answer_others(f);
    if (err == 0)
        err = forbid_others(f);
    if (err == 0)
        (void)seccomp_attr_set(f, SCMP_FLTATR_CTL_OPTIMIZE, BINARY_TREE); /* Older ones have it not. */
    if (err == 0 && watch_violations() < 0)
        err = -errno;
    if (err == 0)
        err = seccomp_load(f);
    seccomp_release(f);
    errno = -err;
    return err == 0 ? 0 : HF_EIO;
}
