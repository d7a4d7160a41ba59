#include "session/outbox.h"

#include "base/assert.h"

#include <stdlib.h>
#include <string.h>

enum { SLOTS_FIRST = 16 };

void hf_outbox_init(struct hf_outbox *o, uint32_t messages_max, size_t bytes_max, uint32_t window)
{
    hf_assert(messages_max > 0 && messages_max <= UINT32_MAX / 2 && window > 0);
    *o = (struct hf_outbox){
        .messages_max = messages_max, .bytes_max = bytes_max, .window = window, .first_id = 1};
}

static struct hf_outbox_item **slot(const struct hf_outbox *o, uint32_t index)
{
    return &o->slots[(o->head + index) & (o->slots_cap - 1)];
}

void hf_outbox_release(struct hf_outbox *o)
{
    uint32_t i;

    for (i = 0; i < o->count; i++)
        free(*slot(o, i));
    free(o->slots);
    o->slots = NULL;
    o->slots_cap = o->head = o->count = o->written = o->sent = 0;
    o->bytes = 0;
}

static int grow(struct hf_outbox *o)
{
    uint32_t cap = o->slots_cap == 0 ? SLOTS_FIRST : 2 * o->slots_cap;
    struct hf_outbox_item **slots = calloc(cap, sizeof(struct hf_outbox_item *));
    uint32_t i;

    if (slots == NULL)
        return HF_ENOMEM;
    for (i = 0; i < o->count; i++)
        slots[i] = *slot(o, i);
    free(o->slots);
    o->slots = slots;
    o->slots_cap = cap;
    o->head = 0;
    return 0;
}

static size_t item_bytes(const struct hf_outbox_item *item)
{
    return sizeof(*item) + item->channel.len + item->id.len + item->payload.len;
}

static struct hf_str keep(char **at, struct hf_str s)
{
    struct hf_str copy = {s.data == NULL ? NULL : *at, s.len};

    if (s.len > 0)
        memcpy(*at, s.data, s.len);
    *at += s.len;
    return copy;
}

static struct hf_outbox_item *item_new(struct hf_str channel, struct hf_str id, struct hf_str payload)
{
    struct hf_outbox_item *item = malloc(sizeof(*item) + channel.len + id.len + payload.len);
    char *at;

    if (item == NULL)
        return NULL;
    at = item->bytes;
    item->publish_id = 0;
    item->completion = (struct hf_completion){NULL, NULL};
    item->channel = keep(&at, channel);
    item->id = keep(&at, id);
    item->payload = keep(&at, payload);
    return item;
}

static int append(struct hf_outbox *o, struct hf_str channel, struct hf_str id, struct hf_str payload)
{
    struct hf_outbox_item *item;

    if (o->count == o->slots_cap && grow(o) < 0)
        return HF_ENOMEM;
    item = item_new(channel, id, payload);
    if (item == NULL)
        return HF_ENOMEM;
    item->publish_id = o->first_id + o->count;
    item->refused = item->told = false;
    item->code[0] = '\0';
    *slot(o, o->count) = item;
    o->count++;
    o->bytes += item_bytes(item);
    return 0;
}

int hf_outbox_add(struct hf_outbox *o, struct hf_str channel, struct hf_str id, struct hf_str payload,
                  uint64_t *publish_id)
{
    size_t bytes = sizeof(struct hf_outbox_item) + channel.len + id.len + payload.len;
    int err;

    if (bytes > o->bytes_max)
        return HF_ETOOLARGE;
    if (o->count >= o->messages_max || o->bytes > o->bytes_max - bytes)
        return HF_EAGAIN;
    err = append(o, channel, id, payload);
    if (err < 0)
        return err;
    *publish_id = o->first_id + o->count - 1;
    return 0;
}

struct hf_outbox_item *hf_outbox_newest(struct hf_outbox *o)
{
    hf_assert(o->count > 0);
    return *slot(o, o->count - 1);
}

void hf_outbox_take_back(struct hf_outbox *o)
{
    struct hf_outbox_item *item = hf_outbox_newest(o);

    hf_assert(o->sent < o->count && o->written < o->count);
    o->count--;
    o->bytes -= item_bytes(item);
    free(item);
}

void hf_outbox_restore(struct hf_outbox *o, uint64_t first_id, uint64_t seq_base)
{
    hf_assert(o->count == 0 && seq_base < first_id);
    o->first_id = first_id;
    o->seq_base = seq_base;
}

int hf_outbox_restore_item(struct hf_outbox *o, struct hf_str channel, struct hf_str id,
                           struct hf_str payload, struct hf_str refusal)
{
    int err = o->count == UINT32_MAX / 2 ? HF_ELIMIT : append(o, channel, id, payload);

