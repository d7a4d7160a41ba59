/*
 * config_env.c - the environment's part of the configuration: HOLDFAST_HEARTBEAT_INTERVAL is heartbeat.interval.
 */
#include "server/config_keys.h"

#include <stdio.h>
#include <string.h>

static const char prefix[] = "HOLDFAST_";

enum { VARIABLE_MAX = 64, WHAT_MAX = 320 };

void hf_config_variable(const char *key, char *out, size_t cap)
{
    int n = snprintf(out, cap, "%s%s", prefix, key);

    for (int i = 0; i < n && (size_t)i < cap; i++) {
        if (out[i] == '.')
            out[i] = '_';
        else if (out[i] >= 'a' && out[i] <= 'z')
            out[i] = (char)(out[i] - 'a' + 'A');
    }
}

/* The key that a variable with this name sets, or NULL. */
static const struct hf_config_key *key_of(struct hf_str name)
{
    for (size_t i = 0; i < HF_CONFIG_KEYS; i++) {
        char variable[VARIABLE_MAX];

        hf_config_variable(hf_config_keys[i].name, variable, sizeof(variable));
        if (hf_str_eq(name, hf_str_from(variable)))
            return &hf_config_keys[i];
    }
    return NULL;
}

/* Whether it is one of ours; *name is what stands before the "=". */
static bool is_ours(const char *entry, struct hf_str *name)
{
    *name = (struct hf_str){entry, strcspn(entry, "=")};
    return strncmp(entry, prefix, sizeof(prefix) - 1) == 0 && entry[name->len] == '=';
}

int hf_config_environment(struct hf_config *c, char *const *environment, char *error, size_t error_cap)
{
    for (; *environment != NULL; environment++) {
        struct hf_str name;
        const struct hf_config_key *key = is_ours(*environment, &name) ? key_of(name) : NULL;
        char what[WHAT_MAX];

        if (key == NULL)
            continue;
        if (hf_config_key_parse(key, c, hf_str_from(*environment + name.len + 1), what, sizeof(what)) < 0) {
            snprintf(error, error_cap, "environment: %.*s: %s", (int)name.len, name.data, what);
            return HF_EINVAL;
        }
        c->lines[key - hf_config_keys] = 0;
    }
    return 0;
}

/* Their names are alike in more letters than a key's alone, so the nearest is looked for among the keys. */
static void nearest_variable(struct hf_str name, char *out, size_t cap)
{
    char key[VARIABLE_MAX] = "";
    struct hf_str nearest;
    size_t len = name.len - (sizeof(prefix) - 1);

    out[0] = '\0';
    for (size_t i = 0; i < len && i < sizeof(key) - 1; i++) {
        char ch = name.data[sizeof(prefix) - 1 + i];

        key[i] = ch >= 'A' && ch <= 'Z' ? (char)(ch - 'A' + 'a') : ch == '_' ? '.' : ch;
    }
    nearest = hf_config_key_nearest(hf_str_from(key));
    if (nearest.data != NULL && hf_config_key_find(nearest) != NULL)
        hf_config_variable(hf_config_key_find(nearest)->name, out, cap);
}

void hf_config_environment_unknown(char *const *environment,
                                   void (*tell)(void *ctx, struct hf_str name, const char *nearest),
                                   void *ctx)
{
    for (; *environment != NULL; environment++) {
        char nearest[VARIABLE_MAX];
        struct hf_str name;

        if (!is_ours(*environment, &name) || key_of(name) != NULL)
            continue;
        nearest_variable(name, nearest, sizeof(nearest));
        tell(ctx, name, nearest);
    }
}
