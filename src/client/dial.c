#include "client/dial.h"

#include "base/assert.h"

#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    NAME_TEXT_BYTES = 204,
    FRESH_MS_MAX =
        60 * 1000, /* an address that moved is found after so long, whatever its TTL says; a guess */
    STALE_MS =
        500, /* name servers that are silent for so long are not waited for where addresses are known; a guess */
};

void hf_dial_init(struct hf_dial *d)
{
    unsigned i;

    *d = (struct hf_dial){.host = NULL};
    hf_names_init(&d->names);
    for (i = 0; i < HF_RACE_ADDRESSES_MAX; i++)
        d->fds[i] = -1;
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
    *fd = -1;
}

void hf_dial_set_until(struct hf_dial *d, uint64_t until_ms)
{
    d->race.config.until_ms = until_ms;
}

void hf_dial_end(struct hf_dial *d)
{
    unsigned i;

    hf_names_end(&d->names);
    for (i = 0; i < HF_RACE_ADDRESSES_MAX; i++)
        close_fd(&d->fds[i]);
    d->host = NULL;
}

/* --- where the host is --- */

/* "fe80::1%eth0" or "fe80::1%2": RFC 4007 section 11. */
static bool parse_scope(const char *zone, uint32_t *scope)
{
    char *end;

    *scope = if_nametoindex(zone);
    if (*scope == 0 && *zone >= '0' && *zone <= '9') {
        *scope = (uint32_t)strtoul(zone, &end, 10);
        return *end == '\0';
    }
    return *scope != 0;
}

static bool parse_address(const char *name, struct hf_race_address *out)
{
    const char *percent = strchr(name, '%');
    struct hf_str digits = {name, percent == NULL ? strlen(name) : (size_t)(percent - name)};

    out->scope = 0;
    return hf_ip_parse(digits, &out->ip) == 0 && (percent == NULL || parse_scope(percent + 1, &out->scope));
}

static void found(struct hf_dial *d, enum hf_race_family family, const struct hf_names_answer *answer,
                  uint64_t now_ms)
{
    if (!d->race.answered[family])
        hf_race_found(&d->race, family, answer->list, answer->count, now_ms);
}

static void use_known(struct hf_dial *d, uint64_t now_ms)
{
    hf_names_end(&d->names);
    found(d, HF_RACE_V6, &d->host->known[HF_RACE_V6], now_ms);
    found(d, HF_RACE_V4, &d->host->known[HF_RACE_V4], now_ms);
}

static bool is_known(const struct hf_host *host)
{
    return host->known[HF_RACE_V6].count + host->known[HF_RACE_V4].count > 0;
}

static void ask(struct hf_dial *d, const char *dns_servers)
{
    int err = hf_names_ask(&d->names, d->host->name, dns_servers);
    unsigned family;

    for (family = 0; family < HF_RACE_FAMILIES && err < 0; family++)
        d->names.answers[family] =
            (struct hf_names_answer){.there = true, .unanswered = true, .why = hf_strerror(err)};
}

/*
 * RFC 6761 section 6.3: names "localhost" and below it are loopback addresses, and no server is asked. Not by c-ares: 1.18 does so too, and loses memory where the
 * hosts file has one of the families only.
 */
static bool is_localhost(const char *name)
{
    static const char localhost[] = "localhost";
    const size_t local_len = sizeof(localhost) - 1;
    size_t len = strlen(name);

    if (len > 0 && name[len - 1] == '.')
        len--;
    return len >= local_len && strncasecmp(name + len - local_len, localhost, local_len) == 0 &&
           (len == local_len || name[len - local_len - 1] == '.');
}

/* No question is needed. Whoever watches the network looks for the host there as well. */
static void set_known(struct hf_host *host, enum hf_race_family family, struct hf_race_address address)
{
    host->known[family] = (struct hf_names_answer){.there = true, .count = 1, .list = {address}};
}

static void know_loopback(struct hf_host *host)
{
    set_known(host, HF_RACE_V6, (struct hf_race_address){.ip = {.bytes = {[HF_IP_BYTES - 1] = 1}}});
    set_known(host, HF_RACE_V4, (struct hf_race_address){.ip = hf_ip_v4((const uint8_t[4]){127, 0, 0, 1})});
}

static void look_up(struct hf_dial *d, const char *dns_servers, uint64_t now_ms)
{
    struct hf_race_address number;

    if (parse_address(d->host->name, &number)) {
        set_known(d->host, hf_race_family_of(&number), number);
        use_known(d, now_ms);
    } else if (is_localhost(d->host->name)) {
        know_loopback(d->host);
        use_known(d, now_ms);
    } else if (now_ms < d->host->fresh_until_ms) {
        use_known(d, now_ms);
    } else {
        ask(d, dns_servers);
    }
}

