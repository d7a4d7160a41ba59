/*
 * supervisor_inherit.c - the service manager: where it is told of us, and the sockets that it has opened for us.
 */
#include "server/supervisor_impl.h"

#include "server/logger.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

int hf_supervisor_meet_manager(struct hf_supervisor *s)
{
    char error[200];

    if (hf_notify_open(&s->notify, error, sizeof(error)) < 0)
        return hf_cannot_start("tell the service manager when we are ready", "", error);
    if (hf_inherit(&s->inherited, error, sizeof(error)) < 0)
        return hf_cannot_start("use the sockets of the service manager", "", error);
    return 0;
}

/* The addresses of the sockets with this name, into a list of the configuration. Returns how many there are; 0 leaves the list as it is. */
static int name_addresses(struct hf_supervisor *s, const char *name, char (*list)[HF_ADDRESS_MAX], size_t max)
{
    size_t count = 0;

    for (size_t i = 0; i < s->inherited.count; i++) {
        const struct hf_inherited_socket *socket = &s->inherited.sockets[i];

        if (strcmp(socket->name, name) == 0 && count < max)
            snprintf(list[count++], HF_ADDRESS_MAX, "%s", socket->address);
    }
    return (int)count;
}

/* "FileDescriptorName=KEY": such sockets take the place of what the key says. All others are found by their address. */
static void take_names(struct hf_supervisor *s)
{
    struct hf_config *c = &s->planned;
    int plain = name_addresses(s, "listen", c->listen, HF_LISTEN_MAX);
    int tls = name_addresses(s, "tls.listen", c->tls_listen, HF_LISTEN_MAX);

    if (plain > 0)
        c->listen_count = (size_t)plain;
    if (tls > 0)
        c->tls_listen_count = (size_t)tls;
    (void)name_addresses(s, "api.listen", &c->api_listen, 1);
}

/* What was good for the addresses of the configuration must be so for those that took their place: who may come in without a token, above all. */
int hf_supervisor_take_named_sockets(struct hf_supervisor *s)
{
    char error[1024];

    take_names(s);
    return s->inherited.count > 0 && hf_config_check(&s->planned, error, sizeof(error)) < 0
               ? hf_cannot_start("start", "", error)
               : 0;
}

/* The same socket for every slot. Returns 1 with the descriptors, 0 where none was handed over for this address, or -1 with errno. */
int hf_supervisor_share_inherited(struct hf_supervisor *s, const char *address, int *fds)
{
    struct hf_inherited_socket *found = hf_inherited_find(&s->inherited, address);

    if (found == NULL)
        return 0;
    for (uint32_t slot = 0; slot < s->config->workers; slot++) {
        fds[slot] = slot == 0 ? found->fd : fcntl(found->fd, F_DUPFD_CLOEXEC, 0);
        if (fds[slot] < 0)
            return -1;
    }
    hf_supervisor_note_sockets(s, fds);
    hf_log(HF_LOG_INFO, "socket_inherited", hf_kv_text("address", address));
    return 1;
}

/* One that nobody accepts from would hold clients for ever. */
int hf_supervisor_check_all_taken(const struct hf_supervisor *s)
{
    for (size_t i = 0; i < s->inherited.count; i++) {
        const struct hf_inherited_socket *socket = &s->inherited.sockets[i];
        char why[HF_INHERIT_TEXT_MAX + 160];

        if (socket->taken)
            continue;
        snprintf(
            why, sizeof(why),
            "nothing is to listen on %s: add it to listen, or name the socket by FileDescriptorName=listen, "
            "tls.listen or api.listen",
            socket->address);
        return hf_cannot_start("use a socket of the service manager", "", why);
    }
    return 0;
}
