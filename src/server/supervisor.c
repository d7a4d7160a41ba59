#include "server/supervisor.h"

#include "base/assert.h"
#include "net/inherit.h"
#include "net/listen.h"
#include "net/loop.h"
#include "net/tls_place.h"
#include "server/auth.h"
#include "server/capacity.h"
#include "server/certificates.h"
#include "server/confine.h"
#include "server/drain.h"
#include "server/logger.h"
#include "server/notify.h"
#include "server/privileges.h"
#include "server/rolling.h"
#include "server/worker.h"
#include "shm/memory.h"
#include "shm/region.h"
#include "ws/handshake.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    EXIT_FAILED = 1,
    EXIT_USAGE = 2,
    STUCK_MS =
        10000, /* a worker whose loop has not turned for so long is killed; its sessions resume elsewhere */
    STABLE_MS = 5000,      /* a worker that lived so long may be replaced at once again */
    BACKOFF_FIRST_MS = 50, /* restarts of one that keeps dying: 0, 50, 100, … ms */
    BACKOFF_MAX_MS = 5000,
    POLL_MS = 200,
    STATUS_MS = 5000,
    PROGRESS_MS = 1000,     /* how often a drain says how far it is */
    DRAIN_MARGIN_MS = 4000, /* from the end of the drain to the kill of what is left */
    RING_BYTES_LEAST = 256 * 1024,
    LACK_MAX = 512,
};

struct slot {
    pid_t pid;                         /* 0: none */
    int listen_fds[2 * HF_LISTEN_MAX]; /* those without TLS, then those with */
    int api_fd;
    uint64_t started_ms, start_at_ms;
    uint32_t failures; /* deaths in a row without a stable life between them */
    bool condemned;    /* the demo has killed it: that is no failure */
};

struct supervisor {
    const struct hf_config *config; /* &planned */
    struct hf_config planned;       /* with the number of workers, and the addresses of inherited sockets */
    struct hf_config given;         /* as it was read; a reload is compared with it */
    const struct hf_config_source *source;
    struct hf_capacity capacity;
    const struct hf_api_ops *api;
    const char *ready_text;
    struct hf_region region;
    void *memory;
    size_t memory_bytes;
    struct slot slots[HF_WORKERS_MAX];
    int sockets_first; /* the first of the slots' sockets, which follow each other */
    uint32_t sockets_count;
    struct hf_inherited inherited; /* sockets that the service manager has opened */
    bool shared_sockets;           /* clients come by some of those */
    struct hf_notify notify;
    struct hf_privileges privileges;
    bool sockets_scattered; /* they do not: whoever started us had closed some low descriptors */
    int wake_fds[HF_WORKERS_MAX];
    const char *unix_path; /* of the API's socket, once it is ours; NULL: none */
    int signal_fd;
    struct hf_tls *tls; /* what new workers inherit; NULL: no certificate is configured */
    uint8_t tls_secret[HF_TICKET_SECRET_BYTES];
    struct hf_auth *auth; /* likewise; NULL: no key is configured */
    bool ready_said, draining;
    uint64_t drain_end_ms;
    uint64_t drain_count; /* connections at its beginning */
    uint64_t progress_ms; /* when it is told next */
    uint64_t status_ms;   /* when the service manager is told next how many connections there are */
    struct hf_rolling rolling;
    bool rolling_wanted; /* it was asked for before all workers served */
};

static uint64_t now_ms(void)
{
    return hf_now_read().mono_ms;
}

/* ---- Start ---- */

static int cannot_start(const char *what, const char *key, const char *why)
{
    fprintf(stderr, "holdfast: cannot %s: %s%s%s\n", what, key, key[0] != '\0' ? ": " : "", why);
    return EXIT_USAGE;
}

static int prepare_openssl(const struct supervisor *s)
{
    /* It takes an allocator only before its first use. Where clients come by TLS there will be many of its connections. */
    if (s->config->tls_listen_count > 0 && !hf_tls_places_setup())
        hf_log_event(HF_LOG_WARNING, "tls_places_unused");
    if (!hf_handshake_works())
        return cannot_start("answer WebSocket handshakes", "",
                            "OpenSSL computes no SHA-1 here, which RFC 6455 asks for: see its configuration "
                            "(OPENSSL_CONF, or /etc/ssl/openssl.cnf)");
    return 0;
}

/* The soft limit goes up to the hard one, and that to what is needed where we may. */
static int raise_descriptors(uint64_t need, uint64_t *have)
{
    struct rlimit limit, more;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return cannot_start("read the limit on descriptors", "", strerror(errno));
    more = (struct rlimit){need, need};
    if (limit.rlim_max < need && setrlimit(RLIMIT_NOFILE, &more) == 0)
        limit = more;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
        return cannot_start("raise the limit on descriptors", "", strerror(errno));
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
static int plan_capacity(struct supervisor *s)
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
        return cannot_start("start", "", lacks);
    }
    give_advice(s->config, &limits);
    s->planned.workers = plan.workers;
    s->capacity = plan;
    return 0;
}

static uint32_t ring_bytes(const struct hf_config *config)
{
    uint32_t bytes = RING_BYTES_LEAST;

    while (bytes < 4 * config->message_bytes_max)
        bytes *= 2;
    return bytes;
}

/* Room for half a million addresses at a load of one half: eight MiB, of which what is not used costs nothing. */
static uint32_t address_cells(const struct hf_config *config)
{
    return config->address_connections_max == 0 ? 0 : HF_GATE_CELLS_MAX;
}

