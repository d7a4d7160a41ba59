#include "api/api.h"

#include "api/demo.h"
#include "api/request.h"
#include "base/assert.h"
#include "server/logger.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* What libmicrohttpd has to say, mostly of peers that speak no HTTP. */
static void on_log(void *context, const char *fmt, va_list args) __attribute__((format(printf, 2, 0)));

static void on_log(void *context, const char *fmt, va_list args)
{
    char text[256];

    vsnprintf(text, sizeof(text), fmt, args);
    text[strcspn(text, "\n")] = '\0';
    hf_log(HF_LOG_DEBUG, "api_http", hf_kv_text("text", text));
}

static struct MHD_Daemon *start_daemon(struct hf_api *api, int listen_fd)
{
    unsigned flags = MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG |
                     (listen_fd < 0 ? MHD_USE_NO_LISTEN_SOCKET : 0);
    struct MHD_OptionItem listen_option[] = {
        {listen_fd < 0 ? MHD_OPTION_END : MHD_OPTION_LISTEN_SOCKET, listen_fd, NULL},
        {MHD_OPTION_END, 0, NULL}};

    return MHD_start_daemon(flags, 0, NULL, NULL, hf_api_on_request, api, MHD_OPTION_EXTERNAL_LOGGER, on_log,
                            NULL, MHD_OPTION_ARRAY, listen_option, MHD_OPTION_URI_LOG_CALLBACK, hf_api_on_uri,
                            api, MHD_OPTION_NOTIFY_COMPLETED, hf_api_on_completed, NULL,
                            MHD_OPTION_CONNECTION_LIMIT, (unsigned)HF_API_CONNECTIONS_MAX,
                            MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)HF_API_IDLE_SECONDS, MHD_OPTION_END);
}

static void close_if_open(int fd)
{
    if (fd >= 0)
        close(fd);
}

static int watch(struct hf_api *api, int fd)
{
    struct epoll_event event = {.events = EPOLLIN};

    return epoll_ctl(api->epoll_fd, EPOLL_CTL_ADD, fd, &event);
}

/* Everything but the daemon. Returns 0, or -1 with errno. */
static int open_descriptors(struct hf_api *api)
{
    api->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    api->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    return api->wake_fd < 0 || api->epoll_fd < 0 ? -1 : watch(api, api->wake_fd);
}

static int join_daemon(struct hf_api *api)
{
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(api->daemon, MHD_DAEMON_INFO_EPOLL_FD);

    hf_assert(info != NULL);
    return watch(api, info->epoll_fd);
}

/* Takes NULL and a half-built one. */
static void api_free(struct hf_api *api)
{
    if (api == NULL)
        return;
    if (api->daemon != NULL)
        MHD_stop_daemon(api->daemon);
    close_if_open(api->epoll_fd);
    close_if_open(api->wake_fd);
    free(api);
}

static void *api_start(struct hf_hub *hub, const struct hf_config *config, int listen_fd)
{
    struct hf_api *api = calloc(1, sizeof(*api));
    int fd = -1;

    if (api == NULL)
        goto failed;
    *api = (struct hf_api){.hub = hub, .config = config, .epoll_fd = -1, .wake_fd = -1};
    hf_list_init(&api->requests);
    hf_api_demo_start(api);
    if (open_descriptors(api) < 0)
        goto failed;
    if (listen_fd >= 0)
        fd = fcntl(listen_fd, F_DUPFD_CLOEXEC, 0); /* The daemon closes the one that it has. */
    api->daemon = fd < 0 && listen_fd >= 0 ? NULL : start_daemon(api, fd);
    if (api->daemon == NULL)
        goto failed;
    fd = -1;
    if (join_daemon(api) < 0)
        goto failed;
    return api;
failed:
    hf_log(HF_LOG_ERROR, "api_start_failed", hf_kv_errno("error", errno));
    close_if_open(fd);
    api_free(api);
    return NULL;
}

/* The daemon closes the socket where it does not take it. */
static int api_add(void *context, int fd, const struct sockaddr_storage *address)
{
    struct hf_api *api = context;

    return MHD_add_connection(api->daemon, fd, (const struct sockaddr *)address, sizeof(*address)) == MHD_YES
               ? 0
               : HF_ELIMIT;
}

static int api_fd(void *api)
{
    return ((struct hf_api *)api)->epoll_fd;
}

static int daemon_timeout_ms(struct hf_api *api)
{
    MHD_UNSIGNED_LONG_LONG timeout_ms;

    if (MHD_get_timeout(api->daemon, &timeout_ms) != MHD_YES)
        return -1;
    return timeout_ms > INT_MAX ? INT_MAX : (int)timeout_ms;
}

static int api_timeout_ms(void *context)
{
    struct hf_api *api = context;
    int daemon_ms = daemon_timeout_ms(api), demo_ms = hf_api_demo_timeout_ms(api);

    return demo_ms >= 0 && (daemon_ms < 0 || demo_ms < daemon_ms) ? demo_ms : daemon_ms;
}

static void api_run(void *context)
{
    struct hf_api *api = context;
    eventfd_t count;

    if (api->woken)
        eventfd_read(api->wake_fd, &count);
    api->woken = false;
    hf_api_demo_run(api);
    MHD_run(api->daemon);
}

static void api_stop(void *context)
{
    struct hf_api *api = context;

    api->stopping = true;
    close_if_open(MHD_quiesce_daemon(api->daemon));
    for (struct hf_list *node = api->requests.next; node != &api->requests; node = node->next)
        hf_api_request_abandon(HF_CONTAINER(node, struct hf_api_request, node));
    MHD_run(api->daemon); /* The answers go out as far as the sockets take them. */
    MHD_stop_daemon(api->daemon);
    api->daemon = NULL;
    hf_assert(hf_list_empty(&api->requests));
    api_free(api);
}

const struct hf_api_ops hf_api_http = {

    .start = api_start,
    .add = api_add,
    .fd = api_fd,
    .timeout_ms = api_timeout_ms,
    .run = api_run,
    .stop = api_stop};
