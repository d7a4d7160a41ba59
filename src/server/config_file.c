/*
 * config_file.c - the YAML file of the configuration.
 *
 * It is read with libyaml, which libcyaml stands on, and not with libcyaml 1.3.1 itself: that one reads `interval: 25s` into a number as
 * 25 and `echo: maybe` as true without a word, names the line of the last good event instead of that of an unknown key, and does
 * not keep the line of a value that it took, so that no later check of ours could tell it. libyaml gives each node with its line,
 * and the table of keys is the schema.
 */
#include "server/config_keys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <yaml.h>

enum {
    FILE_BYTES_MAX = 1 << 20, /* a configuration is a few KiB; more is some other file */
    NAME_BYTES_MAX = 128,     /* of a key with its sections, as an error shows it */
    WHAT_MAX = 320,
};

struct loader {
    struct hf_config *config;
    const char *path;
    yaml_document_t document;
    uint32_t lines[HF_CONFIG_KEYS]; /* where this file set each key; 0: it did not */
    char *error;
    size_t error_cap;
};

static int fail_at(const struct loader *l, size_t line, const char *name, const char *fmt, ...)
    HF_PRINTF(4, 5);

/* "FILE:LINE: key: what"; without a key where name is "". */
static int fail_at(const struct loader *l, size_t line, const char *name, const char *fmt, ...)
{
    char what[WHAT_MAX];
    va_list args;

    va_start(args, fmt);
    vsnprintf(what, sizeof(what), fmt, args);
    va_end(args);
    snprintf(l->error, l->error_cap, "%s:%zu: %s%s%s", l->path, line, name, name[0] == '\0' ? "" : ": ",
             what);
    return HF_EINVAL;
}

static size_t line_of(const yaml_node_t *node)
{
    return node->start_mark.line + 1;
}

static struct hf_str scalar(const yaml_node_t *node)
{
    return (struct hf_str){(const char *)node->data.scalar.value, node->data.scalar.length};
}

/* `key:` with nothing behind it. */
static bool is_empty(const yaml_node_t *node)
{
    return node->type == YAML_SCALAR_NODE && node->data.scalar.length == 0 &&
           node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
}

static int load_scalar(struct loader *l, const struct hf_config_key *key, const yaml_node_t *node)
{
    char what[WHAT_MAX];
    int err;

    if (is_empty(node))
        return fail_at(l, line_of(node), key->name, "has no value");
    err = hf_config_key_parse(key, l->config, scalar(node), what, sizeof(what));
    return err < 0 ? fail_at(l, line_of(node), key->name, "%s", what) : 0;
}

/* One of the pairs of `{certificate: FILE, key: FILE}`. */
static int load_file_pair(const struct loader *l, const struct hf_config_key *key, yaml_node_pair_t pair,
                          struct hf_str *certificate, struct hf_str *key_file)
{
    const yaml_node_t *name = yaml_document_get_node((yaml_document_t *)(uintptr_t)&l->document, pair.key);
    const yaml_node_t *value = yaml_document_get_node((yaml_document_t *)(uintptr_t)&l->document, pair.value);
    struct hf_str *to = NULL;

    if (name->type == YAML_SCALAR_NODE && hf_str_eq(scalar(name), HF_STR("certificate")))
        to = certificate;
    if (name->type == YAML_SCALAR_NODE && hf_str_eq(scalar(name), HF_STR("key")))
        to = key_file;
    if (to == NULL)
        return fail_at(l, line_of(name), key->name, "expected `certificate` and `key` here");
    if (to->data != NULL)
        return fail_at(l, line_of(name), key->name, "`%.*s` is given twice", (int)scalar(name).len,
                       scalar(name).data);
    if (value->type != YAML_SCALAR_NODE || is_empty(value))
        return fail_at(l, line_of(value), key->name, "expected the path of a file");
    *to = scalar(value);
    return 0;
}

static int load_files(struct loader *l, const struct hf_config_key *key, const yaml_node_t *node)
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
        return fail_at(l, line_of(node), key->name, "has no `certificate`");
    if (hf_config_certificate_append(l->config, certificate, key_file.data == NULL ? HF_STR("") : key_file,
                                     what, sizeof(what)) < 0)
        return fail_at(l, line_of(node), key->name, "%s", what);
    return 0;
}

static int load_list(struct loader *l, const struct hf_config_key *key, const yaml_node_t *node)
{
    const char *items = key->kind == HF_CONFIG_ADDRESSES  ? "ADDR:PORT"
                        : key->kind == HF_CONFIG_NETWORKS ? "ADDR/BITS"
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
            err = fail_at(l, line_of(item), key->name, "expected a list of %s", items);
        else if (hf_config_list_append(key, l->config, scalar(item), what, sizeof(what)) < 0)
            err = fail_at(l, line_of(item), key->name, "%s", what);
    }
    return err;
}

