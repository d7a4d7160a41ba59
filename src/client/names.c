#include "client/names.h"

#include "base/assert.h"

#include <ares.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/time.h>

/* A query that is lost must be repeated well within an attempt's four seconds; c-ares' own default is five. Guesses. */
enum { QUERY_MS = 1000, QUERY_TRIES = 3 };

void hf_names_init(struct hf_names *n)
{
    *n = (struct hf_names){.channel = NULL};
}

/* --- descriptors --- */

static struct pollfd *find(struct hf_names *n, int fd)
{
    unsigned i;

    for (i = 0; i < n->fd_count; i++)
        if (n->fds[i].fd == fd)
            return &n->fds[i];
    return NULL;
}

/* c-ares wants to know of this socket what is said; neither: it is about to be closed. */
static void on_socket(void *data, ares_socket_t fd, int readable, int writable)
{
    struct hf_names *n = data;
    struct pollfd *at = find(n, fd);

    if (readable == 0 && writable == 0) {
        if (at != NULL)
            *at = n->fds[--n->fd_count];
        return;
    }
    if (at == NULL && n->fd_count == HF_NAMES_FDS_MAX)
        return; /* With so few servers there cannot be more; if there are, the question is repeated elsewhere. */
    if (at == NULL)
        at = &n->fds[n->fd_count++];
    *at = (struct pollfd){.fd = fd,
                          .events = (short)((readable != 0 ? POLLIN : 0) | (writable != 0 ? POLLOUT : 0))};
}

/* --- answers --- */

static bool take_address(const struct ares_addrinfo_node *node, struct hf_race_address *out)
{
    *out = (struct hf_race_address){.scope = 0};
    if (node->ai_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)node->ai_addr;

        out->ip = hf_ip_v4((const uint8_t *)&v4->sin_addr);
        return true;
    }
    if (node->ai_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)node->ai_addr;

        memcpy(out->ip.bytes, &v6->sin6_addr, sizeof(out->ip.bytes));
        out->scope = v6->sin6_scope_id;
        return true;
    }
    return false;
}

static void take_addresses(struct hf_names_answer *answer, const struct ares_addrinfo *found)
{
    const struct ares_addrinfo_node *node;

    answer->ttl_s = UINT32_MAX;
    for (node = found->nodes; node != NULL && answer->count < HF_NAMES_ADDRESSES_MAX; node = node->ai_next) {
        uint32_t ttl_s = node->ai_ttl < 0 ? 0 : (uint32_t)node->ai_ttl;

        answer->count += take_address(node, &answer->list[answer->count]);
        if (ttl_s < answer->ttl_s)
            answer->ttl_s = ttl_s;
    }
}

static void say_why(struct hf_names_answer *answer, int status)
{
    switch (status) {
    case ARES_ENOTFOUND:
    case ARES_EBADNAME:
        answer->why = "there is no such name: is the URL's host spelled right?";
        break;
    case ARES_SUCCESS: /* without an address */
    case ARES_ENODATA:
        answer->why = "the name has no address";
        break;
    case ARES_ETIMEOUT:
        answer->unanswered = true;
        answer->why = "no name server answered";
        break;
    case ARES_ECONNREFUSED:
        answer->unanswered = true;
        answer->why = "no name server can be reached";
        break;
    default:
        answer->unanswered = true;
        answer->why = ares_strerror(status);
        break;
    }
}

static void on_answer(struct hf_names_answer *answer, int status, struct ares_addrinfo *found)
{
    if (status == ARES_EDESTRUCTION) /* hf_names_end() */
        return;
    answer->there = true;
    if (status == ARES_SUCCESS)
        take_addresses(answer, found);
    if (answer->count == 0)
        say_why(answer, status);
    ares_freeaddrinfo(found); /* NULL is allowed. */
}

static void on_v6(void *arg, int status, int timeouts, struct ares_addrinfo *found)
{
    struct hf_names *n = arg;

    (void)timeouts;
    on_answer(&n->answers[HF_RACE_V6], status, found);
}

static void on_v4(void *arg, int status, int timeouts, struct ares_addrinfo *found)
{
    struct hf_names *n = arg;

    (void)timeouts;
    on_answer(&n->answers[HF_RACE_V4], status, found);
}

