#include "cli/bench_prepare.h"

#include "cli/bench_protocol.h"
#include "ws/handshake.h"

#include <inttypes.h>
#include <netdb.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

enum {
    DESCRIPTORS_SPARE = 64 + HF_BENCH_PROCESSES_MAX
}; /* of each process, beside its connections: the bells, and what it was born with */

static int wrong(char *problem, const char *fmt, ...) HF_PRINTF(2, 3);

static int wrong(char *problem, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(problem, HF_BENCH_TEXT_MAX, fmt, args);
    va_end(args);
    return HF_EINVAL;
}

/* As many descriptors as the system lets us have. */
static uint64_t raise_descriptors(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return 1024;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
    (void)getrlimit(RLIMIT_NOFILE, &limit);
    return limit.rlim_cur;
}

/* How many processes, and from how many addresses. Says exactly what is missing. */
int hf_bench_size_up(struct hf_bench_options *o, char problem[HF_BENCH_TEXT_MAX])
{
    uint64_t connections = hf_bench_connections(o), descriptors = raise_descriptors();
    uint64_t each_max = descriptors > DESCRIPTORS_SPARE ? descriptors - DESCRIPTORS_SPARE : 1;
    uint64_t usual = each_max < HF_BENCH_PROCESS_CONNECTIONS ? each_max : HF_BENCH_PROCESS_CONNECTIONS;

    if (o->processes == 0)
        o->processes = (connections + usual - 1) / usual;
    if (o->sources == 0)
        o->sources = (connections + HF_BENCH_SOURCE_CONNECTIONS - 1) / HF_BENCH_SOURCE_CONNECTIONS;
    if (o->mode == HF_BENCH_CHURN && o->sources < 8)
        o->sources = 8; /* A closed connection may hold its port for a minute. */
    if (o->processes > HF_BENCH_PROCESSES_MAX)
        return wrong(problem,
                     "%" PRIu64 " connections need %" PRIu64 " processes with %" PRIu64
                     " descriptors each; at most %d are started: raise the hard limit of RLIMIT_NOFILE",
                     connections, o->processes, descriptors, HF_BENCH_PROCESSES_MAX);
    if ((connections + o->processes - 1) / o->processes > each_max)
        return wrong(problem,
                     "%" PRIu64 " connections in %" PRIu64 " processes need %" PRIu64
                     " descriptors each; the hard limit (RLIMIT_NOFILE) is %" PRIu64,
                     connections, o->processes,
                     (connections + o->processes - 1) / o->processes + DESCRIPTORS_SPARE, descriptors);
    return 0;
}

static int look_up(const struct hf_url *url, struct hf_bench_address *address, char *problem)
{
    const struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    int err = getaddrinfo(url->host, url->port, &hints, &found);

    if (err != 0)
        return wrong(problem, "%.100s: %s", url->host, gai_strerror(err));
    memcpy(&address->at, found->ai_addr, found->ai_addrlen);
    address->len = found->ai_addrlen;
    freeaddrinfo(found);
    return 0;
}

/* The upgrade request but for its last line, behind which a ticket may have a line of its own. */
static int make_request(const struct hf_bench_options *o, const struct hf_url *url, struct hf_buf *out,
                        char *key, char *problem)
{
    static const uint8_t nonce[16] = "holdfast bench..";
    const char *subprotocols = hf_bench_protocol(o->protocol)->subprotocols;
    struct hf_buf lines;
    int err;

    hf_buf_init(&lines, 8192);
    if (o->origin)
        hf_buf_putf(&lines, "Origin: http://%s\r\n", url->authority);
    if (o->header != NULL)
        hf_buf_putf(&lines, "%s\r\n", o->header);
    hf_buf_init(out, 16384);
    err = hf_handshake_put_request(out,
                                   &(struct hf_handshake_request){.host = hf_str_from(url->authority),
                                                                  .target = hf_str_from(url->target),
                                                                  .nonce = nonce,
                                                                  .protocols = hf_str_from(subprotocols),
                                                                  .extra_headers = hf_buf_str(&lines)},
                                   key);
    hf_buf_release(&lines);
    if (err < 0)
        return wrong(problem, "the upgrade request cannot be made: %s", hf_strerror(err));
    out->len -= 2;
    return 0;
}

int hf_bench_target_init(struct hf_bench_target *t, const struct hf_bench_options *o,
                         char problem[HF_BENCH_TEXT_MAX])
{
    int err = look_up(&o->url, &t->address, problem);

    if (err == 0)
        err = look_up(&o->publish_url, &t->publish_address, problem);
    if (err == 0)
        err = make_request(o, &o->url, &t->request, t->key, problem);
    if (err == 0)
        err = make_request(o, &o->publish_url, &t->publish_request, t->key, problem);
    if (err < 0 || (!o->tls && !o->publish_tls))
        return err;
    t->tls = hf_bench_tls_new(o, problem);
    return t->tls == NULL ? HF_EINVAL : 0;
}

void hf_bench_target_release(struct hf_bench_target *t)
{
    hf_buf_release(&t->request);
    hf_buf_release(&t->publish_request);
    hf_bench_tls_free(t->tls);
    t->tls = NULL;
}
