/*
 * config_doc.c - the reference of the configuration, made of the table of keys.
 */
#include "server/config_keys.h"

#include <string.h>

static const char intro[] =
    "# Configuration\n"
    "\n"
    "This page is made of the table of keys in `src/server/config_keys.c` by `holdfast serve "
    "--config-reference`.\n"
    "\n"
    "`holdfast serve` needs no configuration. What is given counts in this order, the later over the "
    "earlier:\n"
    "\n"
    "1. the defaults below\n"
    "2. the file of `--config FILE`\n"
    "3. the environment: `HOLDFAST_` and the key in capitals with `_` for each dot, such as "
    "`HOLDFAST_HEARTBEAT_INTERVAL=5s`; a "
    "value is written as with `--set`\n"
    "4. `--set KEY=VALUE`, as often as wanted, in their order\n"
    "5. `--listen`, `--api`, `--workers`, `--echo`, `--demo`\n"
    "\n"
    "The file is YAML. The dots in a key are its nesting:\n"
    "\n"
    "```yaml\n"
    "listen: [127.0.0.1:8000, \"[::1]:8000\"]\n"
    "heartbeat:\n"
    "  interval: 25s\n"
    "  max: 2m\n"
    "api: {listen: 127.0.0.1:8001}\n"
    "tls:\n"
    "  listen: [0.0.0.0:8443]\n"
    "  certificates:\n"
    "    - {certificate: /etc/holdfast/example.org.pem, key: /etc/holdfast/example.org.key}\n"
    "```\n"
    "\n"
    "- A duration is `500ms`, `25s`, `10m`, `24h` or `7d`; a number alone is milliseconds.\n"
    "- A size is `64KiB`, `1MiB` or `1GiB`; a number alone is bytes.\n"
    "- An address is numeric, with a port from 1 to 65535: `127.0.0.1:8000`, `[::1]:8000`. `0.0.0.0:8000` is "
    "every IPv4 address "
    "of\n"
    "  the machine, `[::]:8000` every IPv6 address and no IPv4 one: for both give both. `localhost` stands "
    "for 127.0.0.1.\n"
    "- With `--set` a list is written with commas; `none` is the empty list.\n"
    "- A certificate is a PEM file, with its chain behind it; in one text with its key's file it is "
    "`CERTIFICATE:KEY`. Without a key both are in one file.\n"
    "- Keys with ↻ change on SIGHUP, without a restart: see below.\n"
    "- Better write `api.key` and `hooks.secret` into the file than on the command line, where other users "
    "of the machine can "
    "read it.\n"
    "\n"
    "A variable `HOLDFAST_…` that names no key is logged as `environment_unknown` and otherwise ignored: "
    "platforms put names of their own "
    "there.\n"
    "\n"
    "An unknown key, a key given twice, a value of the wrong kind or out of its range ends the start with "
    "exit status 2 and one line:\n"
    "\n"
    "```\n"
    "holdfast serve: holdfast.yaml:4: heartbeat.interval: '25x' is not a duration such as 500ms, 25s, 10m, "
    "24h or 7d; "
    "allowed is 100ms to 1h\n"
    "```\n"
    "\n"
    "`holdfast check FILE` says so without a start: it reads the file and the environment as the server "
    "does, prints every key that would be in force "
    "with where it comes from and whether a change of it needs a restart, and warns of what "
    "this machine lacks for it. Exit status 0: good, also with warnings; 2: bad. "
    "`packaging/holdfast.example.yaml` has every key with its default (`holdfast check --example`).\n"
    "\n"
    "Some must fit each other: `heartbeat.min` ≤ `heartbeat.interval` ≤ `heartbeat.max`, and "
    "`memory.segment` ≥ 4 × `limits.message` + 64KiB; "
    "`proxy.protocol` needs `proxy.trusted`; `demo.enabled` needs loopback addresses, or `demo.remote`; "
    "other addresses than loopback ones need "
    "`auth.keys`, or `auth.anonymous`; "
    "each `hooks.….url` needs `hooks.secret`.\n";

