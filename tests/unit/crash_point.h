/*
 * crash_point.h - let a process die between two stores to shared memory, at each named place in turn.
 * For executables that link crash_lib (see meson.build), where HF_CRASH_POINT() calls hf_crash_point(). The work is done by a child
 * on memory that it shares with the test; the test then looks at what the dead one left. Included by one file of an executable.
 *
 *     for (unsigned n = 1;; n++) {
 *         ... lay out the memory anew ...
 *         if (!dies_at(n, work, ctx))
 *             break;              the work has no n-th place: it was done to its end, by a child
 *         ... take it up and look: crash_place() names the place ...
 *     }
 */
#ifndef HF_TESTS_CRASH_POINT_H
#define HF_TESTS_CRASH_POINT_H

#include "shm/crash.h"
#include "shm/memory.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

void hf_crash_point(const char *place);

enum { CRASH_EXIT = 77 };

struct crash_note {
    char place[64];
};

static unsigned crash_countdown; /* 0: nobody dies; 1: at the next place */
static struct crash_note *crash_note;
/* What another process does just when this one is at that place; NULL: nothing. */
static void (*crash_meanwhile)(const char *place);

void hf_crash_point(const char *place)
{
    if (crash_meanwhile != NULL)
        crash_meanwhile(place);
    if (crash_countdown == 0 || --crash_countdown > 0)
        return;
    (void)snprintf(crash_note->place, sizeof(crash_note->place), "%s", place);
    _exit(CRASH_EXIT);
}

/* The name of the place where the last one died. */
static inline const char *crash_place(void)
{
    return crash_note->place;
}

/* fork() for a child that does not outlive a test which fails. */
static inline pid_t fork_child(void)
{
    pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0)
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    return child;
}

static inline void kill_child(pid_t child)
{
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, NULL, 0), child);
}

/* A child does work(ctx) and dies at the n-th place, from 1. Returns false where it came to the work's end alive. */
static inline bool dies_at(unsigned n, void (*work)(void *ctx), void *ctx)
{
    pid_t child;
    int status = 0;

    if (crash_note == NULL)
        crash_note = hf_memory_map(sizeof(*crash_note));
    assert_non_null(crash_note);
    child = fork_child();
    if (child == 0) {
        crash_countdown = n;
        work(ctx);
        _exit(0);
    }
    while (waitpid(child, &status, 0) < 0)
        assert_int_equal(errno, EINTR);
    assert_true(WIFEXITED(status) && (WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == CRASH_EXIT));
    return WEXITSTATUS(status) == CRASH_EXIT;
}

#endif
