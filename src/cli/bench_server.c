#include "cli/bench_server.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FILE_MAX = 64 * 1024 };

/* The beginning of a small file as a string. Returns false where it cannot be read. */
static bool read_file(const char *path, char *text, size_t cap)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t len = 0;
    ssize_t n = 0;

    if (fd < 0)
        return false;
    while (len < cap - 1 && (n = read(fd, text + len, cap - 1 - len)) > 0)
        len += (size_t)n;
    (void)close(fd);
    text[len] = '\0';
    return n >= 0 && len > 0;
}

/* proc(5): utime and stime, the 14th and 15th field of stat, in clock ticks; the name, the 2nd, may hold anything but ends at the last ')'. */
static uint64_t ticks_ns(const char *task)
{
    char path[96], text[1024], *at;
    uint64_t user;

    (void)snprintf(path, sizeof(path), "%s/stat", task);
    if (!read_file(path, text, sizeof(text)) || (at = strrchr(text, ')')) == NULL)
        return 0;
    for (unsigned field = 2; field < 14; field++) {
        at += strcspn(at, " ");
        at += strspn(at, " ");
    }
    user = strtoull(at, &at, 10);
    return (user + strtoull(at, NULL, 10)) * (1000000000 / (uint64_t)sysconf(_SC_CLK_TCK));
}

/* Nanoseconds where the kernel tells them: a tick of 10 ms is coarse for a second of work. */
static uint64_t task_cpu_ns(const char *task)
{
    char path[96], text[128];

    (void)snprintf(path, sizeof(path), "%s/schedstat", task);
    if (read_file(path, text, sizeof(text)) && strtoull(text, NULL, 10) > 0)
        return strtoull(text, NULL, 10);
    return ticks_ns(task);
}

static void add_children(struct hf_bench_figures *f, const char *task, bool memory);

static void add_tasks(struct hf_bench_figures *f, pid_t pid, bool memory)
{
    char path[64], task[80];
    struct dirent *entry;
    DIR *dir;

    (void)snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
    dir = opendir(path);
    if (dir == NULL)
        return;
    while ((entry = readdir(dir)) != NULL) {
        if (entry->d_name[0] == '.')
            continue;
        (void)snprintf(task, sizeof(task), "/proc/%d/task/%.16s", (int)pid, entry->d_name);
        f->cpu_ns += task_cpu_ns(task);
        add_children(f, task, memory);
    }
    (void)closedir(dir);
}

static uint64_t field_bytes(const char *text, const char *name)
{
    const char *at = strstr(text, name);

    return at == NULL ? 0 : strtoull(at + strlen(name), NULL, 10) * 1024;
}

static void add_memory(struct hf_bench_figures *f, pid_t pid)
{
    char path[64], text[4096];

    (void)snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", (int)pid);
    if (!read_file(path, text, sizeof(text)))
        return;
    f->pss_bytes += field_bytes(text, "\nPss:");
    f->rss_bytes += field_bytes(text, "\nRss:");
}

static void add_process(struct hf_bench_figures *f, pid_t pid, bool memory)
{
    char path[64];

    (void)snprintf(path, sizeof(path), "/proc/%d", (int)pid);
    if (access(path, F_OK) < 0)
        return;
    f->processes++;
    if (memory)
        add_memory(f, pid);
    add_tasks(f, pid, memory);
}

static void add_children(struct hf_bench_figures *f, const char *task, bool memory)
{
    char path[96], *text = malloc(FILE_MAX), *at = text;
    long pid;

    (void)snprintf(path, sizeof(path), "%s/children", task);
    if (text != NULL && read_file(path, text, FILE_MAX))
        while ((pid = strtol(at, &at, 10)) > 0)
            add_process(f, (pid_t)pid, memory);
    free(text);
}

struct hf_bench_figures hf_bench_figures_read(const pid_t *pids, unsigned count, bool memory)
{
    struct hf_bench_figures figures = {0};

    for (unsigned i = 0; i < count; i++)
        add_process(&figures, pids[i], memory);
    return figures;
}
