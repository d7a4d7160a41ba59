#include "client/signals.h"

#include <string.h>

enum { GIVE_UP_LATER_MS = 2000 };
enum { WAYS_MAX = 32 /* looked at, of all that lead to a server; each is a question to the kernel */ };

/*
 * Where the server's addresses are not known yet, the way out is that to these, of which a look sends no packet: the addresses of documentation (RFC 5737,
 * RFC 3849) have no routes of their own, so that it is the default route.
 */
static const struct hf_place elsewhere[] = {
    {.ip = {{[10] = 0xff, [11] = 0xff, [12] = 192, [13] = 0, [14] = 2, [15] = 1}}},
    {.ip = {{[0] = 0x20, [1] = 0x01, [2] = 0x0d, [3] = 0xb8, [15] = 1}}},
};

void hf_signals_init(struct hf_signals *g, bool watch)
{
    *g = (struct hf_signals){.look_due = true, .stuck_fd = -1};
    g->watch = watch ? hf_watch_new() : NULL;
    hf_news_init(&g->news);
    hf_stuck_init(&g->stuck);
}

void hf_signals_release(struct hf_signals *g)
{
    hf_watch_free(g->watch);
    g->watch = NULL;
}

int hf_signals_fd(const struct hf_signals *g)
{
    return g->watch == NULL ? -1 : g->watch->fd;
}

void hf_signals_ready(struct hf_signals *g)
{
    g->readable = true;
}

static uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

uint64_t hf_signals_deadline_ms(const struct hf_signals *g)
{
    uint64_t at = g->stuck.look_at_ms;

    if (g->watch == NULL)
        return at;
    if (g->look_due)
        at = min_u64(at, g->looked_at_ms + HF_SIGNALS_REST_MS);
    return min_u64(at, min_u64(g->watch->deadline_ms, hf_news_deadline_ms(&g->news)));
}

/* --- the network --- */

/* FNV-1a, of numbers in place of bytes: it need only differ where they do. */
static uint64_t mix(uint64_t h, const void *data, size_t len)
{
    const uint8_t *bytes = data;
    size_t i;

    for (i = 0; i < len; i++)
        h = (h ^ bytes[i]) * UINT64_C(0x100000001b3);
    return h;
}

static uint64_t mix_way(uint64_t h, const struct hf_way *way)
{
    const uint8_t open = way->open;

    h = mix(h, &open, sizeof(open));
    h = mix(h, &way->interface, sizeof(way->interface));
    h = mix(h, &way->carrier_changes, sizeof(way->carrier_changes));
    h = mix(h, &way->source, sizeof(way->source));
    return mix(h, &way->gateway, sizeof(way->gateway));
}

static struct hf_place place_of(const struct hf_race_address *a)
{
    return (struct hf_place){.ip = a->ip, .interface = a->scope};
}

/* How many addresses are known of the servers, or of the proxies on the way to them. */
static unsigned count_known(const struct hf_servers *s)
{
    unsigned i, count = 0;

    for (i = 0; i < s->count; i++)
        count += s->list[i].host.known[HF_RACE_V6].count + s->list[i].host.known[HF_RACE_V4].count;
    return count;
}

static void look_at_way(struct hf_signals *g, struct hf_place to, struct hf_look *look, bool *open)
{
    struct hf_way way;

    hf_watch_way(g->watch, &to, &way);
    look->print = mix_way(look->print, &way);
    *open = *open || way.open;
}

/* The ways to the servers, or out of this machine. */
static void look_at_servers(struct hf_signals *g, const struct hf_servers *s, struct hf_look *look)
{
    unsigned i, family, k, looked_at = 0;
    bool open = false;

    for (i = 0; i < s->count; i++)
        for (family = 0; family < HF_RACE_FAMILIES; family++) {
            const struct hf_names_answer *known = &s->list[i].host.known[family];

            for (k = 0; k < known->count && looked_at < WAYS_MAX; k++, looked_at++)
                look_at_way(g, place_of(&known->list[k]), look, &open);
        }
    for (i = 0; looked_at == 0 && i < sizeof(elsewhere) / sizeof(elsewhere[0]); i++)
        look_at_way(g, elsewhere[i], look, &open);
    /* Of a server that is not known yet nobody can say that it cannot be reached. */
    look->facts.offline = looked_at > 0 && !open;
}

static bool is_known(const struct hf_ip *ip)
{
    static const struct hf_ip none;

    return memcmp(ip, &none, sizeof(none)) != 0;
}

/* The descriptor of a connection, or of the first in the race for one; -1: none. *peer: where it leads to, if the socket itself does not say so yet. */
static int fd_of(const struct hf_socket *sock, struct hf_place *peer)
{
    unsigned i;

    if (sock->stage != HF_SOCKET_DIALING)
        return sock->fd;
    for (i = 0; i < sock->dial.race.count; i++)
        if (sock->dial.fds[i] >= 0) {
            *peer = place_of(&sock->dial.race.racers[i].address);
            return sock->dial.fds[i];
        }
    return -1;
}

static bool place_of_peer(int fd, struct hf_place *peer)
{
    struct sockaddr_storage address;
    socklen_t len = sizeof(address);

    return getpeername(fd, (struct sockaddr *)&address, &len) == 0 && hf_place_of(&address, peer);
}

