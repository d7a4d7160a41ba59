/*
 * config_file.c - the YAML file of the configuration.
 *
 * It is read with libyaml, which libcyaml stands on, and not with libcyaml 1.3.1 itself: that one reads `interval: 25s` into a number as
 * 25 and `echo: maybe` as true without a word, names the line of the last good event instead of that of an unknown key, and does
 * not keep the line of a value that it took, so that no later check of ours could tell it. libyaml gives each node with its line,
 * and the table of keys is the schema.
 */
#include "server/config_load.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    FILE_BYTES_MAX = 1 << 20, /* a configuration is a few KiB; more is some other file */
    NAME_BYTES_MAX = 128,     /* of a key with its sections, as an error shows it */
    WHAT_MAX = 320,
};

int hf_config_fail_at(const struct hf_config_loader *l, size_t line, const char *name, const char *fmt, ...)
{
    bool dotted = l->prefix[0] != '\0' && name[0] != '\0', named = l->prefix[0] != '\0' || name[0] != '\0';
    char what[WHAT_MAX];
    va_list args;

    va_start(args, fmt);
    vsnprintf(what, sizeof(what), fmt, args);
    va_end(args);
    snprintf(l->error, l->error_cap, "%s:%zu: %s%s%s%s%s", l->path, line, l->prefix, dotted ? "." : "", name,
             named ? ": " : "", what);
    return HF_EINVAL;
}

static int load_scalar(struct hf_config_loader *l, const struct hf_config_key *key, const yaml_node_t *node)
{
    char what[WHAT_MAX];
    int err;

    if (hf_config_is_empty(node))
        return hf_config_fail_at(l, hf_config_line_of(node), key->name, "has no value");
    if (l->ns != NULL)
        err = key->kind == HF_CONFIG_RULES
                  ? hf_config_rule_append(key, l->config, l->ns, hf_config_scalar(node), what, sizeof(what))
                  : hf_config_scalar_parse(key, (char *)l->ns + key->offset, hf_config_scalar(node), what,
                                           sizeof(what));
    else
        err = hf_config_key_parse(key, l->config, hf_config_scalar(node), what, sizeof(what));
    return err < 0 ? hf_config_fail_at(l, hf_config_line_of(node), key->name, "%s", what) : 0;
}

/* One of the pairs of `{certificate: FILE, key: FILE}`. */
static int load_file_pair(const struct hf_config_loader *l, const struct hf_config_key *key,
                          yaml_node_pair_t pair, struct hf_str *certificate, struct hf_str *key_file)
{
    const yaml_node_t *name = yaml_document_get_node((yaml_document_t *)(uintptr_t)&l->document, pair.key);
    const yaml_node_t *value = yaml_document_get_node((yaml_document_t *)(uintptr_t)&l->document, pair.value);
    struct hf_str *to = NULL;

    if (name->type == YAML_SCALAR_NODE && hf_str_eq(hf_config_scalar(name), HF_STR("certificate")))
        to = certificate;
    if (name->type == YAML_SCALAR_NODE && hf_str_eq(hf_config_scalar(name), HF_STR("key")))
        to = key_file;
    if (to == NULL)
        return hf_config_fail_at(l, hf_config_line_of(name), key->name,
                                 "expected `certificate` and `key` here");
    if (to->data != NULL)
        return hf_config_fail_at(l, hf_config_line_of(name), key->name, "`%.*s` is given twice",
                                 (int)hf_config_scalar(name).len, hf_config_scalar(name).data);
    if (value->type != YAML_SCALAR_NODE || hf_config_is_empty(value))
        return hf_config_fail_at(l, hf_config_line_of(value), key->name, "expected the path of a file");
    *to = hf_config_scalar(value);
    return 0;
}

