/*
 * confine.h - what a worker may ask of the kernel, by libseccomp: it serves sockets, and needs no program, no file to write and no other process.
 *
 * Three kinds of system calls (the lists stand in confine.c):
 *   allowed    what serving takes
 *   answered   with an error, because libraries ask and can do without: files to be written (EACCES), and with ENOSYS: other kinds of sockets, clone3 (glibc then
 *              uses clone, whose flags can be looked at), and all that libseccomp does not know, since a newer libc tries newer calls first
 *   forbidden  all others: the worker says which one it was (event=seccomp_violation), and dies of SIGSYS
 */
#ifndef HF_SERVER_CONFINE_H
#define HF_SERVER_CONFINE_H

#include "base/err.h"

#include <stdbool.h>

/* Not in a sanitizer's build: its runtime needs much that we do not. */
bool hf_confine_possible(void);

/* For this process and its threads, for ever. Returns 0, or HF_EIO with errno where the kernel does not take it. */
int hf_confine(void) HF_MUST_CHECK;

#endif
