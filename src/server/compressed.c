#include "server/compressed.h"

#include "base/assert.h"
#include "base/map.h"
#include "ws/deflate.h"
#include "ws/extension.h"

#include <stdlib.h>
#include <string.h>

enum {
    ENTRIES = 4096, /* A guess: more messages than a turn brings, but in a storm. A power of two. */
    /*
     * A message for one receiver must be so many times as long as compression.min, for nobody else shares the work: a welcome of 320
     * bytes would lose 76 of them for 5 us, at every handshake. Measured; see docs/architecture.md.
     */
    UNSHARED_FACTOR = 4,
};

/* A message that was compressed, or found not to get smaller. */
struct entry {
    hf_ref ref; /* with cid, of the record that it was made from */
    uint64_t cid;
    bool binary;   /* the encoding of what was compressed */
    uint64_t turn; /* the last that it was handed out in; 0: none */
    uint32_t at;   /* in the ring */
    uint32_t len;  /* 0: it is sent plain */
};

struct hf_compressed {
    struct hf_deflate *deflate;
    struct hf_inflate *inflate;
    struct hf_counters *counters;
    size_t message_bytes_max;
    uint32_t level, memory; /* of the compressor */
    uint32_t min;           /* shorter messages are sent plain */
    uint8_t *ring;          /* ring_bytes, made for the first frame */
    uint32_t ring_bytes;
    uint32_t at; /* where the next frame goes if it fits there */
    uint64_t turn;
    uint64_t first; /* the oldest entry's number; its place is the number modulo ENTRIES */
    uint32_t count;
    struct entry *entries;
    struct hf_map by_record; /* record_key() -> number of the entry */
    struct hf_buf whole;     /* a binary message, which lies in two pieces, to be compressed */
};

struct hf_compressed *hf_compressed_new(const struct hf_config *config, size_t message_bytes_max,
                                        struct hf_counters *counters)
{
    struct hf_compressed *z = calloc(1, sizeof(*z));

    if (z == NULL)
        return NULL;
    z->counters = counters;
    z->turn = 1;
    z->message_bytes_max = message_bytes_max;
    z->level = config->compression_level;
    z->memory = config->compression_memory;
    z->min = config->compression_min;
    z->ring_bytes = config->compression_cache_bytes;
    hf_map_init(&z->by_record);
    hf_buf_init(&z->whole, UINT32_MAX);
    z->entries = calloc(ENTRIES, sizeof(*z->entries));
    z->deflate = hf_deflate_new((int)config->compression_level, (int)config->compression_memory);
    z->inflate = hf_inflate_new(message_bytes_max);
    if (z->entries == NULL || z->deflate == NULL || z->inflate == NULL) {
        hf_compressed_free(z);
        return NULL;
    }
    return z;
}

void hf_compressed_free(struct hf_compressed *z)
{
    if (z == NULL)
        return;
    hf_deflate_free(z->deflate);
    hf_inflate_free(z->inflate);
    hf_map_release(&z->by_record);
    hf_buf_release(&z->whole);
    free(z->entries);
    free(z->ring);
    free(z);
}

bool hf_compressed_configure(struct hf_compressed **z, const struct hf_config *config)
{
    uint32_t min = config->compression_enabled ? config->compression_min : UINT32_MAX;
    struct hf_compressed *old = *z, *fresh;

    if (config->compression_level == old->level && config->compression_memory == old->memory &&
        config->compression_cache_bytes == old->ring_bytes) {
        old->min = min;
        return true;
    }
    fresh = hf_compressed_new(config, old->message_bytes_max, old->counters);
    if (fresh == NULL)
        return false;
    fresh->min = min;
    hf_compressed_free(old);
    *z = fresh;
    return true;
}

void hf_compressed_turn_ended(struct hf_compressed *z)
{
    if (z != NULL)
        z->turn++;
}

/* ---- The compressor ---- */

