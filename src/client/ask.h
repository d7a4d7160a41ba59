/*
 * ask.h - history and presence requests, calls and pings that a thread or a pool hands to a client, and whose answer they get. A client numbers them itself and takes
 * HF_REQUESTS_MAX at once; each command keeps here which number it has there, and so finds back to the number that the mailbox gave it.
 * Commands are in lists of their owner: those that wait for room in a client, and those that wait for their answer.
 */
#ifndef HF_CLIENT_ASK_H
#define HF_CLIENT_ASK_H

#include "base/err.h"
#include "base/list.h"
#include "client/command.h"

#include <stdint.h>

struct hf_client;

/*
 * Ask the client; the command, which is in no list, is then in `asked`. HF_EAGAIN, HF_ENOMEM: not now, later; HF_ESTATE: not this session; HF_ETOOLARGE: a call whose payload is larger
 * than the server takes, which only the client knows.
 */
int hf_ask(struct hf_list *asked, struct hf_client *client, struct hf_command *command) HF_MUST_CHECK;
/* Ask for what waits, in its order, as far as the client takes it; the rest stays. What is too large is moved to `refused`. */
void hf_ask_waiting(struct hf_list *asked, struct hf_client *client, struct hf_list *waiting,
                    struct hf_list *refused);
/* What is told of a call that was refused so, of one whose session has ended (HF_ESTATE), or that found no connection in time (HF_ETIMEOUT). */
struct hf_client_reply hf_ask_refused(const struct hf_command *command, int err);
/* The one that the client has answered under its number, out of the list; NULL: it was taken back meanwhile. */
struct hf_command *hf_ask_answered(struct hf_list *asked, uint64_t client_id);
/* Take back all that fit: to the front of those that wait, in their order. */
void hf_ask_again(struct hf_list *asked, bool (*fits)(const struct hf_command *command),
                  struct hf_list *waiting);

#endif
