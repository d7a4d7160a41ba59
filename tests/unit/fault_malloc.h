/*
 * fault_malloc.h - let one allocation of the code under test fail, then the next, then the next.
 * For executables that are linked with --wrap=malloc,calloc,realloc (see meson.build): the static libraries' and the test's own
 * allocations pass through here; those of shared libraries (cmocka, jansson, libc) do not. Included by one file of an executable.
 *
 *     for (unsigned n = 1;; n++) {
 *         fault_arm(n);
 *         err = the_work(...);
 *         if (!fault_disarm())
 *             break;              n allocations were not made: every one has failed once
 *         ... the work must have said so, and left nothing behind; the sanitizer build sees leaks ...
 *     }
 */
#ifndef HF_TESTS_FAULT_MALLOC_H
#define HF_TESTS_FAULT_MALLOC_H

#include <stdbool.h>
#include <stddef.h>

void *__real_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t bytes);
void *__real_realloc(void *old, size_t bytes);
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void *__wrap_realloc(void *old, size_t bytes);

static struct {
    unsigned countdown; /* 0: none fails; 1: the next */
    bool fired;
} fault;

/* The n-th allocation from now on fails, n from 1; all others work. */
static inline void fault_arm(unsigned n)
{
    fault.countdown = n;
    fault.fired = false;
}

/* No further one fails. Returns whether one did. */
static inline bool fault_disarm(void)
{
    fault.countdown = 0;
    return fault.fired;
}

static inline bool fault_due(void)
{
    if (fault.countdown == 0 || --fault.countdown > 0)
        return false;
    fault.fired = true;
    return true;
}

void *__wrap_malloc(size_t bytes)
{
    return fault_due() ? NULL : __real_malloc(bytes);
}

void *__wrap_calloc(size_t count, size_t bytes)
{
    return fault_due() ? NULL : __real_calloc(count, bytes);
}

void *__wrap_realloc(void *old, size_t bytes)
{
    return fault_due() ? NULL : __real_realloc(old, bytes);
}

#endif
