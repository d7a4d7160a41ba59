/*
 * config_reload.h - a configuration that is read anew while the server runs: what of it may take effect now, and what needs a restart.
 */
#ifndef HF_SERVER_CONFIG_RELOAD_H
#define HF_SERVER_CONFIG_RELOAD_H

#include "base/buf.h"
#include "server/config.h"

#include <stdbool.h>
#include <stdint.h>

/* The configuration read anew, from wherever it came from. As hf_config_load() and hf_config_check() in one. */
struct hf_config_source {
    int (*read)(void *ctx, struct hf_config *out, char *error, size_t error_cap);
    void *ctx;
};

/* A key (of a namespace: "namespaces." and its pattern) has another value, both as texts, secrets hidden. live: it has been taken over. Borrowed for the call. */
typedef void hf_config_told(void *ctx, const char *key, const char *from, const char *to, bool live);

struct hf_config_changes {
    uint32_t taken, need_restart;
};

/*
 * Give *running those values of *wanted that may change at run time, and tell of each that differs, also of those that need a restart. told NULL: nobody is told. Whether
 * the result fits together is for hf_config_check().
 */
struct hf_config_changes hf_config_take_over(struct hf_config *running, const struct hf_config *wanted,
                                             hf_config_told *told, void *ctx);

/* Append a namespace as a file would have it, in one line: {allow: {subscribe: user}, mode: latest}. */
void hf_config_put_namespace(struct hf_buf *out, const struct hf_namespaces *n,
                             const struct hf_namespace *ns);

#endif
