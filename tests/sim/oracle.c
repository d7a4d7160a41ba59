#include "sim/oracle.h"

#include "base/assert.h"
#include "base/base64.h"
#include "sim/client.h"
#include "sim/judge.h"
#include "sim/sim.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum outcome { OPEN, ACKED, REFUSED, UNCERTAIN };

static const char *const outcomes[] = {"open", "acknowledged", "refused", "uncertain"};

/* One message that a publisher gave to the server. */
struct publish {
    uint8_t channel, outcome;
    uint16_t life; /* of its publisher, in which it was told the outcome */
    bool applied;
    uint32_t bytes;
    uint64_t offset; /* where it was applied */
};

struct publisher {
    uint32_t count;
    uint16_t life; /* a client's: how many of its processes have died */
    struct publish publishes[SIM_PUBLISHES_MAX + 1];
    uint32_t last[SIM_CHANNELS_MAX]; /* the newest that was applied to each channel */
};

/* One record of a channel's log. */
struct entry {
    uint8_t publisher, segment;
    uint16_t n;
    uint64_t segno;
};

/* One incarnation of a channel. */
struct epoch {
    hf_cid cid;
    char text[32];
    uint32_t head;
    struct entry entries[SIM_MESSAGES_MAX];
};

struct channel {
    uint32_t shard, epoch_count;
    struct epoch epochs[SIM_EPOCHS_MAX];
};

/* One client's subscription to one channel, as its application knows it. */
struct subscription {
    bool wanted, leaving, told, latest;
    bool placed;       /* `position` holds */
    bool begun;        /* it was placed once: position and epoch may be used for a `since` */
    uint32_t epoch;    /* in channel.epochs */
    uint64_t position; /* the last offset that the application has */
    uint64_t floor;    /* the channel's head when it subscribed */
    uint64_t last;
};

struct sim_oracle {
    struct publisher publishers[SIM_PUBLISHERS_MAX];
    struct channel channels[SIM_CHANNELS_MAX];
    struct subscription subscriptions[SIM_CLIENTS_MAX][SIM_CHANNELS_MAX];
    uint64_t sessions[SIM_CLIENTS_MAX];
    struct {
        uint64_t segno, taken; /* taken: the last number under which it was to be recycled */
        uint32_t used;
    } seen[SIM_SHARDS_MAX][SIM_SEGMENTS_MAX]; /* how far each segment has been read */
    struct hf_log logs[SIM_SHARDS_MAX];
    struct hf_channels tables[SIM_SHARDS_MAX];
};

static struct sim_oracle oracle; /* One schedule at a time. */

/* ---- Names ---- */

struct hf_str sim_channel_name(uint32_t channel)
{
    static const char *const names[SIM_CHANNELS_MAX] = {"room", "quotes",       "a",
                                                        "b/c",  "\xc3\xa4\"\\", "game.7"};

    return hf_str_from(names[channel]);
}

static uint32_t channel_of(struct hf_str name)
{
    uint32_t i = 0;

    while (i < SIM_CHANNELS_MAX && !hf_str_eq(sim_channel_name(i), name))
        i++;
    hf_assert(i < SIM_CHANNELS_MAX);
    return i;
}

size_t sim_payload(uint32_t publisher, uint32_t n, uint32_t channel, uint32_t bytes, char *out)
{
    int len = snprintf(out, SIM_PAYLOAD_MAX, "\"%u-%u-%u-", publisher, n, channel);
    uint32_t at = (uint32_t)len;

    for (; at + 1 < bytes && at + 1 < SIM_PAYLOAD_MAX; at++)
        out[at] = (char)('a' + (n + at) % 26);
    out[at++] = '"';
    return at;
}

bool sim_payload_raw(uint32_t publisher, uint32_t n)
{
    return publisher < SIM_CLIENTS_MAX && n % 4 == 1;
}

/* Who published it, and as which; checked to the last byte. Returns NULL where it is nobody's. */
static struct publish *publish_of(struct hf_str payload, uint32_t *publisher, uint32_t *n)
{
    char text[64], expected[SIM_PAYLOAD_MAX];
    struct publish *p;
    char *end;
    size_t len = payload.len < sizeof(text) - 1 ? payload.len : sizeof(text) - 1;

