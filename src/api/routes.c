#include "api/routes.h"

#include "api/api.h"

#include <string.h>

/* A broadcast's names of 255 bytes with quotes and comma. */
enum { CHANNEL_LIST_BYTES = HF_API_BROADCAST_CHANNELS_MAX * 258 };

static const struct hf_api_route routes[] = {
    {"/api/publish", "POST", HF_API_WITH_KEY, 0, hf_api_publish},
    {"/api/broadcast", "POST", HF_API_WITH_KEY, CHANNEL_LIST_BYTES, hf_api_broadcast},
    {"/api/history", "POST", HF_API_READ, 0, hf_api_history},
    {"/api/presence", "POST", HF_API_READ, 0, hf_api_presence},
    {"/api/channels", "GET", HF_API_READ, 0, hf_api_channels},
    {"/api/subscribe", "POST", HF_API_WITH_KEY, 0, hf_api_subscribe},
    {"/api/unsubscribe", "POST", HF_API_WITH_KEY, 0, hf_api_unsubscribe},
    {"/api/disconnect", "POST", HF_API_WITH_KEY, 0, hf_api_disconnect},
    {"/api/sessions", "GET", HF_API_READ, 0, hf_api_sessions},
    {"/api/session", "GET", HF_API_READ, 0, hf_api_session},
    {"/api/stats", "GET", HF_API_READ, 0, hf_api_stats},
    {"/api/top", "GET", HF_API_READ, 0, hf_api_top},
    {"/api/access", "GET", HF_API_READ, 0, hf_api_access_told},
    {"/metrics", "GET", HF_API_READ, 0, hf_api_metrics},
    /* For load balancers and probes, which have no key; they tell nothing but this. */
    {"/healthz", "GET", HF_API_OPEN, 0, hf_api_healthz},
    {"/readyz", "GET", HF_API_OPEN, 0, hf_api_readyz},
    {"/", "GET", HF_API_DEMO, 0, hf_api_demo_page},
    {"/demo/style.css", "GET", HF_API_DEMO, 0, hf_api_demo_style},
    {"/demo/page.js", "GET", HF_API_DEMO, 0, hf_api_demo_script},
    {"/demo/icon.svg", "GET", HF_API_DEMO, 0, hf_api_demo_icon},
    {"/demo/server", "GET", HF_API_DEMO, 0, hf_api_demo_server},
    {"/demo/drop", "POST", HF_API_DEMO, 0, hf_api_demo_drop},
    {"/demo/freeze", "POST", HF_API_DEMO, 0, hf_api_demo_freeze},
    {"/demo/kill-worker", "POST", HF_API_DEMO, 0, hf_api_demo_kill},
    {"/", "GET", HF_API_ADMIN, 0, hf_api_admin_redirect}, /* where there is no demo */
    {"/admin", "GET", HF_API_ADMIN, 0, hf_api_admin_redirect},
    {"/admin/", "GET", HF_API_ADMIN, 0, hf_api_admin_page},
    {"/admin/style.css", "GET", HF_API_ADMIN, 0, hf_api_admin_style},
    {"/admin/page.js", "GET", HF_API_ADMIN, 0, hf_api_admin_script},
    {"/admin/icon.svg", "GET", HF_API_ADMIN, 0, hf_api_admin_icon},
};

static bool is_served(const struct hf_api_route *route, const struct hf_config *config)
{
    return (route->right != HF_API_DEMO || config->demo) &&
           (route->right != HF_API_ADMIN || config->api_admin);
}

static const struct hf_api_route *find_path(const char *path, const struct hf_config *config)
{
    for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++) {
        if (strcmp(routes[i].path, path) == 0 && is_served(&routes[i], config))
            return &routes[i];
    }
    return NULL;
}

enum hf_api_right hf_api_path_right(const char *path, const struct hf_config *config)
{
    const struct hf_api_route *route = find_path(path, config);

    return route == NULL ? HF_API_READ : route->right;
}

const struct hf_api_route *hf_api_route_find(const char *path, const char *method,
                                             const struct hf_config *config, const char **allow)
{
    const struct hf_api_route *route = find_path(path, config);
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