/* The logs fill up in time, whatever happens: what does not fit into the machine would end it then, and not now. */
static int check_memory(const struct supervisor *s)
{
    const struct hf_config *c = s->config;
    uint64_t ram = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    uint64_t logs = (uint64_t)c->shards * c->segments_per_shard * c->segment_bytes;
    char why[200];

    if (logs <= ram) {
        hf_log(HF_LOG_INFO, "memory", hf_kv_u64("logs_bytes", logs),
               hf_kv_u64("shared_bytes_at_most", s->memory_bytes), hf_kv_u64("machine_bytes", ram));
        return 0;
    }
    snprintf(why, sizeof(why),
             "the logs would take %llu MiB (memory.shards x memory.segments x memory.segment), and the "
             "machine has %llu MiB",
             (unsigned long long)(logs >> 20), (unsigned long long)(ram >> 20));
    return cannot_start("start", "memory.segments", why);
}

/* What the last server has left with the service manager: then its sessions, channels and logs go on. */
static bool adopt_memory(struct supervisor *s, const struct hf_region_config *rc)
{
    struct stat st;
    int fd = s->inherited.memory_fd;

    if (fd < 0)
        return false;
    if (fstat(fd, &st) == 0 && (uint64_t)st.st_size == s->memory_bytes)
        s->memory = hf_memory_map_file(fd, s->memory_bytes);
    close(fd);
    if (s->memory != NULL && hf_region_adopt(s->memory, rc) == 0 &&
        hf_region_open(&s->region, s->memory) == 0) {
        hf_log(HF_LOG_INFO, "memory_adopted", hf_kv_u64("bytes", s->memory_bytes));
        return true;
    }
    hf_memory_unmap(s->memory, s->memory_bytes);
    s->memory = NULL;
    hf_log(HF_LOG_WARNING, "memory_not_adopted",
           hf_kv_text("why", "it is of another version or configuration (workers, memory, session.max, "
                             "limits): sessions begin anew"));
    return false;
}

static int make_memory(struct supervisor *s, const struct hf_region_config *rc)
{
    int fd = hf_memory_make(s->memory_bytes);

    if (fd >= 0)
        s->memory = hf_memory_map_file(fd, s->memory_bytes);
    if (s->memory == NULL)
        return cannot_start("map the shared memory", "memory.segments, session.max", strerror(errno));
    hf_region_format(s->memory, rc);
    hf_notify_keep(&s->notify, fd, HF_INHERIT_MEMORY);
    close(fd); /* The mapping keeps it. */
    return hf_region_open(&s->region, s->memory) == 0
               ? 0
               : cannot_start("map the shared memory", "", "bad layout");
}

static int map_memory(struct supervisor *s)
{
    const struct hf_config *c = s->config;
    struct hf_region_config rc = {.workers = c->workers,
                                  .shards = c->shards,
                                  .segment_bytes = c->segment_bytes,
                                  .segment_count = c->segments_per_shard,
                                  .channels_max = c->channels_max,
                                  .sessions_max = c->sessions_max,
                                  .address_cells = address_cells(c),
                                  .handout_bytes = sizeof(struct hf_config),
                                  .ring_bytes = ring_bytes(c)};
    int status;

    if (getrandom(&rc.boot_id, sizeof(rc.boot_id), 0) != (ssize_t)sizeof(rc.boot_id) ||
        getrandom(&rc.gate_secret, sizeof(rc.gate_secret), 0) != (ssize_t)sizeof(rc.gate_secret))
        return cannot_start("get random bytes", "", strerror(errno));
    s->memory_bytes = hf_region_bytes(&rc);
    status = check_memory(s);
    if (status != 0)
        return status;
    status = adopt_memory(s, &rc) ? 0 : make_memory(s, &rc);
    if (status == 0)
        s->region.header->started_ms = hf_now_read().wall_ms;
    return status;
}

/* Of each slot one: see close_sockets_of_others(). */
static void note_sockets(struct supervisor *s, const int *fds)
{
    for (uint32_t slot = 0; slot < s->config->workers; slot++) {
        if (s->sockets_count == 0)
            s->sockets_first = fds[slot];
        s->sockets_scattered |= fds[slot] != s->sockets_first + (int)s->sockets_count++;
    }
}

/* ---- Sockets of the service manager ---- */

static int set_up_notify(struct supervisor *s)
{
    char error[200];

    if (hf_notify_open(&s->notify, error, sizeof(error)) < 0)
        return cannot_start("tell the service manager when we are ready", "", error);
    if (hf_inherit(&s->inherited, error, sizeof(error)) < 0)
        return cannot_start("use the sockets of the service manager", "", error);
    return 0;
}

/* The addresses of the sockets with this name, into a list of the configuration. Returns how many there are; 0 leaves the list as it is. */
static int name_addresses(struct supervisor *s, const char *name, char (*list)[HF_ADDRESS_MAX], size_t max)
{
    size_t count = 0;

    for (size_t i = 0; i < s->inherited.count; i++) {
        const struct hf_inherited_socket *socket = &s->inherited.sockets[i];

        if (strcmp(socket->name, name) == 0 && count < max)
            snprintf(list[count++], HF_ADDRESS_MAX, "%s", socket->address);
    }
    return (int)count;
}

