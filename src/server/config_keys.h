/*
 * config_keys.h - the one table of configuration keys: it drives the file, --set, --help and docs/configuration.md.
 * For the files of config only; others see hf_config.
 */
#ifndef HF_SERVER_CONFIG_KEYS_H
#define HF_SERVER_CONFIG_KEYS_H

#include "base/str.h"
#include "server/config.h"

enum hf_config_kind {
    HF_CONFIG_COUNT,    /* uint32_t: a number without unit */
    HF_CONFIG_DURATION, /* uint32_t, in ms: "25s" */
    HF_CONFIG_BYTES,    /* uint32_t: "64KiB" */
    HF_CONFIG_BOOL,     /* bool: true, false */
    HF_CONFIG_CHOICE,   /* an enum: one of names */
    HF_CONFIG_ADDRESS,  /* char[HF_ADDRESS_MAX]: ADDR:PORT, unix:PATH or "none" */
    HF_CONFIG_ADDRESSES, /* char[HF_LISTEN_MAX][HF_ADDRESS_MAX]: a list of ADDR:PORT; in one text with commas between, or "none" */
    HF_CONFIG_NETWORKS, /* hf_config.proxy_trusted: a list of ADDR/BITS; likewise */
    HF_CONFIG_SECRET,   /* char[256]: printable ASCII without spaces; never shown in an error */
    HF_CONFIG_URL,      /* char[HF_URL_MAX]: http:// or https:// with a host; "none" is "" */
    HF_CONFIG_TEXT,     /* char[HF_CONFIG_TEXT_MAX]: as a secret, but shown */
    HF_CONFIG_CERTIFICATES, /* hf_config.certificates: a list of CERTIFICATE:KEY; in one text with commas between */
    HF_CONFIG_NAMESPACES, /* hf_config.namespaces: a mapping of patterns to the keys of hf_config_namespace_keys; in a file only */
    HF_CONFIG_RULES,     /* hf_namespace.allow: a rule, or a list of them */
    HF_CONFIG_AUTH_KEYS, /* hf_config.auth_keys: a list of KID=ALG:FILE; likewise */
    HF_CONFIG_API_KEYS,  /* hf_config.api_keys: a list of NAME=full:HASH; likewise */
    HF_CONFIG_ORIGINS,   /* hf_config.auth_origins: a list of origins; likewise */
};

struct hf_config_key {
    const char *name; /* parts separated by dots: the nesting in the file */
    enum hf_config_kind kind;
    size_t offset, size; /* in struct hf_config */
    bool
        live; /* a reload may change it: who uses it looks at the configuration each time, or in hf_hub_reconfigured() */
    size_t count_offset;      /* of a list: where its size_t count is */
    uint32_t min, max;        /* of the three kinds of numbers */
    const char *const *names; /* of a choice: by value, NULL behind the last */
    const char *zero;         /* of a number: the word that stands for 0, which is allowed then; NULL: none */
    const char *initial;      /* the default, written as in a file; NULL: computed */
    const char *initial_text; /* how the reference tells the default, where `initial` does not tell it */
    const char *about;        /* what it is for, one line without a full stop */
};

/* HF_CONFIG_KEYS of them, by section. */
extern const struct hf_config_key hf_config_keys[];

/* Those of one namespace, with offsets in struct hf_namespace. */
enum { HF_CONFIG_NAMESPACE_KEYS = 13 };
extern const struct hf_config_key hf_config_namespace_keys[];

/* Keys that are looked up together. */
struct hf_config_table {
    const struct hf_config_key *keys;
    size_t count;
};

extern const struct hf_config_table hf_config_table, hf_config_namespace_table;

/* The key with this name in the table, or NULL. */
const struct hf_config_key *hf_config_table_find(const struct hf_config_table *t, struct hf_str name);

/* The key or section that `name` was probably meant to be; data NULL: none is near. */
struct hf_str hf_config_table_nearest(const struct hf_config_table *t, struct hf_str name);

/* Whether some key lies below this name ("heartbeat"). */
bool hf_config_table_is_section(const struct hf_config_table *t, struct hf_str name);