/* Whether a message may be sent compressed at all: long enough to pay, and no longer than the peer's window reaches. */
static bool is_eligible(size_t min, uint8_t window_bits, size_t len)
{
    return len >= min && (window_bits == HF_WINDOW_BITS_MAX || len <= (size_t)1 << window_bits);
}

/* Returns the frame's size with *frame set, or 0. */
static uint32_t compress(struct hf_compressed *z, enum hf_ws_opcode opcode, const void *data, size_t len,
                         const uint8_t **frame)
{
    int size = hf_deflate_frame(z->deflate, opcode, HF_WINDOW_BITS_MAX, data, len, frame);

    if (size <= 0) {
        hf_count(z->counters, HF_COUNT_DEFLATE_USELESS, 1);
        return 0;
    }
    hf_count(z->counters, HF_COUNT_DEFLATED, 1);
    hf_count(z->counters, HF_COUNT_DEFLATE_BYTES_PLAIN, len);
    hf_count(z->counters, HF_COUNT_DEFLATE_BYTES_PACKED, (uint64_t)size);
    return (uint32_t)size;
}

int hf_compressed_put(struct hf_compressed *z, uint8_t window_bits, struct hf_buf *out,
                      enum hf_ws_opcode opcode, const void *data, size_t len)
{
    const uint8_t *frame;
    size_t min = UNSHARED_FACTOR * (size_t)z->min;
    uint32_t size = is_eligible(min, window_bits, len) ? compress(z, opcode, data, len, &frame) : 0;

    if (size > 0)
        return hf_buf_put(out, frame, size);
    return hf_ws_put_frame(out, opcode, data, len, NULL);
}

/* ---- The frames that are shared ---- */

/* Never 0. Two records may have the same one, by chance of 2^-64: entries say which they are of. */
static uint64_t record_key(hf_ref ref, uint64_t cid, bool binary)
{
    uint64_t key = (ref ^ (cid << 32 | cid >> 32) ^ (uint64_t)binary << 63) *
                   UINT64_C(0x9e3779b97f4a7c15); /* Knuth's 2^64 / golden ratio */

    return key == 0 ? 1 : key;
}

static struct entry *entry_of(struct hf_compressed *z, uint64_t number)
{
    return &z->entries[number % ENTRIES];
}

/* Forget the oldest entry, unless its frame was handed out in this turn. */
static bool drop_oldest(struct hf_compressed *z)
{
    struct entry *e = entry_of(z, z->first);

    if (z->count == 0 || e->turn == z->turn)
        return false;
    hf_map_remove(&z->by_record, record_key(e->ref, e->cid, e->binary));
    z->first++;
    z->count--;
    return true;
}

/*
 * Whether `len` bytes fit without dropping anything; *at is where. The free part lies between z->at and the oldest frame; what is left at
 * the ring's end when a frame does not fit there is given up until the oldest frame has come round. A frame never fills the free part
 * to its end, so that z->at meets the oldest frame only where the ring is empty.
 */
static bool find_room(struct hf_compressed *z, uint32_t len, uint32_t *at)
{
    uint32_t oldest = z->count == 0 ? 0 : entry_of(z, z->first)->at;

    if (z->count == 0)
        z->at = 0;
    *at = z->at;
    if (z->at < oldest)
        return len < oldest - z->at;
    if (len <= z->ring_bytes - z->at)
        return true;
    *at = 0;
    return len < oldest;
}

static bool make_room(struct hf_compressed *z, uint32_t len, uint32_t *at)
{
    if (len > z->ring_bytes)
        return false;
    if (z->ring == NULL)
        z->ring = malloc(z->ring_bytes);
    if (z->ring == NULL)
        return false;
    while (z->count == ENTRIES || !find_room(z, len, at))
        if (!drop_oldest(z))
            return false;
    return true;
}

