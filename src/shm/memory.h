/*
 * memory.h - where the shared memory comes from: an anonymous file in memory, mapped shared, inherited over fork().
 */
#ifndef HF_SHM_MEMORY_H
#define HF_SHM_MEMORY_H

#include "base/err.h"

#include <stddef.h>

/* Map `bytes` of zeroed shared memory. Pages cost nothing until they are written. Returns NULL with errno set. */
/*
 * The same in two steps, for memory that is to outlive the process: an anonymous file of that size, which the caller owns (-1 with errno), and its mapping (NULL with errno).
 */
int hf_memory_make(size_t bytes);
void *hf_memory_map_file(int fd, size_t bytes);
void *hf_memory_map(size_t bytes);
void hf_memory_unmap(void *memory, size_t bytes);

#endif
