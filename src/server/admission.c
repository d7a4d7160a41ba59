#include "server/admission.h"

#include "base/rate.h"
#include "ws/forwarded.h"
#include "ws/handshake.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    WAIT_MS_LEAST = 1000, /* Retry-After is in whole seconds */
    YOUNG_GRACE_MS =
        3000, /* time for a lost packet to be sent again twice, or for a machine that opens thousands to get around to each */
    MEMORY_KEPT = 1 << 20, /* for those who are connected; a guess: some hundred messages of 4 KiB */
    MEMORY_PIECES = 32,
    SHED_LOOK = 16,           /* of those that have waited longest, so many are looked at */
    PER_SECOND_UNKNOWN = 4000 /* with no rate configured: research/protocol.md 3.2 */
};

const struct hf_refusal hf_refused_draining = {HF_COUNT_REFUSED_DRAINING, 503, HF_CODE_DRAINING,
                                               "the server is shutting down"};
const struct hf_refusal hf_refused_sessions = {HF_COUNT_REFUSED_SESSIONS, 503, HF_CODE_LIMIT,
                                               "the server holds as many sessions as it may"};
const struct hf_refusal hf_refused_memory = {HF_COUNT_REFUSED_MEMORY, 503, HF_CODE_OVERLOADED,
                                             "the server is short of memory"};
const struct hf_refusal hf_refused_takeover = {HF_COUNT_REFUSED_TAKEOVER, 503, HF_CODE_UNAVAILABLE,
                                               "the session's worker did not hand it over in time"};
static const struct hf_refusal refused_connections = {HF_COUNT_REFUSED_CONNECTIONS, 503, HF_CODE_LIMIT,
                                                      "the server has as many connections as it may"};
static const struct hf_refusal refused_descriptors = {HF_COUNT_REFUSED_DESCRIPTORS, 503, HF_CODE_LIMIT,
                                                      "the server has as many connections as it can hold"};
static const struct hf_refusal refused_rate = {HF_COUNT_REFUSED_RATE, 503, HF_CODE_OVERLOADED,
                                               "more clients come at once than the server takes"};
static const struct hf_refusal refused_address = {HF_COUNT_REFUSED_ADDRESS, 429, HF_CODE_LIMIT,
                                                  "this address has as many connections as it may"};

void hf_admission_configure(struct hf_hub *hub)
{
    const struct hf_config *config = hub->config;
    uint32_t burst = config->admission_burst != 0 ? config->admission_burst : config->admission_rate;

    hub->gate_config =
        (struct hf_gate_config){.rate = config->admission_rate, .burst = burst < 2 ? 2 : burst};
    hub->young_max = (config->handshakes_max + hub->workers - 1) / hub->workers;
}

void hf_admission_init(struct hf_hub *hub)
{
    hub->gate = hf_region_gate(hub->region);
    hf_list_init(&hub->young);
    hf_admission_configure(hub);
}

/* ---- Addresses ---- */

static bool endpoint_of(const struct hf_conn *c, struct hf_endpoint *e)
{
    return hf_endpoint_parse(hf_str_from(c->upgrade->address), e) == 0;
}

void hf_hub_name(struct hf_conn *c, const struct hf_endpoint *client)
{
    char text[HF_IP_TEXT_BYTES] = "unix";

    if (client != NULL)
        (void)hf_endpoint_format(client, text);
    snprintf(c->upgrade->address, sizeof(c->upgrade->address), "%s", text);
}

void hf_admission_name(struct hf_conn *c, const struct hf_handshake *h)
{
    const struct hf_config *config = c->hub->config;
    enum hf_forwarded_form form =
        config->proxy_says == HF_PROXY_SAYS_FORWARDED ? HF_FORWARDED_RFC7239 : HF_FORWARDED_X_FORWARDED_FOR;
    struct hf_endpoint e;
    int got;

    if (config->proxy_trusted_count == 0 || config->proxy_says == HF_PROXY_SAYS_NOTHING ||
        !endpoint_of(c, &e) || !hf_network_any(config->proxy_trusted, config->proxy_trusted_count, &e.ip))
        return;
    got = hf_forwarded_client(form, form == HF_FORWARDED_RFC7239 ? h->forwarded : h->forwarded_for,
                              config->proxy_trusted, config->proxy_trusted_count, &e);
    if (got == HF_EBADMSG)
        hf_count(c->hub->counters, HF_COUNT_FORWARDED_MALFORMED, 1);
    else
        hf_hub_name(c, &e); /* Where it names nobody, e is the last proxy that is known. */
}

