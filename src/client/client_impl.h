/*
 * client_impl.h - what the files of the client share; included by them alone.
 *   client.c          making and freeing
 *   client_event.c    what the session tells, as the application's callbacks get it
 *   client_request.c  what the application asks for
 *   client_run.c      the turn of the loop
 *   client_members.c  presence, as the application's callbacks get it
 *   client_token.c    when the application is asked for a token
 */
#ifndef HF_CLIENT_CLIENT_IMPL_H
#define HF_CLIENT_CLIENT_IMPL_H

#include "base/buf.h"
#include "base/str.h"
#include "client/alarm.h"
#include "client/heartbeats.h"
#include "client/outbox_file.h"
#include "client/servers.h"
#include "client/signals.h"
#include "client/socket.h"
#include "client/tls.h"
#include "client/tokens.h"
#include "holdfast/holdfast.h"
#include "session/client_session.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum {
    HF_CLIENT_TEXT_BYTES_MAX = 1024 * 1024 * 1024, /* more no outbox takes */
};

struct hf_client {
    struct hf_client_options options; /* a copy, strings and all */
    struct hf_servers servers;
    struct hf_client_tls *tls;          /* NULL: no URL is wss */
    struct hf_outbox_file *outbox_file; /* NULL: memory keeps the outbox */
    struct hf_heartbeats heartbeats;    /* the session borrows its policy */
    struct hf_client_session *session;
    bool in_callback;
    bool sync_failed; /* of the outbox file; the application has been told */
    struct hf_socket sockets[HF_CLIENT_SESSION_SLOTS];
    struct hf_signals signals;
    int wake_fd;
    struct hf_alarm alarm; /* rings at the next deadline */
    atomic_bool stopped;
    int64_t asleep_ms;              /* boot time less awake time, when last looked */
    struct hf_client_message *kept; /* of the answer to a history request that is coming in */
    uint32_t kept_count, kept_cap;
    bool kept_failed;                 /* there was no memory for all of them */
    struct hf_client_member *members; /* the same of the answer to a presence request */
    uint32_t members_count, members_cap;
    bool members_failed;
    struct hf_tokens tokens;
    struct hf_buf scratch; /* a text on its way to become a JSON string */
    uint8_t buf[HF_READ_BYTES];
};

static inline struct hf_client_text hf_client_text(struct hf_str s)
{
    return (struct hf_client_text){s.data, s.len};
}

/* Tell the application; ctx is the client. As the session's on_event. */
void hf_client_tell(void *ctx, const struct hf_client_session_event *ev);
/* The same for what is about presence. */
void hf_client_tell_member(struct hf_client *c, const struct hf_client_session_event *ev);
void hf_client_tell_members(struct hf_client *c, const struct hf_client_session_event *ev);
void hf_client_tell_presence(const struct hf_client *c, const struct hf_client_session_event *ev);
/* Room for one element more of that many bytes; NULL: there is no memory for it. *cap is how many there is room for. */
void *hf_client_grow(void *list, uint32_t count, uint32_t *cap, size_t bytes) HF_MUST_CHECK;

/* Whether the connection that is wanted for this attempt is to wait for a token, which the application has been asked for then. */
bool hf_client_token_missing(struct hf_client *c, uint32_t attempt, uint64_t now_ms);
/* When there is something to do about tokens, UINT64_MAX: never; and doing it. */
uint64_t hf_client_token_deadline_ms(const struct hf_client *c, uint64_t now_ms);
void hf_client_token_tick(struct hf_client *c, uint64_t now_ms);
/* The server does not take the token, if that is what this says. */
void hf_client_token_noted(struct hf_client *c, const struct hf_client_session_event *ev);

/* What is wrong with the file of remembered networks, once. */
void hf_client_tell_heartbeats(struct hf_client *c);

#endif
