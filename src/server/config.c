#include "server/config.h"

#include "base/assert.h"
#include "server/config_keys.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Room for what is wrong with one value; the name of the key and where it stood come in front. */
enum { WHAT_MAX = 320, HF_ADMISSION_CPUS_MAX = 1000000 / HF_ADMISSION_PER_CPU };

static uint32_t cpus_online(void)
{
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);

    /* The largest rate that the key takes stands for more CPUs than these. */
    return cpus < 1 ? 1 : cpus > HF_ADMISSION_CPUS_MAX ? HF_ADMISSION_CPUS_MAX : (uint32_t)cpus;
}

void hf_config_default(struct hf_config *c)
{
    char what[WHAT_MAX];

    *c = (struct hf_config){.admission_rate = HF_ADMISSION_PER_CPU * cpus_online()};
    for (size_t i = 0; i < HF_CONFIG_KEYS; i++) {
        const struct hf_config_key *key = &hf_config_keys[i];

        if (key->initial != NULL) {
            int err = hf_config_key_parse(key, c, hf_str_from(key->initial), what, sizeof(what));

            hf_assert(err == 0);
        }
    }
}

static int unknown_key(struct hf_str name, const char *origin, char *error, size_t cap)
{
    struct hf_str nearest = hf_config_key_nearest(name);
    int n = snprintf(error, cap, "%s: %.*s: ", origin, name.len < 64 ? (int)name.len : 64, name.data);
    size_t used = (size_t)n < cap ? (size_t)n : cap;

    if (hf_config_is_section(name))
        snprintf(error + used, cap - used, "is a section, not a key; `holdfast serve --help` lists its keys");
    else if (nearest.data != NULL)
        snprintf(error + used, cap - used, "unknown key; did you mean %.*s?", (int)nearest.len, nearest.data);
    else
        snprintf(error + used, cap - used, "unknown key; `holdfast serve --help` lists them all");
    return HF_EINVAL;
}

int hf_config_set(struct hf_config *c, const char *assignment, const char *origin, char *error,
                  size_t error_cap)
{
    const char *equals = strchr(assignment, '=');
    const struct hf_config_key *key;
    char what[WHAT_MAX];
    struct hf_str name;
    int err;

    if (equals == NULL) {
        snprintf(error, error_cap, "%s: %.64s: has no '='; expected key=value", origin, assignment);
        return HF_EINVAL;
    }
    name = (struct hf_str){assignment, (size_t)(equals - assignment)};
    key = hf_config_key_find(name);
    if (key == NULL)
        return unknown_key(name, origin, error, error_cap);
    err = hf_config_key_parse(key, c, hf_str_from(equals + 1), what, sizeof(what));
    if (err < 0) {
        snprintf(error, error_cap, "%s: %s: %s", origin, key->name, what);
        return err;
    }
    c->lines[key - hf_config_keys] = 0;
    return 0;
}

int hf_config_add_listen(struct hf_config *c, const char *address, const char *origin, char *error,
                         size_t error_cap)
{
    char what[WHAT_MAX];
    int err = hf_config_list_append(hf_config_key_find(HF_STR("listen")), c, hf_str_from(address), what,
                                    sizeof(what));

    if (err < 0)
        snprintf(error, error_cap, "%s: %s", origin, what);
    return err;
}

/* "FILE:LINE: key: what" for a key that does not go together with others. */
static int conflict(const struct hf_config *c, const char *name, const char *what, char *error, size_t cap)
{
    uint32_t line = c->lines[hf_config_key_find(hf_str_from(name)) - hf_config_keys];

    if (line > 0)
        snprintf(error, cap, "%s:%u: %s: %s", c->path, line, name, what);
    else
        snprintf(error, cap, "%s: %s", name, what);
    return HF_EINVAL;
}

static int check_heartbeat(const struct hf_config *c, char *error, size_t cap)
{
    char interval[24], low[24], high[24], what[WHAT_MAX];

    if (c->heartbeat_min_ms <= c->heartbeat_interval_ms && c->heartbeat_interval_ms <= c->heartbeat_max_ms)
        return 0;
    hf_config_number_text(HF_CONFIG_DURATION, c->heartbeat_interval_ms, interval, sizeof(interval));
    hf_config_number_text(HF_CONFIG_DURATION, c->heartbeat_min_ms, low, sizeof(low));
    hf_config_number_text(HF_CONFIG_DURATION, c->heartbeat_max_ms, high, sizeof(high));
    snprintf(what, sizeof(what), "%s is not between heartbeat.min (%s) and heartbeat.max (%s)", interval, low,
             high);
    return conflict(c, "heartbeat.interval", what, error, cap);
}