    if (len < 4)
        return NULL;
    memcpy(text, payload.data + 1, len - 1);
    text[len - 1] = '\0';
    *publisher = (uint32_t)strtoul(text, &end, 10);
    if (*end != '-' || *publisher >= SIM_PUBLISHERS_MAX)
        return NULL;
    *n = (uint32_t)strtoul(end + 1, &end, 10);
    if (*n < 1 || *n > oracle.publishers[*publisher].count)
        return NULL;
    p = &oracle.publishers[*publisher].publishes[*n];
    len = sim_payload(*publisher, *n, p->channel, p->bytes, expected);
    return len == payload.len && memcmp(expected, payload.data, len) == 0 ? p : NULL;
}

bool sim_oracle_names(struct hf_str payload, uint32_t *publisher, uint32_t *n)
{
    return publish_of(payload, publisher, n) != NULL;
}

/* ---- Publishes ---- */

void sim_oracle_published(struct sim *sim, uint32_t publisher, uint32_t n, uint32_t channel, uint32_t bytes)
{
    struct publisher *p = &oracle.publishers[publisher];

    hf_assert(n == p->count + 1 && n <= SIM_PUBLISHES_MAX);
    p->count = n;
    p->publishes[n] = (struct publish){.channel = (uint8_t)channel, .bytes = bytes};
    sim->stats->published++;
    sim_tell(sim, "publisher %u: publish %u to channel %u, %u bytes", publisher, n, channel, bytes);
}

static bool may_be_refused(const struct sim *sim, const struct publish *p)
{
    return p->bytes > sim->config.message_bytes_max || sim->config.publish_rate > 0 || sim->options.judged;
}

/*
 * A process that dies between being told a result and noting it leaves that to be told again; and where the server forgets the session in between, nobody
 * knows any more than that it was sent.
 */
static bool told_again(uint32_t publisher, const struct publish *p, enum outcome outcome)
{
    if (p->life == oracle.publishers[publisher].life)
        return false;
    return outcome == p->outcome || outcome == UNCERTAIN;
}

static void note_outcome(uint32_t publisher, struct publish *p, enum outcome outcome)
{
    p->outcome = (uint8_t)outcome;
    p->life = oracle.publishers[publisher].life;
}

static void acked(struct sim *sim, uint32_t publisher, uint32_t n, uint64_t offset)
{
    struct publish *p = &oracle.publishers[publisher].publishes[n];

    sim->stats->acked++;
    if (p->outcome != OPEN && !told_again(publisher, p, ACKED))
        sim_fail(sim, "publisher %u: publish %u is acknowledged after it was %s", publisher, n,
                 outcomes[p->outcome]);
    else if (!p->applied)
        sim_fail(sim, "publisher %u: publish %u is acknowledged and in no log", publisher, n);
    else if (offset != 0 && offset != p->offset)
        sim_fail(sim, "publisher %u: publish %u is acknowledged as offset %" PRIu64 ", it has %" PRIu64,
                 publisher, n, offset, p->offset);
    note_outcome(publisher, p, ACKED);
}

static void refused(struct sim *sim, uint32_t publisher, uint32_t n, struct hf_str code)
{
    struct publish *p = &oracle.publishers[publisher].publishes[n];

    sim->stats->refused++;
    if (p->outcome != OPEN && !told_again(publisher, p, REFUSED))
        sim_fail(sim, "publisher %u: publish %u is refused after it was %s", publisher, n,
                 outcomes[p->outcome]);
    else if (p->applied)
        sim_fail(sim, "publisher %u: publish %u is refused and was applied", publisher, n);
    else if (!may_be_refused(sim, p))
        sim_fail(sim, "publisher %u: publish %u is refused (%.*s) and there is nothing wrong with it",
                 publisher, n, (int)code.len, code.data);
    if (hf_str_eq(code, HF_STR("forbidden")) && sim_judge_allows(sim, publisher, n))
        sim_fail(sim, "publisher %u: publish %u is forbidden, and the backend allows it", publisher, n);
    note_outcome(publisher, p, REFUSED);
}

static void uncertain(struct sim *sim, uint32_t publisher, uint32_t n)
{
    struct publish *p = &oracle.publishers[publisher].publishes[n];

    sim->stats->uncertain++;
    if (p->outcome != OPEN && !told_again(publisher, p, UNCERTAIN))
        sim_fail(sim, "publisher %u: publish %u is uncertain after it was %s", publisher, n,
                 outcomes[p->outcome]);
    else if (!sim->options.outages && !sim->clients[publisher]->robbed)
        sim_fail(sim, "publisher %u: publish %u is uncertain, and no session has expired", publisher, n);
    note_outcome(publisher, p, UNCERTAIN);
}