/* Both families have answered, with addresses: they are kept. */
static void keep_answers(struct hf_dial *d, uint64_t now_ms)
{
    const struct hf_names_answer *v6 = &d->names.answers[HF_RACE_V6], *v4 = &d->names.answers[HF_RACE_V4];
    uint64_t fresh_ms = FRESH_MS_MAX;

    if (!v6->there || !v4->there || v6->unanswered || v4->unanswered || v6->count + v4->count == 0)
        return;
    if (v6->count > 0 && (uint64_t)v6->ttl_s * 1000 < fresh_ms)
        fresh_ms = (uint64_t)v6->ttl_s * 1000;
    if (v4->count > 0 && (uint64_t)v4->ttl_s * 1000 < fresh_ms)
        fresh_ms = (uint64_t)v4->ttl_s * 1000;
    d->host->known[HF_RACE_V6] = *v6;
    d->host->known[HF_RACE_V4] = *v4;
    d->host->fresh_until_ms = now_ms + fresh_ms;
}

static void take_answers(struct hf_dial *d, uint64_t now_ms)
{
    unsigned family;

    for (family = 0; family < HF_RACE_FAMILIES; family++) {
        const struct hf_names_answer *answer = &d->names.answers[family];

        if (!answer->there || d->race.answered[family])
            continue;
        if (answer->unanswered && is_known(d->host)) {
            use_known(d, now_ms);
            return;
        }
        found(d, family, answer, now_ms);
        keep_answers(d, now_ms);
    }
    if (d->names.channel != NULL && now_ms >= d->stale_at_ms)
        use_known(d, now_ms);
}

void hf_dial_start(struct hf_dial *d, struct hf_host *host, const char *dns_servers, uint64_t until_ms,
                   uint64_t now_ms)
{
    const struct hf_race_config config = {.until_ms = until_ms,
                                          .stagger_ms = hf_race_stagger_ms(host->rtt_ms),
                                          .skip = host->losses,
                                          .has_last_good = host->has_last_good,
                                          .last_good = host->last_good};

    hf_assert(d->host == NULL);
    hf_dial_init(d);
    d->host = host;
    d->began_at_ms = now_ms;
    d->stale_at_ms = is_known(host) ? now_ms + STALE_MS : UINT64_MAX;
    hf_race_start(&d->race, &config);
    look_up(d, dns_servers, now_ms);
}

/* --- connecting --- */

static socklen_t socket_address(const struct hf_dial *d, unsigned index, struct sockaddr_storage *out)
{
    const struct hf_race_address *a = &d->race.racers[index].address;
    in_port_t port = htons((uint16_t)strtoul(d->host->port, NULL, 10));

    memset(out, 0, sizeof(*out));
    if (d->race.racers[index].family == HF_RACE_V4) {
        struct sockaddr_in *v4 = (struct sockaddr_in *)out;

        v4->sin_family = AF_INET;
        v4->sin_port = port;
        memcpy(&v4->sin_addr, a->ip.bytes + HF_IP_BYTES - sizeof(v4->sin_addr), sizeof(v4->sin_addr));
        return sizeof(*v4);
    }
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)out;

    v6->sin6_family = AF_INET6;
    v6->sin6_port = port;
    v6->sin6_scope_id = a->scope;
    memcpy(&v6->sin6_addr, a->ip.bytes, sizeof(v6->sin6_addr));
    return sizeof(*v6);
}

static void failed(struct hf_dial *d, unsigned index, int error, uint64_t now_ms)
{
    close_fd(&d->fds[index]);
    d->failed_index = index;
    d->failed_errno = error;
    hf_race_failed(&d->race, index, now_ms);
}