/* A message and what surrounds it must fit a segment several times, or most of the segment is lost at its end. */
static int check_segment(const struct hf_config *c, char *error, size_t cap)
{
    uint32_t least = 4 * c->message_bytes_max + (64u << 10);
    char has[24], needs[24], what[WHAT_MAX];

    if (c->segment_bytes >= least)
        return 0;
    hf_config_number_text(HF_CONFIG_BYTES, c->segment_bytes, has, sizeof(has));
    hf_config_number_text(HF_CONFIG_BYTES, least, needs, sizeof(needs));
    snprintf(what, sizeof(what), "%s is too small; with this limits.message it must be at least %s", has,
             needs);
    return conflict(c, "memory.segment", what, error, cap);
}

/* The addresses of both lists, the plain ones first. */
static const char *address_at(const struct hf_config *c, size_t i)
{
    return i < c->listen_count ? c->listen[i] : c->tls_listen[i - c->listen_count];
}

static int check_addresses(const struct hf_config *c, char *error, size_t cap)
{
    size_t count = c->listen_count + c->tls_listen_count;
    char what[WHAT_MAX];

    if (count == 0)
        return conflict(c, "listen", "has no address; at least one is needed", error, cap);
    for (size_t i = 0; i < count; i++) {
        const char *address = address_at(c, i);

        snprintf(what, sizeof(what), "%s is given twice", address);
        for (size_t j = 0; j < i; j++) {
            if (strcmp(address, address_at(c, j)) == 0)
                return conflict(c, i < c->listen_count ? "listen" : "tls.listen", what, error, cap);
        }
        snprintf(what, sizeof(what), "%s is an address for clients (%s) already", address,
                 i < c->listen_count ? "listen" : "tls.listen");
        if (strcmp(address, c->api_listen) == 0)
            return conflict(c, "api.listen", what, error, cap);
    }
    return 0;
}

static int check_tls(const struct hf_config *c, char *error, size_t cap)
{
    static const char missing[] = "needs a certificate: set tls.certificates";

    if (c->api_tls && strncmp(c->api_listen, "unix:", 5) == 0)
        return conflict(c, "api.tls", "is for an address: nobody else hears what goes through a Unix socket",
                        error, cap);
    if (c->certificate_count > 0)
        return 0;
    if (c->tls_listen_count > 0)
        return conflict(c, "tls.listen", missing, error, cap);
    return c->api_tls ? conflict(c, "api.tls", missing, error, cap) : 0;
}

static int check_proxy(const struct hf_config *c, char *error, size_t cap)
{
    if (c->proxy_protocol && c->proxy_trusted_count == 0)
        return conflict(c, "proxy.protocol",
                        "needs proxy.trusted: the proxies that may send the PROXY header", error, cap);
    return 0;
}