void sim_oracle_answered(struct sim *sim, uint32_t publisher, uint32_t n,
                         const struct hf_service_result *result)
{
    if (result->conflict)
        sim_fail(sim, "publisher %u: publish %u conflicts with itself", publisher, n);
    else if (result->code == HF_CODE_NONE)
        acked(sim, publisher, n, result->offset);
}

/* ---- Channels ---- */

static struct epoch *newest_epoch(uint32_t channel)
{
    struct channel *c = &oracle.channels[channel];

    return c->epoch_count == 0 ? NULL : &c->epochs[c->epoch_count - 1];
}

static struct epoch *epoch_begun(struct sim *sim, uint32_t channel, hf_cid cid)
{
    struct channel *c = &oracle.channels[channel];
    struct epoch *e = &c->epochs[c->epoch_count];

    if (c->epoch_count > 0 && !sim->options.outages)
        sim_fail(sim, "channel %u was begun anew: it was %" PRIx64 " and is %" PRIx64, channel,
                 c->epochs[c->epoch_count - 1].cid, cid);
    if (c->epoch_count == SIM_EPOCHS_MAX) {
        sim_fail(sim, "channel %u was begun anew too often", channel);
        return NULL;
    }
    c->epoch_count++;
    e->cid = cid;
    e->head = 0;
    hf_region_epoch(&sim->region, cid, e->text);
    return e;
}

/* The channel's incarnation, noted where it is new. */
static struct epoch *epoch_of_cid(struct sim *sim, uint32_t shard, hf_cid cid, uint32_t *channel)
{
    const struct hf_channel *c;

    for (uint32_t i = 0; i < sim->options.channels; i++)
        for (uint32_t k = 0; k < oracle.channels[i].epoch_count; k++)
            if (oracle.channels[i].epochs[k].cid == cid) {
                *channel = i;
                return &oracle.channels[i].epochs[k];
            }
    c = hf_channels_get(&oracle.tables[shard], cid);
    if (c == NULL) {
        sim_fail(sim, "shard %u has a record of no channel", shard);
        return NULL;
    }
    *channel = channel_of(hf_channel_name(c));
    return epoch_begun(sim, *channel, cid);
}

static int epoch_of_text(struct sim *sim, uint32_t channel, struct hf_str text)
{
    const struct channel *c = &oracle.channels[channel];
    const struct hf_channel *live;
    char live_text[32];

    for (uint32_t i = 0; i < c->epoch_count; i++)
        if (hf_str_eq(text, hf_str_from(c->epochs[i].text)))
            return (int)i;
    /* It may have been made and have no message yet. */
    live = hf_channels_find(&oracle.tables[c->shard], sim_channel_name(channel),
                            hf_channel_hash(sim_channel_name(channel)));
    if (live == NULL)
        return -1;
    hf_region_epoch(&sim->region, atomic_load(&live->cid), live_text);
    if (!hf_str_eq(text, hf_str_from(live_text)) ||
        epoch_begun(sim, channel, atomic_load(&live->cid)) == NULL)
        return -1;
    return (int)c->epoch_count - 1;
}

/* The head that everybody sees. */
static uint64_t visible_head(uint32_t channel)
{
    struct hf_str name = sim_channel_name(channel);
    const struct hf_channel *c =
        hf_channels_find(&oracle.tables[oracle.channels[channel].shard], name, hf_channel_hash(name));

    return c == NULL ? 0 : atomic_load(&c->head);
}

static bool evicted(uint32_t channel, const struct entry *e)
{
    uint32_t shard = oracle.channels[channel].shard;

    return atomic_load(&oracle.logs[shard].segments[e->segment].segno) != e->segno ||
           oracle.seen[shard][e->segment].taken == e->segno;
}