static int load_value(struct loader *l, const struct hf_config_key *key, size_t line, const yaml_node_t *node)
{
    uint32_t *seen = &l->lines[key - hf_config_keys];
    char allowed[96];

    if (*seen != 0)
        return fail_at(l, line, key->name, "is given twice; first in line %u", *seen);
    *seen = (uint32_t)line;
    if (node->type == YAML_SCALAR_NODE)
        return load_scalar(l, key, node);
    if (node->type == YAML_SEQUENCE_NODE && hf_config_is_list(key))
        return load_list(l, key, node);
    hf_config_key_allowed(key, allowed, sizeof(allowed));
    return fail_at(l, line, key->name, "expected a single value, not a %s; allowed is %s",
                   node->type == YAML_SEQUENCE_NODE ? "list" : "mapping", allowed);
}

static int fail_unknown(const struct loader *l, size_t line, const char *name)
{
    struct hf_str nearest = hf_config_key_nearest(hf_str_from(name));

    if (nearest.data != NULL)
        return fail_at(l, line, name, "unknown key; did you mean %.*s?", (int)nearest.len, nearest.data);
    return fail_at(l, line, name, "unknown key; `holdfast serve --help` lists them all");
}

static int load_mapping(struct loader *l, const char *section, const yaml_node_t *node);

/* One pair of a mapping: a key, or a section, which is the beginning of keys. It cannot nest deeper than they do. */
static int load_pair(struct loader *l, const char *section, const yaml_node_t *key_node,
                     const yaml_node_t *value)
{
    size_t line = line_of(key_node);
    char name[NAME_BYTES_MAX];
    const struct hf_config_key *key;
    struct hf_str text;

    if (key_node->type != YAML_SCALAR_NODE)
        return fail_at(l, line, section, "a key must be a plain word");
    text = scalar(key_node);
    snprintf(name, sizeof(name), "%s%s%.*s", section, section[0] == '\0' ? "" : ".", (int)text.len,
             text.data);
    for (char *c = name; *c != '\0'; c++)
        *c = (uint8_t)*c < 0x20 || *c == 0x7f ? '?' : *c; /* The error stays one line. */
    key = hf_config_key_find(hf_str_from(name));
    if (key != NULL)
        return load_value(l, key, line, value);
    if (!hf_config_is_section(hf_str_from(name)))
        return fail_unknown(l, line, name);
    if (is_empty(value))
        return 0;
    if (value->type != YAML_MAPPING_NODE)
        return fail_at(l, line, name, "is a section; expected keys in it, indented, one a line");
    return load_mapping(l, name, value);
}

static int load_mapping(struct loader *l, const char *section, const yaml_node_t *node)
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

static int load_root(struct loader *l)
{
    const yaml_node_t *root = yaml_document_get_root_node(&l->document);

    if (root == NULL || is_empty(root))
        return 0;
    if (root->type != YAML_MAPPING_NODE)
        return fail_at(l, line_of(root), "", "expected `key: value` lines");
    return load_mapping(l, "", root);
}

static size_t line_at(const char *text, size_t offset)
{
    size_t line = 1;

    for (size_t i = 0; i < offset; i++)
        line += text[i] == '\n';
    return line;
}

static int fail_syntax(const struct loader *l, const yaml_parser_t *parser, const char *text, size_t len)
{
    const char *problem = parser->problem == NULL ? "out of memory" : parser->problem;

    if (parser->error == YAML_READER_ERROR) /* It knows the place in the text only. */
        return fail_at(l, line_at(text, parser->problem_offset < len ? parser->problem_offset : len), "",
                       "not valid YAML: %s", problem);
    return fail_at(l, parser->problem_mark.line + 1, "", "not valid YAML: %s%s%s", problem,
                   parser->context == NULL ? "" : ", ", parser->context == NULL ? "" : parser->context);
}

/* A second document would be ignored in silence. */
static int expect_end(struct loader *l, yaml_parser_t *parser, const char *text, size_t len)
{
    const yaml_node_t *root;

    if (yaml_parser_load(parser, &l->document) == 0)
        return fail_syntax(l, parser, text, len);
    root = yaml_document_get_root_node(&l->document);
    return root == NULL ? 0 : fail_at(l, line_of(root), "", "a second document begins here; one is expected");
}

static int load_text(struct loader *l, const char *text, size_t len)
{
    yaml_parser_t parser;
    int err;

    if (yaml_parser_initialize(&parser) == 0)
        return fail_at(l, 1, "", "out of memory");
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
    struct loader l = {.config = c, .path = path, .error = error, .error_cap = error_cap};
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
    memcpy(c->lines, l.lines, sizeof(c->lines));
done:
    free(text);
    return err;
}
