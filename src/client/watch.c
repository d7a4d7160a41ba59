#include "client/watch.h"

#include <netinet/in.h>
#include <stddef.h>
#include <string.h>

/* The better first. */
static const struct hf_watch_kind *const kinds[] = {
#ifdef __linux__
    &hf_watch_rtnetlink,
#endif
    &hf_watch_poll,
};

bool hf_place_of(const struct sockaddr_storage *address, struct hf_place *out)
{
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    uint8_t bytes[4];

    *out = (struct hf_place){.interface = 0};
    switch (address->ss_family) {
    case AF_INET:
        memcpy(&v4, address, sizeof(v4));
        memcpy(bytes, &v4.sin_addr, sizeof(bytes));
        out->ip = hf_ip_v4(bytes);
        return true;
    case AF_INET6:
        memcpy(&v6, address, sizeof(v6));
        memcpy(out->ip.bytes, &v6.sin6_addr, HF_IP_BYTES);
        out->interface = v6.sin6_scope_id;
        return true;
    default:
        return false;
    }
}

struct hf_watch *hf_watch_new(void)
{
    struct hf_watch *w = NULL;
    size_t i;

    for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (kinds[i]->open(&w) == 0)
            return w;
    return NULL;
}

void hf_watch_free(struct hf_watch *w)
{
    if (w != NULL)
        w->kind->close(w);
}

bool hf_watch_process(struct hf_watch *w, uint64_t now_ms)
{
    return w->kind->process(w, now_ms);
}

void hf_watch_way(struct hf_watch *w, const struct hf_place *to, struct hf_way *way)
{
    w->kind->way(w, to, way);
}

bool hf_watch_has_address(struct hf_watch *w, const struct hf_place *own)
{
    return w->kind->has_address(w, own);
}

uint64_t hf_watch_key(struct hf_watch *w, const struct hf_place *to)
{
    return w->kind->key(w, to);
}