static int load_files(struct hf_config_loader *l, const struct hf_config_key *key, const yaml_node_t *node)
{
    const yaml_node_pair_t *pairs = node->data.mapping.pairs.start;
    size_t count = (size_t)(node->data.mapping.pairs.top - pairs);
    struct hf_str certificate = {NULL, 0}, key_file = {NULL, 0};
    char what[WHAT_MAX];

    for (size_t i = 0; i < count; i++) {
        int err = load_file_pair(l, key, pairs[i], &certificate, &key_file);

        if (err < 0)
            return err;
    }
    if (certificate.data == NULL)
        return hf_config_fail_at(l, hf_config_line_of(node), key->name, "has no `certificate`");
    if (hf_config_certificate_append(l->config, certificate, key_file.data == NULL ? HF_STR("") : key_file,
                                     what, sizeof(what)) < 0)
        return hf_config_fail_at(l, hf_config_line_of(node), key->name, "%s", what);
    return 0;
}

static int load_list(struct hf_config_loader *l, const struct hf_config_key *key, const yaml_node_t *node)
{
    const char *items = key->kind == HF_CONFIG_ADDRESSES   ? "ADDR:PORT"
                        : key->kind == HF_CONFIG_NETWORKS  ? "ADDR/BITS"
                        : key->kind == HF_CONFIG_AUTH_KEYS ? "KID=ALG:FILE"
                        : key->kind == HF_CONFIG_API_KEYS  ? "NAME=full:SHA256"
                        : key->kind == HF_CONFIG_ORIGINS   ? "origins"
                                                           : "{certificate: FILE, key: FILE}";
    int err = 0;

    *hf_config_list_count(key, l->config) = 0;
    for (const yaml_node_item_t *i = node->data.sequence.items.start;
         err == 0 && i < node->data.sequence.items.top; i++) {
        const yaml_node_t *item = yaml_document_get_node(&l->document, *i);
        char what[WHAT_MAX];

        if (item->type == YAML_MAPPING_NODE && key->kind == HF_CONFIG_CERTIFICATES)
            err = load_files(l, key, item);
        else if (item->type != YAML_SCALAR_NODE)
            err = hf_config_fail_at(l, hf_config_line_of(item), key->name, "expected a list of %s", items);
        else if (hf_config_list_append(key, l->config, hf_config_scalar(item), what, sizeof(what)) < 0)
            err = hf_config_fail_at(l, hf_config_line_of(item), key->name, "%s", what);
    }
    return err;
}

static int load_rules(struct hf_config_loader *l, const struct hf_config_key *key, const yaml_node_t *node)
{
    size_t count = (size_t)(node->data.sequence.items.top - node->data.sequence.items.start);
    int err = 0;

    if (count == 0)
        return hf_config_fail_at(l, hf_config_line_of(node), key->name,
                                 "has no rule; write `none` where nobody may");
    for (const yaml_node_item_t *i = node->data.sequence.items.start;
         err == 0 && i < node->data.sequence.items.top; i++) {
        const yaml_node_t *item = yaml_document_get_node(&l->document, *i);

        if (item->type != YAML_SCALAR_NODE)
            err = hf_config_fail_at(l, hf_config_line_of(item), key->name, "expected a list of rules");
        else if (count > 1 && hf_str_eq(hf_config_scalar(item), HF_STR("none")))
            err = hf_config_fail_at(l, hf_config_line_of(item), key->name,
                                    "'none' contradicts the rules beside it: it stands alone");
        else
            err = load_scalar(l, key, item);
    }
    return err;
}

/* Whether the key, or one above or below it, has been given; then *line says where. */
static const struct hf_config_key *given_before(const struct hf_config_loader *l,
                                                const struct hf_config_key *key, uint32_t *line)
{
    for (size_t i = 0; i < l->table->count; i++) {
        const struct hf_config_key *other = &l->table->keys[i];
        size_t len = strlen(key->name), other_len = strlen(other->name),
               least = len < other_len ? len : other_len;

        *line = l->lines[i];
        if (*line != 0 && strncmp(key->name, other->name, least) == 0 &&
            (len == other_len || (len > least ? key : other)->name[least] == '.'))
            return other;
    }
    return NULL;
}