static void note_message(struct sim *sim, uint32_t shard, const struct hf_record *r, uint32_t segment,
                         uint64_t segno)
{
    struct hf_str payload = {(const char *)r + r->payload_at, r->payload_len};
    uint32_t publisher = 0, n = 0, channel = 0;
    struct publish *p = publish_of(payload, &publisher, &n);
    struct epoch *e = epoch_of_cid(sim, shard, r->cid, &channel);

    if (e == NULL)
        return;
    if (p == NULL) {
        sim_fail(sim, "channel %u, offset %" PRIu64 ": nobody published that", channel, r->offset);
        return;
    }
    sim_tell(sim, "channel %u, offset %" PRIu64 ": publish %u of publisher %u", channel, r->offset, n,
             publisher);
    if (r->offset != e->head + 1 || r->offset > SIM_MESSAGES_MAX)
        sim_fail(sim, "channel %u: offset %" PRIu64 " follows %u", channel, r->offset, e->head);
    else if (p->channel != channel)
        sim_fail(sim, "publisher %u: publish %u got into channel %u", publisher, n, channel);
    else if (p->applied)
        sim_fail(sim, "publisher %u: publish %u is applied twice, as %" PRIu64 " and %" PRIu64, publisher, n,
                 p->offset, r->offset);
    else if (p->outcome == REFUSED)
        sim_fail(sim, "publisher %u: publish %u is applied after it was refused", publisher, n);
    else if (publisher < SIM_CLIENTS_MAX && n < oracle.publishers[publisher].last[channel])
        sim_fail(sim, "publisher %u: publish %u is applied after %u", publisher, n,
                 oracle.publishers[publisher].last[channel]);
    else if (!sim_judge_allows(sim, publisher, n))
        sim_fail(sim, "publisher %u: publish %u is applied, and the backend refuses it", publisher, n);
    if (sim->failed)
        return;
    p->applied = true;
    p->offset = r->offset;
    oracle.publishers[publisher].last[channel] = n;
    e->head = (uint32_t)r->offset;
    e->entries[r->offset - 1] = (struct entry){(uint8_t)publisher, (uint8_t)segment, (uint16_t)n, segno};
}

/* Read what is new in one segment. */
static void read_segment(struct sim *sim, uint32_t shard, uint32_t segment)
{
    const struct hf_log *log = &oracle.logs[shard];
    uint64_t segno = atomic_load(&log->segments[segment].segno);
    uint32_t used = atomic_load(&log->segments[segment].used);
    uint32_t at;

    if (segno == 0)
        return;
    if (oracle.seen[shard][segment].segno != segno) {
        oracle.seen[shard][segment].segno = segno;
        oracle.seen[shard][segment].used = 0;
    }
    for (at = oracle.seen[shard][segment].used; at < used && !sim->failed;) {
        const struct hf_record *r =
            (const struct hf_record *)(const void *)(log->data + (size_t)segment * log->shm->segment_bytes +
                                                     at);

        if (r->size < sizeof(*r) || r->size % 8 != 0 || r->size > used - at) {
            sim_fail(sim, "shard %u has a broken record", shard);
            return;
        }
        if (r->kind == HF_RECORD_MESSAGE)
            note_message(sim, shard, r, segment, segno);
        else
            sim->stats->carry_records++;
        at += r->size;
    }
    oracle.seen[shard][segment].used = at;
}

void sim_oracle_committed(struct sim *sim)
{
    for (uint32_t shard = 0; shard < sim->region.config->shards; shard++)
        for (uint32_t segment = 0; segment < sim->region.config->segment_count; segment++)
            if (!sim->failed)
                read_segment(sim, shard, segment);
}

void sim_oracle_taken(struct sim *sim)
{
    for (uint32_t shard = 0; shard < sim->region.config->shards; shard++)
        for (uint32_t segment = 0; segment < sim->region.config->segment_count; segment++)
            if (atomic_load(&oracle.logs[shard].segments[segment].segno) == 0)
                oracle.seen[shard][segment].taken = oracle.seen[shard][segment].segno;
}

/* ---- Subscriptions ---- */

void sim_oracle_subscribes(struct sim *sim, uint32_t client, uint32_t channel,
                           const struct hf_client_session_start *start)
{
    struct subscription *s = &oracle.subscriptions[client][channel];
    uint32_t epoch = s->epoch;

    *s = (struct subscription){.wanted = true,
                               .latest = start->latest,
                               .last = start->last,
                               .floor = visible_head(channel),
                               .placed = start->since_epoch.data != NULL,
                               .position = start->since_offset};
    s->begun = s->placed;
    s->epoch = s->placed ? epoch : 0;
    sim_tell(sim, "client %u subscribes to channel %u: since %" PRIu64 ", last %" PRIu64 "%s", client,
             channel, start->since_offset, start->last, start->latest ? ", latest" : "");
}