/* The same for the keys of the server. */
static inline const struct hf_config_key *hf_config_key_find(struct hf_str name)
{
    return hf_config_table_find(&hf_config_table, name);
}
static inline struct hf_str hf_config_key_nearest(struct hf_str name)
{
    return hf_config_table_nearest(&hf_config_table, name);
}
static inline bool hf_config_is_section(struct hf_str name)
{
    return hf_config_table_is_section(&hf_config_table, name);
}

/*
 * Read a value into *c. Returns 0, or HF_EINVAL with "what is wrong; what is allowed" in error.
 * Of a list it replaces what was there.
 */
int hf_config_key_parse(const struct hf_config_key *key, struct hf_config *c, struct hf_str value,
                        char *error, size_t error_cap) HF_MUST_CHECK;

/* Read a value of one of the first five kinds into *to, wherever that lies. As above. */
int hf_config_scalar_parse(const struct hf_config_key *key, void *to, struct hf_str value, char *error,
                           size_t error_cap) HF_MUST_CHECK;

/* Add a rule to a right of a namespace of c, or to all four for the key `allow`. As above. */
int hf_config_rule_append(const struct hf_config_key *key, struct hf_config *c, struct hf_namespace *ns,
                          struct hf_str rule, char *error, size_t error_cap) HF_MUST_CHECK;

/* A value as an error may show it: short, and in one line. */
struct hf_config_shown {
    char text[48];
};
struct hf_config_shown hf_config_show(struct hf_str value);

/* Append one address, or CERTIFICATE:KEY, to a list. As above. */
int hf_config_list_append(const struct hf_config_key *key, struct hf_config *c, struct hf_str value,
                          char *error, size_t error_cap) HF_MUST_CHECK;
/* Append one pair of files to hf_config.certificates; key empty: in the same file. As above. */
int hf_config_certificate_append(struct hf_config *c, struct hf_str certificate, struct hf_str key,
                                 char *error, size_t error_cap) HF_MUST_CHECK;
/* How many items a list has. */
size_t *hf_config_list_count(const struct hf_config_key *key, struct hf_config *c);
static inline bool hf_config_is_list(const struct hf_config_key *key)
{
    return key->kind == HF_CONFIG_ADDRESSES || key->kind == HF_CONFIG_CERTIFICATES ||
           key->kind == HF_CONFIG_NETWORKS || key->kind == HF_CONFIG_AUTH_KEYS ||
           key->kind == HF_CONFIG_API_KEYS || key->kind == HF_CONFIG_ORIGINS;
}

/* Append one network to hf_config.proxy_trusted. As above. */
int hf_config_network_append(struct hf_config *c, struct hf_str value, char *error,
                             size_t error_cap) HF_MUST_CHECK;

/* Append one item to auth_keys, api_keys, auth_origins: config_auth.c. As above. */
int hf_config_auth_key_append(struct hf_config *c, struct hf_str value, char *error,
                              size_t cap) HF_MUST_CHECK;
int hf_config_api_key_append(struct hf_config *c, struct hf_str value, char *error, size_t cap) HF_MUST_CHECK;
int hf_config_origin_append(struct hf_config *c, struct hf_str value, char *error, size_t cap) HF_MUST_CHECK;

/* Write the name of the variable that sets this key: HOLDFAST_HEARTBEAT_INTERVAL. */
void hf_config_variable(const char *key, char *out, size_t cap);

/* Write what is allowed: "100ms to 1h", "true or false". */
void hf_config_key_allowed(const struct hf_config_key *key, char *out, size_t cap);

/* Append a value as a file would have it; of a list with commas between. A secret is hidden, and of keys only the names are shown. */
void hf_config_key_put(const struct hf_config_key *key, const struct hf_config *c, struct hf_buf *out);
/* Whether that is all of the value. */
bool hf_config_is_shown(const struct hf_config_key *key);

/* Write a number as a file would have it: "25s", "64KiB", "1024". */
void hf_config_number_text(enum hf_config_kind kind, uint32_t n, char *out, size_t cap);

#endif
