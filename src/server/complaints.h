/*
 * complaints.h - log lines about what is refused, dropped or ended by a limit, or thrown out by the inflater, a second together: a line a cause with its number,
 * however many there were. Made of the counters, so that nothing can be counted and not told.
 */
#ifndef HF_SERVER_COMPLAINTS_H
#define HF_SERVER_COMPLAINTS_H

#include "base/now.h"
#include "shm/counters.h"

struct hf_complaints {
    uint64_t told[HF_COUNTERS]; /* what the counters said when they were looked at last */
    uint64_t next_ms;
};

/* What was counted before is not told. */
void hf_complaints_init(struct hf_complaints *k, const struct hf_counters *counters, uint64_t now_ms);
/* To be called each turn; looks once a second. */
void hf_complaints_tick(struct hf_complaints *k, const struct hf_counters *counters, uint64_t now_ms);

#endif