/* "FileDescriptorName=KEY": such sockets take the place of what the key says. All others are found by their address. */
static void take_named_sockets(struct supervisor *s)
{
    struct hf_config *c = &s->planned;
    int plain = name_addresses(s, "listen", c->listen, HF_LISTEN_MAX);
    int tls = name_addresses(s, "tls.listen", c->tls_listen, HF_LISTEN_MAX);

    if (plain > 0)
        c->listen_count = (size_t)plain;
    if (tls > 0)
        c->tls_listen_count = (size_t)tls;
    (void)name_addresses(s, "api.listen", &c->api_listen, 1);
}

/* What was good for the addresses of the configuration must be so for those that took their place: who may come in without a token, above all. */
static int check_named_sockets(struct supervisor *s)
{
    char error[1024];

    take_named_sockets(s);
    return s->inherited.count > 0 && hf_config_check(&s->planned, error, sizeof(error)) < 0
               ? cannot_start("start", "", error)
               : 0;
}

/* The same socket for every slot. Returns 1 with the descriptors, 0 where none was handed over for this address, or -1 with errno. */
static int share_inherited(struct supervisor *s, const char *address, int *fds)
{
    struct hf_inherited_socket *found = hf_inherited_find(&s->inherited, address);

    if (found == NULL)
        return 0;
    for (uint32_t slot = 0; slot < s->config->workers; slot++) {
        fds[slot] = slot == 0 ? found->fd : fcntl(found->fd, F_DUPFD_CLOEXEC, 0);
        if (fds[slot] < 0)
            return -1;
    }
    note_sockets(s, fds);
    hf_log(HF_LOG_INFO, "socket_inherited", hf_kv_text("address", address));
    return 1;
}

/* One that nobody accepts from would hold clients for ever. */
static int check_all_taken(const struct supervisor *s)
{
    for (size_t i = 0; i < s->inherited.count; i++) {
        const struct hf_inherited_socket *socket = &s->inherited.sockets[i];
        char why[HF_INHERIT_TEXT_MAX + 160];

        if (socket->taken)
            continue;
        snprintf(
            why, sizeof(why),
            "nothing is to listen on %s: add it to listen, or name the socket by FileDescriptorName=listen, "
            "tls.listen or api.listen",
            socket->address);
        return cannot_start("use a socket of the service manager", "", why);
    }
    return 0;
}

static int listen_on(struct supervisor *s, const char *key, const char *text, int *fds)
{
    struct sockaddr_storage address;
    socklen_t len;
    char what[HF_ADDRESS_MAX + 16], written[HF_ADDRESS_MAX];
    int shared;

    snprintf(what, sizeof(what), "listen on %s", text);
    if (hf_address_parse(text, &address, &len) < 0)
        return cannot_start(what, key, "not ADDRESS:PORT");
    hf_address_format(&address, written, sizeof(written));
    shared = share_inherited(s, written, fds);
    if (shared < 0)
        return cannot_start(what, key, strerror(errno));
    if (shared > 0) {
        s->shared_sockets |= strcmp(key, "api.listen") != 0;
        return 0;
    }
    if (hf_listen_many(&address, len, fds, s->config->workers) < 0)
        return cannot_start(what, key, errno == EADDRINUSE ? "the port is in use" : strerror(errno));
    note_sockets(s, fds);
    return 0;
}

/* The certificates, and the secret of the session tickets, which the workers inherit and nobody else ever sees. */
static int load_certificates(struct supervisor *s)
{
    char error[512];

    if (getrandom(s->tls_secret, sizeof(s->tls_secret), 0) != (ssize_t)sizeof(s->tls_secret))
        return cannot_start("get random bytes", "", strerror(errno));
    return hf_certificates_load(s->config, s->tls_secret, true, &s->tls, error, sizeof(error)) < 0
               ? cannot_start("use the certificates", "tls.certificates", error)
               : 0;
}

static int load_keys(struct supervisor *s)
{
    char error[512];

    return hf_auth_load(s->config, &s->auth, error, sizeof(error)) < 0
               ? cannot_start("use the keys of tokens", "auth.keys", error)
               : 0;
}

static size_t listener_count(const struct supervisor *s)
{
    return s->config->listen_count + s->config->tls_listen_count;
}

static const char *unix_path(const struct hf_config *config)
{
    return strncmp(config->api_listen, "unix:", 5) == 0 ? config->api_listen + 5 : NULL;
}

static int listen_on_unix(struct supervisor *s, const char *path, int *fds)
{
    static const mode_t modes[] = {[HF_SOCKET_0600] = 0600, [HF_SOCKET_0660] = 0660, [HF_SOCKET_0666] = 0666};
    char what[HF_ADDRESS_MAX + 16];
    int shared = share_inherited(s, s->config->api_listen, fds);

    if (shared > 0)
        return 0;
    if (shared == 0 &&
        hf_listen_unix(path, modes[s->config->api_socket_mode], fds, s->config->workers) == 0) {
        note_sockets(s, fds);
        s->unix_path = path;
        return 0;
    }
    snprintf(what, sizeof(what), "listen on unix:%s", path);
    return cannot_start(what, "api.listen",
                        errno == EADDRINUSE ? "another process serves that socket"
                        : errno == EEXIST   ? "there is a file, and it is no socket"
                                            : strerror(errno));
}

