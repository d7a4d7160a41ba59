#include "server/config_reload.h"

#include "server/config_keys.h"

#include <string.h>

enum { TEXT_MAX = 4096 };

struct telling {
    hf_config_told *told;
    void *ctx;
    struct hf_config_changes changes;
};

static const char *text_of(struct hf_buf *text)
{
    hf_buf_put(text, "", 1);
    return text->failed ? "(too long to show)" : (const char *)text->data;
}

static void tell(struct telling *t, const char *key, struct hf_buf *from, struct hf_buf *to, bool live)
{
    t->changes.taken += live;
    t->changes.need_restart += !live;
    if (t->told != NULL)
        t->told(t->ctx, key, text_of(from), text_of(to), live);
}

/* ---- Namespaces ---- */

/* Each is known by its pattern, and compared by what it says: where its texts lie, and in which line it stood, does not matter. */
static const struct hf_namespace *same_pattern(const struct hf_namespaces *in, struct hf_str pattern,
                                               bool is_prefix)
{
    for (uint32_t i = 0; i < in->count; i++)
        if (in->list[i].is_prefix == is_prefix && hf_str_eq(hf_namespace_pattern(in, &in->list[i]), pattern))
            return &in->list[i];
    return NULL;
}

static void put_or_none(struct hf_buf *out, const struct hf_namespaces *n, const struct hf_namespace *ns)
{
    if (ns == NULL)
        hf_buf_puts(out, "none");
    else
        hf_config_put_namespace(out, n, ns);
}

static void compare_namespace(struct telling *t, const struct hf_namespaces *a, const struct hf_namespace *x,
                              const struct hf_namespaces *b, const struct hf_namespace *y)
{
    struct hf_buf from, to, key;
    struct hf_str pattern = x != NULL ? hf_namespace_pattern(a, x) : hf_namespace_pattern(b, y);

    hf_buf_init(&from, TEXT_MAX);
    hf_buf_init(&to, TEXT_MAX);
    hf_buf_init(&key, TEXT_MAX);
    put_or_none(&from, a, x);
    put_or_none(&to, b, y);
    if (!hf_str_eq(hf_buf_str(&from), hf_buf_str(&to))) {
        hf_buf_puts(&key, "namespaces.");
        hf_buf_put_str(&key, pattern);
        hf_buf_puts(&key, (x != NULL ? x : y)->is_prefix ? "*" : "");
        tell(t, text_of(&key), &from, &to, true);
    }
    hf_buf_release(&from);
    hf_buf_release(&to);
    hf_buf_release(&key);
}

static void compare_namespaces(struct telling *t, const struct hf_namespaces *a,
                               const struct hf_namespaces *b)
{
    for (uint32_t i = 0; i < a->count; i++)
        compare_namespace(t, a, &a->list[i], b,
                          same_pattern(b, hf_namespace_pattern(a, &a->list[i]), a->list[i].is_prefix));
    for (uint32_t i = 0; i < b->count; i++)
        if (same_pattern(a, hf_namespace_pattern(b, &b->list[i]), b->list[i].is_prefix) == NULL)
            compare_namespace(t, a, NULL, b, &b->list[i]);
}

/* ---- Keys ---- */

/* What a key takes up in the structure: its value, and of a list its count as well. */
static bool same_bytes(const struct hf_config_key *key, const struct hf_config *a, const struct hf_config *b)
{
    const char *x = (const char *)a, *y = (const char *)b;

    return memcmp(x + key->offset, y + key->offset, key->size) == 0 &&
           (!hf_config_is_list(key) ||
            memcmp(x + key->count_offset, y + key->count_offset, sizeof(size_t)) == 0);
}

static void copy_key(const struct hf_config_key *key, struct hf_config *to, const struct hf_config *from)
{
    memcpy((char *)to + key->offset, (const char *)from + key->offset, key->size);
    if (hf_config_is_list(key))
        memcpy((char *)to + key->count_offset, (const char *)from + key->count_offset, sizeof(size_t));
}

/* Behind a text, or the last of a list, may lie what was there before: then the bytes differ and the texts do not. */
static void compare_key(struct telling *t, const struct hf_config_key *key, const struct hf_config *running,
                        const struct hf_config *wanted)
{
    struct hf_buf from, to;

    if (key->kind == HF_CONFIG_NAMESPACES) {
        compare_namespaces(t, &running->namespaces, &wanted->namespaces);
        return;
    }
    if (same_bytes(key, running, wanted))
        return;
    hf_buf_init(&from, TEXT_MAX);
    hf_buf_init(&to, TEXT_MAX);
    hf_config_key_put(key, running, &from);
    hf_config_key_put(key, wanted, &to);
    if (!hf_config_is_shown(key) || from.failed || to.failed ||
        !hf_str_eq(hf_buf_str(&from), hf_buf_str(&to)))
        tell(t, key->name, &from, &to, key->live);
    hf_buf_release(&from);
    hf_buf_release(&to);
}

struct hf_config_changes hf_config_take_over(struct hf_config *running, const struct hf_config *wanted,
                                             hf_config_told *told, void *ctx)
{
    struct telling t = {.told = told, .ctx = ctx};

    for (size_t i = 0; i < HF_CONFIG_KEYS; i++) {
        const struct hf_config_key *key = &hf_config_keys[i];

        compare_key(&t, key, running, wanted);
        if (key->live) {
            copy_key(key, running, wanted);
            running->lines[i] = wanted->lines[i];
        }
    }
    memcpy(running->path, wanted->path, sizeof(running->path));
    return t.changes;
}
