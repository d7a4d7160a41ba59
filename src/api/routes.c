#include "api/routes.h"

#include "api/api.h"

#include <string.h>

/* A broadcast's names of 255 bytes with quotes and comma. */
enum { CHANNEL_LIST_BYTES = HF_API_BROADCAST_CHANNELS_MAX * 258 };

static const struct hf_api_route routes[] = {
    {"/api/publish", "POST", false, 0, hf_api_publish},
    {"/api/broadcast", "POST", false, CHANNEL_LIST_BYTES, hf_api_broadcast},
    {"/api/history", "POST", false, 0, hf_api_history},
    {"/api/channels", "GET", false, 0, hf_api_channels},
    {"/api/disconnect", "POST", false, 0, hf_api_disconnect},
    {"/api/stats", "GET", false, 0, hf_api_stats},
    {"/metrics", "GET", false, 0, hf_api_metrics},
    /* For load balancers and probes, which have no key; they tell nothing but this. */
    {"/healthz", "GET", true, 0, hf_api_healthz},
    {"/readyz", "GET", true, 0, hf_api_readyz},
};

static const struct hf_api_route *find_path(const char *path)
{
    for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++) {
        if (strcmp(routes[i].path, path) == 0)
            return &routes[i];
    }
    return NULL;
}

bool hf_api_path_open(const char *path)
{
    const struct hf_api_route *route = find_path(path);

    return route != NULL && route->open;
}

const struct hf_api_route *hf_api_route_find(const char *path, const char *method, const char **allow)
{
    const struct hf_api_route *route = find_path(path);
    bool is_get;

    *allow = NULL;
    if (route == NULL)
        return NULL;
    is_get = strcmp(route->method, "GET") == 0;
    if (strcmp(route->method, method) == 0 || (is_get && strcmp(method, "HEAD") == 0))
        return route;
    *allow = is_get ? "GET, HEAD" : route->method;
    return NULL;
}
