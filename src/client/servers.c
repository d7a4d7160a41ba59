#include "client/servers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The environment is not the application's: what is wrong there is told as the cause of each attempt that fails for it. */
static void choose_by_environment(struct hf_server *server)
{
    struct hf_proxy_environment env;
    const char *text;
    int err;

    hf_proxy_read_environment(&env);
    err = hf_proxy_choose(&server->proxy, &env, &server->url, &text);
    if (err < 0) /* Without its text, which may hold a password. */
        (void)snprintf(server->wrong, sizeof(server->wrong),
                       "%s names %s: it must be http://[USER:PASSWORD@]HOST[:PORT]",
                       text == env.all      ? "all_proxy"
                       : server->url.secure ? "https_proxy"
                                            : "http_proxy",
                       err == HF_EUNSUPPORTED ? "another kind of proxy than an HTTP one" : "no valid proxy");
}

static int server_init(struct hf_server *server, const char *url, const char *proxy)
{
    int err = url == NULL ? HF_EINVAL : hf_url_parse(&server->url, url);

    if (err == 0 && proxy == NULL)
        choose_by_environment(server);
    else if (err == 0 && proxy[0] != '\0')
        err = hf_proxy_parse(&server->proxy, proxy);
    if (server->proxy.host[0] != '\0')
        server->host = (struct hf_host){.name = server->proxy.host, .port = server->proxy.port};
    else
        server->host = (struct hf_host){.name = server->url.host, .port = server->url.port};
    return err;
}

static int take_dns_servers(struct hf_servers *s, const char *dns_servers)
{
    int err = hf_names_check_servers(dns_servers);

    if (err < 0)
        return err;
    s->dns_servers = strdup(dns_servers);
    return s->dns_servers == NULL ? HF_ENOMEM : 0;
}

int hf_servers_init(struct hf_servers *s, const struct hf_servers_config *config)
{
    int err = 0;

    memset(s, 0, sizeof(*s));
    if (config->count == 0 || config->count > HF_SERVERS_MAX)
        return HF_EINVAL;
    s->list = calloc(config->count, sizeof(*s->list));
    if (s->list == NULL)
        return HF_ENOMEM;
    for (; s->count < config->count && err == 0; s->count++)
        err = server_init(&s->list[s->count], config->urls[s->count], config->proxy);
    if (err == 0 && config->dns_servers != NULL)
        err = take_dns_servers(s, config->dns_servers);
    if (err < 0)
        hf_servers_release(s);
    return err;
}

void hf_servers_release(struct hf_servers *s)
{
    free(s->list);
    free(s->dns_servers);
    memset(s, 0, sizeof(*s));
}

bool hf_servers_need_tls(const struct hf_servers *s)
{
    unsigned i;

    for (i = 0; i < s->count; i++)
        if (s->list[i].url.secure)
            return true;
    return false;
}

void hf_servers_failed(struct hf_servers *s, unsigned index)
{
    if (s->next == index)
        s->next = (index + 1) % s->count;
}
