/*
 * inspect.c - sessions for those who run the server: a list with search, and one with what happened to it. Read from shared memory: any worker
 * answers for all.
 */
#include "server/diagnose.h"
#include "server/hub_state.h"
#include "server/service.h"
#include "wire/json.h"

#include <stdlib.h>
#include <string.h>

enum {
    ID_BYTES = 16,
    EVENTS_SHOWN = 200, /* of one session, the newest */
    EVENTS_LOOKED_AT =
        65536, /* of all workers together, for the addresses of a page; a guess: some milliseconds */
};

/* ---- What both show ---- */

static void id_of(uint64_t number, char out[ID_BYTES + 1])
{
    static const char digits[] = "0123456789abcdef";

    for (int i = 0; i < ID_BYTES; i++)
        out[i] = digits[number >> (60 - 4 * i) & 15];
    out[ID_BYTES] = '\0';
}

static uint32_t count_subs(const struct hf_hub *hub, const struct hf_session *s)
{
    uint32_t cursor = 0, n = 0;

    while (hf_session_sub_next(&hub->sessions, s, &cursor) != NULL)
        n++;
    return n;
}

static const char *state_name(uint64_t state)
{
    switch (hf_state_phase(state)) {
    case HF_SESSION_LIVE:
        return "attached";
    case HF_SESSION_PARKED:
        return "waiting";
    default:
        return "ended";
    }
}

/* The session as members of an object, without braces. user: as it was read; empty: anonymous. */
static void put_session(const struct hf_hub *hub, const struct hf_session *s, uint64_t number,
                        struct hf_str user, struct hf_buf *out)
{
    uint64_t state = atomic_load(&s->state);
    char id[ID_BYTES + 1];

    id_of(number, id);
    hf_buf_putf(out, "\"session\":\"%s\",", id);
    if (user.len > 0) {
        hf_buf_puts(out, "\"user\":");
        hf_json_put_string(out, user);
        hf_buf_puts(out, ",");
    }
    hf_buf_putf(out, "\"state\":\"%s\",\"worker\":%u,\"subscriptions\":%u", state_name(state),
                hf_state_owner(state), count_subs(hub, s));
    if (hf_state_phase(state) == HF_SESSION_PARKED) {
        uint64_t parked_ms =
            atomic_load(&s->parked_ms); /* By another worker it may be later than our turn began. */

        hf_buf_putf(out, ",\"waitingMs\":%llu",
                    (unsigned long long)(hub->now.mono_ms > parked_ms ? hub->now.mono_ms - parked_ms : 0));
    }
}

/* ---- The list ---- */

static bool contains(struct hf_str text, struct hf_str part)
{
    return part.len == 0 ||
           (text.len >= part.len && memmem(text.data, text.len, part.data, part.len) != NULL);
}

static bool wanted(uint64_t number, struct hf_str user, struct hf_str search)
{
    char id[ID_BYTES + 1];

    id_of(number, id);
    return (search.len <= ID_BYTES && memcmp(id, search.data == NULL ? "" : search.data, search.len) == 0) ||
           (user.len > 0 && contains(user, search));
}

/* One of a page. */
struct listed {
    struct hf_session *session;
    uint64_t number;
    uint64_t since_ms; /* when the connection with this address came; 0: it is not known */
    char address[HF_JOURNAL_ADDRESS_BYTES]; /* "": it is not known */
};

/* The next page's sessions. Returns how many; *cursor is where the page behind it begins, 0: nowhere. */
static uint32_t pick(struct hf_hub *hub, const struct hf_session_query *query, struct listed *page,
                     struct hf_buf *user, uint64_t *cursor)
{
    uint64_t looked_at = 0;
    uint32_t count = 0;
    struct hf_session *s = NULL;

    *cursor = query->after;
    while (count < query->limit && looked_at < HF_SESSIONS_LOOKED_AT &&
           (s = hf_sessions_next(&hub->sessions, cursor)) != NULL) {
        uint64_t number = s->number;
        enum hf_session_phase phase = hf_state_phase(atomic_load(&s->state));

        looked_at++;
        if (phase != HF_SESSION_LIVE && phase != HF_SESSION_PARKED)
            continue;
        hf_buf_reset(user);
        if (hf_session_identity(&hub->sessions, s, user, NULL) == HF_ENOMEM)
            break;
        if (wanted(number, hf_buf_str(user), query->search) && hf_sessions_get(&hub->sessions, number) == s)
            page[count++] = (struct listed){.session = s, .number = number};
    }
    if (s == NULL)
        *cursor = 0;
    return count;
}

