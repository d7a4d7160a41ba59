/*
 * blocking_publisher.c - for test_outbox.py: publishes COUNT texts through an outbox of five with a publish that waits for room, and says what each
 * call and each publish came to.
 *
 *     blocking_publisher URL CHANNEL COUNT BLOCK_MS
 */
#include <holdfast/holdfast.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { OUTBOX = 5, STOP_MS = 300 };

struct publisher {
    struct hf_client *client;
    const char *channel;
    unsigned told, told_by_all;
    bool callback_full;
};

static const char words[] = "\xc3\xa4 \"text\"";

static int publish(struct publisher *p, struct hf_client_publication *publication)
{
    publication->channel = p->channel;
    publication->channel_len = strlen(p->channel);
    publication->payload = words;
    publication->payload_len = sizeof(words) - 1;
    publication->text = true;
    return hf_client_publish_with(p->client, publication, NULL);
}

/* Of one publish. In here the outbox may be filled, and is then full at once. */
static void on_done(void *user, const struct hf_client_result *result)
{
    struct publisher *p = user;
    struct hf_client_publication nobody_asks = {.id = NULL};
    int err = 0;

    p->told += result->outcome == HF_CLIENT_ACKED;
    if (p->callback_full)
        return;
    while (err == 0)
        err = publish(p, &nobody_asks);
    p->callback_full = true;
    printf("in a callback: %s\n", hf_client_strerror(err));
}

static void on_result(void *user, const struct hf_client_result *result)
{
    struct publisher *p = user;

    p->told_by_all += result->outcome == HF_CLIENT_ACKED;
}

static void *stop_later(void *client)
{
    const struct timespec wait = {.tv_nsec = STOP_MS * 1000000L};

    (void)nanosleep(&wait, NULL);
    hf_client_stop(client);
    return NULL;
}

int main(int argc, char **argv)
{
    struct publisher p = {.client = NULL};
    struct hf_client_options options;
    unsigned count, accepted = 0;
    pthread_t stopper;
    int err = 0;

    if (argc != 5)
        return 2;
    p.channel = argv[2];
    count = (unsigned)strtoul(argv[3], NULL, 10);
    hf_client_options_init(&options);
    options.url = argv[1];
    options.outbox_messages_max = OUTBOX;
    options.outbox_block_ms = (uint32_t)strtoul(argv[4], NULL, 10);
    options.user = &p;
    options.on_result = on_result;
    if (hf_client_new(&options, &p.client) < 0)
        return 1;
    if (count == 0 && pthread_create(&stopper, NULL, stop_later, p.client) != 0)
        return 1;
    while (err == 0 && (count == 0 || accepted < count)) {
        struct hf_client_publication publication = {.on_result = on_done, .user = &p};

        err = publish(&p, &publication);
        accepted += err == 0;
    }
    printf("accepted %u: %s\n", accepted, hf_client_strerror(err));
    while (err == 0 && hf_client_unanswered(p.client) > 0)
        err = hf_client_step(p.client, -1) < 0 ? HF_CLIENT_EIO : 0;
    printf("told %u by their own, %u in all\n", p.told, p.told_by_all);
    if (count == 0)
        (void)pthread_join(stopper, NULL);
    hf_client_free(p.client);
    return 0;
}