static enum hf_session_path look_at_path(struct hf_signals *g, const struct hf_socket *sock,
                                         struct hf_move *move)
{
    struct sockaddr_storage address;
    socklen_t len = sizeof(address);
    struct hf_place own, peer = {.interface = 0};
    struct hf_way way;
    int fd = fd_of(sock, &peer);

    /* The first packet has its sender's address, so that an attempt has one as well. */
    if (fd < 0 || getsockname(fd, (struct sockaddr *)&address, &len) < 0 || !hf_place_of(&address, &own) ||
        !is_known(&own.ip))
        return HF_PATH_SAME;
    if (!hf_watch_has_address(g->watch, &own))
        return HF_PATH_GONE;
    if (sock->stage != HF_SOCKET_DIALING && !place_of_peer(fd, &peer))
        return HF_PATH_SAME;
    hf_watch_way(g->watch, &peer, &way);
    if (!way.open || !is_known(&way.source) || memcmp(&way.source, &own.ip, sizeof(own.ip)) == 0)
        return HF_PATH_SAME;
    *move = (struct hf_move){own.ip, way.source, sock->begun_at_ms};
    return HF_PATH_MOVED;
}

/* Other connections, or other addresses of the server: their ways are other ones, and nothing has changed. */
static void rebase(struct hf_signals *g, const struct hf_signals_turn *turn, const struct hf_look *look)
{
    uint32_t connections = hf_client_session_connections(turn->session);

    if (connections == g->connections && count_known(turn->servers) == g->addresses && g->looked_at_ms != 0)
        return;
    g->connections = connections;
    g->addresses = count_known(turn->servers);
    hf_news_rebase(&g->news, look->print);
}

/* While a connection stands: before it the gateway's link-layer address, by which the network is known best, may not be known yet. */
static void tell_key(struct hf_signals *g, const struct hf_signals_turn *turn)
{
    int slot = hf_client_session_live_slot(turn->session);
    struct hf_place peer;
    uint64_t key;

    if (slot < 0 || !place_of_peer(turn->sockets[slot].fd, &peer))
        return;
    key = hf_watch_key(g->watch, &peer);
    if (key == g->key)
        return;
    g->key = key;
    hf_client_session_set_network(turn->session, key, turn->now_ms);
}

static void look(struct hf_signals *g, const struct hf_signals_turn *turn)
{
    struct hf_look seen = {.print = 0};
    unsigned slot;

    look_at_servers(g, turn->servers, &seen);
    for (slot = 0; slot < HF_CLIENT_SESSION_SLOTS; slot++)
        seen.facts.paths[slot] = look_at_path(g, &turn->sockets[slot], &seen.moves[slot]);
    rebase(g, turn, &seen);
    g->look_due = false;
    g->looked_at_ms = turn->now_ms;
    tell_key(g, turn);
    if (hf_news_look(&g->news, &seen, turn->now_ms))
        hf_client_session_network(turn->session, &seen.facts, turn->now_ms);
}

static void process_watch(struct hf_signals *g, const struct hf_signals_turn *turn)
{
    bool due = g->readable || turn->now_ms >= g->watch->deadline_ms;
    bool changed = due && hf_watch_process(g->watch, turn->now_ms);

    g->readable = false;
    if (changed || hf_client_session_connections(turn->session) != g->connections ||
        count_known(turn->servers) != g->addresses)
        g->look_due = true;
    if ((g->look_due && turn->now_ms >= g->looked_at_ms + HF_SIGNALS_REST_MS) ||
        turn->now_ms >= hf_news_deadline_ms(&g->news))
        look(g, turn);
}

/* --- TCP --- */

static void take_up(struct hf_signals *g, int fd)
{
    if (g->stuck_fd == fd)
        return;
    g->stuck_fd = fd;
    g->give_up_ms = 0;
    hf_stuck_init(&g->stuck);
}

/*
 * In whole seconds, so that it is set anew seldom; and later than the session, which knows better what the silence means and comes back sooner: its ping may have gone out behind what
 * is not acknowledged.
 */
static void set_give_up(struct hf_signals *g, uint64_t hard_ms)
{
    uint64_t ms = (hard_ms + GIVE_UP_LATER_MS + 999) / 1000 * 1000;

    if (ms == g->give_up_ms)
        return;
    hf_tcp_give_up_after(g->stuck_fd, ms);
    g->give_up_ms = ms;
}

static void process_tcp(struct hf_signals *g, const struct hf_signals_turn *turn)
{
    int slot = hf_client_session_live_slot(turn->session);
    struct hf_socket *sock = slot < 0 ? NULL : &turn->sockets[slot];
    struct hf_tcp_facts facts;

    take_up(g, sock == NULL ? -1 : sock->fd);
    if (g->stuck_fd < 0)
        return;
    set_give_up(g, hf_client_session_hard_ms(turn->session));
    if (sock->wrote)
        hf_stuck_written(&g->stuck, turn->now_ms);
    sock->wrote = false;
    if (turn->now_ms < g->stuck.look_at_ms)
        return;
    if (hf_tcp_facts_read(g->stuck_fd, &facts) < 0)
        hf_stuck_init(&g->stuck);
    else if (hf_stuck_look(&g->stuck, &facts, turn->now_ms))
        hf_client_session_output_stuck(turn->session, (unsigned)slot, turn->now_ms);
}

void hf_signals_process(struct hf_signals *g, const struct hf_signals_turn *turn)
{
    process_tcp(g, turn);
    if (g->watch != NULL)
        process_watch(g, turn);
}
