#include "session/request.h"

#include "base/buf.h"
#include "ws/utf8.h"

#include <stdlib.h>
#include <string.h>

#define REQUEST_OF(node) HF_CONTAINER(node, struct hf_request, link)

void hf_requests_init(struct hf_requests *t)
{
    *t = (struct hf_requests){0};
    hf_list_init(&t->all);
    hf_list_init(&t->lost);
}

void hf_requests_release(struct hf_requests *t)
{
    struct hf_list *node;

    while ((node = hf_list_pop(&t->all)) != NULL)
        free(REQUEST_OF(node));
    while ((node = hf_list_pop(&t->lost)) != NULL)
        free(REQUEST_OF(node));
    t->count = t->calls = t->asked = 0;
}

bool hf_request_valid(const struct hf_request *r)
{
    if (r->type == HF_MSG_PING)
        return true;
    if (r->type == HF_MSG_CALL)
        return r->method.len > 0 && r->method.len <= HF_LABEL_BYTES_MAX &&
               hf_utf8_valid((const uint8_t *)r->method.data, r->method.len);
    if (!hf_channel_name_valid(r->channel))
        return false;
    if (r->type == HF_MSG_PRESENCE)
        return true;
    if (r->limit < 1 || r->limit > HF_HISTORY_LIMIT_MAX)
        return false;
    return !r->since ||
           (r->epoch.len > 0 && r->epoch.len <= HF_LABEL_BYTES_MAX && r->since_offset <= HF_NUMBER_MAX);
}

static struct hf_str keep(char **at, struct hf_str s)
{
    struct hf_str kept = {*at, s.len};

    if (s.len > 0)
        memcpy(*at, s.data, s.len);
    *at += s.len;
    return kept;
}

int hf_requests_add(struct hf_requests *t, const struct hf_request *like, uint64_t *id)
{
    struct hf_request *r;
    char *at;

    if (!hf_request_valid(like))
        return HF_EINVAL;
    if (t->count == HF_REQUESTS_MAX)
        return HF_EAGAIN;
    r = malloc(sizeof(*r) + like->channel.len + like->epoch.len + like->method.len + like->payload.len);
    if (r == NULL)
        return HF_ENOMEM;
    *r = *like;
    at = r->bytes;
    r->channel = keep(&at, like->channel);
    r->epoch = keep(&at, like->epoch);
    r->method = keep(&at, like->method);
    r->payload = keep(&at, like->payload);
    r->asked = false;
    *id = r->id = ++t->last_id;
    r->name[0] = 'r';
    r->name_len = (uint8_t)(1 + hf_u64_digits(r->name + 1, r->id));
    hf_list_add_tail(&t->all, &r->link);
    t->count++;
    t->calls += r->type == HF_MSG_CALL;
    return 0;
}

struct hf_request *hf_requests_next(struct hf_requests *t)
{
    struct hf_list *node;

    if (t->asked == t->count)
        return NULL;
    for (node = t->all.next; node != &t->all; node = node->next) {
        struct hf_request *r = REQUEST_OF(node);

        if (r->asked)
            continue;
        r->asked = true;
        t->asked++;
        return r;
    }
    return NULL;
}

struct hf_msg hf_request_message(const struct hf_request *r)
{
    struct hf_msg m = {.type = r->type, .has = HF_HAS_ID, .id = {r->name, r->name_len}};

    if (r->type == HF_MSG_PING)
        return m;
    if (r->type == HF_MSG_CALL) {
        m.has |= HF_HAS_METHOD | HF_HAS_PAYLOAD;
        m.method = r->method;
        m.payload = r->payload;
        return m;
    }
    m.has |= HF_HAS_CHANNEL;
    m.channel = r->channel;
    if (r->type == HF_MSG_PRESENCE)
        return m;
    m.has |= HF_HAS_LIMIT;
    m.limit = r->limit;
    m.reverse = r->reverse;
    if (r->since) {
        m.has |= HF_HAS_SINCE;
        m.epoch = r->epoch;
        m.since_offset = r->since_offset;
    }
    return m;
}

struct hf_request *hf_requests_find(struct hf_requests *t, enum hf_msg_type type, struct hf_str name)
{
    struct hf_list *node;

    for (node = t->all.next; node != &t->all; node = node->next) {
        struct hf_request *r = REQUEST_OF(node);

        if (r->asked && r->type == type && hf_str_eq((struct hf_str){r->name, r->name_len}, name))
            return r;
    }
    return NULL;
}

struct hf_request *hf_requests_oldest_question(struct hf_requests *t)
{
    struct hf_list *node;

    for (node = t->all.next; node != &t->all; node = node->next) {
        struct hf_request *r = REQUEST_OF(node);

        if (r->asked && (r->type == HF_MSG_HISTORY || r->type == HF_MSG_PRESENCE))
            return r;
    }
    return NULL;
}

void hf_requests_take(struct hf_requests *t, struct hf_request *r)
{
    hf_list_del(&r->link);
    t->count--;
    t->calls -= r->type == HF_MSG_CALL;
    t->asked -= r->asked;
}

void hf_requests_disconnected(struct hf_requests *t)
{
    struct hf_list *node, *next;

    for (node = t->all.next; node != &t->all; node = next) {
        struct hf_request *r = REQUEST_OF(node);

        next = node->next;
        if (r->asked && r->type == HF_MSG_CALL) {
            hf_requests_take(t, r);
            hf_list_add_tail(&t->lost, &r->link);
        }
        r->asked = false;
    }
    t->asked = 0;
}

struct hf_request *hf_requests_take_lost(struct hf_requests *t)
{
    struct hf_list *node = hf_list_pop(&t->lost);

    return node == NULL ? NULL : REQUEST_OF(node);
}

struct hf_request *hf_requests_first_due(const struct hf_requests *t)
{
    struct hf_request *first = NULL;
    struct hf_list *node;

    if (t->calls == 0)
        return NULL;
    for (node = t->all.next; node != &t->all; node = node->next) {
        struct hf_request *r = REQUEST_OF(node);

        if (r->type == HF_MSG_CALL && r->until_ms != UINT64_MAX &&
            (first == NULL || r->until_ms < first->until_ms))
            first = r;
    }
    return first;
}
