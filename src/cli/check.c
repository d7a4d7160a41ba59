/*
 * check.c - `holdfast check`: whether a configuration file is good, and what would be in force with it.
 */
#include "base/buf.h"
#include "cli/commands.h"
#include "server/capacity.h"
#include "server/config.h"
#include "server/config_keys.h"
#include "server/config_reload.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { TEXT_MAX = 1 << 20, LINE_MAX_BYTES = 1024 };

static const struct option options[] = {
    {"example", no_argument, NULL, 'e'}, {"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};

static const char help[] =
    "Usage: holdfast check FILE\n"
    "       holdfast check --example\n"
    "Read a configuration file as `holdfast serve --config FILE` does, with the environment over it, and\n"
    "print what would be in force, each key with where it comes from, and whether a change of it needs a\n"
    "restart. Warnings go to standard error.\n\n"
    "  --example   print a file with every key and its default, all of them commented out\n\n"
    "Exit status: 0 good (also with warnings), 1 the output could not be written, 2 bad, or wrong usage.\n";

static int usage(const char *problem, const char *what)
{
    fprintf(stderr, "holdfast check: %s%s\n", problem, what);
    return HF_EXIT_USAGE;
}

static int print(const struct hf_buf *text)
{
    bool failed =
        text->failed || fwrite(text->data, 1, text->len, stdout) != text->len || fflush(stdout) != 0;

    return failed ? HF_EXIT_FAILED : HF_EXIT_OK;
}

/* ---- Warnings ---- */

static void warn(const char *text)
{
    fprintf(stderr, "holdfast check: warning: %s\n", text);
}

static void warn_of_variable(void *ctx, struct hf_str name, const char *nearest)
{
    (void)ctx;
    fprintf(stderr, "holdfast check: warning: the variable %.*s names no key%s%s%s\n", (int)name.len,
            name.data, nearest[0] != '\0' ? "; did you mean " : "", nearest, nearest[0] != '\0' ? "?" : "");
}

static bool allows(const struct hf_namespace *ns, enum hf_rule_kind kind)
{
    for (int right = 0; right < HF_RIGHTS; right++)
        for (int i = 0; i < HF_RULES_MAX; i++)
            if (ns->allow[right][i].kind == kind)
                return true;
    return false;
}

static void warn_of_namespaces(const struct hf_config *c)
{
    for (uint32_t i = 0; i < c->namespaces.count; i++) {
        const struct hf_namespace *ns = &c->namespaces.list[i];
        bool named = allows(ns, HF_RULE_USER) || allows(ns, HF_RULE_CLAIM) || allows(ns, HF_RULE_PATTERN);
        struct hf_str pattern = hf_namespace_pattern(&c->namespaces, ns);

        if (named && c->auth_key_count == 0)
            fprintf(stderr,
                    "holdfast check: warning: %s:%u: namespaces.%.*s%s has rules for users, and without "
                    "auth.keys "
                    "nobody has a name\n",
                    c->path, ns->line, (int)pattern.len, pattern.data, ns->is_prefix ? "*" : "");
    }
}

/* What this machine lacks for it. */
static void warn_of_limits(const struct hf_config *c)
{
    struct hf_limits limits;
    struct hf_capacity plan;
    char text[LINE_MAX_BYTES];

    hf_limits_read(&limits);
    plan = hf_capacity_plan(c, &limits);
    if (!plan.within_descriptors || !plan.within_files) {
        hf_capacity_lacks(c, &limits, &plan, text, sizeof(text));
        warn(text);
    }
    for (unsigned i = 0; hf_capacity_advice(c, &limits, i, text, sizeof(text)); i++)
        warn(text);
}

/* ---- What would be in force ---- */

static void put_origin(struct hf_buf *out, const struct hf_config *c, size_t i,
                       const struct hf_config *before, const struct hf_config *defaults)
{
    const struct hf_config_key *key = &hf_config_keys[i];
    bool told = true;

    if (c->lines[i] != 0)
        hf_buf_putf(out, "  # line %u", c->lines[i]);
    else if (memcmp((const char *)c + key->offset, (const char *)before + key->offset, key->size) != 0 ||
             before->lines[i] != 0)
        hf_buf_puts(out, "  # environment");
    else if (memcmp((const char *)c + key->offset, (const char *)defaults + key->offset, key->size) == 0)
        hf_buf_puts(out, "  # default");
    else
        told = false;
    if (!key->live)
        hf_buf_puts(out, told ? "; a change needs a restart" : "  # a change needs a restart");
    hf_buf_puts(out, "\n");
}

static void put_namespaces(struct hf_buf *out, const struct hf_namespaces *n)
{
    for (uint32_t i = 0; i < n->count; i++) {
        struct hf_str pattern = hf_namespace_pattern(n, &n->list[i]);

        hf_buf_putf(out, "  \"%.*s%s\": ", (int)pattern.len, pattern.data, n->list[i].is_prefix ? "*" : "");
        hf_config_put_namespace(out, n, &n->list[i]);
        hf_buf_puts(out, "\n");
    }
}

static int report(const struct hf_config *c, const struct hf_config *before, const struct hf_config *defaults)
{
    struct hf_buf out;
    int status;

    hf_buf_init(&out, TEXT_MAX);
    for (size_t i = 0; i < HF_CONFIG_KEYS; i++) {
        const struct hf_config_key *key = &hf_config_keys[i];

        hf_buf_putf(&out, "%s: ", key->name);
        if (key->kind == HF_CONFIG_NAMESPACES && c->namespaces.count > 0)
            hf_buf_puts(&out, "");
        else
            hf_config_key_put(key, c, &out);
        put_origin(&out, c, i, before, defaults);
        if (key->kind == HF_CONFIG_NAMESPACES)
            put_namespaces(&out, &c->namespaces);
    }
    status = print(&out);
    hf_buf_release(&out);
    return status;
}

static int check(const char *path)
{
    static struct hf_config defaults, file, c; /* Too much for some stacks. */
    char error[LINE_MAX_BYTES];

    hf_config_default(&defaults);
    file = defaults;
    if (hf_config_load(&file, path, error, sizeof(error)) < 0)
        return usage(error, "");
    c = file;
    if (hf_config_environment(&c, environ, error, sizeof(error)) < 0 ||
        hf_config_check(&c, error, sizeof(error)) < 0)
        return usage(error, "");
    hf_config_environment_unknown(environ, warn_of_variable, NULL);
    warn_of_namespaces(&c);
    warn_of_limits(&c);
    return report(&c, &file, &defaults);
}

static int print_example(void)
{
    struct hf_buf out;
    int status;

    hf_buf_init(&out, TEXT_MAX);
    hf_config_example(&out);
    status = print(&out);
    hf_buf_release(&out);
    return status;
}

int hf_cli_check(int argc, char **argv)
{
    int option;

    opterr = 0;
    optind = 0; /* glibc: begin anew. */
    while ((option = getopt_long(argc, argv, ":h", options, NULL)) != -1) {
        if (option == 'h')
            return fputs(help, stdout) < 0 ? HF_EXIT_FAILED : HF_EXIT_OK;
        if (option == 'e')
            return print_example();
        return usage("unknown option, or one that takes no value: ", argv[optind - 1]);
    }
    if (optind + 1 != argc)
        return usage("expected one file", "");
    return check(argv[optind]);
}
