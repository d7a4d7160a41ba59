/*
 * pool_load.c - publishes through a pool as fast as it goes, and prints what came of it; driven by bench/pool.
 *   pool_load URL MEMBERS MESSAGES BYTES CHANNELS
 * One thread publishes MESSAGES of BYTES each, without a key, to CHANNELS channels in turn. The clock runs from the first publish, with all
 * members connected, to the last acknowledgement. Prints: messages per second, CPU seconds of this process.
 */
#include "holdfast/pool.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

enum { BYTES_MAX = 60000, WAIT_MS = 60000, CONNECT_S = 20, PAUSE_US = 500 };

static double seconds_now(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double cpu_seconds(void)
{
    struct rusage use;

    (void)getrusage(RUSAGE_SELF, &use);
    return (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
           (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6;
}

static void pause_a_little(void)
{
    const struct timespec pause = {.tv_nsec = PAUSE_US * 1000};

    (void)nanosleep(&pause, NULL);
}

static void on_result(void *user, const struct hf_client_result *result)
{
    atomic_ullong *failed = user;

    if (result->outcome != HF_CLIENT_ACKED)
        atomic_fetch_add(failed, 1);
}

static int wait_connected(struct hf_pool *pool, uint32_t members)
{
    double until = seconds_now() + CONNECT_S;
    struct hf_pool_statistics all;

    do {
        (void)hf_pool_statistics(pool, NULL, 0, &all);
        if (all.connected == members)
            return 0;
        pause_a_little();
    } while (seconds_now() < until);
    (void)fprintf(stderr, "pool_load: %" PRIu32 " of %" PRIu32 " members are connected after %d s\n",
                  all.connected, members, CONNECT_S);
    return -1;
}

static int publish_all(struct hf_pool *pool, uint64_t messages, size_t bytes, unsigned channels)
{
    static char payload[BYTES_MAX + 2];
    char channel[32];
    uint64_t n;

    memset(payload, 'x', bytes);
    payload[0] = payload[bytes - 1] = '"';
    for (n = 0; n < messages; n++) {
        int len = snprintf(channel, sizeof(channel), "bench-%u", (unsigned)(n % channels));
        int err = hf_pool_publish(pool, NULL, channel, (size_t)len, payload, bytes, NULL, NULL);

        if (err < 0) {
            (void)fprintf(stderr, "pool_load: publish: %s\n", hf_client_strerror(err));
            return -1;
        }
    }
    while (hf_pool_unanswered(pool) > 0)
        pause_a_little();
    return 0;
}

static int measure(struct hf_pool *pool, char **argv)
{
    uint64_t messages = strtoull(argv[3], NULL, 10);
    double began, took, cpu;

    if (wait_connected(pool, (uint32_t)strtoul(argv[2], NULL, 10)) < 0)
        return -1;
    cpu = cpu_seconds();
    began = seconds_now();
    if (publish_all(pool, messages, strtoul(argv[4], NULL, 10), (unsigned)strtoul(argv[5], NULL, 10)) < 0)
        return -1;
    took = seconds_now() - began;
    printf("%.0f %.3f\n", (double)messages / took, cpu_seconds() - cpu);
    return 0;
}

int main(int argc, char **argv)
{
    struct hf_pool_options options;
    struct hf_pool *pool;
    atomic_ullong failed = 0;
    int err;

    if (argc != 6 || strtoull(argv[3], NULL, 10) == 0 || strtoul(argv[4], NULL, 10) < 2 ||
        strtoul(argv[4], NULL, 10) > BYTES_MAX || strtoul(argv[5], NULL, 10) == 0) {
        (void)fprintf(stderr, "usage: pool_load URL MEMBERS MESSAGES BYTES CHANNELS (BYTES: 2 to %d)\n",
                      BYTES_MAX);
        return 2;
    }
    hf_pool_options_init(&options);
    options.client.url = argv[1];
    options.members = (uint32_t)strtoul(argv[2], NULL, 10);
    options.wait_ms = WAIT_MS;
    options.user = &failed;
    options.on_result = on_result;
    err = hf_pool_start(&options, &pool);
    if (err < 0) {
        (void)fprintf(stderr, "pool_load: %s\n", hf_client_strerror(err));
        return 1;
    }
    err = measure(pool, argv);
    hf_pool_close(pool);
    (void)hf_pool_join(pool);
    hf_pool_free(pool);
    if (atomic_load(&failed) > 0)
        (void)fprintf(stderr, "pool_load: %llu publishes were not acknowledged\n", atomic_load(&failed));
    return err < 0 || atomic_load(&failed) > 0 ? 1 : 0;
}