/* A worker's events come newest first. Of two workers' in one millisecond either may be told. */
static void note_address(const struct hf_map *index, struct listed *page, const struct hf_journal_event *e)
{
    const struct hf_map_entry *at = hf_map_get(index, e->session);
    struct listed *one = at == NULL ? NULL : &page[at->a];

    if (one == NULL || e->address[0] == '\0' || e->wall_ms <= one->since_ms)
        return;
    one->since_ms = e->wall_ms;
    memcpy(one->address, e->address, sizeof(one->address));
}

/* From where they came last, as far as the newest events of all workers tell it. */
static void find_addresses(const struct hf_hub *hub, struct listed *page, uint32_t count)
{
    uint32_t most = EVENTS_LOOKED_AT / hub->workers;
    struct hf_map index;

    hf_map_init(&index);
    for (uint32_t i = 0; i < count; i++)
        if (hf_map_put(&index, page[i].number, i, 0) < 0)
            break;
    for (uint32_t slot = 0; slot < hub->workers; slot++) {
        const struct hf_journal_shm *journal = hf_region_journal(hub->region, slot);
        struct hf_journal_event e;
        uint64_t cursor = UINT64_MAX;

        for (uint32_t n = 0; n < most && hf_journal_older(journal, &cursor, &e); n++)
            note_address(&index, page, &e);
    }
    hf_map_release(&index);
}

static void put_listed(struct hf_hub *hub, const struct listed *one, struct hf_buf *user, struct hf_buf *out)
{
    hf_buf_reset(user);
    if (hf_session_identity(&hub->sessions, one->session, user, NULL) == HF_ENOMEM ||
        hf_sessions_get(&hub->sessions, one->number) != one->session) /* It has gone meanwhile. */
        hf_buf_reset(user);
    hf_buf_puts(out, "{");
    put_session(hub, one->session, one->number, hf_buf_str(user), out);
    if (one->address[0] != '\0') {
        hf_buf_puts(out, ",\"address\":");
        hf_json_put_string(out, hf_str_from(one->address));
    }
    hf_buf_puts(out, "}");
}

int hf_service_sessions(struct hf_hub *hub, const struct hf_session_query *query, struct hf_buf *out)
{
    struct listed *page = calloc(query->limit, sizeof(*page));
    struct hf_buf user;
    uint64_t cursor;
    uint32_t count;

    if (page == NULL)
        return HF_ENOMEM;
    hf_buf_init(&user, UINT32_MAX);
    count = pick(hub, query, page, &user, &cursor);
    find_addresses(hub, page, count);
    hf_buf_puts(out, "{\"sessions\":[");
    for (uint32_t i = 0; i < count; i++) {
        if (i > 0)
            hf_buf_puts(out, ",");
        put_listed(hub, &page[i], &user, out);
    }
    hf_buf_puts(out, "]");
    if (cursor != 0)
        hf_buf_putf(out, ",\"next\":%llu", (unsigned long long)cursor);
    hf_buf_puts(out, "}");
    hf_buf_release(&user);
    free(page);
    return out->failed ? HF_ELIMIT : 0;
}

/* ---- One of them ---- */

static void put_positions(struct hf_hub *hub, const struct hf_session *s, struct hf_buf *out)
{
    const struct hf_session_sub *sub;
    uint32_t cursor = 0;
    bool first = true;
    char epoch[HF_EPOCH_MAX];

    while ((sub = hf_session_sub_next(&hub->sessions, s, &cursor)) != NULL) {
        uint64_t flags = atomic_load(&sub->cid);
        hf_cid cid = flags & HF_SUB_CID;
        const struct hf_channel *channel =
            hf_cid_shard(cid) < hub->shards ? hf_channels_get(&hub->channels[hf_cid_shard(cid)], cid) : NULL;

        if (channel == NULL)
            continue;
        hf_buf_puts(out, first ? "{\"channel\":" : ",{\"channel\":");
        first = false;
        hf_json_put_string(out, hf_channel_name(channel));
        hf_region_epoch(hub->region, cid, epoch);
        hf_buf_putf(out, ",\"epoch\":\"%s\",\"acknowledged\":%llu,\"offset\":%llu,\"mode\":\"%s\"}", epoch,
                    (unsigned long long)atomic_load(&sub->acked),
                    (unsigned long long)atomic_load(&channel->head),
                    (flags & HF_SUB_LATEST) != 0 ? "latest" : "all");
    }
}