static const char reload_text[] =
    "\n"
    "## Reloading\n"
    "\n"
    "SIGHUP to the supervisor reads everything anew: the file, the certificates and the keys of tokens; what "
    "the command line says stays above the "
    "file. It is taken as a whole or not at all. Whatever "
    "is wrong with a part of it leaves all of the old in force and is logged as `config_kept`, "
    "`certificates_kept` or `keys_kept` with the reason.\n"
    "\n"
    "- Each key that has changed is logged: `config_changed key=… from=… to=…`; one without ↻ as "
    "`config_needs_restart`, each time until "
    "there is one. At the end comes `config_reloaded` with their numbers, "
    "or `nothing_to_reload`.\n"
    "- The workers get the new configuration from the supervisor, whole, between two turns of their loops; "
    "one that starts later begins with it.\n"
    "- What counts for a connection from its beginning (its heartbeat interval, whether it is compressed) "
    "holds for new ones. "
    "Subscriptions that the rules allow "
    "no longer end with `unsubscribed forbidden`.\n"
    "- `limits.connections_per_address`: where there was no bound, those who came meanwhile are not counted. "
    "`compression.enabled: false`: those who have agreed on compression are sent plain messages from then "
    "on. `idempotency.keys`: where there are more, the oldest are forgotten. "
    "`hooks.*`: requests that are under way or wait end as they began ([hooks](hooks.md)).\n"
    "- A restart is needed for what decides about sockets, the number of workers and the shape of shared "
    "memory: `listen`, `tls.listen`, `api.listen`, `api.tls`, `workers`, `memory.*`, "
    "`session.max`, `limits.channels`, `limits.message` (buffers, rings and segments are measured by it; "
    "`limits.message` of a namespace changes at once) and `limits.address_bits_…`; and for `echo`, "
    "`demo.*`, `process.*`, and TLS where there was none.\n"
    "- `config_reloads_total{result}` counts them.\n";

static const char namespaces_intro[] = "\n"
                                       "Each pattern in it is a channel's name, or the beginning of names "
                                       "and a `*`; the most specific one that fits a channel "
                                       "counts. [Namespaces and "
                                       "permissions](namespaces.md) tells all of it.\n"
                                       "\n"
                                       "```yaml\n"
                                       "namespaces:\n"
                                       "  \"chat:*\":\n"
                                       "    allow:\n"
                                       "      subscribe: user\n"
                                       "      publish: [\"chat:${user}:*\", claim:moderates]\n"
                                       "    history: {messages: 100, age: 1h}\n"
                                       "    limits: {publish_rate: 5}\n"
                                       "  \"*\": {allow: none}\n"
                                       "```\n"
                                       "\n"
                                       "Each has these keys:\n"
                                       "\n";

static const char *initial_of(const struct hf_config_key *key)
{
    return key->initial_text != NULL ? key->initial_text : key->initial;
}

static bool same_section(const char *a, const char *b)
{
    size_t n = strcspn(a, ".");

    /* Keys without a section stand together at the top. */
    if (a[n] == '\0' || b[strcspn(b, ".")] == '\0')
        return a[n] == b[strcspn(b, ".")];
    return strncmp(a, b, n + 1) == 0;
}

static const char table_head[] = "| key | default | allowed | |\n| --- | --- | --- | --- |\n";

static void describe_row(struct hf_buf *out, const struct hf_config_key *key)
{
    char allowed[96];

    hf_config_key_allowed(key, allowed, sizeof(allowed));
    hf_buf_putf(out, "| `%s`%s | %s | %s | %s |\n", key->name, key->live ? " ↻" : "", initial_of(key),
                allowed, key->about);
}

static void describe_namespaces(struct hf_buf *out)
{
    hf_buf_puts(out, namespaces_intro);
    hf_buf_puts(out, table_head);
    for (size_t i = 0; i < HF_CONFIG_NAMESPACE_KEYS; i++)
        describe_row(out, &hf_config_namespace_keys[i]);
}

