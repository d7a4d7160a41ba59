#include "base/busiest.h"

#include <stdlib.h>
#include <string.h>

void hf_busiest_reset(struct hf_busiest *b)
{
    memset(b, 0, sizeof(*b));
}

/* Keys may be small numbers that follow each other. Knuth, The Art of Computer Programming, vol. 3, 6.4: multiplication by 2^64 / phi. */
static struct hf_busiest_set *set_of(struct hf_busiest *b, uint64_t key)
{
    _Static_assert(HF_BUSIEST_SETS == 64, "six bits choose one");
    return &b->set[key * UINT64_C(0x9e3779b97f4a7c15) >> 58];
}

static unsigned lightest(const struct hf_busiest_set *s)
{
    unsigned way = 0;

    for (unsigned i = 1; i < HF_BUSIEST_WAYS; i++)
        if (s->weight[i] < s->weight[way])
            way = i;
    return way;
}

static unsigned take_place(struct hf_busiest_set *s, uint64_t key)
{
    unsigned way = lightest(s); /* A free one weighs nothing. */

    s->key[way] = key;
    memset(s->count[way], 0, sizeof(s->count[way]));
    return way;
}

void hf_busiest_count(struct hf_busiest *b, uint64_t key, unsigned thing, uint64_t times)
{
    struct hf_busiest_set *s = set_of(b, key);
    unsigned way = 0;

    while (way < HF_BUSIEST_WAYS && s->key[way] != key)
        way++;
    if (way == HF_BUSIEST_WAYS)
        way = take_place(s, key);
    s->weight[way] += times;
    s->count[way][thing] += times;
}

static uint64_t sum_of(const struct hf_busiest_key *k)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < HF_BUSIEST_THINGS; i++)
        sum += k->count[i];
    return sum;
}

static int heaviest_first(const void *a, const void *b)
{
    const struct hf_busiest_key *x = a, *y = b;
    uint64_t of_x = sum_of(x), of_y = sum_of(y);

    if (of_x != of_y)
        return of_x > of_y ? -1 : 1;
    return x->key < y->key ? -1 : x->key > y->key;
}

unsigned hf_busiest_list(const struct hf_busiest *b, struct hf_busiest_key *out, unsigned max)
{
    struct hf_busiest_key all[HF_BUSIEST_KEYS];
    unsigned count = 0;

    for (unsigned set = 0; set < HF_BUSIEST_SETS; set++) {
        const struct hf_busiest_set *s = &b->set[set];

        for (unsigned way = 0; way < HF_BUSIEST_WAYS; way++) {
            if (s->key[way] == 0)
                continue;
            all[count].key = s->key[way];
            memcpy(all[count++].count, s->count[way], sizeof(s->count[way]));
        }
    }
    qsort(all, count, sizeof(all[0]), heaviest_first);
    if (count > max)
        count = max;
    memcpy(out, all, count * sizeof(all[0]));
    return count;
}