    if (err == 0 && refusal.data != NULL)
        hf_outbox_refused(*slot(o, o->count - 1), refusal);
    return err;
}

void hf_outbox_refused(struct hf_outbox_item *item, struct hf_str code)
{
    size_t len = code.len < sizeof(item->code) ? code.len : 0;

    item->refused = true;
    if (len > 0)
        memcpy(item->code, code.data, len);
    item->code[len] = '\0';
}

void hf_outbox_restore_sent(struct hf_outbox *o, uint32_t sent)
{
    hf_assert(sent <= o->count && o->written == 0);
    o->sent = sent;
}

const struct hf_outbox_item *hf_outbox_at(const struct hf_outbox *o, uint32_t index)
{
    hf_assert(index < o->count);
    return *slot(o, index);
}

/* Whether it was refused in an earlier session: in this one it is never sent. */
static bool unnumbered(const struct hf_outbox *o, uint32_t index)
{
    return index >= o->sent && (*slot(o, index))->refused;
}

const struct hf_outbox_item *hf_outbox_next(const struct hf_outbox *o)
{
    if (o->written == o->count || o->written >= o->window || unnumbered(o, o->written))
        return NULL;
    return *slot(o, o->written);
}

void hf_outbox_wrote(struct hf_outbox *o)
{
    hf_assert(o->written < o->count);
    o->written++;
    if (o->sent < o->written)
        o->sent = o->written;
}

uint64_t hf_outbox_ahead(const struct hf_outbox *o, size_t bytes)
{
    uint32_t i = o->written;
    size_t sum = 0;

    while (i < o->count && i < o->window && !unnumbered(o, i) && sum < bytes)
        sum += item_bytes(*slot(o, i++));
    return o->first_id + i - 1;
}

uint64_t hf_outbox_seq(const struct hf_outbox *o, const struct hf_outbox_item *item)
{
    return item->publish_id - o->seq_base;
}

uint64_t hf_outbox_seq_sent(const struct hf_outbox *o)
{
    return o->first_id + o->sent - 1 - o->seq_base;
}

struct hf_outbox_item *hf_outbox_find(struct hf_outbox *o, uint64_t seq)
{
    uint64_t first = o->first_id - o->seq_base;

    if (seq < first || seq - first >= o->sent)
        return NULL;
    return *slot(o, (uint32_t)(seq - first));
}

static uint32_t less_one(uint32_t count)
{
    return count == 0 ? 0 : count - 1;
}

static struct hf_outbox_item *pop_front(struct hf_outbox *o)
{
    struct hf_outbox_item *item = *slot(o, 0);

    o->head = (o->head + 1) & (o->slots_cap - 1);
    o->count--;
    o->first_id++;
    o->written = less_one(o->written);
    o->sent = less_one(o->sent);
    o->bytes -= item_bytes(item);
    return item;
}

struct hf_outbox_item *hf_outbox_pop(struct hf_outbox *o, uint64_t seq)
{
    if (o->sent == 0 || o->first_id - o->seq_base > seq)
        return NULL;
    return pop_front(o);
}

struct hf_outbox_item *hf_outbox_pop_refused(struct hf_outbox *o)
{
    if (o->sent == 0 || !(*slot(o, 0))->refused)
        return NULL;
    return pop_front(o);
}

struct hf_outbox_item *hf_outbox_pop_unnumbered(struct hf_outbox *o)
{
    if (o->count == 0 || o->sent > 0 || !unnumbered(o, 0))
        return NULL;
    o->seq_base++;
    return pop_front(o);
}

void hf_outbox_disconnected(struct hf_outbox *o)
{
    o->written = 0;
}

int hf_outbox_resumed(struct hf_outbox *o, uint64_t last_seq)
{
    uint64_t answered = o->first_id - o->seq_base - 1;

    hf_assert(o->written == 0);
    if (last_seq < answered || last_seq > hf_outbox_seq_sent(o))
        return HF_EPROTO;
    o->written = (uint32_t)(last_seq - answered);
    return 0;
}

void hf_outbox_renewed(struct hf_outbox *o)
{
    o->seq_base = o->first_id - 1;
    o->written = 0;
    o->sent = 0;
}

struct hf_outbox_item *hf_outbox_pop_unused(struct hf_outbox *o)
{
    hf_assert(o->written == 0);
    if (o->sent == 0)
        return NULL;
    o->seq_base++;
    return pop_front(o);
}

struct hf_outbox_item *hf_outbox_take(struct hf_outbox *o, bool sent)
{
    if (o->count == 0 || (o->sent > 0) != sent)
        return NULL;
    return pop_front(o);
}
