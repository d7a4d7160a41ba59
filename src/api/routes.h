/*
 * routes.h - the table of the HTTP API: which path and method is served by which handler.
 */
#ifndef HF_API_ROUTES_H
#define HF_API_ROUTES_H

#include "api/request.h"

/*
 * The route of a path and method; NULL where there is none, and then *allow is the method that the path has, or NULL where it has none.
 * The configuration says whether those of the demo and of the admin page are there.
 */
const struct hf_api_route *hf_api_route_find(const char *path, const char *method,
                                             const struct hf_config *config, const char **allow);

/* Who may use a path. One that there is not is told to those with a key only. */
enum hf_api_right hf_api_path_right(const char *path, const struct hf_config *config);

/* Handlers that begin work in the hub: publish.c. */
void hf_api_publish(struct hf_api_request *r);
void hf_api_broadcast(struct hf_api_request *r);
void hf_api_disconnect(struct hf_api_request *r);

/* The same: presence.c. */
void hf_api_presence(struct hf_api_request *r);
void hf_api_subscribe(struct hf_api_request *r);
void hf_api_unsubscribe(struct hf_api_request *r);
/* Carry an order out; done: what the answer calls it. */
void hf_api_order(struct hf_api_request *r, const struct hf_service_order *order, const char *done);

/* Handlers that know their answer at once: query.c. */
void hf_api_history(struct hf_api_request *r);
void hf_api_channels(struct hf_api_request *r);
void hf_api_sessions(struct hf_api_request *r);
void hf_api_session(struct hf_api_request *r);
void hf_api_stats(struct hf_api_request *r);
void hf_api_top(struct hf_api_request *r);
void hf_api_metrics(struct hf_api_request *r);
void hf_api_healthz(struct hf_api_request *r);
void hf_api_readyz(struct hf_api_request *r);

/* The admin page: admin.c. */
void hf_api_access_told(struct hf_api_request *r);
void hf_api_admin_page(struct hf_api_request *r);
void hf_api_admin_style(struct hf_api_request *r);
void hf_api_admin_script(struct hf_api_request *r);
void hf_api_admin_icon(struct hf_api_request *r);
void hf_api_admin_redirect(struct hf_api_request *r);

/* The demo: demo.c. */
void hf_api_demo_page(struct hf_api_request *r);
void hf_api_demo_style(struct hf_api_request *r);
void hf_api_demo_script(struct hf_api_request *r);
void hf_api_demo_icon(struct hf_api_request *r);
void hf_api_demo_server(struct hf_api_request *r);
void hf_api_demo_drop(struct hf_api_request *r);
void hf_api_demo_freeze(struct hf_api_request *r);
void hf_api_demo_kill(struct hf_api_request *r);

#endif
