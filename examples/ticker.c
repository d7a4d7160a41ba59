/*
 * ticker.c - prices, of which only the newest matters: `ticker [URL] CHANNEL...`. With `latest` a connection that is slow, or was away, gets the newest value
 * and none of those in between, and that is no gap. hf_client_run() is the whole main loop.
 */
#include <holdfast/holdfast.h>

#include <stdio.h>
#include <string.h>

static void on_message(void *user, const struct hf_client_message *m)
{
    (void)user;
    printf("%.*s %.*s\n", (int)m->channel.len, m->channel.data, (int)m->payload.len, m->payload.data);
    fflush(stdout);
}

/* A price on the screen is as good as the connection: say when it is stale. */
static void on_disconnected(void *user, const struct hf_client_break *how)
{
    (void)user;
    if (!how->attempt)
        printf("stale: %s\n", how->why);
    fflush(stdout);
}

static void on_ended(void *user, const struct hf_client_break *how)
{
    (void)user;
    fprintf(stderr, "ticker: ended: %s\n", how->why);
}

int main(int argc, char **argv)
{
    const struct hf_client_start newest = {.latest = true};
    struct hf_client_options options;
    struct hf_client *client;
    int first = 1, err;

    hf_client_options_init(&options);
    if (argc > 1 && (strncmp(argv[1], "ws://", 5) == 0 || strncmp(argv[1], "wss://", 6) == 0))
        options.url = argv[first++];
    if (argc <= first) {
        fprintf(stderr, "usage: ticker [URL] CHANNEL...\n");
        return 2;
    }
    options.on_message = on_message;
    options.on_disconnected = on_disconnected;
    options.on_ended = on_ended;
    err = hf_client_new(&options, &client);
    if (err < 0) {
        fprintf(stderr, "ticker: %s\n", hf_client_strerror(err));
        return 1;
    }
    for (int i = first; i < argc && err == 0; i++)
        err = hf_client_subscribe(client, argv[i], strlen(argv[i]), &newest);
    if (err == 0)
        err = hf_client_run(client);
    if (err < 0)
        fprintf(stderr, "ticker: %s\n", hf_client_strerror(err));
    hf_client_free(client);
    return err < 0;
}