static void describe_section(struct hf_buf *out, const struct hf_config_key *key)
{
    size_t n = strcspn(key->name, ".");
    bool general = key->name[n] != '.' && key->kind != HF_CONFIG_NAMESPACES;

    hf_buf_putf(out, "\n## %.*s\n\n", general ? 7 : (int)n, general ? "general" : key->name);
    hf_buf_puts(out, table_head);
}

void hf_config_describe(struct hf_buf *out)
{
    hf_buf_puts(out, intro);
    for (size_t i = 0; i < HF_CONFIG_KEYS; i++) {
        const struct hf_config_key *key = &hf_config_keys[i];

        if (i == 0 || !same_section(hf_config_keys[i - 1].name, key->name))
            describe_section(out, key);
        describe_row(out, key);
        if (key->kind == HF_CONFIG_NAMESPACES)
            describe_namespaces(out);
    }
    hf_buf_puts(out, reload_text);
}

static void help_key(struct hf_buf *out, const char *indent, const struct hf_config_key *key)
{
    char allowed[96];

    hf_config_key_allowed(key, allowed, sizeof(allowed));
    hf_buf_putf(out, "%s%s (%s)\n%s    %s; %s\n", indent, key->name, initial_of(key), indent, key->about,
                allowed);
}

void hf_config_help(struct hf_buf *out)
{
    for (size_t i = 0; i < HF_CONFIG_KEYS; i++) {
        help_key(out, "  ", &hf_config_keys[i]);
        for (size_t k = 0; hf_config_keys[i].kind == HF_CONFIG_NAMESPACES && k < HF_CONFIG_NAMESPACE_KEYS;
             k++)
            help_key(out, "      ", &hf_config_namespace_keys[k]);
    }
}

static const char example_intro[] =
    "# Every key of `holdfast serve` with its default, made by `holdfast check --example`. Take away the # "
    "before what you\n"
    "# change, and before the section above it; `holdfast check FILE` tells whether it is good.\n";

static const char example_namespaces[] =
    "#namespaces:\n"
    "#  \"chat:*\":\n"
    "#    allow: {subscribe: user, publish: [\"chat:${user}:*\", claim:moderates]}\n"
    "#    history: {messages: 100, age: 1h}\n"
    "#    limits: {publish_rate: 5}\n"
    "#  \"*\": {allow: none}\n";

/* Its default in a form that a file takes; a text may need quotes. */
static void put_default(struct hf_buf *out, const struct hf_config_key *key)
{
    const char *value = key->initial != NULL ? key->initial : key->kind == HF_CONFIG_COUNT ? "12000" : "none";
    bool is_text = key->kind == HF_CONFIG_SECRET || key->kind == HF_CONFIG_TEXT || value[0] == '\0';

    hf_buf_putf(out, is_text ? "\"%s\"" : "%s", value);
}

void hf_config_example(struct hf_buf *out)
{
    hf_buf_puts(out, example_intro);
    for (size_t i = 0; i < HF_CONFIG_KEYS; i++) {
        const struct hf_config_key *key = &hf_config_keys[i];
        size_t n = strcspn(key->name, ".");
        bool in_section = key->name[n] == '.';

        if (i == 0 || !same_section(hf_config_keys[i - 1].name, key->name)) {
            hf_buf_puts(out, "\n");
            if (in_section)
                hf_buf_putf(out, "#%.*s:\n", (int)n, key->name);
        }
        hf_buf_putf(out, "%s# %s\n", in_section ? "  " : "", key->about);
        if (key->kind == HF_CONFIG_NAMESPACES) {
            hf_buf_puts(out, example_namespaces);
            continue;
        }
        hf_buf_putf(out, in_section ? "#  %s: " : "#%s: ", in_section ? key->name + n + 1 : key->name);
        put_default(out, key);
        hf_buf_puts(out, "\n");
    }
}
