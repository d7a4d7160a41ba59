/*
 * supervisor_sockets.c - the listening sockets of all slots. The supervisor keeps them open, so that whoever comes while a worker is replaced waits for its successor.
 */
#include "server/supervisor_impl.h"

#include "base/assert.h"
#include "net/listen.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void hf_supervisor_note_sockets(struct hf_supervisor *s, const int *fds)
{
    for (uint32_t slot = 0; slot < s->config->workers; slot++) {
        if (s->sockets_count == 0)
            s->sockets_first = fds[slot];
        s->sockets_scattered |= fds[slot] != s->sockets_first + (int)s->sockets_count++;
    }
}

static int listen_on(struct hf_supervisor *s, const char *key, const char *text, int *fds)
{
    struct sockaddr_storage address;
    socklen_t len;
    char what[HF_ADDRESS_MAX + 16], written[HF_ADDRESS_MAX];
    int shared;

    snprintf(what, sizeof(what), "listen on %s", text);
    if (hf_address_parse(text, &address, &len) < 0)
        return hf_cannot_start(what, key, "not ADDRESS:PORT");
    hf_address_format(&address, written, sizeof(written));
    shared = hf_supervisor_share_inherited(s, written, fds);
    if (shared < 0)
        return hf_cannot_start(what, key, strerror(errno));
    if (shared > 0) {
        s->shared_sockets |= strcmp(key, "api.listen") != 0;
        return 0;
    }
    if (hf_listen_many(&address, len, fds, s->config->workers) < 0)
        return hf_cannot_start(what, key, errno == EADDRINUSE ? "the port is in use" : strerror(errno));
    hf_supervisor_note_sockets(s, fds);
    return 0;
}

static const char *unix_path(const struct hf_config *config)
{
    return strncmp(config->api_listen, "unix:", 5) == 0 ? config->api_listen + 5 : NULL;
}

static int listen_on_unix(struct hf_supervisor *s, const char *path, int *fds)
{
    static const mode_t modes[] = {[HF_SOCKET_0600] = 0600, [HF_SOCKET_0660] = 0660, [HF_SOCKET_0666] = 0666};
    char what[HF_ADDRESS_MAX + 16];
    int shared = hf_supervisor_share_inherited(s, s->config->api_listen, fds);

    if (shared > 0)
        return 0;
    if (shared == 0 &&
        hf_listen_unix(path, modes[s->config->api_socket_mode], fds, s->config->workers) == 0) {
        hf_supervisor_note_sockets(s, fds);
        s->unix_path = path;
        return 0;
    }
    snprintf(what, sizeof(what), "listen on unix:%s", path);
    return hf_cannot_start(what, "api.listen",
                           errno == EADDRINUSE ? "another process serves that socket"
                           : errno == EEXIST   ? "there is a file, and it is no socket"
                                               : strerror(errno));
}

size_t hf_supervisor_listener_count(const struct hf_supervisor *s)
{
    return s->config->listen_count + s->config->tls_listen_count;
}

int hf_supervisor_open_sockets(struct hf_supervisor *s)
{
    int fds[HF_WORKERS_MAX], status;

    for (size_t i = 0; i < hf_supervisor_listener_count(s); i++) {
        bool plain = i < s->config->listen_count;

        status =
            listen_on(s, plain ? "listen" : "tls.listen",
                      plain ? s->config->listen[i] : s->config->tls_listen[i - s->config->listen_count], fds);
        if (status != 0)
            return status;
        for (uint32_t slot = 0; slot < s->config->workers; slot++)
            s->slots[slot].listen_fds[i] = fds[slot];
    }
    for (uint32_t slot = 0; slot < s->config->workers; slot++)
        s->slots[slot].api_fd = -1;
    if (s->api == NULL || strcmp(s->config->api_listen, "none") == 0)
        return hf_supervisor_check_all_taken(s);
    status = unix_path(s->config) != NULL ? listen_on_unix(s, unix_path(s->config), fds)
                                          : listen_on(s, "api.listen", s->config->api_listen, fds);
    for (uint32_t slot = 0; status == 0 && slot < s->config->workers; slot++)
        s->slots[slot].api_fd = fds[slot];
    return status == 0 ? hf_supervisor_check_all_taken(s) : status;
}

static void close_one_by_one(const struct hf_supervisor *s, uint32_t mine)
{
    for (uint32_t slot = 0; slot < s->config->workers; slot++) {
        if (slot == mine)
            continue;
        for (size_t i = 0; i < hf_supervisor_listener_count(s); i++)
            close(s->slots[slot].listen_fds[i]);
        if (s->slots[slot].api_fd >= 0)
            close(s->slots[slot].api_fd);
    }
}

/*
 * The sockets of all slots were opened one after the other, address by address, so those of one slot have rising numbers, and what lies between
 * is others'. They go in a few calls: one call for each would be the square of the workers when all start.
 */
void hf_supervisor_close_sockets_of_others(const struct hf_supervisor *s, uint32_t slot)
{
    int next = s->sockets_first, end = s->sockets_first + (int)s->sockets_count;

    if (s->sockets_scattered) {
        close_one_by_one(s, slot);
        return;
    }
    for (size_t i = 0; i <= hf_supervisor_listener_count(s); i++) {
        int own = i < hf_supervisor_listener_count(s) ? s->slots[slot].listen_fds[i] : s->slots[slot].api_fd;

        if (own < 0)
            continue;
        hf_assert(own >= next && own < end);
        if (own > next)
            close_range((unsigned)next, (unsigned)own - 1, 0);
        next = own + 1;
    }
    if (next < end)
        close_range((unsigned)next, (unsigned)end - 1, 0);
}