void sim_oracle_unsubscribes(struct sim *sim, uint32_t client, uint32_t channel)
{
    oracle.subscriptions[client][channel].leaving = true;
    sim_tell(sim, "client %u unsubscribes from channel %u", client, channel);
}

void sim_oracle_reborn(struct sim *sim, uint32_t client)
{
    struct subscription *s = oracle.subscriptions[client];

    (void)sim;
    oracle.publishers[client].life++;
    oracle.sessions[client] = 0;
    for (uint32_t channel = 0; channel < SIM_CHANNELS_MAX; channel++)
        if (s[channel].leaving)
            s[channel].wanted = s[channel].leaving = s[channel].told = false;
}

bool sim_oracle_subscribed(const struct sim *sim, uint32_t client, uint32_t channel)
{
    (void)sim;
    return oracle.subscriptions[client][channel].wanted;
}

bool sim_oracle_leaving(const struct sim *sim, uint32_t client, uint32_t channel)
{
    (void)sim;
    return oracle.subscriptions[client][channel].leaving;
}

bool sim_oracle_position(const struct sim *sim, uint32_t client, uint32_t channel, char epoch[32],
                         uint64_t *offset)
{
    const struct subscription *s = &oracle.subscriptions[client][channel];

    (void)sim;
    if (!s->begun || s->latest)
        return false;
    memcpy(epoch, oracle.channels[channel].epochs[s->epoch].text, 32);
    *offset = s->position;
    return true;
}

static void place(struct subscription *s, int epoch, uint64_t position)
{
    s->placed = s->begun = true;
    s->epoch = (uint32_t)epoch;
    s->position = position;
}

static void told_subscribed(struct sim *sim, uint32_t client, const struct hf_client_session_event *ev)
{
    uint32_t channel = channel_of(ev->channel);
    struct subscription *s = &oracle.subscriptions[client][channel];
    int epoch = epoch_of_text(sim, channel, ev->epoch);

    if (!s->wanted && sim->clients[client]->robbed) /* A thief asked for it, on the same session. */
        *s = (struct subscription){.wanted = true};
    if (!s->wanted || s->leaving) {
        sim_fail(sim, "client %u: channel %u: subscribed, and never asked for it", client, channel);
    } else if (epoch < 0) {
        sim_fail(sim, "client %u: channel %u: subscribed to an unknown epoch", client, channel);
    } else if (s->placed) {
        if (ev->offset != s->position || (uint32_t)epoch != s->epoch)
            sim_fail(sim, "client %u: channel %u: subscribed at %" PRIu64 ", it has %" PRIu64, client,
                     channel, ev->offset, s->position);
    } else if (!s->latest && s->last == 0) {
        /* A thief may have asked for it before, on the same session: then it goes on where that stood. */
        bool too_early = ev->offset < s->floor && !sim->clients[client]->robbed;

        if (too_early || ev->offset > oracle.channels[channel].epochs[epoch].head)
            sim_fail(sim,
                     "client %u: channel %u: subscribed at %" PRIu64 ", the head was %" PRIu64 " and is %u",
                     client, channel, ev->offset, s->floor, oracle.channels[channel].epochs[epoch].head);
        place(s, epoch, ev->offset);
    } else if (!s->told) {
        s->epoch = (uint32_t)epoch;
    }
    s->told = true;
}

/* Whether what stands at this offset is what the channel has there. */
static bool is_that_message(const struct epoch *e, uint64_t offset, uint32_t publisher, uint32_t n)
{
    return offset >= 1 && offset <= e->head && e->entries[offset - 1].publisher == publisher &&
           e->entries[offset - 1].n == n;
}

/* What a client was given as a payload; out has room for SIM_PAYLOAD_MAX bytes. */
static struct hf_str bytes_of(const struct hf_client_session_event *ev, char *out)
{
    int len;

    if (!ev->payload_base64)
        return ev->payload;
    hf_assert(ev->payload.len / 4 * 3 <= SIM_PAYLOAD_MAX);
    len = hf_base64_decode(ev->payload, (uint8_t *)out);
    return (struct hf_str){out, len < 0 ? 0 : (size_t)len};
}

