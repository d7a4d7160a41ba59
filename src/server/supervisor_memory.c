/*
 * supervisor_memory.c - the shared memory: how large, and whether it is the last server's or new.
 */
#include "server/supervisor_impl.h"

#include "server/logger.h"
#include "shm/memory.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    RING_BYTES_LEAST = 256 * 1024,
    /* Room for half a million addresses at a load of one half: eight MiB, of which what is not used costs nothing. Always, because a reload may set limits.connections_per_address. */
    ADDRESS_CELLS = HF_GATE_CELLS_MAX,
};

static uint32_t ring_bytes(const struct hf_config *config)
{
    uint32_t bytes = RING_BYTES_LEAST;

    while (bytes < 4 * config->message_bytes_max)
        bytes *= 2;
    return bytes;
}

/* The logs fill up in time, whatever happens: what does not fit into the machine would end it then, and not now. */
static int check_memory(const struct hf_supervisor *s)
{
    const struct hf_config *c = s->config;
    uint64_t ram = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    uint64_t logs = (uint64_t)c->shards * c->segments_per_shard * c->segment_bytes;
    char why[200];

    if (logs <= ram) {
        hf_log(HF_LOG_INFO, "memory", hf_kv_u64("logs_bytes", logs),
               hf_kv_u64("shared_bytes_at_most", s->memory_bytes), hf_kv_u64("machine_bytes", ram));
        return 0;
    }
    snprintf(why, sizeof(why),
             "the logs would take %llu MiB (memory.shards x memory.segments x memory.segment), and the "
             "machine has %llu MiB",
             (unsigned long long)(logs >> 20), (unsigned long long)(ram >> 20));
    return hf_cannot_start("start", "memory.segments", why);
}

/* What the last server has left with the service manager: then its sessions, channels and logs go on. */
static bool adopt_memory(struct hf_supervisor *s, const struct hf_region_config *rc)
{
    struct stat st;
    int fd = s->inherited.memory_fd;

    if (fd < 0)
        return false;
    if (fstat(fd, &st) == 0 && (uint64_t)st.st_size == s->memory_bytes)
        s->memory = hf_memory_map_file(fd, s->memory_bytes);
    close(fd);
    if (s->memory != NULL && hf_region_adopt(s->memory, rc) == 0 &&
        hf_region_open(&s->region, s->memory) == 0) {
        hf_log(HF_LOG_INFO, "memory_adopted", hf_kv_u64("bytes", s->memory_bytes));
        return true;
    }
    hf_memory_unmap(s->memory, s->memory_bytes);
    s->memory = NULL;
    hf_log(HF_LOG_WARNING, "memory_not_adopted",
           hf_kv_text("why", "it is of another version or configuration (workers, memory, session.max, "
                             "limits): sessions begin anew"));
    return false;
}

static int make_memory(struct hf_supervisor *s, const struct hf_region_config *rc)
{
    int fd = hf_memory_make(s->memory_bytes);

    if (fd >= 0)
        s->memory = hf_memory_map_file(fd, s->memory_bytes);
    if (s->memory == NULL)
        return hf_cannot_start("map the shared memory", "memory.segments, session.max", strerror(errno));
    hf_region_format(s->memory, rc);
    hf_notify_keep(&s->notify, fd, HF_INHERIT_MEMORY);
    close(fd); /* The mapping keeps it. */
    return hf_region_open(&s->region, s->memory) == 0
               ? 0
               : hf_cannot_start("map the shared memory", "", "bad layout");
}

int hf_supervisor_map_memory(struct hf_supervisor *s)
{
    const struct hf_config *c = s->config;
    struct hf_region_config rc = {.workers = c->workers,
                                  .shards = c->shards,
                                  .segment_bytes = c->segment_bytes,
                                  .segment_count = c->segments_per_shard,
                                  .channels_max = c->channels_max,
                                  .sessions_max = c->sessions_max,
                                  .address_cells = ADDRESS_CELLS,
                                  .handout_bytes = sizeof(struct hf_config),
                                  .ring_bytes = ring_bytes(c)};
    int status;

    if (getrandom(&rc.boot_id, sizeof(rc.boot_id), 0) != (ssize_t)sizeof(rc.boot_id) ||
        getrandom(&rc.gate_secret, sizeof(rc.gate_secret), 0) != (ssize_t)sizeof(rc.gate_secret))
        return hf_cannot_start("get random bytes", "", strerror(errno));
    s->memory_bytes = hf_region_bytes(&rc);
    status = check_memory(s);
    if (status != 0)
        return status;
    status = adopt_memory(s, &rc) ? 0 : make_memory(s, &rc);
    if (status == 0)
        s->region.header->started_ms = hf_now_read().wall_ms;
    return status;
}
