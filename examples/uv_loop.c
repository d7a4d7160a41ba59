/*
 * uv_loop.c - a client inside libuv's loop: `uv_loop CHANNEL [URL]` writes the messages of a channel. Before each turn libuv is told which descriptors the
 * client waits for, and until when; after it, the client is told what happened.
 */
#include <holdfast/holdfast.h>

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

struct glue {
    struct hf_client *client;
    uv_loop_t *loop;
    uv_prepare_t prepare;
    uv_check_t check;
    uv_timer_t timer;
    uv_poll_t *polls
        [HF_CLIENT_POLL_MAX]; /* libuv keeps a handle until its close callback, so they live on the heap */
    struct pollfd fds[HF_CLIENT_POLL_MAX];
    int count;
};

static void on_ready(uv_poll_t *poll, int status, int events)
{
    struct pollfd *p = poll->data;

    if (status < 0)
        p->revents |= POLLERR;
    if (events & UV_READABLE)
        p->revents |= POLLIN;
    if (events & UV_WRITABLE)
        p->revents |= POLLOUT;
    if (events & UV_DISCONNECT)
        p->revents |= POLLHUP;
}

static void on_timer(uv_timer_t *timer)
{
    (void)timer; /* That the turn ends is all it is for. */
}

static void on_closed(uv_handle_t *handle)
{
    free(handle);
}

static void start_poll(struct glue *g, int i)
{
    const struct pollfd *p = &g->fds[i];
    uv_poll_t *poll = malloc(sizeof(*poll));

    g->polls[i] = poll;
    if (poll == NULL || uv_poll_init(g->loop, poll, p->fd) < 0) {
        free(poll);
        g->polls[i] = NULL; /* The timeout brings it back to the client. */
        return;
    }
    poll->data = &g->fds[i];
    uv_poll_start(poll,
                  UV_DISCONNECT | (p->events & POLLIN ? UV_READABLE : 0) |
                      (p->events & POLLOUT ? UV_WRITABLE : 0),
                  on_ready);
}

/* Before the loop waits. */
static void on_prepare(uv_prepare_t *prepare)
{
    struct glue *g = prepare->data;
    int timeout;

    g->count = hf_client_prepare(g->client, g->fds, &timeout);
    for (int i = 0; i < g->count; i++) {
        g->fds[i].revents = 0;
        start_poll(g, i);
    }
    uv_timer_stop(&g->timer);
    uv_update_time(g->loop);
    if (timeout >= 0)
        uv_timer_start(&g->timer, on_timer, (uint64_t)timeout, 0);
}

static void on_check(uv_check_t *check)
{
    struct glue *g = check->data;

    /* libuv wants no descriptor closed while it is polled, and the client may close any of them. */
    for (int i = 0; i < g->count; i++)
        if (g->polls[i] != NULL)
            uv_close((uv_handle_t *)g->polls[i], on_closed);
    if (hf_client_process(g->client, g->fds, g->count) > 0)
        return;
    uv_prepare_stop(&g->prepare);
    uv_check_stop(&g->check);
    uv_timer_stop(&g->timer);
}

static void on_message(void *user, const struct hf_client_message *m)
{
    (void)user;
    printf("%.*s\n", (int)m->payload.len, m->payload.data);
    fflush(stdout);
}

static void on_interrupt(uv_signal_t *signal, int number)
{
    struct glue *g = signal->data;

    (void)number;
    hf_client_close(g->client); /* The loop ends when the session has. */
    uv_signal_stop(signal);
}

static int run(struct glue *g)
{
    uv_signal_t interrupt;

    uv_prepare_init(g->loop, &g->prepare);
    uv_check_init(g->loop, &g->check);
    uv_timer_init(g->loop, &g->timer);
    uv_signal_init(g->loop, &interrupt);
    g->prepare.data = g->check.data = interrupt.data = g;
    uv_prepare_start(&g->prepare, on_prepare);
    uv_check_start(&g->check, on_check);
    uv_signal_start(&interrupt, on_interrupt, SIGTERM);
    uv_unref((uv_handle_t *)&interrupt);
    return uv_run(g->loop, UV_RUN_DEFAULT);
}

int main(int argc, char **argv)
{
    struct glue g = {.loop = uv_default_loop()};
    struct hf_client_options options;
    int err;

    if (argc < 2) {
        fprintf(stderr, "usage: uv_loop CHANNEL [URL]\n");
        return 2;
    }
    hf_client_options_init(&options);
    if (argc > 2)
        options.url = argv[2];
    options.on_message = on_message;
    err = hf_client_new(&options, &g.client);
    if (err == 0)
        err = hf_client_subscribe(g.client, argv[1], strlen(argv[1]), NULL);
    if (err == 0)
        err = run(&g);
    if (err < 0)
        fprintf(stderr, "uv_loop: %s\n", hf_client_strerror(err));
    hf_client_free(g.client);
    return err < 0;
}