static void told_message(struct sim *sim, uint32_t client, const struct hf_client_session_event *ev)
{
    char room[SIM_PAYLOAD_MAX];
    struct hf_str payload = bytes_of(ev, room);
    uint32_t channel = channel_of(ev->channel), publisher = 0, n = 0;
    struct subscription *s = &oracle.subscriptions[client][channel];
    int epoch = epoch_of_text(sim, channel, ev->epoch);

    sim->stats->delivered++;
    sim->stats->delivered_raw += ev->payload_raw;
    sim->stats->delivered_base64 += ev->payload_base64;
    if (!s->wanted || s->leaving || !s->told)
        sim_fail(sim, "client %u: channel %u: a message without a subscription", client, channel);
    else if (epoch < 0 || (s->placed && (uint32_t)epoch != s->epoch))
        sim_fail(sim, "client %u: channel %u: a message of another epoch", client, channel);
    else if (publish_of(payload, &publisher, &n) == NULL)
        sim_fail(sim, "client %u: channel %u, offset %" PRIu64 ": nobody published that", client, channel,
                 ev->offset);
    else if (sim_payload_raw(publisher, n) != (ev->payload_raw || ev->payload_base64))
        sim_fail(sim, "client %u: publish %u of publisher %u came as what it was not", client, n, publisher);
    else if (!is_that_message(&oracle.channels[channel].epochs[epoch], ev->offset, publisher, n))
        sim_fail(sim, "client %u: channel %u: offset %" PRIu64 " is not publish %u of publisher %u", client,
                 channel, ev->offset, n, publisher);
    else if (s->placed && (s->latest ? ev->offset <= s->position : ev->offset != s->position + 1))
        sim_fail(sim, "client %u: channel %u: offset %" PRIu64 " follows %" PRIu64, client, channel,
                 ev->offset, s->position);
    else if (!s->placed && s->last > 0 && ev->offset + s->last <= s->floor)
        sim_fail(sim, "client %u: channel %u: last %" PRIu64 " of %" PRIu64 " begins at %" PRIu64, client,
                 channel, s->last, s->floor, ev->offset);
    if (!sim->failed)
        place(s, epoch, ev->offset);
}

static void told_evicted(struct sim *sim, uint32_t client, uint32_t channel, struct subscription *s,
                         int epoch, const struct hf_client_session_event *ev)
{
    const struct epoch *e = &oracle.channels[channel].epochs[epoch];

    sim->stats->gaps++;
    if (ev->to_offset < ev->from_offset || ev->from_offset == 0 || ev->to_offset > e->head)
        sim_fail(sim, "client %u: channel %u: a gap of %" PRIu64 " to %" PRIu64 ", the head is %u", client,
                 channel, ev->from_offset, ev->to_offset, e->head);
    else if (s->placed && (s->latest ? ev->from_offset <= s->position : ev->from_offset != s->position + 1))
        sim_fail(sim, "client %u: channel %u: a gap from %" PRIu64 " follows %" PRIu64, client, channel,
                 ev->from_offset, s->position);
    /* Of a segment that somebody holds pinned older messages may be left, behind a hole that nobody reads across. */
    else if (!evicted(channel, &e->entries[ev->to_offset - 1]))
        sim_fail(sim, "client %u: channel %u: a gap covers offset %" PRIu64 ", which is still there", client,
                 channel, ev->to_offset);
    if (!sim->failed)
        place(s, epoch, ev->to_offset);
}

static void told_gap(struct sim *sim, uint32_t client, const struct hf_client_session_event *ev)
{
    uint32_t channel = channel_of(ev->channel);
    struct subscription *s = &oracle.subscriptions[client][channel];
    int epoch = epoch_of_text(sim, channel, ev->epoch);

    if (!s->wanted || s->leaving || epoch < 0) {
        sim_fail(sim, "client %u: channel %u: a gap without a subscription", client, channel);
    } else if (hf_str_eq(ev->code, HF_STR("evicted"))) {
        told_evicted(sim, client, channel, s, epoch, ev);
    } else if (!hf_str_eq(ev->code, HF_STR("epoch"))) {
        sim_fail(sim, "client %u: channel %u: a gap of code %.*s", client, channel, (int)ev->code.len,
                 ev->code.data);
    } else {
        sim->stats->epoch_gaps++;
        if (!sim->options.outages || (s->placed && (uint32_t)epoch <= s->epoch))
            sim_fail(sim, "client %u: channel %u: told of a new epoch, and there is none", client, channel);
        place(s, epoch, 0);
    }
}

