/*
 * inbound.c - from the bytes of a message to what carries it out (dispatch.c): decoding in either encoding, channels named by number, complaints, and
 * what waits because it cannot be carried out yet.
 */
#include "server/hub_state.h"

#include "wire/binary.h"
#include "wire/json.h"

#include <stdlib.h>
#include <string.h>

/* ---- Stalls ---- */

static struct hf_str copy_text(char **at, struct hf_str s)
{
    struct hf_str copy = {s.data == NULL ? NULL : *at, s.len};

    if (s.len > 0)
        memcpy(*at, s.data, s.len);
    *at += s.len;
    return copy;
}

/* Records of a WebSocket message: those that have not been handled, and the heap memory that they lie in. kept NULL: the input, which will not stay. */
struct records {
    struct hf_str rest;
    char *kept;
};

static bool keep_records(struct hf_stall *s, struct records *records)
{
    s->rest = records->rest;
    s->kept = records->kept;
    records->kept = NULL;
    if (s->kept != NULL || s->rest.len == 0)
        return true;
    s->kept = malloc(s->rest.len);
    if (s->kept == NULL)
        return false;
    memcpy(s->kept, s->rest.data, s->rest.len);
    s->rest.data = s->kept;
    return true;
}

/* Keep a message for later, and what is behind it. Returns NULL without memory: the connection is closed. */
static struct hf_stall *stall(struct hf_conn *c, const struct hf_msg *m, struct records *records)
{
    struct hf_stall *s = calloc(1, sizeof(*s) + m->channel.len + m->id.len + m->epoch.len + m->payload.len);
    char *at = (char *)(s + 1);

    if (s == NULL || !keep_records(s, records)) {
        free(s);
        hf_conn_close(c, HF_CLOSE_TRY_AGAIN_LATER, "the server is short of memory");
        return NULL;
    }
    s->conn = c;
    s->msg = *m;
    s->msg.channel = copy_text(&at, m->channel);
    s->msg.id = copy_text(&at, m->id);
    s->msg.epoch = copy_text(&at, m->epoch);
    s->msg.payload = copy_text(&at, m->payload);
    hf_list_init(&s->link);
    c->stall = s;
    return s;
}

/* Parted from its connection. */
static struct hf_stall *stall_detach(struct hf_conn *c)
{
    struct hf_stall *s = c->stall;

    hf_list_del(&s->link);
    c->stall = NULL;
    return s;
}

void hf_stall_free(struct hf_conn *c)
{
    struct hf_stall *s;

    if (c->stall == NULL)
        return;
    s = stall_detach(c);
    free(s->kept);
    free(s);
}

bool hf_stall_on_output(const struct hf_stall *s)
{
    return s->msg.type == HF_MSG_NONE;
}

/* ---- Complaints ---- */

/* "Unknown type, broken JSON, a wrong field type: error bad_message (a data with a readable seq: nack); after 32 … close 1008" */
static bool bad_message(struct hf_conn *c, const struct hf_msg *m, const char *reason, bool again)
{
    if (!again) {
        hf_count(c->hub->counters, HF_COUNT_BAD_MESSAGES, 1);
        c->bad_messages++;
    }
    if (m->type == HF_MSG_DATA && (m->has & HF_HAS_SEQ)) {
        if (!hf_publish_refuse(c, m, HF_CODE_BAD_MESSAGE, reason, false))
            return false;
    } else {
        hf_send_error(c, m, HF_CODE_BAD_MESSAGE, reason);
    }
    if (c->bad_messages >= HF_BAD_MESSAGES_MAX && c->phase == HF_CONN_OPEN)
        hf_conn_close(c, HF_CLOSE_POLICY, "too many malformed messages");
    return true;
}

/* ---- Channels by number ---- */

/* "…is good on the connection on which it was told". Cids are small and easily guessed, and a name is what lets a client at a channel. */
static bool was_told(const struct hf_conn *c, hf_cid cid)
{
    for (uint32_t i = 0; c->told != NULL && i < HF_TOLD_MAX; i++)
        if (c->told->cids[i] == cid)
            return true;
    return false;
}

