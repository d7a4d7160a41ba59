/*
 * config_load.h - what the files that read the YAML of the configuration share.
 */
#ifndef HF_SERVER_CONFIG_LOAD_H
#define HF_SERVER_CONFIG_LOAD_H

#include "server/config_keys.h"

#include <yaml.h>

struct hf_config_loader {
    struct hf_config *config;
    const char *path;
    yaml_document_t document;
    const struct hf_config_table *table; /* of the keys that are allowed here */
    struct hf_namespace *ns;             /* whose they are; NULL: the server's */
    uint32_t *lines;                     /* of the table: where this file set each key; 0: it did not */
    const char *prefix;                  /* what stands before a key's name in an error, without the dot */
    char *error;
    size_t error_cap;
};

/* "FILE:LINE: prefix.key: what"; without a key where name is "". Returns HF_EINVAL. */
int hf_config_fail_at(const struct hf_config_loader *l, size_t line, const char *name, const char *fmt, ...)
    HF_PRINTF(4, 5);

/* The keys of l->table, within a section of it or all ("") of them. */
int hf_config_load_mapping(struct hf_config_loader *l, const char *section,
                           const yaml_node_t *node) HF_MUST_CHECK;

/* Replace config->namespaces by those of this node. */
int hf_config_load_namespaces(struct hf_config_loader *l, const struct hf_config_key *key,
                              const yaml_node_t *node) HF_MUST_CHECK;

static inline size_t hf_config_line_of(const yaml_node_t *node)
{
    return node->start_mark.line + 1;
}

static inline struct hf_str hf_config_scalar(const yaml_node_t *node)
{
    return (struct hf_str){(const char *)node->data.scalar.value, node->data.scalar.length};
}

/* `key:` with nothing behind it. */
static inline bool hf_config_is_empty(const yaml_node_t *node)
{
    return node->type == YAML_SCALAR_NODE && node->data.scalar.length == 0 &&
           node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
}

/* A text from the file, for an error that stays one line. */
static inline void hf_config_one_line(char *text)
{
    for (; *text != '\0'; text++)
        *text = (uint8_t)*text < 0x20 || *text == 0x7f ? '?' : *text;
}

#endif
