#include "sim/memory.h"

#include "sim/worker.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

void *__real_malloc(size_t size);
void __real_free(void *ptr);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *ptr, size_t size);
void __wrap_free(void *ptr);

/* What stands before each block; a multiple of 16 bytes, as malloc() aligns. */
struct block {
    struct hf_list link;
    struct sim_arena *owner;
    size_t size;
};

static_assert(sizeof(struct block) % 16 == 0, "blocks are aligned as malloc() does it");

static struct sim_arena *current;

void sim_arena_init(struct sim_arena *a, bool points)
{
    hf_list_init(&a->blocks);
    a->count = 0;
    a->points = points;
}

struct sim_arena *sim_arena_enter(struct sim_arena *a)
{
    struct sim_arena *before = current;

    current = a;
    return before;
}

void sim_arena_wipe(struct sim_arena *a)
{
    struct hf_list *node;

    while ((node = hf_list_pop(&a->blocks)) != NULL)
        __real_free(HF_CONTAINER(node, struct block, link));
    a->count = 0;
}

static void *block_new(size_t size)
{
    struct block *b;

    if (current != NULL && current->points)
        sim_point();
    b = size > SIZE_MAX / 2 ? NULL : __real_malloc(sizeof(*b) + size);
    if (b == NULL)
        return NULL;
    hf_list_init(&b->link);
    b->owner = current;
    b->size = size;
    if (current != NULL) {
        hf_list_add_tail(&current->blocks, &b->link);
        current->count++;
    }
    return b + 1;
}

void *__wrap_malloc(size_t size)
{
    return block_new(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    void *data = size != 0 && count > SIZE_MAX / size ? NULL : block_new(count * size);

    return data == NULL ? NULL : memset(data, 0, count * size);
}

void __wrap_free(void *ptr)
{
    struct block *b;

    if (ptr == NULL)
        return;
    b = (struct block *)ptr - 1;
    if (b->owner != NULL)
        b->owner->count--;
    hf_list_del(&b->link);
    __real_free(b);
}

/* It always moves, so that a pointer kept over it is found out. */
void *__wrap_realloc(void *ptr, size_t size)
{
    void *data = block_new(size);
    size_t old;

    if (data == NULL || ptr == NULL)
        return data;
    old = ((const struct block *)ptr - 1)->size;
    memcpy(data, ptr, old < size ? old : size);
    __wrap_free(ptr);
    return data;
}