void hf_conn_told(struct hf_conn *c, hf_cid cid)
{
    if (!c->binary || cid == 0 || was_told(c, cid))
        return;
    if (c->told == NULL)
        c->told = calloc(1, sizeof(*c->told));
    if (c->told != NULL)
        c->told->cids[c->told->count++ % HF_TOLD_MAX] = cid;
}

/* The name of a channel that a client names by its cid: one of its subscriptions, or another of which it was told and that lives. */
static bool name_of_cid(struct hf_conn *c, hf_cid cid, struct hf_str *name)
{
    struct hf_hub *hub = c->hub;
    const struct hf_sub *s = hf_sub_of_cid(c, cid);
    uint32_t shard = hf_cid_shard(cid);
    const struct hf_channel *channel = s != NULL ? s->topic->channel : NULL;

    if (channel == NULL && cid != 0 && was_told(c, cid) && shard < hub->shards)
        channel = hf_channels_get(&hub->channels[shard], cid);
    if (channel == NULL)
        return false;
    *name = hf_channel_name(channel);
    if (name->len > sizeof(hub->channel_name))
        return false;
    memcpy(hub->channel_name, name->data, name->len);
    name->data = hub->channel_name;
    /* Its place may have gone to another while the name was read; the owner then raises its incarnation first. */
    atomic_thread_fence(memory_order_acquire);
    return s != NULL || hf_channel_last_cid(&hub->channels[shard], channel) == cid;
}

/* hf_carry_out() for a message whose channel has a number in place of its name. An `ack` has no need of the name. */
static bool carry_out_by_cid(struct hf_conn *c, const struct hf_msg *m, struct hf_stall *stalled,
                             bool *seq_added, bool *opening)
{
    struct hf_msg named = *m;

    if (m->type == HF_MSG_ACK)
        return hf_carry_out(c, m, stalled, seq_added, opening);
    named.cid = 0;
    if (name_of_cid(c, hf_cid_of_wire(m->cid), &named.channel)) {
        named.has |= HF_HAS_CHANNEL;
        return hf_carry_out(c, &named, stalled, seq_added, opening);
    }
    if (m->type == HF_MSG_DATA)
        return hf_publish_unnamed(c, m, hf_cid_of_wire(m->cid), seq_added);
    hf_send_error(c, m, HF_CODE_NOT_FOUND, hf_refusal_reason(HF_CODE_NOT_FOUND));
    return true;
}

/* ---- Messages ---- */

/* Whether a message is carried out, or refused, and does not have to wait. malformed: why it is to be refused; NULL: it is not. */
static bool handle(struct hf_conn *c, const struct hf_msg *m, const char *malformed, struct hf_stall *stalled,
                   bool *seq_added, bool *opening)
{
    if (malformed != NULL)
        return bad_message(c, m, malformed, stalled != NULL);
    if (m->cid != 0)
        return carry_out_by_cid(c, m, stalled, seq_added, opening);
    return hf_carry_out(c, m, stalled, seq_added, opening);
}

/* What the message that has just been tried waits for. */
static uint64_t take_asked(struct hf_hub *hub)
{
    uint64_t asked = hub->asked;

    hub->asked = 0;
    return asked;
}

/* A message, and the records behind it. Returns whether these may be taken now. */
static bool take(struct hf_conn *c, const struct hf_msg *m, const char *malformed, struct records *records)
{
    bool seq_added = false, opening = false;
    struct hf_stall *s;
    uint64_t ask;

    if (handle(c, m, malformed, NULL, &seq_added, &opening) || c->phase != HF_CONN_OPEN)
        return c->phase == HF_CONN_OPEN;
    ask = take_asked(
        c->hub); /* Also where the connection ends now: another one's message does not wait for it. */
    s = stall(c, m, records);
    if (s == NULL)
        return false;
    s->seq_added = seq_added;
    s->opening = opening;
    s->malformed = malformed;
    s->ask = ask;
    if (s->ask == 0)
        hf_list_add_tail(&c->hub->stalled, &s->link);
    return false;
}