/* Returns NULL where the ring is full of what this turn has handed out, or memory is short. */
static struct entry *add_entry(struct hf_compressed *z, hf_ref ref, uint64_t cid, bool binary,
                               const uint8_t *frame, uint32_t len)
{
    uint64_t number;
    uint32_t at;
    struct entry *e;

    if (!make_room(z, len, &at))
        return NULL;
    number = z->first + z->count;
    if (hf_map_put(&z->by_record, record_key(ref, cid, binary), number, 0) < 0)
        return NULL;
    e = entry_of(z, number);
    *e = (struct entry){.ref = ref, .cid = cid, .binary = binary, .at = at, .len = len};
    if (len > 0)
        memcpy(z->ring + at, frame, len);
    z->at = at + len;
    z->count++;
    return e;
}

/* In one piece, as zlib would have it; good until the next one. data NULL: no memory. */
static struct hf_str in_one_piece(struct hf_compressed *z, const struct hf_pieces *message)
{
    if (message->piece[1].len == 0)
        return message->piece[0];
    hf_buf_reset(&z->whole);
    if (hf_buf_put_str(&z->whole, message->piece[0]) < 0 || hf_buf_put_str(&z->whole, message->piece[1]) < 0)
        return (struct hf_str){0};
    return hf_buf_str(&z->whole);
}

/* The entry of a record, made where there is none; NULL: it has to go out plain. */
static struct entry *get_entry(struct hf_compressed *z, const struct hf_record *r, hf_ref ref, bool binary,
                               const struct hf_pieces *plain, const struct hf_pieces *message)
{
    struct hf_map_entry *known = hf_map_get(&z->by_record, record_key(ref, r->cid, binary));
    const uint8_t *frame = NULL;
    struct hf_str whole;
    struct entry *e;
    uint32_t len, room;

    if (known != NULL) {
        e = entry_of(z, known->a);
        return e->ref == ref && e->cid == r->cid && e->binary == binary ? e : NULL;
    }
    /* First the room, at most as much as the plain frame takes: without it the work would be done for each subscriber anew. */
    if (!make_room(z, (uint32_t)hf_pieces_len(plain), &room)) {
        hf_count(z->counters, HF_COUNT_DEFLATE_NO_ROOM, 1);
        return NULL;
    }
    whole = in_one_piece(z, message);
    if (whole.data == NULL)
        return NULL;
    len = compress(z, binary ? HF_WS_BINARY : HF_WS_TEXT, whole.data, whole.len, &frame);
    return add_entry(z, ref, r->cid, binary, frame, len);
}

struct hf_pieces hf_compressed_shared(struct hf_compressed *z, uint8_t window_bits, bool binary,
                                      const struct hf_record *r, hf_ref ref)
{
    struct hf_pieces plain = hf_record_frame(r, binary), message = hf_pieces_message(plain);
    struct entry *e;

    if (!is_eligible(z->min, window_bits, hf_pieces_len(&message)))
        return plain;
    e = get_entry(z, r, ref, binary, &plain, &message);
    if (e == NULL || e->len == 0)
        return plain;
    e->turn = z->turn;
    hf_count(z->counters, HF_COUNT_DEFLATE_SHARED, 1);
    return (struct hf_pieces){{{(const char *)z->ring + e->at, e->len}}};
}

/* ---- What comes in ---- */

void hf_compressed_inflate(struct hf_compressed *z, struct hf_ws *ws, struct hf_ws_event *ev)
{
    size_t packed = ev->len;

    hf_inflate_event(z->inflate, ws, ev);
    if (ev->type != HF_WS_EV_ERROR) {
        hf_count(z->counters, HF_COUNT_INFLATED, 1);
        hf_count(z->counters, HF_COUNT_INFLATE_BYTES_PACKED, packed);
        hf_count(z->counters, HF_COUNT_INFLATE_BYTES_PLAIN, ev->len);
    } else if (ev->close_code == HF_CLOSE_TOO_BIG) {
        hf_count(z->counters, HF_COUNT_INFLATE_TOO_BIG, 1);
    } else if (ev->close_code == HF_CLOSE_INVALID_DATA) {
        hf_count(z->counters, HF_COUNT_INFLATE_MALFORMED, 1);
    } else {
        hf_count(z->counters, HF_COUNT_INFLATE_NO_MEMORY, 1);
    }
}
