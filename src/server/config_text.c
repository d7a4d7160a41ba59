/*
 * config_text.c - values of the configuration as text: for the report of a reload and for `holdfast check`.
 */
#include "server/config_keys.h"
#include "server/config_reload.h"

#include <string.h>

/* ---- Keys of the server ---- */

static void put_number(struct hf_buf *out, const struct hf_config_key *key, const void *value)
{
    char text[24];
    uint32_t n;

    memcpy(&n, value, sizeof(n));
    hf_config_number_text(key->kind, n, text, sizeof(text));
    hf_buf_puts(out, n == 0 && key->zero != NULL ? key->zero : text);
}

static void put_choice(struct hf_buf *out, const struct hf_config_key *key, const void *value)
{
    int i;

    memcpy(&i, value, sizeof(i));
    hf_buf_puts(out, key->names[i]);
}

static void put_network(struct hf_buf *out, const struct hf_network *network)
{
    struct hf_endpoint e = {.ip = network->ip};
    char text[HF_IP_TEXT_BYTES];
    bool v4 = hf_ip_is_v4(&network->ip) && network->bits >= HF_IP_V4_BITS;

    (void)hf_endpoint_format(&e, text);
    hf_buf_putf(out, "%s/%u", text, v4 ? network->bits - HF_IP_V4_BITS : network->bits);
}

static void put_item(struct hf_buf *out, const struct hf_config_key *key, const struct hf_config *c, size_t i)
{
    const char *list = (const char *)c + key->offset;

    switch (key->kind) {
    case HF_CONFIG_ADDRESSES:
    case HF_CONFIG_ORIGINS:
        hf_buf_puts(out, list + i * HF_ADDRESS_MAX);
        break;
    case HF_CONFIG_NETWORKS:
        put_network(out, &c->proxy_trusted[i]);
        break;
    case HF_CONFIG_CERTIFICATES:
        hf_buf_puts(out, c->certificates[i].certificate);
        if (c->certificates[i].key[0] != '\0')
            hf_buf_putf(out, ":%s", c->certificates[i].key);
        break;
    case HF_CONFIG_AUTH_KEYS:
        if (c->auth_keys[i].kid[0] != '\0')
            hf_buf_putf(out, "%s=", c->auth_keys[i].kid);
        hf_buf_putf(out, "%s:%s", hf_jwt_alg_name(c->auth_keys[i].alg), c->auth_keys[i].path);
        break;
    case HF_CONFIG_API_KEYS:
        hf_buf_putf(out, "%s=%s", c->api_keys[i].name, c->api_keys[i].full ? "full" : "read");
        break;
    default:
        break;
    }
}

static void put_list(struct hf_buf *out, const struct hf_config_key *key, const struct hf_config *c)
{
    size_t count;

    memcpy(&count, (const char *)c + key->count_offset, sizeof(count));
    if (count == 0)
        hf_buf_puts(out, "none");
    for (size_t i = 0; i < count; i++) {
        hf_buf_puts(out, i == 0 ? "" : ",");
        put_item(out, key, c, i);
    }
}

bool hf_config_is_shown(const struct hf_config_key *key)
{
    return key->kind != HF_CONFIG_SECRET && key->kind != HF_CONFIG_API_KEYS &&
           key->kind != HF_CONFIG_AUTH_KEYS;
}

void hf_config_key_put(const struct hf_config_key *key, const struct hf_config *c, struct hf_buf *out)
{
    const char *value = (const char *)c + key->offset;

    switch (key->kind) {
    case HF_CONFIG_COUNT:
    case HF_CONFIG_DURATION:
    case HF_CONFIG_BYTES:
        put_number(out, key, value);
        break;
    case HF_CONFIG_BOOL:
        hf_buf_puts(out, *(const bool *)value ? "true" : "false");
        break;
    case HF_CONFIG_CHOICE:
        put_choice(out, key, value);
        break;
    case HF_CONFIG_SECRET:
        hf_buf_puts(out, value[0] == '\0' ? "none" : "(hidden)");
        break;
    case HF_CONFIG_NAMESPACES:
        hf_buf_putf(out, "%u", c->namespaces.count);
        break;
    default:
        if (hf_config_is_list(key))
            put_list(out, key, c);
        else /* The others are texts. */
            hf_buf_puts(out, value[0] == '\0' ? "none" : value);
        break;
    }
}

/* ---- Namespaces ---- */

static void put_rule(struct hf_buf *out, const struct hf_namespaces *n, const struct hf_rule *rule)
{
    struct hf_str text = hf_rule_text(n, rule);

    switch ((enum hf_rule_kind)rule->kind) {
    case HF_RULE_NONE:
        hf_buf_puts(out, "none");
        break;
    case HF_RULE_ALL:
        hf_buf_puts(out, "all");
        break;
    case HF_RULE_USER:
        hf_buf_puts(out, "user");
        break;
    case HF_RULE_BACKEND:
        hf_buf_puts(out, "backend");
        break;
    case HF_RULE_CLAIM:
        hf_buf_putf(out, "claim:%.*s", (int)text.len, text.data);
        break;
    case HF_RULE_PATTERN:
        hf_buf_putf(out, "\"%.*s\"", (int)text.len, text.data);
        break;
    }
}

static void put_rules(struct hf_buf *out, const struct hf_namespaces *n, const struct hf_rule *rules)
{
    bool several = rules[1].kind != HF_RULE_NONE;

    hf_buf_puts(out, several ? "[" : "");
    for (int i = 0; i < HF_RULES_MAX && (i == 0 || rules[i].kind != HF_RULE_NONE); i++) {
        hf_buf_puts(out, i == 0 ? "" : ", ");
        put_rule(out, n, &rules[i]);
    }
    hf_buf_puts(out, several ? "]" : "");
}

void hf_config_put_namespace(struct hf_buf *out, const struct hf_namespaces *n, const struct hf_namespace *ns)
{
    hf_buf_puts(out, "{allow: {");
    for (int right = 0; right < HF_RIGHTS; right++) {
        hf_buf_putf(out, "%s%s: ", right == 0 ? "" : ", ", hf_right_name((enum hf_right)right));
        put_rules(out, n, ns->allow[right]);
    }
    hf_buf_puts(out, "}");
    for (size_t i = 0; i < HF_CONFIG_NAMESPACE_KEYS; i++) {
        const struct hf_config_key *key = &hf_config_namespace_keys[i];
        const char *value = (const char *)ns + key->offset;
        uint32_t number = 0;

        if (key->kind == HF_CONFIG_RULES)
            continue;
        if (key->kind != HF_CONFIG_BOOL)
            memcpy(&number, value, sizeof(number));
        if (key->max > 0 && (number == HF_NAMESPACE_UNSET || (number == 0 && key->initial != NULL)))
            continue; /* The server's own value, or no bound. */
        hf_buf_putf(out, ", %s: ", key->name);
        if (key->kind == HF_CONFIG_BOOL)
            hf_buf_puts(out, *(const bool *)value ? "true" : "false");
        else if (key->kind == HF_CONFIG_CHOICE)
            put_choice(out, key, value);
        else
            put_number(out, key, value);
    }
    hf_buf_puts(out, "}");
}