static int load_value(struct hf_config_loader *l, const struct hf_config_key *key, size_t line,
                      const yaml_node_t *node)
{
    uint32_t before_line;
    const struct hf_config_key *before = given_before(l, key, &before_line);
    char allowed[96];

    if (before == key)
        return hf_config_fail_at(l, line, key->name, "is given twice; first in line %u", before_line);
    if (before != NULL)
        return hf_config_fail_at(l, line, key->name, "contradicts %s in line %u; write one of them",
                                 before->name, before_line);
    l->lines[key - l->table->keys] = (uint32_t)line;
    if (key->kind == HF_CONFIG_NAMESPACES)
        return hf_config_load_namespaces(l, key, node);
    if (node->type == YAML_SCALAR_NODE)
        return load_scalar(l, key, node);
    if (node->type == YAML_SEQUENCE_NODE && key->kind == HF_CONFIG_RULES)
        return load_rules(l, key, node);
    if (node->type == YAML_SEQUENCE_NODE && hf_config_is_list(key))
        return load_list(l, key, node);
    hf_config_key_allowed(key, allowed, sizeof(allowed));
    return hf_config_fail_at(l, line, key->name, "expected a single value, not a %s; allowed is %s",
                             node->type == YAML_SEQUENCE_NODE ? "list" : "mapping", allowed);
}

static int fail_unknown(const struct hf_config_loader *l, size_t line, const char *name)
{
    struct hf_str nearest = hf_config_table_nearest(l->table, hf_str_from(name));

    if (nearest.data != NULL)
        return hf_config_fail_at(l, line, name, "unknown key; did you mean %.*s?", (int)nearest.len,
                                 nearest.data);
    return hf_config_fail_at(l, line, name, "unknown key; `holdfast serve --help` lists them all");
}

/* One pair of a mapping: a key, or a section, which is the beginning of keys. It cannot nest deeper than they do. */
static int load_pair(struct hf_config_loader *l, const char *section, const yaml_node_t *key_node,
                     const yaml_node_t *value)
{
    size_t line = hf_config_line_of(key_node);
    char name[NAME_BYTES_MAX];
    const struct hf_config_key *key;
    struct hf_str text;
    bool is_section;

    if (key_node->type != YAML_SCALAR_NODE)
        return hf_config_fail_at(l, line, section, "a key must be a plain word");
    text = hf_config_scalar(key_node);
    snprintf(name, sizeof(name), "%s%s%.*s", section, section[0] == '\0' ? "" : ".", (int)text.len,
             text.data);
    hf_config_one_line(name);
    key = hf_config_table_find(l->table, hf_str_from(name));
    is_section = hf_config_table_is_section(l->table, hf_str_from(name));
    if (key != NULL && !(is_section && value->type == YAML_MAPPING_NODE))
        return load_value(l, key, line, value);
    if (!is_section)
        return fail_unknown(l, line, name);
    if (hf_config_is_empty(value))
        return 0;
    if (value->type != YAML_MAPPING_NODE)
        return hf_config_fail_at(l, line, name, "is a section; expected keys in it, indented, one a line");
    return hf_config_load_mapping(l, name, value);
}

int hf_config_load_mapping(struct hf_config_loader *l, const char *section, const yaml_node_t *node)
{
    const yaml_node_pair_t *pairs = node->data.mapping.pairs.start;
    size_t count = (size_t)(node->data.mapping.pairs.top - pairs);

    for (size_t i = 0; i < count; i++) {
        int err = load_pair(l, section, yaml_document_get_node(&l->document, pairs[i].key),
                            yaml_document_get_node(&l->document, pairs[i].value));

        if (err < 0)
            return err;
    }
    return 0;
}

