#include "cli/bench_again.h"

#include "cli/bench_load.h"

#include <stdlib.h>

int hf_bench_again_init(struct hf_bench_again *again, uint32_t conns_count)
{
    again->waiting = 0;
    again->at_ns = calloc(conns_count, sizeof(*again->at_ns));
    return again->at_ns == NULL ? HF_ENOMEM : 0;
}

void hf_bench_again_release(struct hf_bench_again *again)
{
    free(again->at_ns);
    again->at_ns = NULL;
}

void hf_bench_again_at(struct hf_bench_load *load, const struct hf_bench_conn *c, int64_t at_ns)
{
    int64_t *at = &load->again.at_ns[c - load->conns];

    load->again.waiting += *at == 0;
    *at = at_ns;
}

bool hf_bench_again_waits(const struct hf_bench_load *load, const struct hf_bench_conn *c)
{
    return load->again.at_ns[c - load->conns] != 0;
}

/* All are looked at: this happens in a storm, where many wait, and seldom otherwise. */
int64_t hf_bench_again_turn(struct hf_bench_load *load)
{
    struct hf_bench_again *again = &load->again;
    int64_t earliest_ns = INT64_MAX;

    for (uint32_t i = 0; again->waiting > 0 && i < load->conns_count; i++) {
        int64_t *at = &again->at_ns[i];

        if (*at != 0 && *at <= load->now_ns && load->opening < load->opening_max) {
            *at = 0;
            again->waiting--;
            hf_bench_open(load, &load->conns[i]);
        } else if (*at != 0 && *at < earliest_ns) {
            earliest_ns = *at;
        }
    }
    return earliest_ns;
}
