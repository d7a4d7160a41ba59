/*
 * pool.c - publish through several sessions at once: `pool CHANNEL [URL...]` reads lines "KEY TEXT" and publishes each TEXT. Lines of one key keep their order, whatever
 * breaks; those of different keys do not wait for each other. The pool runs in a thread of its own, and publishing waits where it is full.
 */
#include <holdfast/pool.h>

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* Called in the pool's thread. */
static void on_result(void *user, const struct hf_client_result *result)
{
    atomic_int *failed = user;

    if (result->outcome == HF_CLIENT_ACKED)
        return;
    *failed = 1;
    fprintf(stderr, "pool: line %" PRIu64 ": %s %.*s\n", result->publish_id,
            result->outcome == HF_CLIENT_REFUSED ? "refused" : "may or may not have been published",
            (int)result->code.len, result->code.data);
}

static void on_disconnected(void *user, uint32_t member, const struct hf_client_break *how)
{
    (void)user;
    if (!how->attempt)
        fprintf(stderr, "pool: member %" PRIu32 ": %s\n", member, how->why);
}

static int publish_lines(struct hf_pool *pool, const char *channel)
{
    char line[4096];

    while (fgets(line, sizeof(line), stdin) != NULL) {
        size_t key_len = strcspn(line, " \n");
        char *text = line + key_len + (line[key_len] == ' ');
        int err;

        line[strcspn(line, "\n")] = '\0';
        line[key_len] = '\0';
        err = hf_pool_publish_text(pool, line, channel, strlen(channel), text, strlen(text), NULL, NULL);
        if (err < 0) {
            fprintf(stderr, "pool: %s\n", hf_client_strerror(err));
            return err;
        }
    }
    return 0;
}

/* A program with more to do would count in on_result, as its own thread can be woken by that. */
static void wait_for_results(struct hf_pool *pool)
{
    const struct timespec a_little = {.tv_nsec = 10000000};

    while (hf_pool_unanswered(pool) > 0)
        nanosleep(&a_little, NULL);
}

static void print_statistics(struct hf_pool *pool)
{
    struct hf_pool_statistics members[HF_POOL_MEMBERS_MAX];
    uint32_t count = hf_pool_statistics(pool, members, HF_POOL_MEMBERS_MAX, NULL);

    for (uint32_t i = 0; i < count; i++)
        fprintf(stderr, "member %" PRIu32 ": %" PRIu64 " acknowledged, %" PRIu64 " reconnects\n", i,
                members[i].acknowledged, members[i].reconnects);
}

int main(int argc, char **argv)
{
    struct hf_pool_options options;
    struct hf_pool *pool;
    atomic_int failed = 0;
    int err;

    if (argc < 2) {
        fprintf(stderr, "usage: pool CHANNEL [URL...] <LINES\n");
        return 2;
    }
    hf_pool_options_init(&options);
    options.urls = argc > 2 ? (const char *const *)&argv[2] : NULL;
    options.urls_count = (size_t)argc - 2;
    options.wait_ms = 60000;
    options.user = &failed;
    options.on_result = on_result;
    options.on_disconnected = on_disconnected;
    err = hf_pool_start(&options, &pool);
    if (err < 0) {
        fprintf(stderr, "pool: %s\n", hf_client_strerror(err));
        return 1;
    }
    err = publish_lines(pool, argv[1]);
    if (err == 0)
        wait_for_results(pool);
    print_statistics(pool);
    hf_pool_close(pool);
    hf_pool_join(pool);
    hf_pool_free(pool);
    return err < 0 || failed;
}