static void told_unsubscribed(struct sim *sim, uint32_t client, const struct hf_client_session_event *ev)
{
    uint32_t channel = channel_of(ev->channel);
    struct subscription *s = &oracle.subscriptions[client][channel];

    if (!s->wanted || !s->leaving || ev->code.len > 0)
        sim_fail(sim, "client %u: channel %u: unsubscribed (%.*s) without being asked", client, channel,
                 (int)ev->code.len, ev->code.data);
    s->wanted = s->leaving = s->told = false;
}

static void told_connected(struct sim *sim, uint32_t client, const struct hf_client_session_event *ev)
{
    char text[17] = "";
    bool first = oracle.sessions[client] == 0;

    if (ev->resumed)
        sim->stats->resumed++;
    else if (!first)
        sim->stats->renewed++;
    if (!ev->resumed && !first && !sim->options.outages && !sim->clients[client]->robbed)
        sim_fail(sim, "client %u: its session is gone", client);
    memcpy(text, ev->session.data, ev->session.len < 16 ? ev->session.len : 16);
    oracle.sessions[client] = strtoull(text, NULL, 16);
}

static void tell_trace(struct sim *sim, uint32_t client, const struct hf_client_session_event *ev)
{
    static const char *const names[] = {
        "connected", "caught up", "disconnected", "retrying", "ended",     "subscribed", "unsubscribed",
        "message",   "gap",       "acked",        "refused",  "uncertain", "pong",       "kept",
        "history",   "member",    "members",      "reply",    "join",      "leave",      "presence missed",
        "error",     "state"};

    _Static_assert(sizeof(names) / sizeof(names[0]) == HF_CSE_STATE + 1, "each event has its name");

    sim_tell(sim,
             "client %u is told: %s %.*s%s offset %" PRIu64 " (%" PRIu64 " to %" PRIu64 ") publish %" PRIu64
             " code %.*s%u why %s delay %" PRIu64,
             client, names[ev->type], (int)ev->channel.len, ev->channel.data, ev->resumed ? " resumed" : "",
             ev->offset, ev->from_offset, ev->to_offset, ev->publish_id, (int)ev->code.len, ev->code.data,
             ev->close_code, ev->why == NULL ? "-" : ev->why, ev->delay_ms);
}

void sim_oracle_told(struct sim *sim, uint32_t client, const struct hf_client_session_event *ev)
{
    tell_trace(sim, client, ev);
    if (sim->failed)
        return;
    switch (ev->type) {
    case HF_CSE_CONNECTED:
        told_connected(sim, client, ev);
        break;
    case HF_CSE_SUBSCRIBED:
        told_subscribed(sim, client, ev);
        break;
    case HF_CSE_UNSUBSCRIBED:
        told_unsubscribed(sim, client, ev);
        break;
    case HF_CSE_MESSAGE:
        told_message(sim, client, ev);
        break;
    case HF_CSE_GAP:
        told_gap(sim, client, ev);
        break;
    case HF_CSE_ACKED:
        acked(sim, client, (uint32_t)ev->publish_id, ev->offset);
        break;
    case HF_CSE_REFUSED:
        refused(sim, client, (uint32_t)ev->publish_id, ev->code);
        break;
    case HF_CSE_UNCERTAIN:
        uncertain(sim, client, (uint32_t)ev->publish_id);
        break;
    case HF_CSE_ENDED:
        if (!ev->asked && !(ev->cause == HF_BY_SUPERSEDED && sim->clients[client]->robbed))
            sim_fail(sim, "client %u: ended though nobody asked for it: %s", client, ev->why);
        break;
    case HF_CSE_PONG:
    case HF_CSE_KEPT:
    case HF_CSE_HISTORY:
    case HF_CSE_MEMBER:
    case HF_CSE_MEMBERS:
    case HF_CSE_REPLY:
    case HF_CSE_JOIN:
    case HF_CSE_LEAVE:
    case HF_CSE_PRESENCE_MISSED:
        sim_fail(sim, "client %u: an answer that it did not ask for", client);
        break;
    case HF_CSE_ERROR:
        sim_fail(sim, "client %u: error %.*s: %.*s", client, (int)ev->code.len, ev->code.data,
                 (int)ev->reason.len, ev->reason.data);
        break;
    case HF_CSE_CAUGHT_UP:
    case HF_CSE_DISCONNECTED:
    case HF_CSE_RETRYING:
    case HF_CSE_STATE:
        break;
    }
}

uint64_t sim_oracle_session(const struct sim *sim, uint32_t client)
{
    (void)sim;
    return oracle.sessions[client];
}