/* "seq: a publish's place in its session, 1, 2, 3 …": 0 is none, also in a message that is malformed for another reason. Returns why it is; NULL: it is not. */
static const char *check_seq(struct hf_msg *m, const char *malformed)
{
    if (!(m->has & HF_HAS_SEQ) || m->seq > 0)
        return malformed;
    m->has &= ~(uint32_t)HF_HAS_SEQ;
    return malformed != NULL ? malformed : "seq begins at 1";
}

static void take_text(struct hf_conn *c, char *data, size_t len)
{
    struct hf_msg m;
    const char *malformed = NULL;

    if (hf_json_decode(&m, data, len, false, &malformed) == 0)
        malformed = NULL;
    (void)take(c, &m, check_seq(&m, malformed), &(struct records){0});
}

/* The records that are left wait for the next turn. */
static void set_aside(struct hf_conn *c, struct records *records)
{
    struct hf_stall *s = stall(c, &(struct hf_msg){0}, records);

    if (s == NULL)
        return;
    hf_list_add_tail(&c->hub->stalled, &s->link);
    c->hub->set_aside = true;
}

/*
 * Records, each like a message in JSON. Their answers are bounded as those of messages are: where too much of them waits, the next record waits
 * too. Otherwise a message full of small requests would bring a thousand times its size. And a message may hold tens of thousands of them: they are taken in pieces, so that the
 * other connections have their turns between.
 */
static void take_records(struct hf_conn *c, struct records *records)
{
    struct hf_binary_reader reader;
    struct hf_binary_record record;
    enum hf_binary_fault fault;

    hf_binary_reader_init(&reader, records->rest.data, records->rest.len);
    for (int taken = 0;; taken++) {
        const char *malformed = NULL;
        struct hf_msg m;
        int got;

        if (c->out.len >= HF_OUT_SOFT_BYTES && records->rest.len > 0) {
            (void)stall(c, &(struct hf_msg){0}, records);
            return;
        }
        if (taken == HF_RECORDS_PER_PIECE && records->rest.len > 0) {
            set_aside(c, records);
            return;
        }
        got = hf_binary_next(&reader, &record, &fault);
        records->rest = reader.rest;
        if (got == 0)
            return;
        hf_count(c->hub->counters, HF_COUNT_MESSAGES_IN, !c->granting);
        if (got < 0)
            m = (struct hf_msg){0};
        if (got < 0 || hf_binary_decode(&m, &record, false, &fault) < 0)
            malformed = hf_binary_fault_text(fault);
        if (!take(c, &m, check_seq(&m, malformed), records))
            return;
    }
}

void hf_dispatch(struct hf_conn *c, uint8_t *data, size_t len)
{
    if (c->binary)
        take_records(c, &(struct records){.rest = {(const char *)data, len}});
    else
        take_text(c, (char *)data, len);
}

/* The stalled message is done: go on with what is behind it. Returns whether nothing waits any more. */
static bool go_on(struct hf_conn *c)
{
    struct hf_stall *s = stall_detach(c);
    struct records records = {s->rest, s->kept};

    if (records.rest.len > 0 && c->phase == HF_CONN_OPEN)
        take_records(c, &records);
    free(records.kept);
    free(s);
    c->granting = c->granting && c->stall != NULL;
    return c->stall == NULL;
}

void hf_dispatch_granted(struct hf_conn *c, struct hf_str granted)
{
    c->granting = true;
    take_records(c, &(struct records){.rest = granted});
    c->granting = c->stall != NULL;
}

bool hf_dispatch_retry(struct hf_conn *c)
{
    struct hf_stall *s = c->stall;
    bool seq_added = s->seq_added, opening = false, done;

    if (hf_stall_on_output(s)) {
        if (c->out.len < HF_OUT_SOFT_BYTES)
            return go_on(c);
        hf_list_del(&s->link); /* The flush goes on with it. */
        return false;
    }
    if (s->opening)
        return false;
    done = handle(c, &s->msg, s->malformed, s, &seq_added, &opening);
    if (c->stall != s)
        return true; /* The connection has ended meanwhile, and the stall with it. */
    s->seq_added = seq_added;
    s->opening = opening;
    s->ask = take_asked(c->hub);
    if (s->ask != 0)
        hf_list_del(&s->link); /* The answer puts it back. */
    return done && go_on(c);
}
