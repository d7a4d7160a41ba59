/*
 * durable_publisher.c - publish the numbers 1, 2, 3 … COUNT to a channel, each exactly once, however often this program is killed and started again.
 *
 *     durable_publisher URL CHANNEL COUNT FILE
 *
 * FILE keeps what the server has not acknowledged. The number of publishes that it has accepted in all its life says where to go on, so that the numbers
 * could as well be the lines of a file, or the entries of a queue. For each publish that has its result there is a line on standard output.
 */
#include <holdfast/holdfast.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NUMBERS_A_STEP = 100 }; /* between two looks at the network */

static void on_result(void *user, const struct hf_client_result *result)
{
    (void)user;
    switch (result->outcome) {
    case HF_CLIENT_ACKED:
        printf("acknowledged %" PRIu64 "\n", result->publish_id);
        break;
    case HF_CLIENT_REFUSED:
        printf("refused %" PRIu64 " %.*s\n", result->publish_id, (int)result->code.len, result->code.data);
        break;
    case HF_CLIENT_UNCERTAIN:
        printf("uncertain %" PRIu64 "\n", result->publish_id);
        break;
    }
}

static void on_problem(void *user, const struct hf_client_problem *problem)
{
    (void)user;
    fprintf(stderr, "%.*s: %.*s\n", (int)problem->code.len, problem->code.data, (int)problem->reason.len,
            problem->reason.data);
}

static void on_ended(void *user, const struct hf_client_break *how)
{
    (void)user;
    if (!how->asked)
        fprintf(stderr, "ended: %s\n", how->why);
}

/* Give the client what it takes. Returns 1 where there is more, 0 where all is given, or an error. */
static int publish_some(struct hf_client *client, const char *channel, uint64_t count)
{
    char number[24];
    int i, err, len;

    for (i = 0; i < NUMBERS_A_STEP && hf_client_next_id(client) <= count; i++) {
        len = snprintf(number, sizeof(number), "%" PRIu64, hf_client_next_id(client));
        err = hf_client_publish(client, channel, strlen(channel), number, (size_t)len, NULL, NULL);
        if (err == HF_CLIENT_EAGAIN)
            return 1; /* The outbox is full: there will be room when the server has answered. */
        if (err < 0)
            return err;
    }
    return hf_client_next_id(client) <= count;
}

/* A full disk is no reason to give up: what is in the file is sent, which makes room. */
static int publish_all(struct hf_client *client, const char *channel, uint64_t count)
{
    int running = 1, more = 1, full = 0, closing = 0;

    while (running > 0) {
        if (!closing)
            more = publish_some(client, channel, count);
        if (more == HF_CLIENT_ENOSPACE && !full)
            fprintf(stderr, "%s\n", hf_client_strerror(more));
        full = more == HF_CLIENT_ENOSPACE;
        if (more < 0 && !full)
            return more;
        if (more == 0 && hf_client_unanswered(client) == 0 && !closing) {
            hf_client_close(client);
            closing = 1;
        }
        running = hf_client_step(client, full || more == 0 ? 100 : 1);
    }
    return closing ? running : HF_CLIENT_ESTATE;
}

int main(int argc, char **argv)
{
    struct hf_client_options options;
    struct hf_client *client = NULL;
    int err;

    if (argc != 5) {
        fprintf(stderr, "usage: durable_publisher URL CHANNEL COUNT FILE\n");
        return 2;
    }
    /* A result that has been told is not told again by the next process: what is noted of it must be safe when on_result returns. */
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    hf_client_options_init(&options);
    options.url = argv[1];
    options.outbox_path = argv[4];
    options.on_result = on_result;
    options.on_problem = on_problem;
    options.on_ended = on_ended;
    err = hf_client_new(&options, &client);
    if (err == 0) {
        fprintf(stderr, "goes on with %" PRIu64 ", %u before it are without an answer\n",
                hf_client_next_id(client), hf_client_unanswered(client));
        err = publish_all(client, argv[2], strtoull(argv[3], NULL, 10));
    }
    if (err < 0)
        fprintf(stderr, "%s: %s%s%s\n", argv[4], hf_client_strerror(err), err == HF_CLIENT_EIO ? ": " : "",
                err == HF_CLIENT_EIO ? strerror(errno) : "");
    hf_client_free(client);
    return err < 0 ? 1 : 0;
}
