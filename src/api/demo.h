/*
 * demo.h - the demo (`holdfast serve --demo`, docs/demo.md): its page, the feed of the page's chart, and the harm that its buttons do.
 *
 * The page lies on the API's port because there is an HTTP server already: the clients' port speaks WebSocket alone, and stays so. Page and script come out of the
 * binary (demo_assets.h); the browser is told to load nothing from elsewhere. The feed is published by the worker of slot 0, so that it pauses when the page kills just that
 * one; its value is a function of the time, so that the successor goes on where it was.
 */
#ifndef HF_API_DEMO_H
#define HF_API_DEMO_H

struct hf_api;

/* When the API of a worker starts. */
void hf_api_demo_start(struct hf_api *api);
/* hf_api_demo_run() is due in that time at the latest; -1: no need. */
int hf_api_demo_timeout_ms(const struct hf_api *api);
/* Publish what is due. Cheap where nothing is. */
void hf_api_demo_run(struct hf_api *api);

#endif