/* Count it under its address. Returns false where that has enough. One without an address (a Unix socket's) is not counted. */
static bool count_address(struct hf_conn *c)
{
    struct hf_hub *hub = c->hub;
    const struct hf_config *config = hub->config;
    struct hf_endpoint e;
    struct hf_ip prefix;

    if (config->address_connections_max == 0 || c->counted_under != 0 || !endpoint_of(c, &e))
        return true;
    prefix = hf_ip_prefix(&e.ip, hf_ip_is_v4(&e.ip) ? HF_IP_V4_BITS + config->address_bits_v4
                                                    : config->address_bits_v6);
    c->counted_under = hf_gate_address(hub->gate, &prefix);
    if (!hf_gate_address_add(hub->gate, hub->slot, c->counted_under)) {
        hf_count(hub->counters, HF_COUNT_ADDRESSES_UNCOUNTED, 1);
        c->counted_under = 0;
        return true;
    }
    /* Counted first and compared then: of several that come at once to several workers, none too many gets in. */
    if (hf_gate_address_count(hub->gate, c->counted_under) <= config->address_connections_max)
        return true;
    hf_admission_left(c);
    return false;
}

void hf_admission_left(struct hf_conn *c)
{
    if (c->counted_under != 0)
        hf_gate_address_remove(c->hub->gate, c->hub->slot, c->counted_under);
    c->counted_under = 0;
}

/* ---- Admission ---- */

const struct hf_refusal *hf_admission_judge(struct hf_conn *c, enum hf_gate_kind kind)
{
    struct hf_hub *hub = c->hub;
    uint32_t most = hub->config->connections_max;

    if (hub->draining)
        return &hf_refused_draining;
    if (hub->room != 0 && hub->conns.count > hub->room)
        return &refused_descriptors;
    if (hub->short_of_memory)
        return &hf_refused_memory;
    if (most != 0 && hf_gate_connections(hub->gate) >= most)
        return &refused_connections;
    if (!count_address(c))
        return &refused_address;
    if (hf_gate_admit(hub->gate, &hub->gate_config, kind, hub->now.mono_ms))
        return NULL;
    hf_admission_left(c);
    return &refused_rate;
}

uint32_t hf_admission_wait_ms(struct hf_conn *c, enum hf_gate_kind kind)
{
    struct hf_hub *hub = c->hub;
    uint32_t wait_ms = hf_gate_wait_ms(hub->gate, &hub->gate_config, kind, hub->now.mono_ms);

    return (wait_ms < WAIT_MS_LEAST ? WAIT_MS_LEAST : wait_ms) + (uint32_t)hf_rng_below(&hub->rng, 1000);
}

uint32_t hf_admission_spread_ms(const struct hf_hub *hub)
{
    uint64_t rate = hub->gate_config.rate != 0 ? hub->gate_config.rate : PER_SECOND_UNKNOWN;
    uint64_t spread_ms = hf_gate_connections(hub->gate) * 1000 / rate;

    return spread_ms < HF_GATE_WAIT_MS_MAX ? (uint32_t)spread_ms : HF_GATE_WAIT_MS_MAX;
}

void hf_admission_opened(struct hf_conn *c)
{
    hf_count(c->hub->counters, HF_COUNT_CONNECTIONS_OPENED, 1);
    hf_gauge_add(c->hub->counters, HF_GAUGE_CONNECTIONS, 1);
    hf_gauge_add(c->hub->counters, HF_GAUGE_BINARY, c->binary);
    hf_gate_opened(c->hub->gate);
}

void hf_admission_closed(struct hf_conn *c)
{
    hf_gate_closed(c->hub->gate);
    hf_gauge_add(c->hub->counters, HF_GAUGE_CONNECTIONS, -1);
    hf_gauge_add(c->hub->counters, HF_GAUGE_BINARY, c->binary ? -1 : 0);
    hf_admission_left(c);
}

/* ---- Handshakes under way ---- */