/* --- asking --- */

static int error_of(int status)
{
    switch (status) {
    case ARES_SUCCESS:
        return 0;
    case ARES_ENOMEM:
        return HF_ENOMEM;
    default:
        return HF_EIO;
    }
}

/* No more servers than there are places for their sockets. *count gets how many there were. */
static int limit_servers(ares_channel channel, unsigned *count)
{
    struct ares_addr_port_node *first, *at;
    int status = ares_get_servers_ports(channel, &first);

    *count = 0;
    for (at = first; status == ARES_SUCCESS && at != NULL; at = at->next) {
        (*count)++;
        if (*count == HF_NAMES_SERVERS_MAX && at->next != NULL) {
            struct ares_addr_port_node *rest = at->next;

            at->next = NULL;
            status = ares_set_servers_ports(channel, first);
            at->next = rest; /* All of them are to be freed. */
        }
    }
    ares_free_data(first);
    return error_of(status);
}

static int open_channel(struct hf_names *n, const char *servers, unsigned *server_count)
{
    struct ares_options options = {
        .timeout = QUERY_MS, .tries = QUERY_TRIES, .sock_state_cb = on_socket, .sock_state_cb_data = n};
    int err = error_of(ares_init_options(&n->channel, &options,
                                         ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB));

    if (err < 0) {
        n->channel = NULL;
        return err;
    }
    if (servers != NULL && ares_set_servers_ports_csv(n->channel, servers) != ARES_SUCCESS)
        return HF_EINVAL;
    return limit_servers(n->channel, server_count);
}

int hf_names_check_servers(const char *servers)
{
    struct hf_names n;
    unsigned count = 0;
    int err;

    hf_names_init(&n);
    err = open_channel(&n, servers, &count);
    hf_names_end(&n);
    if (err == 0 && (servers[0] == '\0' || count == 0 || count > HF_NAMES_SERVERS_MAX))
        err = HF_EINVAL;
    return err;
}

int hf_names_ask(struct hf_names *n, const char *host, const char *servers)
{
    /* No sorting: it would make sockets to find out what the race finds out better. */
    struct ares_addrinfo_hints hints = {.ai_flags = ARES_AI_NOSORT, .ai_socktype = SOCK_STREAM};
    unsigned count;
    int err;

    hf_assert(n->channel == NULL);
    hf_names_init(n);
    err = open_channel(n, servers, &count);
    if (err < 0) {
        hf_names_end(n);
        return err;
    }
    hints.ai_family = AF_INET6;
    ares_getaddrinfo(n->channel, host, NULL, &hints, on_v6, n);
    hints.ai_family = AF_INET;
    ares_getaddrinfo(n->channel, host, NULL, &hints, on_v4, n);
    return 0;
}

void hf_names_end(struct hf_names *n)
{
    if (n->channel == NULL)
        return;
    ares_destroy(n->channel);
    n->channel = NULL;
    n->fd_count = 0;
}

/* --- running --- */

int hf_names_prepare(const struct hf_names *n, struct pollfd *fds)
{
    memcpy(fds, n->fds, n->fd_count * sizeof(*fds));
    return (int)n->fd_count;
}

void hf_names_ready(struct hf_names *n, const struct pollfd *fd)
{
    if (n->channel == NULL || fd->revents == 0 || find(n, fd->fd) == NULL)
        return;
    /* An error is found by reading. */
    ares_process_fd(n->channel, (fd->revents & ~POLLOUT) != 0 ? fd->fd : ARES_SOCKET_BAD,
                    (fd->revents & POLLOUT) != 0 ? fd->fd : ARES_SOCKET_BAD);
}

uint64_t hf_names_wait_ms(const struct hf_names *n)
{
    struct timeval wait;

    if (n->channel == NULL || ares_timeout(n->channel, NULL, &wait) == NULL)
        return UINT64_MAX;
    return (uint64_t)wait.tv_sec * 1000 + (uint64_t)(wait.tv_usec + 999) / 1000;
}

void hf_names_tick(struct hf_names *n)
{
    if (n->channel != NULL)
        ares_process_fd(n->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
}
