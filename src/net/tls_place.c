#include "net/tls_place.h"

#include "base/assert.h"

#include <assert.h>
#include <openssl/crypto.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum {
    PLACE_BYTES = 8192,
    STRUCT_BYTES_MIN = 4096, /* what is smaller is something else */
    LINE_WORDS = 2,
    LINE_BYTES = LINE_WORDS * 8, /* measured: 16-byte lines fold an idle one into the least */
    LINES = PLACE_BYTES / LINE_BYTES,
    MAP_BYTES = LINES / 8,
};

static_assert(MAP_BYTES + PLACE_BYTES <= UINT16_MAX, "folded_bytes holds the worst case");

/* The allocator has no argument: for the time of one SSL_new() this says where its struct goes. */
static uint8_t *offered;
static bool in_use;

/* ---- The allocator ---- */

static void *on_malloc(size_t size, const char *file, int line)
{
    uint8_t *place = offered;

    (void)file;
    (void)line;
    if (place == NULL || size < STRUCT_BYTES_MIN || size > PLACE_BYTES)
        return malloc(size);
    offered = NULL;
    return place;
}

/* All places of the process lie in one piece, so that a look at the address tells. */
static const uint8_t *places_begin, *places_end;

static bool is_place(const void *p)
{
    return (const uint8_t *)p >= places_begin && (const uint8_t *)p < places_end;
}

static void on_free(void *p, const char *file, int line)
{
    (void)file;
    (void)line;
    if (!is_place(p))
        free(p);
}

static void *on_realloc(void *p, size_t size, const char *file, int line)
{
    (void)file;
    (void)line;
    hf_assert(!is_place(p));
    return realloc(p, size);
}

/* ---- Setting up ---- */

/* Whether SSL_new() gets its struct as we think. */
static bool try_out(void)
{
    struct hf_tls_places places;
    struct hf_tls_tenant tenant = {0};
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    bool good = false;

    in_use = true;
    if (ctx != NULL && hf_tls_places_init(&places) == 0) {
        good = hf_tls_tenant_new(&places, &tenant, ctx) && (uint8_t *)tenant.ssl == places.memory;
        hf_tls_tenant_free(&places, &tenant);
        hf_tls_places_release(&places);
    }
    SSL_CTX_free(ctx);
    return good;
}

bool hf_tls_places_setup(void)
{
    if (CRYPTO_set_mem_functions(on_malloc, on_realloc, on_free) != 1)
        return false;
    in_use = try_out();
    return in_use;
}

int hf_tls_places_init(struct hf_tls_places *p)
{
    *p = (struct hf_tls_places){0};
    if (!in_use)
        return 0;
    hf_assert(places_begin == NULL);
    p->memory = mmap(NULL, (size_t)HF_TLS_PLACES * PLACE_BYTES, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p->memory == MAP_FAILED) {
        p->memory = NULL;
        return HF_ENOMEM;
    }
    places_begin = p->memory;
    places_end = p->memory + (size_t)HF_TLS_PLACES * PLACE_BYTES;
    return 0;
}

void hf_tls_places_release(struct hf_tls_places *p)
{
    if (p->memory == NULL)
        return;
    munmap(p->memory, (size_t)HF_TLS_PLACES * PLACE_BYTES);
    places_begin = places_end = NULL;
    *p = (struct hf_tls_places){0};
}

/* ---- Folding ---- */

static uint64_t *place_of(const struct hf_tls_places *p, const struct hf_tls_tenant *t)
{
    return (uint64_t *)(void *)(p->memory + (size_t)t->place * PLACE_BYTES);
}

/* Write map and nonzero lines; returns the bytes. */
static size_t fold(const uint64_t *from, uint8_t *out)
{
    uint8_t *line = out + MAP_BYTES;

    memset(out, 0, MAP_BYTES);
    for (size_t i = 0; i < LINES; i++, from += LINE_WORDS) {
        if ((from[0] | from[1]) == 0)
            continue;
        out[i / 8] |= (uint8_t)(1u << (i % 8));
        memcpy(line, from, LINE_BYTES);
        line += LINE_BYTES;
    }
    return (size_t)(line - out);
}

static void unfold(const uint8_t *in, uint64_t *to)
{
    const uint8_t *line = in + MAP_BYTES;

    memset(to, 0, PLACE_BYTES);
    for (size_t at = 0; at < MAP_BYTES; at++)
        for (unsigned bits = in[at]; bits != 0; bits &= bits - 1) {
            memcpy(to + (at * 8 + (unsigned)__builtin_ctz(bits)) * LINE_WORDS, line, LINE_BYTES);
            line += LINE_BYTES;
        }
}

/* Keep what lies at its place. False: no memory. Secrets are in no more places than malloc()'s own objects. */
static bool put_away(struct hf_tls_places *p, struct hf_tls_tenant *t)
{
    static uint8_t out[MAP_BYTES + PLACE_BYTES];
    size_t bytes = fold(place_of(p, t), out);

    if (bytes != t->folded_bytes) {
        uint8_t *folded = realloc(t->folded, bytes);

        if (folded == NULL)
            return false;
        t->folded = folded;
        t->folded_bytes = (uint16_t)bytes;
    }
    memcpy(t->folded, out, bytes);
    return true;
}

static void empty(struct hf_tls_places *p, unsigned place)
{
    struct hf_tls_tenant *t = p->at[place];

    p->at[place] = NULL;
    if (t == NULL || put_away(p, t))
        return;
    SSL_free(t->ssl);
    t->ssl = NULL;
}

/* ---- Tenants ---- */

bool hf_tls_tenant_new(struct hf_tls_places *p, struct hf_tls_tenant *t, SSL_CTX *ctx)
{
    *t = (struct hf_tls_tenant){.place = HF_TLS_PLACES};
    if (p->memory == NULL) {
        t->ssl = SSL_new(ctx);
        return t->ssl != NULL;
    }
    t->place = (uint16_t)(p->next++ % HF_TLS_PLACES);
    empty(p, t->place);
    offered = (uint8_t *)place_of(p, t);
    memset(offered, 0, PLACE_BYTES);
    t->ssl = SSL_new(ctx);
    offered = NULL;
    if (t->ssl != NULL)
        p->at[t->place] = t;
    return t->ssl != NULL;
}

void hf_tls_tenant_enter(struct hf_tls_places *p, struct hf_tls_tenant *t)
{
    if (t->place == HF_TLS_PLACES || p->at[t->place] == t || t->ssl == NULL)
        return;
    empty(p, t->place);
    unfold(t->folded, place_of(p, t));
    p->at[t->place] = t;
}

void hf_tls_tenant_free(struct hf_tls_places *p, struct hf_tls_tenant *t)
{
    if (t->ssl != NULL) {
        hf_tls_tenant_enter(p, t);
        SSL_free(t->ssl);
        if (t->place < HF_TLS_PLACES)
            p->at[t->place] = NULL;
    }
    free(t->folded);
    *t = (struct hf_tls_tenant){0};
}