static int open_sockets(struct supervisor *s)
{
    int fds[HF_WORKERS_MAX], status;

    for (size_t i = 0; i < listener_count(s); i++) {
        bool plain = i < s->config->listen_count;

        status =
            listen_on(s, plain ? "listen" : "tls.listen",
                      plain ? s->config->listen[i] : s->config->tls_listen[i - s->config->listen_count], fds);
        if (status != 0)
            return status;
        for (uint32_t slot = 0; slot < s->config->workers; slot++)
            s->slots[slot].listen_fds[i] = fds[slot];
    }
    for (uint32_t slot = 0; slot < s->config->workers; slot++)
        s->slots[slot].api_fd = -1;
    if (s->api == NULL || strcmp(s->config->api_listen, "none") == 0)
        return check_all_taken(s);
    status = unix_path(s->config) != NULL ? listen_on_unix(s, unix_path(s->config), fds)
                                          : listen_on(s, "api.listen", s->config->api_listen, fds);
    for (uint32_t slot = 0; status == 0 && slot < s->config->workers; slot++)
        s->slots[slot].api_fd = fds[slot];
    return status == 0 ? check_all_taken(s) : status;
}

/* The API's socket belongs to whom we become, as if he had made it. */
static int drop_privileges(struct supervisor *s)
{
    char error[300];

    if (geteuid() == 0 && !s->privileges.wanted)
        hf_log(HF_LOG_WARNING, "running_as_root",
               hf_kv_text("advice", "set process.user: serving takes no rights once the sockets are bound"));
    if (s->privileges.wanted && s->unix_path != NULL &&
        chown(s->unix_path, s->privileges.uid, s->privileges.gid) < 0)
        return cannot_start("give the API's socket to process.user", "", strerror(errno));
    if (hf_privileges_drop(&s->privileges, error, sizeof(error)) < 0)
        return cannot_start("become process.user", "", error);
    if (s->privileges.wanted)
        hf_log(HF_LOG_INFO, "privileges_dropped", hf_kv_u64("uid", s->privileges.uid),
               hf_kv_u64("gid", s->privileges.gid));
    return 0;
}

/* What would stop the workers must stop the start. */
static int check_seccomp(const struct supervisor *s)
{
    int status = 0;
    pid_t child;

    if (s->config->process_seccomp != HF_SECCOMP_ON)
        return 0;
    if (!hf_confine_possible())
        return cannot_start("filter system calls", "process.seccomp",
                            "this is a sanitizer's build, which needs more of them: set it to auto or off");
    child = fork(); /* The filter is for ever: somebody else tries it. */
    if (child == 0)
        _exit(hf_confine() == 0 ? 0 : errno);
    if (child < 0 || waitpid(child, &status, 0) != child || status == 0)
        return child < 0 ? cannot_start("fork", "", strerror(errno)) : 0;
    return cannot_start("filter system calls", "process.seccomp",
                        WIFEXITED(status) ? strerror(WEXITSTATUS(status)) : "the kernel ends who tries");
}

static int find_privileges(struct supervisor *s)
{
    char error[300];

    return hf_privileges_find(&s->privileges, s->config->process_user, s->config->process_group, error,
                              sizeof(error)) < 0
               ? cannot_start("start", "", error)
               : check_seccomp(s);
}

