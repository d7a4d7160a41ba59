/*
 * heartbeat_client.c - a client that says nothing: test_client_heartbeat.py looks at its heartbeats and probes.
 *
 *   heartbeat_client URL TOLERANCE_MS [MEMORY]
 *
 * It prints a line when it is connected, disconnected, or has a problem, and ends its session when standard input ends.
 */
#include "holdfast/holdfast.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void on_connected(void *user, const struct hf_client_connection *connection)
{
    (void)user;
    printf("connected %u\n", connection->connections);
}

static void on_disconnected(void *user, const struct hf_client_break *how)
{
    (void)user;
    printf("disconnected: %s\n", how->why);
}

static void on_problem(void *user, const struct hf_client_problem *problem)
{
    (void)user;
    printf("problem %.*s: %.*s\n", (int)problem->code.len, problem->code.data, (int)problem->reason.len,
           problem->reason.data);
}

static int turn(struct hf_client *client)
{
    struct pollfd fds[HF_CLIENT_POLL_MAX + 1];
    int timeout_ms;
    int count = hf_client_prepare(client, fds, &timeout_ms);

    fds[count] = (struct pollfd){.fd = STDIN_FILENO, .events = POLLIN};
    if (poll(fds, (nfds_t)count + 1, timeout_ms) < 0)
        return -1;
    if (fds[count].revents != 0)
        hf_client_close(client);
    return hf_client_process(client, fds, count);
}

int main(int argc, char **argv)
{
    struct hf_client_options options;
    struct hf_client *client;
    int err;

    if (argc < 3)
        return 2;
    setvbuf(stdout, NULL, _IOLBF, 0);
    hf_client_options_init(&options);
    options.url = argv[1];
    options.heartbeat_tolerance_ms = strtoull(argv[2], NULL, 10);
    options.heartbeat_memory = argv[3];
    options.on_connected = on_connected;
    options.on_disconnected = on_disconnected;
    options.on_problem = on_problem;
    err = hf_client_new(&options, &client);
    if (err < 0) {
        printf("refused: %s\n", hf_client_strerror(err));
        return 1;
    }
    while ((err = turn(client)) > 0)
        ;
    hf_client_free(client);
    return err < 0 ? 1 : 0;
}
