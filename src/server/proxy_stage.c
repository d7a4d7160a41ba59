#include "server/proxy_stage.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>

bool hf_endpoint_of_sockaddr(const struct sockaddr_storage *address, struct hf_endpoint *out)
{
    const struct sockaddr_in *v4 = (const void *)address;
    const struct sockaddr_in6 *v6 = (const void *)address;

    *out = (struct hf_endpoint){.port = 0};
    if (address->ss_family == AF_INET) {
        out->ip = hf_ip_v4((const uint8_t *)&v4->sin_addr);
        out->port = ntohs(v4->sin_port);
        return true;
    }
    if (address->ss_family != AF_INET6)
        return false;
    memcpy(out->ip.bytes, &v6->sin6_addr, sizeof(out->ip.bytes));
    out->port = ntohs(v6->sin6_port);
    return true;
}

bool hf_proxy_stage_due(const struct hf_config *config, const struct sockaddr_storage *peer)
{
    struct hf_endpoint e;

    return config->proxy_protocol && hf_endpoint_of_sockaddr(peer, &e) &&
           hf_network_any(config->proxy_trusted, config->proxy_trusted_count, &e.ip);
}

/* As many bytes off the socket; they are there, for they have been seen. */
static int take_off(int fd, size_t len)
{
    uint8_t gone[HF_PROXY_HEADER_MAX];

    while (len > 0) {
        ssize_t n = recv(fd, gone, len, 0);

        if (n <= 0 && errno != EINTR)
            return HF_ECLOSED;
        len -= n > 0 ? (size_t)n : 0;
    }
    return 1;
}

int hf_proxy_stage_take(int fd, struct hf_proxy_header *h)
{
    uint8_t data[HF_PROXY_HEADER_MAX];
    ssize_t n;
    int got;

    do
        n = recv(fd, data, sizeof(data), MSG_PEEK);
    while (n < 0 && errno == EINTR);
    if (n < 0 && errno == EAGAIN)
        return 0;
    if (n <= 0)
        return HF_ECLOSED;
    got = hf_proxy_header_parse(h, data, (size_t)n);
    return got > 0 ? take_off(fd, (size_t)got) : got;
}
