/*
 * presence_question.c - clients' questions about the members of a channel.
 *
 * Most are answered at once. One whose members are being looked for waits here, and what stands behind it on its connection does not wait for it: an answer is told by its id, and is
 * right for the place at which it comes (docs/protocol.md "Presence").
 */
#include "server/presence_state.h"

#include "base/assert.h"
#include "server/history.h"
#include "wire/items.h"

#include <stdlib.h>
#include <string.h>

enum {
    TRIES_PER_TURN = 1024,
    POLL_MS = 5, /* a question waits for room in its connection's output: look again */
};

/* One that waits. Heap. */
struct question {
    struct hf_list link; /* in state->questions, the oldest first */
    uint64_t conn;       /* its serial: the connection may be gone */
    bool has_id;
    uint16_t id_len, channel_len;
    char text[]; /* both */
};

static void send_members(struct hf_conn *c, const struct hf_msg *m, const struct hf_presence *members)
{
    struct hf_msg answer = {.type = HF_MSG_PRESENCE,
                            .has = HF_HAS_ID | HF_HAS_CHANNEL | HF_HAS_MEMBERS,
                            .encoding = hf_conn_encoding(c),
                            .id = m->id,
                            .channel = m->channel};
    struct hf_sub *s = hf_sub_find(c, m->channel);
    struct hf_buf list, out;

    hf_buf_init(&list, UINT32_MAX);
    hf_buf_init(&out, UINT32_MAX);
    hf_items_begin(&list, answer.encoding, HF_ITEMS_ARRAY);
    for (uint32_t i = 0; members != NULL && i < members->count; i++)
        hf_presence_put_member(&list, answer.encoding, members->list[i]);
    hf_items_end(&list, answer.encoding, HF_ITEMS_ARRAY);
    answer.members = hf_buf_str(&list);
    if (list.failed || hf_conn_encode(c, &out, &answer) < 0) {
        hf_send_error(c, m, HF_CODE_OVERLOADED, "the answer does not fit into memory now");
    } else {
        hf_buf_release(&list);
        if (s != NULL)
            hf_presence_caught_up(s);
        hf_conn_send_encoded(c, hf_buf_str(&out));
    }
    hf_buf_release(&list);
    hf_buf_release(&out);
}

/* Returns false where it must wait: the members are being looked for. */
static bool answer(struct hf_conn *c, const struct hf_msg *m)
{
    const struct hf_presence *members = NULL;
    struct hf_history h;
    int err = 0;

    if (!hf_rules_allow(c, HF_RIGHT_PRESENCE, m->channel)) {
        hf_rules_count_refusal(c->hub, HF_RIGHT_PRESENCE);
        hf_send_error(c, m, HF_CODE_FORBIDDEN, hf_rules_reason(HF_RIGHT_PRESENCE));
        return true;
    }
    hf_history_find(c->hub, m->channel, &h);
    if (h.cid != 0) /* A channel that there is not has no members. */
        err = hf_presence_members(c->hub, h.cid, HF_PRESENCE_CLIENT, &members);
    if (err == HF_EAGAIN)
        return false;
    if (err == 0 && members != NULL && members->count > HF_PRESENCE_ANSWER_MAX)
        hf_send_error(c, m, HF_CODE_LIMIT,
                      "the channel has more members than an answer may have: ask the HTTP API for pages");
    else if (err < 0)
        hf_send_error(c, m, err == HF_ELIMIT ? HF_CODE_LIMIT : HF_CODE_OVERLOADED, hf_presence_refusal(err));
    else
        send_members(c, m, members);
    return true;
}

/* ---- Questions that wait ---- */

static uint64_t count_of(const struct hf_presence_state *p, uint64_t serial)
{
    const struct hf_map_entry *e = hf_map_get(&p->asking, serial);

    return e == NULL ? 0 : e->a;
}

/* Returns whether the question could be put by. */
static bool put_by(struct hf_conn *c, const struct hf_msg *m)
{
    struct hf_presence_state *p = c->hub->presence;
    uint64_t count = count_of(p, c->serial);
    struct question *q;

    if (count >= HF_PRESENCE_QUESTIONS)
        return false;
    q = malloc(sizeof(*q) + m->id.len + m->channel.len);
    if (q == NULL || hf_map_put(&p->asking, c->serial, count + 1, 0) < 0) {
        free(q);
        return false;
    }
    q->conn = c->serial;
    q->has_id = (m->has & HF_HAS_ID) != 0;
    q->id_len = (uint16_t)m->id.len; /* Both are at most 255 bytes: wire/json.h. */
    q->channel_len = (uint16_t)m->channel.len;
    if (m->id.len > 0)
        memcpy(q->text, m->id.data, m->id.len);
    memcpy(q->text + m->id.len, m->channel.data, m->channel.len);
    hf_list_init(&q->link);
    hf_list_add_tail(&p->questions, &q->link);
    return true;
}

static void forget(struct hf_presence_state *p, struct question *q)
{
    uint64_t count = count_of(p, q->conn);

    hf_list_del(&q->link);
    if (count > 1)
        hf_map_get(&p->asking, q->conn)->a = count - 1;
    else
        hf_map_remove(&p->asking, q->conn);
    free(q);
}

/* Returns whether it is done with. */
static bool try_again(struct hf_hub *hub, const struct question *q)
{
    struct hf_conn *c = hf_conns_by_serial(&hub->conns, q->conn);
    struct hf_msg m = {.type = HF_MSG_PRESENCE,
                       .has = HF_HAS_CHANNEL | (q->has_id ? HF_HAS_ID : 0),
                       .id = {q->text, q->id_len},
                       .channel = {q->text + q->id_len, q->channel_len}};

    if (c == NULL || c->phase != HF_CONN_OPEN || c->session == NULL)
        return true;
    if (c->blocked || c->out.len >= HF_OUT_SOFT_BYTES)
        return false;
    return answer(c, &m);
}

bool hf_presence_question(struct hf_conn *c, const struct hf_msg *m)
{
    return answer(c, m) || put_by(c, m);
}

void hf_presence_answer(struct hf_hub *hub)
{
    struct hf_presence_state *p = hub->presence;
    const struct hf_list *last = p->questions.prev;
    int answered = 0;

    for (int tried = 0; tried < TRIES_PER_TURN && answered < HF_PRESENCE_ANSWERS; tried++) {
        struct hf_list *node = hf_list_pop(&p->questions);

        if (node == NULL)
            break;
        if (try_again(hub, HF_CONTAINER(node, struct question, link))) {
            forget(p, HF_CONTAINER(node, struct question, link));
            answered++;
        } else {
            hf_list_add_tail(&p->questions, node);
        }
        if (node == last)
            break;
    }
}

uint64_t hf_presence_answer_ms(const struct hf_hub *hub)
{
    return hf_list_empty(&hub->presence->questions) ? UINT64_MAX : hub->now.mono_ms + POLL_MS;
}

void hf_presence_free_questions(struct hf_presence_state *p)
{
    while (!hf_list_empty(&p->questions))
        forget(p, HF_CONTAINER(p->questions.next, struct question, link));
    hf_map_release(&p->asking);
}