/* ---- The end ---- */

static bool has_all(uint32_t channel, const struct subscription *s)
{
    const struct epoch *e = newest_epoch(channel);

    if (!s->wanted)
        return true;
    if (s->leaving || !s->told || e == NULL)
        return false;
    if (s->placed)
        return &oracle.channels[channel].epochs[s->epoch] == e && s->position == e->head;
    /* `last`, or `latest`, of nothing: the channel has no message, or the newest was evicted by those of others. */
    return e->head == 0 || evicted(channel, &e->entries[e->head - 1]);
}

bool sim_oracle_caught_up(const struct sim *sim, const char **why)
{
    static char text[160];

    for (uint32_t client = 0; client < sim->options.clients; client++)
        for (uint32_t channel = 0; channel < sim->options.channels; channel++)
            if (!sim->clients[client]->ended && !has_all(channel, &oracle.subscriptions[client][channel])) {
                const struct subscription *s = &oracle.subscriptions[client][channel];

                (void)snprintf(text, sizeof(text),
                               "client %u, channel %u: %s, at %" PRIu64 ", the head is %" PRIu64, client,
                               channel,
                               s->leaving ? "leaving"
                               : s->told  ? "subscribed"
                                          : "subscribing",
                               s->position, visible_head(channel));
                *why = text;
                return false;
            }
    return true;
}

bool sim_oracle_stands(const struct sim *sim, uint32_t client, uint64_t cid, uint64_t *offset, bool *latest)
{
    for (uint32_t channel = 0; channel < sim->options.channels; channel++) {
        const struct subscription *s = &oracle.subscriptions[client][channel];
        const struct epoch *e = &oracle.channels[channel].epochs[s->epoch];

        if (!s->wanted || s->epoch >= oracle.channels[channel].epoch_count || e->cid != cid)
            continue;
        *offset = s->placed ? s->position : 0;
        *latest = s->latest;
        return true;
    }
    return false;
}

uint32_t sim_oracle_subscriptions(const struct sim *sim, uint32_t client)
{
    uint32_t count = 0;

    for (uint32_t channel = 0; channel < sim->options.channels; channel++)
        count += oracle.subscriptions[client][channel].wanted;
    return count;
}

static void finish_publisher(struct sim *sim, uint32_t publisher, bool all)
{
    for (uint32_t n = 1; n <= oracle.publishers[publisher].count && !sim->failed; n++) {
        const struct publish *p = &oracle.publishers[publisher].publishes[n];

        if (all && p->outcome == OPEN)
            sim_fail(sim, "publisher %u: publish %u was never answered", publisher, n);
    }
}

void sim_oracle_finish(struct sim *sim)
{
    sim_oracle_committed(sim);
    for (uint32_t i = 0; i < sim->options.clients && !sim->failed; i++)
        finish_publisher(sim, i, !sim->clients[i]->ended);
    for (uint32_t i = 0; i < sim->options.channels && !sim->failed; i++) {
        const struct epoch *e = newest_epoch(i);

        if (e != NULL && visible_head(i) != e->head)
            sim_fail(sim, "channel %u: the head is %" PRIu64 ", the log has %u", i, visible_head(i), e->head);
    }
}

void sim_oracle_start(struct sim *sim)
{
    for (uint32_t i = 0; i < SIM_PUBLISHERS_MAX; i++) {
        oracle.publishers[i].count = oracle.publishers[i].life = 0;
        memset(oracle.publishers[i].last, 0, sizeof(oracle.publishers[i].last));
    }
    for (uint32_t i = 0; i < SIM_CHANNELS_MAX; i++) {
        oracle.channels[i].epoch_count = 0;
        oracle.channels[i].shard =
            hf_channel_shard(hf_channel_hash(sim_channel_name(i)), sim->region.config->shards);
    }
    memset(oracle.subscriptions, 0, sizeof(oracle.subscriptions));
    memset(oracle.sessions, 0, sizeof(oracle.sessions));
    memset(oracle.seen, 0, sizeof(oracle.seen));
    for (uint32_t i = 0; i < sim->region.config->shards; i++) {
        hf_log_open(&oracle.logs[i], hf_region_log(&sim->region, i), 0);
        hf_channels_open(&oracle.tables[i], hf_region_channels(&sim->region, i));
    }
    sim->oracle = &oracle;
}

void sim_oracle_free(struct sim *sim)
{
    sim->oracle = NULL;
}