static int open_descriptors(struct supervisor *s)
{
    sigset_t signals;

    for (uint32_t slot = 0; slot < s->config->workers; slot++) {
        s->wake_fds[slot] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        if (s->wake_fds[slot] < 0)
            return cannot_start("make an eventfd", "", strerror(errno));
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
    return s->signal_fd < 0 ? cannot_start("make a signalfd", "", strerror(errno)) : 0;
}

/* ---- Workers ---- */

static void close_one_by_one(const struct supervisor *s, uint32_t mine)
{
    for (uint32_t slot = 0; slot < s->config->workers; slot++) {
        if (slot == mine)
            continue;
        for (size_t i = 0; i < listener_count(s); i++)
            close(s->slots[slot].listen_fds[i]);
        if (s->slots[slot].api_fd >= 0)
            close(s->slots[slot].api_fd);
    }
}

/*
 * The sockets of all slots were opened one after the other, address by address, so those of one slot have rising numbers, and what lies between
 * is others'. They go in a few calls: one call for each would be the square of the workers when all start.
 */
static void close_sockets_of_others(const struct supervisor *s, uint32_t slot)
{
    int next = s->sockets_first, end = s->sockets_first + (int)s->sockets_count;

    if (s->sockets_scattered) {
        close_one_by_one(s, slot);
        return;
    }
    for (size_t i = 0; i <= listener_count(s); i++) {
        int own = i < listener_count(s) ? s->slots[slot].listen_fds[i] : s->slots[slot].api_fd;

        if (own < 0)
            continue;
        hf_assert(own >= next && own < end);
        if (own > next)
            close_range((unsigned)next, (unsigned)own - 1, 0);
        next = own + 1;
    }
    if (next < end)
        close_range((unsigned)next, (unsigned)end - 1, 0);
}

static _Noreturn void be_worker(struct supervisor *s, uint32_t slot, pid_t parent)
{
    struct hf_worker_setup setup = {.config = s->config,
                                    .config_version = atomic_load(&hf_region_handout(&s->region)->version),
                                    .api = s->api,
                                    .region = &s->region,
                                    .slot = slot,
                                    .listen_fds = s->slots[slot].listen_fds,
                                    .listen_count = listener_count(s),
                                    .plain_count = s->config->listen_count,
                                    .shared_sockets = s->shared_sockets,
                                    .tls = s->tls,
                                    .tls_generation = atomic_load(&s->region.header->tls_generation),
                                    .tls_secret = s->tls_secret,
                                    .auth = s->auth,
                                    .auth_generation = atomic_load(&s->region.header->auth_generation),
                                    .api_fd = s->slots[slot].api_fd,
                                    .wake_fds = s->wake_fds};

    prctl(PR_SET_PDEATHSIG,
          SIGKILL); /* Without its supervisor a worker has no future: nobody would replace it. */
    if (getppid() != parent)
        _exit(EXIT_FAILED);
    /* SIGINT and SIGTERM stay blocked: a terminal sends them to the whole group, and the supervisor decides. */
    close(s->signal_fd);
    hf_notify_close(&s->notify);
    close_sockets_of_others(s, slot);
    hf_logger_identify((int)slot);
    exit(hf_worker_run(&setup));
}

static void start_worker(struct supervisor *s, uint32_t slot)
{
    struct hf_slot *shared = &s->region.slots[slot];
    pid_t parent = getpid(), pid;

    atomic_store(&shared->state, HF_SLOT_STARTING);
    atomic_store(&shared->draining, HF_DRAIN_NONE);
    atomic_store(&shared->shed, 0);
    atomic_store(&shared->alive_ms, now_ms());
    atomic_fetch_add(&shared->starts, 1);
    pid = fork();
    if (pid == 0)
        be_worker(s, slot, parent);
    s->slots[slot].started_ms = now_ms();
    if (pid < 0) {
        hf_log(HF_LOG_ERROR, "fork_failed", hf_kv_u64("slot", slot), hf_kv_errno("error", errno));
        atomic_store(&shared->state, HF_SLOT_DEAD);
        s->slots[slot].start_at_ms = now_ms() + BACKOFF_MAX_MS;
        return;
    }
    s->slots[slot].pid = pid;
    atomic_store(&shared->pid, pid);
}

static uint64_t backoff_ms(uint32_t failures)
{
    uint64_t ms = BACKOFF_FIRST_MS;

    if (failures <= 1)
        return 0;
    for (uint32_t i = 2; i < failures && ms < BACKOFF_MAX_MS; i++)
        ms *= 2;
    return ms < BACKOFF_MAX_MS ? ms : BACKOFF_MAX_MS;
}

static void worker_died(struct supervisor *s, uint32_t slot, int status)
{
    struct slot *w = &s->slots[slot];
    bool stable = now_ms() - w->started_ms >= STABLE_MS;
    bool told = atomic_load(&s->region.slots[slot].draining) != HF_DRAIN_NONE;
    bool expected = told && WIFEXITED(status) && WEXITSTATUS(status) == 0;
    uint64_t wait_ms;

    w->pid = 0;
    hf_region_bury_worker(&s->region, slot);
    if (expected) {
        w->failures = 0;
        w->start_at_ms = 0;
        return;
    }
    if (!w->condemned)
        w->failures = stable ? 1 : w->failures + 1;
    wait_ms = w->condemned ? 0 : backoff_ms(w->failures); /* Kills have a rate of their own. */
    w->condemned = false;
    w->start_at_ms = now_ms() + wait_ms;
    hf_log(HF_LOG_WARNING, "worker_died", hf_kv_u64("slot", slot),
           WIFSIGNALED(status) ? hf_kv_i64("signal", WTERMSIG(status))
                               : hf_kv_i64("status", WEXITSTATUS(status)),
           hf_kv_u64("restart_in_ms", wait_ms));
}

static void reap(struct supervisor *s)
{
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        for (uint32_t slot = 0; slot < s->config->workers; slot++)
            if (s->slots[slot].pid == pid)
                worker_died(s, slot, status);
}

static void kill_workers(struct supervisor *s)
{
    for (uint32_t slot = 0; slot < s->config->workers; slot++)
        if (s->slots[slot].pid > 0)
            kill(s->slots[slot].pid, SIGKILL);
}

static void kill_stuck(struct supervisor *s)
{
    for (uint32_t slot = 0; slot < s->config->workers; slot++) {
        uint64_t alive_ms = atomic_load(&s->region.slots[slot].alive_ms);

        if (s->slots[slot].pid <= 0 || now_ms() - alive_ms < STUCK_MS || alive_ms > now_ms())
            continue;
        hf_log(HF_LOG_ERROR, "worker_stuck", hf_kv_u64("slot", slot),
               hf_kv_u64("for_ms", now_ms() - alive_ms));
        kill(s->slots[slot].pid, SIGKILL);
    }
}

/* The demo's harm. We alone know which process is this slot's now, so that no other one is hit. */
static void kill_condemned(struct supervisor *s)
{
    for (uint32_t slot = 0; s->config->demo && slot < s->config->workers; slot++)
        if (atomic_exchange(&s->region.slots[slot].condemned, 0) != 0 && s->slots[slot].pid > 0) {
            s->slots[slot].condemned = true;
            kill(s->slots[slot].pid, SIGKILL);
        }
}

static void start_due(struct supervisor *s)
{
    for (uint32_t slot = 0; !s->draining && slot < s->config->workers; slot++)
        if (s->slots[slot].pid == 0 && now_ms() >= s->slots[slot].start_at_ms)
            start_worker(s, slot);
}

static uint32_t count_running(const struct supervisor *s)
{
    uint32_t running = 0;

    for (uint32_t slot = 0; slot < s->config->workers; slot++)
        running += atomic_load(&s->region.slots[slot].state) == HF_SLOT_RUNNING;
    return running;
}

static uint32_t count_alive(const struct supervisor *s)
{
    uint32_t alive = 0;

    for (uint32_t slot = 0; slot < s->config->workers; slot++)
        alive += s->slots[slot].pid > 0;
    return alive;
}

/* ---- The loop ---- */

static void wake(struct supervisor *s, uint32_t slot)
{
    uint64_t one = 1;

    (void)!write(s->wake_fds[slot], &one, sizeof(one));
}

static void wake_all(struct supervisor *s)
{
    for (uint32_t slot = 0; slot < s->config->workers; slot++)
        wake(s, slot);
}

static uint64_t count_connections(const struct supervisor *s)
{
    return hf_gate_connections(hf_region_gate(&s->region));
}

/* sd_notify(3), EXTEND_TIMEOUT_USEC: so that TimeoutStopSec= does not end a drain that takes its time. */
static unsigned long long drain_us_left(const struct supervisor *s)
{
    uint64_t now = now_ms();

    return ((s->drain_end_ms > now ? s->drain_end_ms - now : 0) + DRAIN_MARGIN_MS) * 1000;
}

static void begin_drain(struct supervisor *s, int signal_number)
{
    const struct hf_config *config = s->config;
    struct hf_drain_plan plan;

    s->drain_count = count_connections(s);
    plan = hf_drain_plan(s->drain_count, config->admission_rate, config->drain_timeout_ms);
    hf_log(HF_LOG_INFO, "stopping", hf_kv_i64("signal", signal_number),
           hf_kv_u64("connections", s->drain_count), hf_kv_u64("window_ms", plan.window_ms),
           hf_kv_u64("drain_ms", plan.total_ms));
    if (plan.window_ms < plan.wanted_ms && s->drain_count > 0)
        hf_log(HF_LOG_WARNING, "drain_short",
               hf_kv_text("advice", "at admission.rate all clients need more time than drain.timeout "
                                    "gives: some will be refused at first"),
               hf_kv_u64("wanted_ms", plan.wanted_ms + (plan.total_ms - plan.window_ms)));
    s->draining = true;
    s->drain_end_ms = now_ms() + plan.total_ms + DRAIN_MARGIN_MS;
    s->progress_ms = now_ms() + PROGRESS_MS;
    for (uint32_t slot = 0; slot < config->workers; slot++)
        atomic_store(&s->region.slots[slot].draining, HF_DRAIN_STOP);
    hf_notify_say(&s->notify, "STOPPING=1\nSTATUS=Draining %llu connections.\nEXTEND_TIMEOUT_USEC=%llu",
                  (unsigned long long)s->drain_count, drain_us_left(s));
    wake_all(s);
}

static void tell_progress(struct supervisor *s)
{
    uint64_t end_ms = s->drain_end_ms - DRAIN_MARGIN_MS, now = now_ms();

    if (!s->draining)
        return;
    if (count_connections(s) == 0)
        wake_all(s); /* Each stays until all have nothing left: see worker.c. */
    if (now < s->progress_ms)
        return;
    s->progress_ms = now + PROGRESS_MS;
    hf_log(HF_LOG_INFO, "drain_progress", hf_kv_u64("left", count_connections(s)),
           hf_kv_u64("of", s->drain_count), hf_kv_u64("ends_in_ms", end_ms > now ? end_ms - now : 0));
    hf_notify_say(&s->notify, "STATUS=Draining: %llu of %llu connections are left.\nEXTEND_TIMEOUT_USEC=%llu",
                  (unsigned long long)count_connections(s), (unsigned long long)s->drain_count,
                  drain_us_left(s));
}

/* ---- What the service manager hears ---- */

/* Whether some worker serves, and the loop of each one that runs turns. One that is dead is replaced by us, and no reason to end the others. */
static bool is_well(const struct supervisor *s)
{
    uint64_t now = now_ms(), patience_ms = s->notify.watchdog_ms / 2;

    for (uint32_t slot = 0; slot < s->config->workers; slot++) {
        uint64_t alive_ms = atomic_load(&s->region.slots[slot].alive_ms);

        if (s->slots[slot].pid > 0 && now > alive_ms && now - alive_ms > patience_ms)
            return false;
    }
    return s->draining || count_running(s) > 0;
}

static void tell_status(struct supervisor *s)
{
    uint64_t now = now_ms();

    if (!s->ready_said || s->draining || now < s->status_ms)
        return;
    s->status_ms = now + STATUS_MS;
    hf_notify_say(&s->notify, "STATUS=%u workers serve %llu connections.", count_running(s),
                  (unsigned long long)count_connections(s));
}

/* ---- Replacing the workers one by one ---- */

static void begin_rolling(struct supervisor *s)
{
    s->rolling_wanted = !s->ready_said;
    if (s->rolling_wanted)
        return;
    if (s->draining || !hf_rolling_begin(&s->rolling, now_ms())) {
        hf_log(HF_LOG_WARNING, "rolling_restart_not_begun",
               hf_kv_text("why", s->draining ? "the server stops" : "one is under way"));
        return;
    }
    hf_log(HF_LOG_INFO, "rolling_restart", hf_kv_u64("workers", s->config->workers),
           hf_kv_u64("connections", count_connections(s)));
}

/* Returns whether there may be more to do at once. */
static bool roll(struct supervisor *s)
{
    struct hf_rolling *r = &s->rolling;
    const struct slot *w = &s->slots[r->slot < s->config->workers ? r->slot : 0];
    struct hf_rolling_view view = {.alive = w->pid > 0, .failures = w->failures};

    switch (hf_rolling_tick(r, &s->region, &view, s->config->drain_timeout_ms, now_ms())) {
    case HF_ROLLING_WAIT:
        return false;
    case HF_ROLLING_WAKE:
        wake(s, r->slot);
        return true;
    case HF_ROLLING_KILL:
        hf_log(HF_LOG_ERROR, "worker_stuck", hf_kv_u64("slot", r->slot), hf_kv_text("in", "its drain"));
        kill(w->pid, SIGKILL);
        return false;
    case HF_ROLLING_DONE:
        hf_log(HF_LOG_INFO, "rolling_restart_done", hf_kv_u64("took_ms", now_ms() - r->began_ms),
               hf_kv_u64("connections", count_connections(s)));
        wake_all(s); /* Who moves now has two connections for a moment. */
        return false;
    case HF_ROLLING_BROKEN:
        hf_log(HF_LOG_ERROR, "rolling_restart_broken", hf_kv_u64("slot", r->slot),
               hf_kv_text("advice", "its new worker dies again and again; the others are left as they are"));
        return false;
    }
    return false;
}

/* All that a reload has read anew; taken as a whole, or not at all. */
struct reload {
    struct hf_config wanted, next; /* as it was read; what would be in force */
    struct hf_tls *tls;
    struct hf_auth *auth;
};

static bool reload_failed(_Atomic uint32_t *counter, const char *event, const char *why)
{
    atomic_fetch_add(counter, 1);
    hf_log(HF_LOG_ERROR, event, hf_kv_text("why", why));
    return false;
}

/* What may change at run time is taken over, and must go together with what stays. */
static bool read_config(struct supervisor *s, struct reload *r)
{
    char error[1024];

    if (s->source->read(s->source->ctx, &r->wanted, error, sizeof(error)) < 0)
        return reload_failed(&s->region.header->config_reloads_failed, "config_kept", error);
    r->next = s->planned;
    (void)hf_config_take_over(&r->next, &r->wanted, NULL, NULL);
    if (hf_config_check(&r->next, error, sizeof(error)) < 0)
        return reload_failed(&s->region.header->config_reloads_failed, "config_kept", error);
    return true;
}

static bool read_certificates(struct supervisor *s, struct reload *r)
{
    char error[512];

    if (s->tls == NULL || r->next.certificate_count == 0)
        return true; /* Nothing speaks TLS: that takes a restart. */
    return hf_certificates_load(&r->next, s->tls_secret, true, &r->tls, error, sizeof(error)) == 0 ||
           reload_failed(&s->region.header->tls_reloads_failed, "certificates_kept", error);
}

static bool read_keys(struct supervisor *s, struct reload *r)
{
    char error[512];

    return hf_auth_load(&r->next, &r->auth, error, sizeof(error)) == 0 ||
           reload_failed(&s->region.header->auth_reloads_failed, "keys_kept", error);
}

static void tell_change(void *ctx, const char *key, const char *from, const char *to, bool live)
{
    (void)ctx;
    hf_log(live ? HF_LOG_INFO : HF_LOG_WARNING, live ? "config_changed" : "config_needs_restart",
           hf_kv_text("key", key), hf_kv_text("from", from), hf_kv_text("to", to));
}

/* First what all else is read by; who sees a generation below gets this configuration, too. */
static void take_config(struct supervisor *s, struct reload *r)
{
    struct hf_config_changes changes;
    uint64_t version;

    s->planned = r->next;
    hf_logger_set(s->config->log_level, s->config->log_format);
    changes = hf_config_take_over(&s->given, &r->wanted, tell_change, NULL);
    version = hf_handout_put(hf_region_handout(&s->region), s->config);
    atomic_fetch_add(&s->region.header->config_reloads, 1);
    if (changes.taken + changes.need_restart == 0 && s->tls == NULL && s->auth == NULL && r->auth == NULL)
        hf_log_event(HF_LOG_INFO, "nothing_to_reload");
    else
        hf_log(HF_LOG_INFO, "config_reloaded", hf_kv_u64("version", version),
               hf_kv_u64("changed", changes.taken), hf_kv_u64("need_restart", changes.need_restart));
    if (s->capacity.connections != 0 && s->config->connections_max > s->capacity.connections)
        hf_log(HF_LOG_WARNING, "config_beyond_descriptors",
               hf_kv_u64("limits_connections", s->config->connections_max),
               hf_kv_u64("connections_max", s->capacity.connections));
}

/* Connections that stand keep what they have. */
static void take_certificates(struct supervisor *s, struct reload *r)
{
    if (r->tls == NULL)
        return;
    hf_tls_drop(s->tls);
    s->tls = r->tls;
    r->tls = NULL;
    atomic_fetch_add(&s->region.header->tls_reloads, 1);
    atomic_fetch_add_explicit(&s->region.header->tls_generation, 1, memory_order_release);
    hf_log(HF_LOG_INFO, "certificates_reloaded", hf_kv_u64("certificates", s->config->certificate_count));
}

/* The same with the keys of tokens. Who is connected stays so, until his token ends. */
static void take_keys(struct supervisor *s, struct reload *r)
{
    if (s->auth == NULL && r->auth == NULL)
        return;
    hf_auth_free(s->auth);
    s->auth = r->auth;
    r->auth = NULL;
    atomic_fetch_add(&s->region.header->auth_reloads, 1);
    atomic_fetch_add_explicit(&s->region.header->auth_generation, 1, memory_order_release);
    hf_log(HF_LOG_INFO, "keys_reloaded", hf_kv_u64("keys", s->config->auth_key_count));
}

/*
 * Read the configuration, the certificates and the keys anew. Whatever is wrong with one of them changes nothing; what is good is told to the workers, and those that start
 * later inherit it.
 */
static void reload(struct supervisor *s)
{
    struct reload *r = calloc(1, sizeof(*r));

    if (r == NULL) {
        (void)reload_failed(&s->region.header->config_reloads_failed, "config_kept", strerror(ENOMEM));
        return;
    }
    if (read_config(s, r) && read_certificates(s, r) && read_keys(s, r)) {
        take_config(s, r);
        take_certificates(s, r);
        take_keys(s, r);
        wake_all(s);
    }
    hf_tls_drop(r->tls);
    hf_auth_free(r->auth);
    free(r);
}

/* sd_notify(3), RELOADING: "the service is beginning to reload", with the time; READY ends it. Before all workers serve, and in the drain, that would not be so. */
static void reload_told(struct supervisor *s)
{
    struct timespec t;

    if (!s->ready_said || s->draining) {
        reload(s);
        return;
    }
    clock_gettime(CLOCK_MONOTONIC, &t);
    hf_notify_say(&s->notify, "RELOADING=1\nMONOTONIC_USEC=%llu",
                  (unsigned long long)t.tv_sec * 1000000 + (unsigned long long)t.tv_nsec / 1000);
    reload(s);
    hf_notify_say(&s->notify, "READY=1");
}

static void take_signals(struct supervisor *s)
{
    struct signalfd_siginfo info;

    while (read(s->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        if (info.ssi_signo == SIGCHLD)
            continue;
        if (info.ssi_signo == SIGHUP) {
            reload_told(s);
            continue;
        }
        if (info.ssi_signo == SIGUSR2) {
            begin_rolling(s);
            continue;
        }
        if (s->draining) {
            hf_log(HF_LOG_WARNING, "stopping_at_once", hf_kv_i64("signal", (int)info.ssi_signo));
            kill_workers(s);
        } else {
            begin_drain(s, (int)info.ssi_signo);
        }
    }
}

static void say_ready(struct supervisor *s)
{
    if (s->ready_said || s->draining || count_running(s) < s->config->workers)
        return;
    s->ready_said = true;
    hf_log(HF_LOG_INFO, "ready", hf_kv_u64("workers", s->config->workers),
           hf_kv_u64("connections_max", s->capacity.connections));
    hf_notify_say(&s->notify, "READY=1");
    if (s->ready_text != NULL)
        fputs(s->ready_text, stderr);
}

static int poll_ms(const struct supervisor *s)
{
    bool waits = s->ready_said && s->rolling.phase == HF_ROLLING_IDLE && !s->draining;
    uint64_t now = now_ms(), at = now + (waits ? POLL_MS : 5);

    for (uint32_t slot = 0; !s->draining && slot < s->config->workers; slot++)
        if (s->slots[slot].pid == 0 && s->slots[slot].start_at_ms < at)
            at = s->slots[slot].start_at_ms;
    return at > now ? (int)(at - now) : 0;
}

static int serve(struct supervisor *s)
{
    struct pollfd pfd = {.fd = s->signal_fd, .events = POLLIN};

    start_due(s);
    for (;;) {
        (void)poll(&pfd, 1, poll_ms(s));
        take_signals(s);
        reap(s);
        start_due(s);
        kill_stuck(s);
        kill_condemned(s);
        say_ready(s);
        tell_progress(s);
        tell_status(s);
        hf_notify_alive(&s->notify, is_well(s), now_ms());
        if (s->rolling_wanted && s->ready_said)
            begin_rolling(s);
        while (!s->draining && roll(s))
            ;
        if (s->draining && count_alive(s) == 0)
            break;
        if (s->draining && now_ms() > s->drain_end_ms)
            kill_workers(s);
    }
    hf_log_event(HF_LOG_INFO, "stopped");
    return 0;
}

int hf_supervisor_run(const struct hf_config *config, const struct hf_api_ops *api, const char *ready_text,
                      const struct hf_config_source *source)
{
    struct supervisor *s = calloc(1, sizeof(*s));
    int status;

    if (s == NULL)
        return cannot_start("start", "", strerror(ENOMEM));
    s->planned = *config;
    s->given = *config;
    s->source = source;
    s->config = &s->planned;
    s->api = api;
    s->ready_text = ready_text;
    hf_logger_open(STDERR_FILENO, config->log_level, config->log_format);
    hf_logger_identify(-1);
    status = set_up_notify(s);
    if (status == 0)
        status = check_named_sockets(s);
    if (status == 0)
        status = plan_capacity(s);
    if (status == 0)
        status = prepare_openssl(s);
    if (status == 0)
        status = load_certificates(s);
    if (status == 0)
        status = load_keys(s);
    if (status == 0)
        status = find_privileges(s);
    if (status == 0)
        status = open_sockets(s);
    if (status == 0)
        status = drop_privileges(s);
    if (status == 0)
        status = map_memory(s);
    if (status == 0)
        status = open_descriptors(s);
    if (status == 0)
        status = serve(s);
    hf_tls_drop(s->tls);
    hf_auth_free(s->auth);
    if (s->unix_path != NULL)
        (void)unlink(s->unix_path);
    hf_notify_close(&s->notify);
    hf_memory_unmap(s->memory, s->memory_bytes);
    free(s); /* Sockets end with the process. */
    return status;
}