/* An address as it stands in the configuration, where names have become numbers. What looks unusual is taken for one that others reach. */
static bool is_loopback(const char *address)
{
    char text[INET6_ADDRSTRLEN];
    struct in6_addr v6;
    size_t len;

    if (address[0] != '[')
        return strncmp(address, "127.", 4) == 0;
    len = strcspn(++address, "]");
    if (len >= sizeof(text))
        return false;
    memcpy(text, address, len);
    text[len] = '\0'; /* "[::1]" has longer forms, too. */
    return inet_pton(AF_INET6, text, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

/* "demo.remote: others may kill our workers" must be said by whoever serves them. */
static int check_demo_local(const struct hf_config *c, char *error, size_t cap)
{
    const char *open = is_loopback(c->api_listen) ? NULL : c->api_listen;
    char what[WHAT_MAX];

    for (size_t i = 0; i < c->listen_count + c->tls_listen_count && open == NULL; i++)
        open = is_loopback(address_at(c, i)) ? NULL : address_at(c, i);
    if (open == NULL || c->demo_remote)
        return 0;
    snprintf(what, sizeof(what),
             "lets everybody who reaches %s cut connections and kill workers; listen on 127.0.0.1, or set "
             "demo.remote=true to allow it",
             open);
    return conflict(c, "demo.enabled", what, error, cap);
}

static int check_demo(const struct hf_config *c, char *error, size_t cap)
{
    if (!c->demo)
        return 0;
    if (strcmp(c->api_listen, "none") == 0 || strncmp(c->api_listen, "unix:", 5) == 0)
        return conflict(c, "demo.enabled",
                        "needs a port for its page: set api.listen to ADDR:PORT, such as 127.0.0.1:8001",
                        error, cap);
    /* Browsers refuse "mixed content": ws:// from a page that came by https:// (W3C Mixed Content, 4.4). */
    if (c->api_tls && c->tls_listen_count == 0)
        return conflict(c, "demo.enabled",
                        "needs tls.listen with api.tls: a page that came by TLS may connect by TLS only",
                        error, cap);
    return check_demo_local(c, error, cap);
}

/* "FILE:LINE: namespaces.PATTERN.KEY: what" */
static int namespace_conflict(const struct hf_config *c, const struct hf_namespace *ns, const char *key,
                              const char *what, char *error, size_t cap)
{
    struct hf_str pattern = hf_namespace_pattern(&c->namespaces, ns);

    snprintf(error, cap, "%s:%u: namespaces.%s%s.%s: %s", c->path, ns->line, hf_config_show(pattern).text,
             ns->is_prefix ? "*" : "", key, what);
    return HF_EINVAL;
}

/* What is left to the backend, subscribe or publish, needs a hook by which it is asked. */
static int check_backend_rule(const struct hf_config *c, const struct hf_namespace *ns, enum hf_right right,
                              char *error, size_t cap)
{
    enum hf_hook hook = right == HF_RIGHT_SUBSCRIBE ? HF_HOOK_SUBSCRIBE : HF_HOOK_PUBLISH;
    char key[24], what[WHAT_MAX];
    bool meant = false;

    for (int i = 0; i < HF_RULES_MAX; i++)
        meant = meant || ns->allow[right][i].kind == HF_RULE_BACKEND;
    if (!meant || c->hooks.url[hook][0] != '\0')
        return 0;
    snprintf(key, sizeof(key), "allow.%s", hf_right_name(right));
    snprintf(what, sizeof(what), "'backend' has nobody to ask: set hooks.%s.url", hf_right_name(right));
    return namespace_conflict(c, ns, key, what, error, cap);
}

static int check_namespace(const struct hf_config *c, const struct hf_namespace *ns, char *error, size_t cap)
{
    char has[24], most[24], what[WHAT_MAX];

    if (ns->message_bytes_max != HF_NAMESPACE_UNSET && ns->message_bytes_max > c->message_bytes_max) {
        hf_config_number_text(HF_CONFIG_BYTES, ns->message_bytes_max, has, sizeof(has));
        hf_config_number_text(HF_CONFIG_BYTES, c->message_bytes_max, most, sizeof(most));
        snprintf(what, sizeof(what), "%s is more than limits.message (%s), which no message may exceed", has,
                 most);
        return namespace_conflict(c, ns, "limits.message", what, error, cap);
    }
    if (check_backend_rule(c, ns, HF_RIGHT_SUBSCRIBE, error, cap) < 0)
        return HF_EINVAL;
    return check_backend_rule(c, ns, HF_RIGHT_PUBLISH, error, cap);
}

static int check_namespaces(const struct hf_config *c, char *error, size_t cap)
{
    int err = 0;

    for (uint32_t i = 0; i < c->namespaces.count && err == 0; i++)
        err = check_namespace(c, &c->namespaces.list[i], error, cap);
    return err;
}

/*
 * "Anonymous access only where the configuration says so": who serves other machines without asking for tokens must say that he means it.
 */
static int check_auth(const struct hf_config *c, char *error, size_t cap)
{
    const char *open = NULL;
    char what[WHAT_MAX];

    for (size_t i = 0; i < c->listen_count + c->tls_listen_count && open == NULL; i++)
        open = is_loopback(address_at(c, i)) ? NULL : address_at(c, i);
    if (open == NULL || c->auth_key_count > 0 || c->auth_anonymous || (c->demo && c->demo_remote))
        return 0;
    snprintf(
        what, sizeof(what),
        "none, so that everybody who reaches %s could read and publish everything: set the keys that sign "
        "tokens, or auth.anonymous=true to allow it, or listen on 127.0.0.1",
        open);
    return conflict(c, "auth.keys", what, error, cap);
}

/* A backend that serves whoever knows its URL tells everybody what it should tell us alone. */
static int check_hooks(const struct hf_config *c, char *error, size_t cap)
{
    enum { SECRET_LEAST = 16 };
    bool any = false;

    for (int hook = 0; hook < HF_HOOKS; hook++)
        any = any || c->hooks.url[hook][0] != '\0';
    if (any && c->hooks.secret[0] == '\0')
        return conflict(c, "hooks.secret",
                        "is missing: the backend knows by its signature that a request is ours", error, cap);
    if (c->hooks.secret[0] != '\0' && strlen(c->hooks.secret) < SECRET_LEAST)
        return conflict(c, "hooks.secret", "is too short; it must have 16 characters at least", error, cap);
    if (c->hooks.tls_key[0] != '\0' && c->hooks.tls_certificate[0] == '\0')
        return conflict(c, "hooks.tls.key", "needs hooks.tls.certificate: the certificate that it belongs to",
                        error, cap);
    return 0;
}

int hf_config_check(const struct hf_config *c, char *error, size_t error_cap)
{
    int err = check_addresses(c, error, error_cap);

    if (err == 0)
        err = check_tls(c, error, error_cap);
    if (err == 0)
        err = check_heartbeat(c, error, error_cap);
    if (err == 0)
        err = check_segment(c, error, error_cap);
    if (err == 0)
        err = check_proxy(c, error, error_cap);
    if (err == 0)
        err = check_demo(c, error, error_cap);
    if (err == 0)
        err = check_namespaces(c, error, error_cap);
    if (err == 0)
        err = check_auth(c, error, error_cap);
    if (err == 0)
        err = check_hooks(c, error, error_cap);
    return err;
}
