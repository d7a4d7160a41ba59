/*
 * supervisor_start.c - all that must be good before a worker is started, in its order; whatever is not ends the start with one line that says why.
 */
#include "server/supervisor_impl.h"

#include "net/tls_place.h"
#include "server/certificates.h"
#include "server/logger.h"
#include "ws/handshake.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/signalfd.h>

enum { EXIT_USAGE = 2, LACK_MAX = 512 };

int hf_cannot_start(const char *what, const char *key, const char *why)
{
    fprintf(stderr, "holdfast: cannot %s: %s%s%s\n", what, key, key[0] != '\0' ? ": " : "", why);
    return EXIT_USAGE;
}

static int prepare_openssl(struct hf_supervisor *s)
{
    /* It takes an allocator only before its first use. Where clients come by TLS there will be many of its connections. */
    if (s->config->tls_listen_count > 0 && !hf_tls_places_setup())
        hf_log_event(HF_LOG_WARNING, "tls_places_unused");
    if (!hf_handshake_works())
        return hf_cannot_start(
            "answer WebSocket handshakes", "",
            "OpenSSL computes no SHA-1 here, which RFC 6455 asks for: see its configuration "
            "(OPENSSL_CONF, or /etc/ssl/openssl.cnf)");
    return 0;
}

/* The soft limit goes up to the hard one, and that to what is needed where we may. */
static int raise_descriptors(uint64_t need, uint64_t *have)
{
    struct rlimit limit, more;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return hf_cannot_start("read the limit on descriptors", "", strerror(errno));
    more = (struct rlimit){need, need};
    if (limit.rlim_max < need && setrlimit(RLIMIT_NOFILE, &more) == 0)
        limit = more;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
        return hf_cannot_start("raise the limit on descriptors", "", strerror(errno));
    *have = limit.rlim_max;
    return 0;
}

static void give_advice(const struct hf_config *config, const struct hf_limits *limits)
{
    char text[LACK_MAX];

    for (unsigned i = 0; hf_capacity_advice(config, limits, i, text, sizeof(text)); i++)
        hf_log(HF_LOG_WARNING, "system_limit", hf_kv_text("advice", text));
}

/* Decide how many workers there are, or say what is missing. */
static int plan_capacity(struct hf_supervisor *s)
{
    struct hf_limits limits;
    struct hf_capacity plan;
    char lacks[LACK_MAX];
    int status;

    hf_limits_read(&limits);
    plan = hf_capacity_plan(s->config, &limits);
    status = raise_descriptors(plan.descriptors, &limits.descriptors);
    if (status != 0)
        return status;
    plan = hf_capacity_plan(s->config, &limits);
    if (!plan.within_descriptors || !plan.within_files) {
        hf_capacity_lacks(s->config, &limits, &plan, lacks, sizeof(lacks));
        return hf_cannot_start("start", "", lacks);
    }
    give_advice(s->config, &limits);
    s->planned.workers = plan.workers;
    s->capacity = plan;
    return 0;
}

/* The certificates, and the secret of the session tickets, which the workers inherit and nobody else ever sees. */
static int load_certificates(struct hf_supervisor *s)
{
    char error[512];

    if (getrandom(s->tls_secret, sizeof(s->tls_secret), 0) != (ssize_t)sizeof(s->tls_secret))
        return hf_cannot_start("get random bytes", "", strerror(errno));
    return hf_certificates_load(s->config, s->tls_secret, true, &s->tls, error, sizeof(error)) < 0
               ? hf_cannot_start("use the certificates", "tls.certificates", error)
               : 0;
}

static int load_keys(struct hf_supervisor *s)
{
    char error[512];

    return hf_auth_load(s->config, &s->auth, error, sizeof(error)) < 0
               ? hf_cannot_start("use the keys of tokens", "auth.keys", error)
               : 0;
}

static int load_hooks_tls(struct hf_supervisor *s)
{
    char error[512];

    return hf_hooks_tls_load(&s->config->hooks, &s->hooks_tls, error, sizeof(error)) < 0
               ? hf_cannot_start("use the certificates of the hooks", "", error)
               : 0;
}

static int open_descriptors(struct hf_supervisor *s)
{
    sigset_t signals;

    for (uint32_t slot = 0; slot < s->config->workers; slot++) {
        s->wake_fds[slot] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        if (s->wake_fds[slot] < 0)
            return hf_cannot_start("make an eventfd", "", strerror(errno));
    }
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGCHLD);
    sigaddset(&signals, SIGHUP);
    sigaddset(&signals, SIGUSR2);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    signal(SIGPIPE, SIG_IGN);
    s->signal_fd = signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC);
    return s->signal_fd < 0 ? hf_cannot_start("make a signalfd", "", strerror(errno)) : 0;
}

int hf_supervisor_start(struct hf_supervisor *s)
{
    /* What only root may do stands before the privileges are dropped: raise limits, read keys and certificates that are his, bind low ports. */
    static int (*const steps[])(struct hf_supervisor *) = {
        hf_supervisor_meet_manager,
        hf_supervisor_take_named_sockets,
        plan_capacity,
        prepare_openssl,
        load_certificates,
        load_keys,
        load_hooks_tls,
        hf_supervisor_find_privileges,
        hf_supervisor_open_sockets,
        hf_supervisor_drop_privileges,
        hf_supervisor_map_memory,
        open_descriptors,
    };
    int status = 0;

    for (size_t i = 0; status == 0 && i < sizeof(steps) / sizeof(steps[0]); i++)
        status = steps[i](s);
    return status;
}
