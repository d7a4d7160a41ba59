/*
 * memory.h - where the shared memory comes from: an anonymous file in memory, mapped shared, inherited over fork().
 */
#ifndef HF_SHM_MEMORY_H
#define HF_SHM_MEMORY_H

#include "base/err.h"

#include <stddef.h>

/* Map `bytes` of zeroed shared memory. Pages cost nothing until they are written. Returns NULL with errno set. */
void *hf_memory_map(size_t bytes);
void hf_memory_unmap(void *memory, size_t bytes);

#endif