static int load_root(struct hf_config_loader *l)
{
    const yaml_node_t *root = yaml_document_get_root_node(&l->document);

    if (root == NULL || hf_config_is_empty(root))
        return 0;
    if (root->type != YAML_MAPPING_NODE)
        return hf_config_fail_at(l, hf_config_line_of(root), "", "expected `key: value` lines");
    return hf_config_load_mapping(l, "", root);
}

static size_t line_at(const char *text, size_t offset)
{
    size_t line = 1;

    for (size_t i = 0; i < offset; i++)
        line += text[i] == '\n';
    return line;
}

static int fail_syntax(const struct hf_config_loader *l, const yaml_parser_t *parser, const char *text,
                       size_t len)
{
    const char *problem = parser->problem == NULL ? "out of memory" : parser->problem;

    if (parser->error == YAML_READER_ERROR) /* It knows the place in the text only. */
        return hf_config_fail_at(l,
                                 line_at(text, parser->problem_offset < len ? parser->problem_offset : len),
                                 "", "not valid YAML: %s", problem);
    return hf_config_fail_at(l, parser->problem_mark.line + 1, "", "not valid YAML: %s%s%s", problem,
                             parser->context == NULL ? "" : ", ",
                             parser->context == NULL ? "" : parser->context);
}

/* A second document would be ignored in silence. */
static int expect_end(struct hf_config_loader *l, yaml_parser_t *parser, const char *text, size_t len)
{
    const yaml_node_t *root;

    if (yaml_parser_load(parser, &l->document) == 0)
        return fail_syntax(l, parser, text, len);
    root = yaml_document_get_root_node(&l->document);
    return root == NULL ? 0
                        : hf_config_fail_at(l, hf_config_line_of(root), "",
                                            "a second document begins here; one is expected");
}

static int load_text(struct hf_config_loader *l, const char *text, size_t len)
{
    yaml_parser_t parser;
    int err;

    if (yaml_parser_initialize(&parser) == 0)
        return hf_config_fail_at(l, 1, "", "out of memory");
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, len);
    if (yaml_parser_load(&parser, &l->document) == 0) {
        err = fail_syntax(l, &parser, text, len);
        goto done;
    }
    err = load_root(l);
    yaml_document_delete(&l->document);
    if (err == 0) {
        err = expect_end(l, &parser, text, len);
        yaml_document_delete(&l->document);
    }
done:
    yaml_parser_delete(&parser);
    return err;
}

/* Read the whole file into *text, which the caller frees. Returns its length or a negative errno value. */
static ssize_t read_file(const char *path, char **text)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t len = 0;
    ssize_t n = -1;

    *text = NULL;
    if (fd < 0)
        return -errno;
    *text = malloc(FILE_BYTES_MAX);
    while (*text != NULL && len < FILE_BYTES_MAX && (n = read(fd, *text + len, FILE_BYTES_MAX - len)) > 0)
        len += (size_t)n;
    n = n == 0 ? (ssize_t)len : n < 0 ? -errno : -EFBIG;
    close(fd);
    return n;
}

int hf_config_load(struct hf_config *c, const char *path, char *error, size_t error_cap)
{
    uint32_t lines[HF_CONFIG_KEYS] = {0};
    struct hf_config_loader l = {.config = c,
                                 .path = path,
                                 .table = &hf_config_table,
                                 .lines = lines,
                                 .prefix = "",
                                 .error = error,
                                 .error_cap = error_cap};
    char *text;
    ssize_t len = read_file(path, &text);
    int err = HF_EINVAL;

    if (len < 0) {
        snprintf(error, error_cap, "%s: cannot be read: %s", path, strerrordesc_np((int)-len));
        goto done;
    }
    err = load_text(&l, text, (size_t)len);
    if (err < 0)
        goto done;
    snprintf(c->path, sizeof(c->path), "%s", path);
    memcpy(c->lines, lines, sizeof(c->lines));
done:
    free(text);
    return err;
}
