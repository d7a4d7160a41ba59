#include "sim/fiber.h"

#include "base/assert.h"

#include <stdint.h>
#include <sys/mman.h>

#if defined(__SANITIZE_ADDRESS__)
#define WITH_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WITH_ASAN 1
#endif
#endif
#ifndef WITH_ASAN
#define WITH_ASAN 0
#endif

#if WITH_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#else
#define ASAN_UNPOISON_MEMORY_REGION(at, bytes) ((void)(at), (void)(bytes))
#define __sanitizer_start_switch_fiber(save, stack, bytes) ((void)(save), (void)(stack), (void)(bytes))
#define __sanitizer_finish_switch_fiber(fake, stack, bytes) ((void)(fake), (void)(stack), (void)(bytes))
#endif

enum { STACK_BYTES = 1 << 20 };

/* makecontext() passes integers only. */
static void enter(unsigned high, unsigned low)
{
    struct sim_fiber *f = (struct sim_fiber *)(uintptr_t)((uint64_t)high << 32 | low);

    __sanitizer_finish_switch_fiber(NULL, &f->main_stack, &f->main_stack_bytes);
    f->run(f->ctx);
    sim_fiber_end(f);
}

void sim_fiber_start(struct sim_fiber *f, void (*run)(void *ctx), void *ctx)
{
    uint64_t self = (uintptr_t)f;

    if (f->stack == NULL) {
        f->stack = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        hf_assert(f->stack != MAP_FAILED);
    }
    ASAN_UNPOISON_MEMORY_REGION(f->stack, STACK_BYTES); /* The frames of one that died there. */
    hf_assert(getcontext(&f->inside) == 0);
    f->inside.uc_stack.ss_sp = f->stack;
    f->inside.uc_stack.ss_size = STACK_BYTES;
    f->inside.uc_link = NULL;
    f->run = run;
    f->ctx = ctx;
    f->alive = true;
    makecontext(&f->inside, (void (*)(void))(uintptr_t)enter, 2, (unsigned)(self >> 32), (unsigned)self);
}

/*
 * As swapcontext(), which AddressSanitizer warns of in its log: it does not know that we tell it of each switch.
 */
static void switch_context(ucontext_t *from, const ucontext_t *to)
{
    volatile bool left = false;

    hf_assert(getcontext(from) == 0);
    if (left)
        return; /* Whoever went on with `from`. */
    left = true;
    (void)setcontext(to);
    hf_assert(!"setcontext() returns");
}

bool sim_fiber_resume(struct sim_fiber *f)
{
    void *ours = NULL;

    hf_assert(f->alive);
    __sanitizer_start_switch_fiber(&ours, f->stack, STACK_BYTES);
    switch_context(&f->outside, &f->inside);
    __sanitizer_finish_switch_fiber(ours, NULL, NULL);
    return f->alive;
}

void sim_fiber_yield(struct sim_fiber *f)
{
    void *ours = NULL;

    __sanitizer_start_switch_fiber(&ours, f->main_stack, f->main_stack_bytes);
    switch_context(&f->inside, &f->outside);
    __sanitizer_finish_switch_fiber(ours, &f->main_stack, &f->main_stack_bytes);
}

_Noreturn void sim_fiber_end(struct sim_fiber *f)
{
    f->alive = false;
    __sanitizer_start_switch_fiber(NULL, f->main_stack, f->main_stack_bytes);
    setcontext(&f->outside);
    hf_assert(!"a fiber that has ended goes on");
    __builtin_unreachable();
}
