/*
 * busiest.h - which of very many keys came most often, in a fixed amount of memory: the Space-Saving sketch of Metwally, Agrawal and El Abbadi
 * ("Efficient Computation of Frequent and Top-k Elements in Data Streams", 2005), one for each of 64 sets of four keys, so that counting looks at four keys and no more.
 *
 * A key without a place takes that of the one in its set that weighs least, and its weight, but not its counts: those begin at 0. So a count is never too high; it is
 * too low only for a key that lost its place in between. A key that makes more than a quarter of all that falls on its set is certain to be there.
 *
 * A plain value of fixed size; all zeros is empty. Any two things may be counted of each key.
 */
#ifndef HF_BASE_BUSIEST_H
#define HF_BASE_BUSIEST_H

#include <stdint.h>

enum {
    HF_BUSIEST_SETS = 64,
    HF_BUSIEST_WAYS = 4,
    HF_BUSIEST_KEYS = HF_BUSIEST_SETS * HF_BUSIEST_WAYS,
    HF_BUSIEST_THINGS = 2
};

struct hf_busiest_set {
    uint64_t key[HF_BUSIEST_WAYS];    /* 0: free */
    uint64_t weight[HF_BUSIEST_WAYS]; /* of all that was counted at this place */
    uint64_t count[HF_BUSIEST_WAYS][HF_BUSIEST_THINGS];
};

struct hf_busiest {
    struct hf_busiest_set set[HF_BUSIEST_SETS];
};

/* One of those that were counted. */
struct hf_busiest_key {
    uint64_t key;
    uint64_t count[HF_BUSIEST_THINGS];
};

void hf_busiest_reset(struct hf_busiest *b);
/* `times` more of one thing (below HF_BUSIEST_THINGS) of a key, which is not 0. */
void hf_busiest_count(struct hf_busiest *b, uint64_t key, unsigned thing, uint64_t times);
/* Up to `max` of them into out[], those with the highest sum of their counts first. Returns how many. */
unsigned hf_busiest_list(const struct hf_busiest *b, struct hf_busiest_key *out, unsigned max);

#endif
