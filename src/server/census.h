/*
 * census.h - what is known of the whole server, read from shared memory: what the workers count, and what lies in the tables. For the files that tell of it
 * (metrics.c as Prometheus text, stats.c as JSON). Any worker can answer for all.
 */
#ifndef HF_SERVER_CENSUS_H
#define HF_SERVER_CENSUS_H

#include "base/buf.h"
#include "server/hub_state.h"

enum { HF_ALL_WORKERS = -1 }; /* in place of a slot */

/* The names of what is counted: see shm/counters.h. */
struct hf_counter_name {
    const char *metric, *label,
        *help; /* help "": that of the one before it, which differs in the label alone */
};
struct hf_gauge_name {
    const char *metric, *help;
};
struct hf_measure_name {
    const char *metric, *help;
    uint32_t per_second; /* of the unit that is recorded */
};
extern const struct hf_counter_name hf_counter_names[HF_COUNTERS];
extern const struct hf_gauge_name hf_gauge_names[HF_GAUGES];
extern const struct hf_measure_name hf_measure_names[HF_MEASURES];

/* slot: of one worker, or HF_ALL_WORKERS for their sum. */
uint64_t hf_census_counter(const struct hf_hub *hub, int slot, enum hf_counter which);
uint64_t hf_census_gauge(const struct hf_hub *hub, int slot, enum hf_gauge which);
struct hf_histogram_sum hf_census_measure(const struct hf_hub *hub, int slot, enum hf_measure which);
uint64_t hf_census_restarts(const struct hf_hub *hub, int slot);
/* Since its last turn; a worker with nothing to do has one a second. */
uint64_t hf_census_silent_ms(const struct hf_hub *hub, uint32_t slot);
bool hf_census_running(const struct hf_hub *hub, uint32_t slot);

/* What is not counted by a worker but read off the shared memory. */
struct hf_census {
    uint64_t sessions, sessions_waiting; /* all, and those without a connection */
    uint64_t channels;
    uint64_t log_bytes, log_capacity_bytes; /* of messages in the shared logs, and what these have room for */
    uint64_t ring_peak_bytes,
        ring_capacity_bytes; /* the fullest ring of the last second, and what each has room for */
    uint64_t started_ms;     /* of the server; wall clock */
};

struct hf_census hf_census_take(struct hf_hub *hub);

/* Append value / per_second (1,000 or 1,000,000) as a decimal, exactly and without zeros that say nothing. */
void hf_census_put_seconds(struct hf_buf *out, uint64_t value, uint32_t per_second);

#endif
