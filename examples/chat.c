/*
 * chat.c - a chat on a terminal: `chat ROOM NAME [URL]`. What is typed is published to the channel ROOM, what others type is shown; a line that was typed while
 * there is no connection goes out with the next one. It waits for the terminal and the client in one poll(), as any program with descriptors of its own would.
 */
#include <holdfast/holdfast.h>

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char *room;

static void on_connected(void *user, const struct hf_client_connection *connection)
{
    (void)user;
    fprintf(stderr, "* %s\n", connection->resumed ? "back again, nothing was missed" : "connected");
}

static void on_disconnected(void *user, const struct hf_client_break *how)
{
    (void)user;
    fprintf(stderr, "* %s, trying again\n", how->why);
}

/* The payload is a JSON string, shown as it is: a real program would use its JSON library. */
static void on_message(void *user, const struct hf_client_message *m)
{
    (void)user;
    printf("%.*s\n", (int)m->payload.len, m->payload.data);
    fflush(stdout);
}

static void on_gap(void *user, const struct hf_client_gap *gap)
{
    (void)user;
    (void)gap;
    fprintf(stderr, "* some messages are too old to be had\n");
}

static void on_result(void *user, const struct hf_client_result *result)
{
    (void)user;
    if (result->outcome != HF_CLIENT_ACKED)
        fprintf(stderr, "* a line was not published: %.*s\n", (int)result->reason.len,
                result->code.len > 0 ? result->reason.data : "");
}

static int say(struct hf_client *client, const char *name, const char *line, size_t len)
{
    char text[4096];
    int n = snprintf(text, sizeof(text), "%s: %.*s", name, (int)len, line);
    int err = hf_client_publish_text(client, room, strlen(room), text,
                                     (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1, NULL, NULL);

    if (err < 0)
        fprintf(stderr, "* not published: %s\n", hf_client_strerror(err));
    return err;
}

/* Publish whole lines of what has been typed; returns the bytes that are left over. */
static size_t say_lines(struct hf_client *client, const char *name, char *typed, size_t len)
{
    char *end;

    while ((end = memchr(typed, '\n', len)) != NULL) {
        size_t line = (size_t)(end - typed);

        (void)say(client, name, typed, line);
        len -= line + 1;
        memmove(typed, end + 1, len);
    }
    return len;
}

static int chat(struct hf_client *client, const char *name)
{
    char typed[2048];
    size_t len = 0;
    int running = 1;

    while (running > 0) {
        struct pollfd fds[HF_CLIENT_POLL_MAX + 1];
        int timeout, count = hf_client_prepare(client, fds, &timeout);

        fds[count] = (struct pollfd){.fd = STDIN_FILENO, .events = POLLIN};
        if (poll(fds, (nfds_t)count + 1, timeout) < 0 && errno != EINTR)
            return HF_CLIENT_EIO;
        if (fds[count].revents != 0) {
            ssize_t n = read(STDIN_FILENO, typed + len, sizeof(typed) - len);

            if (n > 0)
                len = say_lines(client, name, typed, len + (size_t)n);
            if (len == sizeof(typed)) /* A line longer than this is cut. */
                len = 0;
            if (n == 0) { /* The end of input: wait for what is on its way, and leave. */
                while (hf_client_unanswered(client) > 0 && hf_client_step(client, -1) > 0)
                    continue;
                hf_client_close(client);
                return hf_client_run(client);
            }
        }
        running = hf_client_process(client, fds, count);
    }
    return running;
}

int main(int argc, char **argv)
{
    struct hf_client_options options;
    struct hf_client *client;
    int err;

    if (argc < 3) {
        fprintf(stderr, "usage: chat ROOM NAME [URL]\n");
        return 2;
    }
    room = argv[1];
    hf_client_options_init(&options);
    if (argc > 3)
        options.url = argv[3];
    options.on_connected = on_connected;
    options.on_disconnected = on_disconnected;
    options.on_message = on_message;
    options.on_gap = on_gap;
    options.on_result = on_result;
    err = hf_client_new(&options, &client);
    if (err == 0) {
        struct hf_client_start newest = {.last = 20};

        err = hf_client_subscribe(client, room, strlen(room), &newest);
        if (err == 0)
            err = chat(client, argv[2]);
        hf_client_free(client);
    }
    if (err < 0)
        fprintf(stderr, "chat: %s\n", hf_client_strerror(err));
    return err < 0;
}