/* The newest events of a session, newest first. They were written by whichever workers had it. Returns how many. */
static size_t collect(const struct hf_hub *hub, uint64_t session, struct hf_journal_event *out, size_t cap)
{
    size_t count = 0;

    for (uint32_t slot = 0; slot < hub->workers; slot++) {
        const struct hf_journal_shm *journal = hf_region_journal(hub->region, slot);
        struct hf_journal_event e;
        uint64_t cursor = UINT64_MAX;

        while (hf_journal_older(journal, &cursor, &e)) {
            size_t at = count;

            if (e.session != session)
                continue;
            while (at > 0 && out[at - 1].wall_ms < e.wall_ms)
                at--;
            if (at == cap)
                break; /* This one and all that are older have no room. */
            count += count < cap;
            memmove(out + at + 1, out + at, (count - 1 - at) * sizeof(*out));
            out[at] = e;
        }
    }
    return count;
}

static void put_event(const struct hf_journal_event *e, struct hf_buf *out)
{
    static const char *const by[] = {"server", "client", "path"};

    hf_buf_putf(out, "{\"time\":%llu,\"event\":", (unsigned long long)e->wall_ms);
    hf_json_put_string(out, hf_str_from(hf_diagnose_event(e)));
    if (e->address[0] != '\0') {
        hf_buf_puts(out, ",\"address\":");
        hf_json_put_string(out, hf_str_from(e->address));
    }
    if (e->code != 0)
        hf_buf_putf(out, ",\"code\":%u", e->code);
    if (e->kind == HF_JOURNAL_CLOSED)
        hf_buf_putf(out, ",\"by\":\"%s\",\"silenceMs\":%u,\"waitingBytes\":%llu", by[e->by], e->silence_ms,
                    (unsigned long long)e->amount);
    if (e->kind == HF_JOURNAL_GAP)
        hf_buf_putf(out, ",\"missed\":%llu", (unsigned long long)e->amount);
    if (e->heartbeat_ms != 0)
        hf_buf_putf(out, ",\"heartbeatMs\":%u", e->heartbeat_ms);
    hf_buf_puts(out, "}");
}

/* A session that was ended is given back as one that expired, later: that says nothing. */
static size_t without_repeats(struct hf_journal_event *events, size_t count)
{
    bool ended = false;
    size_t kept = 0;

    for (size_t i = 0; i < count; i++)
        ended = ended || events[i].kind == HF_JOURNAL_ENDED;
    for (size_t i = 0; i < count; i++)
        if (!ended || events[i].kind != HF_JOURNAL_EXPIRED)
            events[kept++] = events[i];
    return kept;
}

static void put_events(const struct hf_journal_event *events, size_t count, struct hf_buf *out)
{
    hf_buf_puts(out, "\"events\":[");
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            hf_buf_puts(out, ",");
        put_event(&events[i], out);
    }
    hf_buf_puts(out, "],\"findings\":");
    (void)hf_diagnose_session(events, count, out);
}

static void put_living(struct hf_hub *hub, const struct hf_session *s, struct hf_buf *out)
{
    struct hf_buf user;

    hf_buf_init(&user, UINT32_MAX);
    if (hf_session_identity(&hub->sessions, s, &user, NULL) == HF_ENOMEM)
        hf_buf_reset(&user);
    put_session(hub, s, s->number, hf_buf_str(&user), out);
    hf_buf_puts(out, ",\"positions\":[");
    put_positions(hub, s, out);
    hf_buf_puts(out, "],");
    hf_buf_release(&user);
}

int hf_service_session_detail(struct hf_hub *hub, struct hf_str text, struct hf_buf *out)
{
    uint64_t number = hf_service_session(text);
    struct hf_session *s = hf_sessions_get(&hub->sessions, number);
    struct hf_journal_event *events = calloc(EVENTS_SHOWN, sizeof(*events));
    size_t count;

    if (events == NULL)
        return HF_ENOMEM;
    count = number == 0 ? 0 : without_repeats(events, collect(hub, number, events, EVENTS_SHOWN));
    if (s == NULL && count == 0) {
        free(events);
        return HF_ENOTFOUND;
    }
    hf_buf_puts(out, "{");
    if (s != NULL)
        put_living(hub, s, out);
    else
        hf_buf_putf(out, "\"session\":\"%.*s\",\"state\":\"ended\",\"positions\":[],", (int)text.len,
                    text.data);
    put_events(events, count, out);
    free(events);
    return hf_buf_puts(out, "}");
}