static void begin(struct hf_dial *d, unsigned index, uint64_t now_ms)
{
    const int on = 1;
    struct sockaddr_storage address;
    socklen_t len = socket_address(d, index, &address);

    d->begun_at_ms[index] = now_ms;
    d->fds[index] = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (d->fds[index] < 0) {
        failed(d, index, errno, now_ms);
        return;
    }
    /* Many small messages, gathered by us: nothing is won by waiting for an acknowledgement of TCP's. */
    (void)setsockopt(d->fds[index], IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (connect(d->fds[index], (const struct sockaddr *)&address, len) == 0)
        hf_race_connected(&d->race, index);
    else if (errno != EINPROGRESS && errno != EINTR)
        failed(d, index, errno, now_ms);
}

static void connect_ended(struct hf_dial *d, unsigned index, uint64_t now_ms)
{
    int error = 0;
    socklen_t len = sizeof(error);

    if (getsockopt(d->fds[index], SOL_SOCKET, SO_ERROR, &error, &len) < 0)
        error = errno;
    if (error != 0)
        failed(d, index, error, now_ms);
    else
        hf_race_connected(&d->race, index);
}

/* --- the end --- */

static int win(struct hf_dial *d, unsigned index, uint64_t now_ms)
{
    struct hf_host *host = d->host;
    int fd = d->fds[index];
    uint64_t took_ms = now_ms - d->begun_at_ms[index];

    d->fds[index] = -1;
    host->has_last_good = true;
    host->last_good = d->race.racers[index].address;
    host->rtt_ms = took_ms == 0 ? 1 : (uint32_t)took_ms;
    host->losses = 0;
    hf_dial_end(d); /* The losers go with it. */
    return fd;
}

static void shown(const struct hf_dial *d, unsigned index, char out[HF_IP_TEXT_BYTES])
{
    const struct hf_endpoint e = {.ip = d->race.racers[index].address.ip,
                                  .port = (uint16_t)strtoul(d->host->port, NULL, 10)};

    (void)hf_endpoint_format(&e, out);
}

/* The name has led to no address. */
static void say_no_address(struct hf_dial *d)
{
    const struct hf_names_answer *v6 = &d->names.answers[HF_RACE_V6], *v4 = &d->names.answers[HF_RACE_V4];
    const char *why = "no name server answered";

    if (v4->there && v4->why != NULL)
        why = v4->why;
    if (v6->there && v6->why != NULL && (!v4->there || (v4->unanswered && !v6->unanswered)))
        why = v6->why;
    (void)snprintf(d->why, sizeof(d->why), "look-up of %.200s: %s", d->host->name, why);
}

/* "NAME: ", before the address that a name has; nothing before one that was given as such. */
static void name_shown(const struct hf_dial *d, char out[NAME_TEXT_BYTES])
{
    struct hf_race_address number;

    (void)snprintf(out, NAME_TEXT_BYTES, "%.200s: ", d->host->name);
    if (parse_address(d->host->name, &number))
        out[0] = '\0';
}

static void say_silent(struct hf_dial *d, uint64_t now_ms)
{
    char at[HF_IP_TEXT_BYTES], more[32] = "";

    shown(d, 0, at);
    if (d->race.count > 1)
        (void)snprintf(more, sizeof(more), " and %u more", d->race.count - 1);
    (void)snprintf(d->why, sizeof(d->why), "connect to %.200s: timed out: no answer from %s%s within %.1f s",
                   d->host->name, at, more, (double)(now_ms - d->began_at_ms) / 1000);
}

static void say_failed(struct hf_dial *d)
{
    char at[HF_IP_TEXT_BYTES], more[32] = "", text[80], name[NAME_TEXT_BYTES];

    name_shown(d, name);
    shown(d, d->failed_index, at);
    if (d->race.count > 1)
        (void)snprintf(more, sizeof(more), " and %u more", d->race.count - 1);
    /* GNU's strerror_r() returns the text, wherever it lies. */
    (void)snprintf(d->why, sizeof(d->why), "connect to %s%s%s: %s", name, at, more,
                   strerror_r(d->failed_errno, text, sizeof(text)));
}

static void lose(struct hf_dial *d, uint64_t now_ms)
{
    struct hf_host *host = d->host;

    if (d->race.count == 0)
        say_no_address(d);
    else if (d->race.timed_out)
        say_silent(d, now_ms);
    else
        say_failed(d);
    host->has_last_good = false;
    host->fresh_until_ms = 0; /* It may have moved. */
    host->losses++;
    hf_dial_end(d);
}

/* --- running --- */

int hf_dial_prepare(const struct hf_dial *d, struct pollfd *fds)
{
    int count = hf_names_prepare(&d->names, fds);
    unsigned i;

    for (i = 0; i < HF_RACE_ADDRESSES_MAX; i++)
        if (d->fds[i] >= 0)
            fds[count++] = (struct pollfd){.fd = d->fds[i], .events = POLLOUT};
    return count;
}

void hf_dial_ready(struct hf_dial *d, const struct pollfd *fd, uint64_t now_ms)
{
    unsigned i;

    for (i = 0; i < HF_RACE_ADDRESSES_MAX; i++)
        if (d->fds[i] == fd->fd && fd->revents != 0 && d->race.racers[i].state == HF_RACER_TRYING) {
            connect_ended(d, i, now_ms);
            return;
        }
    hf_names_ready(&d->names, fd);
}

uint64_t hf_dial_deadline_ms(const struct hf_dial *d, uint64_t now_ms)
{
    uint64_t at = d->host == NULL ? UINT64_MAX : hf_race_deadline_ms(&d->race);
    uint64_t wait_ms = hf_names_wait_ms(&d->names);

    if (d->host == NULL)
        return UINT64_MAX;
    if (d->names.channel != NULL && d->stale_at_ms < at)
        at = d->stale_at_ms;
    return wait_ms != UINT64_MAX && now_ms + wait_ms < at ? now_ms + wait_ms : at;
}

int hf_dial_step(struct hf_dial *d, uint64_t now_ms)
{
    unsigned i;
    int index;

    hf_assert(d->host != NULL);
    hf_names_tick(&d->names);
    take_answers(d, now_ms);
    while ((index = hf_race_next(&d->race, now_ms)) >= 0)
        begin(d, (unsigned)index, now_ms);
    for (i = 0; i < d->race.count; i++)
        if (d->race.racers[i].state == HF_RACER_STANDS)
            return win(d, i, now_ms);
    if (d->race.state != HF_RACE_LOST)
        return HF_EAGAIN;
    lose(d, now_ms);
    return HF_ECLOSED;
}
