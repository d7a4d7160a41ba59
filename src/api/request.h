/*
 * request.h - one HTTP request from its head to its answer, whoever goes away in between.
 *
 * READING  -> WAITING  its handler has begun work that the hub has not answered yet; the connection is suspended
 * READING  -> ANSWERED refused, or its handler knew the answer at once
 * WAITING  -> ANSWERED the last piece of work is done, or the API stops
 *
 * It belongs to two: libmicrohttpd's connection, and the work under way, whose callback comes exactly once but maybe when the connection or the
 * whole API is gone. It is freed when both have let go.
 */
#ifndef HF_API_REQUEST_H
#define HF_API_REQUEST_H

#include "api/access.h"
#include "api/body.h"
#include "base/buf.h"
#include "base/list.h"
#include "server/config.h"
#include "server/service.h"

#include <microhttpd.h>

struct hf_api {
    struct hf_hub *hub;
    const struct hf_config *config;
    struct MHD_Daemon *daemon;
    int epoll_fd; /* the daemon's own, and wake_fd: what the worker's loop waits for */
    int wake_fd; /* an eventfd; written when a connection was resumed: MHD_resume_connection() itself wakes nobody in this mode */
    bool woken;  /* wake_fd has been written */
    struct hf_list requests; /* of struct hf_api_request: all that have a connection */
    size_t held_bytes;       /* of their bodies and answers */
    bool stopping;           /* no handler runs any more */
    uint64_t demo_due_ms;    /* when the demo's feed goes on, monotonic; 0: this worker has none */
    uint64_t refused;        /* callers without the right, since the last log line about them */
    uint64_t refused_logged_ms;
};

enum hf_api_state { HF_API_READING, HF_API_WAITING, HF_API_ANSWERED };

struct hf_api_request {
    struct hf_api *api;                /* NULL once it has stopped */
    struct MHD_Connection *connection; /* NULL once it is gone */
    struct hf_list node;               /* in api->requests while there is a connection */
    const struct hf_api_route *route;  /* NULL where the request is refused for itself */
    enum hf_api_state state;
    bool head_read;
    unsigned pending; /* pieces of work not answered yet, and 1 while the handler runs */
    size_t held_bytes;
    size_t body_bytes_max, dropped_bytes;
    struct hf_buf body;

    unsigned status; /* of the answer */
    const char *content_type;
    const char *content_policy; /* Content-Security-Policy of a page; NULL: none */
    const char *allow;          /* with 405 */
    const char *location;       /* with 302 */
    struct hf_buf answer;

    void (*finish)(struct hf_api_request *r); /* makes the answer of the finished work */
    void *work;                               /* of the handler; freed with the request */
};

/* Who may use a route: access.h. */
enum hf_api_right {
    HF_API_WITH_KEY, /* with a key that may do all */
    HF_API_READ,     /* with any key: it changes nothing */
    HF_API_OPEN,     /* everyone */
    HF_API_DEMO,     /* the demo's page; there is no such route unless demo.enabled */
    HF_API_ADMIN,    /* everyone: files of the admin page; there is no such route without api.admin */
};

struct hf_api_route {
    const char *path;
    const char *method; /* "GET" serves HEAD too */
    enum hf_api_right right;
    size_t extra_bytes; /* of its body, besides what a message may need */
    void (*handle)(struct hf_api_request *r);
};

/* What libmicrohttpd calls; `context` is the struct hf_api. hf_api_on_uri comes first, with what stands in the request line. */
void *hf_api_on_uri(void *context, const char *uri, struct MHD_Connection *connection);
enum MHD_Result hf_api_on_request(void *context, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *upload_data,
                                  size_t *upload_data_size, void **request);
void hf_api_on_completed(void *context, struct MHD_Connection *connection, void **request,
                         enum MHD_RequestTerminationCode why);

/* The API stops: answer what waits with 503. Its work may still be under way. */
void hf_api_request_abandon(struct hf_api_request *r);

/* For handlers. Each request gets one answer: a status and what is in r->answer, or an error. */
void hf_api_answer(struct hf_api_request *r, unsigned status);
void hf_api_answer_error(struct hf_api_request *r, enum hf_code code, const char *reason);
void hf_api_answer_status(struct hf_api_request *r, unsigned status, const char *code, const char *reason);
/* The answer was written into r->answer with this result: 200, or the error that fits. */
void hf_api_answer_written(struct hf_api_request *r, int err);
/* 200 with a file of a page; type: static text. */
void hf_api_answer_file(struct hf_api_request *r, const char *type, struct hf_str file);

/* A handler that begins work: r->finish and r->work are set, then each piece is begun before its hub call, and done in the hub's callback. */
void hf_api_work_begin(struct hf_api_request *r);
void hf_api_work_done(struct hf_api_request *r);

/* What the request's caller may do of what hf_api_access() judges, as a reader. */
struct hf_api_verdict hf_api_request_access(const struct hf_api_request *r);

/* The HTTP status for a code. */
unsigned hf_api_status(enum hf_code code);

#endif
