#include "shm/memory.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

void *hf_memory_map(size_t bytes)
{
    int fd = memfd_create("holdfast", MFD_CLOEXEC), saved;
    void *memory = MAP_FAILED;

    if (fd < 0)
        return NULL;
    if (ftruncate(fd, (off_t)bytes) == 0)
        memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
    saved = errno;
    close(fd); /* The mapping keeps it. */
    errno = saved;
    return memory == MAP_FAILED ? NULL : memory;
}

void hf_memory_unmap(void *memory, size_t bytes)
{
    if (memory != NULL)
        munmap(memory, bytes);
}
