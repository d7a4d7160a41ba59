#include "server/confine.h"

#include "server/logger.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define TEST(name) static void name(void **state)

enum { FAILED = 99, NEW_SYSCALL = 1000 };

/* What a confined process does; returns what is wrong, or 0. */
typedef int deed(void);

/* Let a child do it, confined; its log goes to log. Returns what waitpid() says of it. */
static int confined(deed *what, char *log, size_t cap)
{
    int pipes[2], status = -1;
    size_t used = 0;
    ssize_t n;
    pid_t child;

    assert_int_equal(pipe(pipes), 0);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        close(pipes[0]);
        hf_logger_open(pipes[1], HF_LOG_INFO, HF_LOG_LOGFMT);
        if (hf_confine() < 0)
            _exit(FAILED);
        _exit(what());
    }
    close(pipes[1]);
    while (used < cap - 1 && (n = read(pipes[0], log + used, cap - 1 - used)) > 0)
        used += (size_t)n;
    log[used] = '\0';
    close(pipes[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static int program(void)
{
    char *const arguments[] = {NULL};

    return execve("/bin/true", arguments, arguments) < 0 ? FAILED : 0;
}

static int process(void)
{
    return syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL) < 0 ? FAILED : 0;
}

static int debugger(void)
{
    return ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0 ? FAILED : 0;
}

static int root_again(void)
{
    return setuid(0) < 0 ? FAILED : 0;
}

static int removal(void)
{
    return unlink("/nonexistent/file") < 0 ? FAILED : 0;
}

static int signal_to_another(void)
{
    return kill(getppid(), SIGTERM) < 0 ? FAILED : 0;
}

/* "all others: the worker says which one it was, and dies of SIGSYS" */
TEST(what_is_forbidden_is_told_and_kills)
{
    static const struct {
        deed *what;
        const char *name;
    } cases[] = {{program, "execve"},    {process, "clone"},  {debugger, "ptrace"},
                 {root_again, "setuid"}, {removal, "unlink"}, {signal_to_another, "kill"}};

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char log[1024], wanted[64];
        int status = confined(cases[i].what, log, sizeof(log));

        snprintf(wanted, sizeof(wanted), "event=seccomp_violation syscall=%s number=", cases[i].name);
        assert_true(WIFSIGNALED(status));
        assert_int_equal(WTERMSIG(status), SIGSYS);
        assert_non_null(strstr(log, wanted));
    }
}

static int writes_files(void)
{
    int fd = open("/tmp/holdfast-confined", O_WRONLY | O_CREAT, 0600);

    return fd < 0 && errno == EACCES ? 0 : 1;
}

static int strange_sockets(void)
{
    return socket(AF_PACKET, SOCK_RAW, 0) < 0 && errno == ENOSYS ? 0 : 1;
}

static int newer_calls(void)
{
    return syscall(NEW_SYSCALL) < 0 && errno == ENOSYS && syscall(SYS_clone3, NULL, 0) < 0 && errno == ENOSYS
               ? 0
               : 1;
}

TEST(what_libraries_try_is_answered_with_an_error)
{
    static deed *const deeds[] = {writes_files, strange_sockets, newer_calls};

    (void)state;
    for (size_t i = 0; i < sizeof(deeds) / sizeof(deeds[0]); i++) {
        char log[1024];

        assert_int_equal(confined(deeds[i], log, sizeof(log)), 0);
        assert_string_equal(log, "");
    }
}

static void *thread(void *given)
{
    return given;
}

static int serving(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int server = socket(AF_INET, SOCK_STREAM, 0), file = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
    void *memory = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
         *back = NULL;
    char byte;
    pthread_t other;

    if (server < 0 || bind(server, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(server, 1) < 0)
        return 1;
    if (file < 0 || read(file, &byte, 1) != 1 || memory == MAP_FAILED || munmap(memory, 1 << 20) < 0)
        return 2;
    if (pthread_create(&other, NULL, thread, &byte) != 0 || pthread_join(other, &back) != 0 || back != &byte)
        return 3;
    free(realloc(malloc(64 << 20), 128 << 20));
    return 0;
}

TEST(what_serving_takes_is_allowed)
{
    char log[1024];

    (void)state;
    assert_int_equal(confined(serving, log, sizeof(log)), 0);
    assert_string_equal(log, "");
}

static int aborts(void)
{
    abort();
}

/* A fault of our own still looks like one. */
TEST(an_abort_is_an_abort)
{
    char log[1024];
    int status = confined(aborts, log, sizeof(log));

    (void)state;
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
    assert_string_equal(log, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_forbidden_is_told_and_kills),
        cmocka_unit_test(what_libraries_try_is_answered_with_an_error),
        cmocka_unit_test(what_serving_takes_is_allowed),
        cmocka_unit_test(an_abort_is_an_abort),
    };

    if (hf_confine_possible())
        return cmocka_run_group_tests(tests, NULL, NULL);
    puts("1..0 # SKIP a sanitizer's runtime needs more than we do");
    return 0;
}
