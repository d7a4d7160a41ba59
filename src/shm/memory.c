#include "shm/memory.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

int hf_memory_make(size_t bytes)
{
    int fd = memfd_create("holdfast", MFD_CLOEXEC), saved;

    if (fd >= 0 && ftruncate(fd, (off_t)bytes) < 0) {
        saved = errno;
        close(fd);
        errno = saved;
        return -1;
    }
    return fd;
}

void *hf_memory_map_file(int fd, size_t bytes)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);

    return memory == MAP_FAILED ? NULL : memory;
}

void *hf_memory_map(size_t bytes)
{
    int fd = hf_memory_make(bytes), saved;
    void *memory;

    if (fd < 0)
        return NULL;
    memory = hf_memory_map_file(fd, bytes);
    saved = errno;
    close(fd); /* The mapping keeps it. */
    errno = saved;
    return memory;
}

void hf_memory_unmap(void *memory, size_t bytes)
{
    if (memory != NULL)
        munmap(memory, bytes);
}
