/*
 * assert.h - assertions about our own code, in every build.
 * A failed one is a bug of ours, never a peer's doing: the worker ends at once, and the supervisor replaces it.
 */
#ifndef HF_BASE_ASSERT_H
#define HF_BASE_ASSERT_H

_Noreturn void hf_assert_failed(const char *expr, const char *file, int line);

#define hf_assert(expr) ((expr) ? (void)0 : hf_assert_failed(#expr, __FILE__, __LINE__))

#endif