void hf_young_begin(struct hf_conn *c)
{
    hf_list_add_tail(&c->hub->young, &c->upgrade->young);
    c->hub->young_count++;
}

void hf_young_end(struct hf_conn *c)
{
    if (c->phase != HF_CONN_HANDSHAKE)
        return;
    hf_list_del(&c->upgrade->young);
    c->hub->young_count--;
}

void hf_hub_set_room(struct hf_hub *hub, uint32_t room)
{
    hub->room = room;
}

void hf_hub_set_short(struct hf_hub *hub, bool is_short)
{
    hub->short_of_memory = is_short;
}

/* In pieces, because what others gave back lies about in pieces too. */
bool hf_hub_memory_left(void)
{
    void *volatile piece[MEMORY_PIECES]; /* volatile: or the compiler may leave out the calls. */
    bool left = true;

    for (int i = 0; i < MEMORY_PIECES; i++) {
        piece[i] = malloc(MEMORY_KEPT / MEMORY_PIECES);
        left = left && piece[i] != NULL;
    }
    for (int i = 0; i < MEMORY_PIECES; i++)
        free(piece[i]);
    return left;
}

bool hf_hub_crowded(const struct hf_hub *hub, uint32_t spare)
{
    return hub->young_count >= hub->young_max || (hub->room != 0 && hub->conns.count >= hub->room + spare);
}

/* It is told why, as far as its socket takes it, and ends at once: its descriptor is needed. */
static void shed(struct hf_conn *c)
{
    hf_conn_refuse(c, HF_COUNT_REFUSED_HANDSHAKES, 503, HF_CODE_OVERLOADED,
                   "too many handshakes are under way, and this one was slow", 1);
    if (hf_deliver_flush(c))
        hf_conn_drop(c, 0);
}

bool hf_hub_shed(struct hf_hub *hub, bool (*idle)(const void *socket), struct hf_now now)
{
    struct hf_list *node = hub->young.next;

    hub->now = now;
    for (int i = 0; i < SHED_LOOK && node != &hub->young; i++, node = node->next) {
        const struct hf_upgrade *u = HF_CONTAINER(node, struct hf_upgrade, young);

        if (u->began_ms + YOUNG_GRACE_MS > now.mono_ms)
            return false; /* Those behind it are younger still. */
        if (idle(hf_conn_socket(u->conn))) {
            shed(u->conn);
            return true;
        }
    }
    return false;
}

void hf_hub_abort(struct hf_conn *c, struct hf_now now)
{
    c->hub->now = now;
    hf_count(c->hub->counters, HF_COUNT_REFUSED_PROXY_HEADER, 1);
    hf_conn_drop(c, 0);
}

bool hf_hub_young(const struct hf_conn *c)
{
    return c->phase == HF_CONN_HANDSHAKE;
}

/* ---- Standing connections ---- */

void hf_limits_wrote(struct hf_conn *c, size_t written)
{
    bool waited;

    if (c->phase != HF_CONN_OPEN)
        return;
    waited = c->progress_ms != 0;
    if (!c->blocked) {
        c->progress_ms = 0;
        return;
    }
    if (written > 0 || !waited)
        c->progress_ms = c->hub->now.mono_ms;
    /* Once a wait: when the timer goes off, it is set anew if there was progress meanwhile. */
    if (!waited && c->hub->config->write_timeout_ms != 0)
        hf_conn_schedule(c);
}

void hf_hub_progress(struct hf_conn *c, struct hf_now now)
{
    if (c->phase == HF_CONN_OPEN && c->progress_ms != 0)
        c->progress_ms = now.mono_ms;
}

uint64_t hf_limits_write_deadline_ms(const struct hf_conn *c)
{
    uint32_t timeout_ms = c->hub->config->write_timeout_ms;

    return c->progress_ms == 0 || timeout_ms == 0 ? UINT64_MAX : c->progress_ms + timeout_ms;
}

bool hf_limits_publish(struct hf_conn *c)
{
    const struct hf_config *config = c->hub->config;
    uint32_t burst = config->publish_burst != 0 ? config->publish_burst : config->publish_rate;

    return config->publish_rate == 0 ||
           hf_rate_take(&c->publish_full_us, config->publish_rate, burst, c->hub->now.mono_ms);
}
