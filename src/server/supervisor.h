/*
 * supervisor.h - the parent process: sockets, shared memory, workers and their restarts, signals.
 */
#ifndef HF_SERVER_SUPERVISOR_H
#define HF_SERVER_SUPERVISOR_H

#include "server/config.h"
#include "server/config_reload.h"

#include <sys/socket.h>

struct hf_hub;

/*
 * The HTTP API of a worker, seen from its loop. Given from above (cli/serve.c), because api/ lies below server/.
 * start(): listen_fd is a listening, non-blocking socket of this worker slot, or -1: connections come by add(); returns NULL with a logged error
 * where it fails. add(): a connected, non-blocking socket, which is taken, and whose peer it is; returns 0 or a negative enum hf_err.
 */
struct hf_api_ops {
    void *(*start)(struct hf_hub *hub, const struct hf_config *config, int listen_fd);
    int (*add)(void *api, int fd, const struct sockaddr_storage *address);
    int (*fd)(void *api);         /* descriptor that is readable when run() has something to do */
    int (*timeout_ms)(void *api); /* run() is due in that time at the latest; -1: no need */
    void (*run)(void *api);
    void (*stop)(void *api); /* no new requests; those under way are ended; frees it */
};

typedef void hf_supervisor_ready(const struct hf_config *config);

/*
 * Serve until SIGTERM or SIGINT and return the exit status: 0 after a drain, 1 where serving failed later, 2 where it could not start (port in use,
 * descriptors, memory), with one clear line on standard error. ready: told once, when all workers serve, with what is in force: the addresses of
 * inherited sockets too; NULL: nobody is. source: where the configuration is
 * read anew on SIGHUP.
 */
int hf_supervisor_run(const struct hf_config *config, const struct hf_api_ops *api,
                      hf_supervisor_ready *ready, const struct hf_config_source *source);

#endif
