/*
 * config_namespaces.c - the namespaces of the configuration: from YAML, and back into text.
 */
#include "server/config_load.h"

#include <stdio.h>
#include <string.h>

enum { PREFIX_MAX = 96 };

/* One namespace: its pattern, and the mapping of its keys. */
static int load_namespace(struct hf_config_loader *l, const struct hf_config_key *key,
                          const yaml_node_t *pattern, const yaml_node_t *keys)
{
    uint32_t lines[HF_CONFIG_NAMESPACE_KEYS] = {0};
    struct hf_config_loader inner;
    char prefix[PREFIX_MAX];
    const char *why;
    int err;

    if (pattern->type != YAML_SCALAR_NODE)
        return hf_config_fail_at(l, hf_config_line_of(pattern), key->name,
                                 "expected a channel's name, or the beginning of names and a *");
    snprintf(prefix, sizeof(prefix), "%s.%.*s", key->name, (int)hf_config_scalar(pattern).len,
             hf_config_scalar(pattern).data);
    hf_config_one_line(prefix);
    inner = *l;
    inner.table = &hf_config_namespace_table;
    inner.lines = lines;
    inner.prefix = prefix;
    if (hf_namespaces_add(&l->config->namespaces, hf_config_scalar(pattern), &inner.ns, &why) < 0)
        return hf_config_fail_at(&inner, hf_config_line_of(pattern), "", "%s", why);
    inner.ns->line = (uint32_t)hf_config_line_of(pattern);
    if (hf_config_is_empty(keys))
        return 0;
    if (keys->type != YAML_MAPPING_NODE)
        return hf_config_fail_at(&inner, hf_config_line_of(keys), "",
                                 "expected keys such as `allow`, indented, one a line");
    err = hf_config_load_mapping(&inner, "", keys);
    return err;
}

int hf_config_load_namespaces(struct hf_config_loader *l, const struct hf_config_key *key,
                              const yaml_node_t *node)
{
    int err = 0;

    memset(&l->config->namespaces, 0, sizeof(l->config->namespaces));
    if (hf_config_is_empty(node))
        return 0;
    if (node->type != YAML_MAPPING_NODE)
        return hf_config_fail_at(
            l, hf_config_line_of(node), key->name,
            "expected patterns of channel names, indented, one a line, each with its keys");
    for (const yaml_node_pair_t *pair = node->data.mapping.pairs.start;
         err == 0 && pair < node->data.mapping.pairs.top; pair++)
        err = load_namespace(l, key, yaml_document_get_node(&l->document, pair->key),
                             yaml_document_get_node(&l->document, pair->value));
    return err;
}
