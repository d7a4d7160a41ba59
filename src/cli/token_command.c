#include "cli/token_command.h"

#include "cli/peer.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    LOOK_MS = 100, /* whether a signal has asked for the end */
    END_MS = 5,    /* whether the command has ended, which it does with its output */
};

extern char **environ;

/* Its standard output goes to fd; the signals that we catch or ignore are its own again, and it has a process group for itself and its children. */
static int start(const char *command, int fd, pid_t *pid)
{
    char *const arguments[] = {(char *)(uintptr_t) "sh", (char *)(uintptr_t) "-c", (char *)(uintptr_t)command,
                               NULL};
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    sigset_t defaults;
    int err = posix_spawn_file_actions_init(&files);

    if (err != 0)
        return err;
    err = posix_spawnattr_init(&attributes);
    if (err != 0) {
        (void)posix_spawn_file_actions_destroy(&files);
        return err;
    }
    (void)sigemptyset(&defaults);
    (void)sigaddset(&defaults, SIGPIPE);
    (void)posix_spawnattr_setsigdefault(&attributes, &defaults);
    (void)posix_spawnattr_setpgroup(&attributes, 0);
    (void)posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF);
    err = posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    if (err == 0)
        err = posix_spawn_file_actions_adddup2(&files, fd, STDOUT_FILENO);
    if (err == 0)
        err = posix_spawn(pid, "/bin/sh", &files, &attributes, arguments, environ);
    (void)posix_spawnattr_destroy(&attributes);
    (void)posix_spawn_file_actions_destroy(&files);
    return err;
}

/* Whether its time is over, or ours; then with why. */
static bool out_of_time(uint64_t until_ms, char *why, size_t cap)
{
    if (!hf_peer_interrupted() && hf_peer_now_ms() < until_ms)
        return false;
    (void)snprintf(why, cap, "it did not end within %d s", HF_TOKEN_COMMAND_S);
    return true;
}

/* All that it writes, up to cap bytes. Returns how many, cap + 1 for more, or -1 with why. */
static long gather(int fd, char *out, size_t cap, uint64_t until_ms, char *why, size_t why_cap)
{
    struct pollfd readable = {.fd = fd, .events = POLLIN};
    size_t len = 0;

    while (len <= cap) {
        ssize_t n;

        if (out_of_time(until_ms, why, why_cap))
            return -1;
        if (poll(&readable, 1, LOOK_MS) <= 0)
            continue;
        n = read(fd, out + len, cap + 1 - len);
        if (n == 0)
            break;
        if (n < 0 && errno != EINTR) {
            (void)snprintf(why, why_cap, "its output cannot be read: %s", strerror(errno));
            return -1;
        }
        len += n > 0 ? (size_t)n : 0;
    }
    return (long)len;
}

/* It, and what it has started. */
static void end(pid_t pid)
{
    (void)kill(-pid, SIGKILL);
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
}

/* It may go on behind its output, but not beyond its time. */
static bool ended_well(pid_t pid, uint64_t until_ms, char *why, size_t cap)
{
    int status = 0;
    pid_t ended;

    while ((ended = waitpid(pid, &status, WNOHANG)) != pid) {
        if (ended < 0 && errno != EINTR)
            return true; /* Somebody else has seen its end. */
        if (out_of_time(until_ms, why, cap)) {
            end(pid);
            return false;
        }
        (void)poll(NULL, 0, END_MS);
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return true;
    if (WIFEXITED(status))
        (void)snprintf(why, cap, "it ended with status %d", WEXITSTATUS(status));
    else
        (void)snprintf(why, cap, "it was ended by signal %d", WTERMSIG(status));
    return false;
}

/* What is between white space, to the front of the text. */
static size_t trim(char *text, size_t len)
{
    size_t from = 0;

    while (len > 0 && strchr(" \t\r\n", text[len - 1]) != NULL)
        len--;
    while (from < len && strchr(" \t\r\n", text[from]) != NULL)
        from++;
    memmove(text, text + from, len - from);
    return len - from;
}

static bool run(const char *command, const int ends[2], char *out, size_t cap, long *len, char *why,
                size_t why_cap)
{
    uint64_t until_ms = hf_peer_now_ms() + (uint64_t)HF_TOKEN_COMMAND_S * 1000;
    pid_t pid;
    int err = start(command, ends[1], &pid);

    (void)close(ends[1]);
    if (err != 0) {
        (void)snprintf(why, why_cap, "/bin/sh cannot be started: %s", strerror(err));
        return false;
    }
    *len = gather(ends[0], out, cap, until_ms, why, why_cap);
    if (*len >= 0 && (size_t)*len <= cap)
        return ended_well(pid, until_ms, why, why_cap);
    end(pid);
    return *len >= 0;
}

bool hf_token_command_run(const char *command, char token[HF_CLIENT_TOKEN_MAX + 1], char *why, size_t cap)
{
    char out[HF_CLIENT_TOKEN_MAX + 64]; /* with a line end, and some white space */
    int ends[2];
    long len = 0;
    size_t chars;
    bool good;

    if (pipe2(ends, O_CLOEXEC) < 0) {
        (void)snprintf(why, cap, "no pipe: %s", strerror(errno));
        return false;
    }
    good = run(command, ends, out, sizeof(out) - 1, &len, why, cap);
    (void)close(ends[0]);
    if (!good)
        return false;
    chars = trim(out, (size_t)len);
    if (chars == 0 || chars > HF_CLIENT_TOKEN_MAX) {
        (void)snprintf(why, cap, chars == 0 ? "it wrote nothing" : "it wrote more than a token");
        return false;
    }
    memcpy(token, out, chars);
    token[chars] = '\0';
    return true;
}
