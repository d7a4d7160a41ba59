#include "server/memory_watch.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

enum { LOOK_MS = 1000 };

void hf_memory_watch_init(struct hf_memory_watch *w, uint64_t bytes_max)
{
    *w = (struct hf_memory_watch){.bytes_max = bytes_max};
    w->fd =
        open("/proc/self/statm",
             O_RDONLY |
                 O_CLOEXEC); /* Also without a bound: one may be set later, when descriptors have run out. */
}

void hf_memory_watch_set(struct hf_memory_watch *w, uint64_t bytes_max)
{
    w->bytes_max = bytes_max;
    w->next_ms = 0;
    w->above = w->above && bytes_max != 0;
}

void hf_memory_watch_release(struct hf_memory_watch *w)
{
    if (w->fd >= 0)
        close(w->fd);
    w->fd = -1;
}

/* proc(5), statm: "size ... resident ... shared" in pages; what is resident and not shared is ours. */
static uint64_t own_bytes(int fd)
{
    unsigned long long resident, shared;
    char text[128], *rest;
    ssize_t n = pread(fd, text, sizeof(text) - 1, 0);

    if (n <= 0)
        return 0;
    text[n] = '\0';
    (void)strtoull(text, &rest, 10);
    resident = strtoull(rest, &rest, 10);
    shared = strtoull(rest, &rest, 10);
    return resident < shared ? 0 : (resident - shared) * (uint64_t)sysconf(_SC_PAGESIZE);
}

bool hf_memory_watch_tick(struct hf_memory_watch *w, uint64_t now_ms)
{
    if (w->fd >= 0 && w->bytes_max != 0 && now_ms >= w->next_ms) {
        w->next_ms = now_ms + LOOK_MS;
        w->above = own_bytes(w->fd) > w->bytes_max;
    }
    return w->above;
}
