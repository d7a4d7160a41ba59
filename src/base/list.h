/*
 * list.h - an intrusive, circular, doubly linked list. The head is a node of its own.
 * A node that is in no list points to itself; hf_list_del() leaves it so, and may be called on it again.
 */
#ifndef HF_BASE_LIST_H
#define HF_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct hf_list {
    struct hf_list *next, *prev;
};

#define HF_CONTAINER(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

static inline void hf_list_init(struct hf_list *node)
{
    node->next = node->prev = node;
}

static inline bool hf_list_empty(const struct hf_list *head)
{
    return head->next == head;
}

static inline void hf_list_add_tail(struct hf_list *head, struct hf_list *node)
{
    node->prev = head->prev;
    node->next = head;
    head->prev->next = node;
    head->prev = node;
}

static inline void hf_list_del(struct hf_list *node)
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
    hf_list_init(node);
}

/* The first node taken out, or NULL where the list is empty. */
static inline struct hf_list *hf_list_pop(struct hf_list *head)
{
    struct hf_list *node = head->next;

    if (node == head)
        return NULL;
    hf_list_del(node);
    return node;
}

/* Move all nodes of `from` to the end of `to`; `from` is empty afterwards. */
static inline void hf_list_splice(struct hf_list *to, struct hf_list *from)
{
    if (hf_list_empty(from))
        return;
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    hf_list_init(from);
}

#endif
