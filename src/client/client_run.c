#include "client/client_impl.h"

#include "base/err.h"
#include "client/clock.h"

#include <errno.h>
#include <poll.h>
#include <unistd.h>

enum {
    WOKE_UP_MS = 2000, /* the machine slept, if the clock that goes on then is ahead by so much more */
};

/* A machine that slept has a network that may have changed, and a connection that may be gone. */
static void notice_sleep(struct hf_client *c, uint64_t now)
{
    int64_t asleep = hf_clock_asleep_ms();

    if (asleep - c->asleep_ms > WOKE_UP_MS)
        hf_client_session_woke_up(c->session, now);
    c->asleep_ms = asleep;
}

static struct hf_signals_turn signals_turn_of(struct hf_client *c, uint64_t now)
{
    return (struct hf_signals_turn){
        .session = c->session, .sockets = c->sockets, .servers = &c->servers, .now_ms = now};
}

static struct hf_socket_turn turn_of(struct hf_client *c)
{
    return (struct hf_socket_turn){
        .session = c->session, .servers = &c->servers, .tls = c->tls, .buf = c->buf, .now_ms = hf_clock_ms()};
}

/* Whether a connection is wanted in this slot that has to wait for a token. */
static bool must_hold(struct hf_client *c, unsigned slot, uint64_t now_ms)
{
    const struct hf_client_session_want want = hf_client_session_want(c->session, slot);
    const struct hf_socket *sock = &c->sockets[slot];

    if (want.wish != HF_WISH_CONNECT || (sock->stage != HF_SOCKET_NONE && sock->attempt == want.attempt))
        return false;
    /* For a probe of the network nobody is asked. */
    return hf_client_token_missing(c, slot == HF_CLIENT_SESSION_PROBE_SLOT ? 0 : want.attempt, now_ms);
}

/* One slot's news may change what is wanted in the other: two rounds settle it, what is left waits for the next turn. */
static void obey(struct hf_client *c, struct hf_socket_turn *turn)
{
    unsigned i;

    for (i = 0; i < 2 * HF_CLIENT_SESSION_SLOTS; i++) {
        unsigned slot = i % HF_CLIENT_SESSION_SLOTS;

        turn->hold = must_hold(c, slot, turn->now_ms);
        hf_socket_obey(&c->sockets[slot], turn);
    }
}

static bool over(const struct hf_client *c)
{
    return hf_client_session_state(c->session) == HF_CLIENT_ENDED && c->sockets[0].stage == HF_SOCKET_NONE &&
           c->sockets[1].stage == HF_SOCKET_NONE;
}

static uint64_t deadline_ms(const struct hf_client *c, uint64_t now)
{
    uint64_t at = hf_client_session_deadline_ms(c->session);
    uint64_t look_at = hf_signals_deadline_ms(&c->signals);
    uint64_t ask_at = hf_client_token_deadline_ms(c, now);
    unsigned slot;

    if (look_at < at)
        at = look_at;
    if (ask_at < at)
        at = ask_at;
    for (slot = 0; slot < HF_CLIENT_SESSION_SLOTS; slot++) {
        uint64_t due = hf_socket_deadline_ms(&c->sockets[slot], now);

        at = due < at ? due : at;
    }
    return over(c) ? now : at;
}

static int wait_ms(uint64_t at, uint64_t now)
{
    if (at == UINT64_MAX)
        return -1;
    if (at <= now)
        return 0;
    return at - now < INT32_MAX ? (int)(at - now) : INT32_MAX;
}

int hf_client_prepare(struct hf_client *c, struct pollfd *fds, int *timeout_ms)
{
    struct hf_socket_turn turn = turn_of(c);
    uint64_t at;
    int count = 0;
    unsigned slot;

    obey(c, &turn);
    at = deadline_ms(c, turn.now_ms);
    hf_alarm_set(&c->alarm, at, turn.now_ms);
    fds[count++] = (struct pollfd){.fd = c->wake_fd, .events = POLLIN};
    if (c->alarm.fd >= 0) /* It ends the wait; there is nothing to read. */
        fds[count++] = (struct pollfd){.fd = c->alarm.fd, .events = POLLIN};
    if (hf_signals_fd(&c->signals) >= 0)
        fds[count++] = (struct pollfd){.fd = hf_signals_fd(&c->signals), .events = POLLIN};
    for (slot = 0; slot < HF_CLIENT_SESSION_SLOTS; slot++)
        count += hf_socket_prepare(&c->sockets[slot], &turn, fds + count);
    *timeout_ms = wait_ms(at, turn.now_ms);
    return count;
}

static void take_events(struct hf_client *c, const struct pollfd *fd, const struct hf_socket_turn *turn)
{
    uint64_t wakes;
    unsigned slot;

    if (fd->fd == c->wake_fd) {
        if ((fd->revents & POLLIN) != 0 && read(c->wake_fd, &wakes, sizeof(wakes)) < 0)
            return; /* Somebody else's read was faster: the wake-up has been had. */
        return;
    }
    if (fd->fd == hf_signals_fd(&c->signals)) {
        if (fd->revents != 0)
            hf_signals_ready(&c->signals);
        return;
    }
    for (slot = 0; slot < HF_CLIENT_SESSION_SLOTS; slot++)
        hf_socket_ready(&c->sockets[slot], fd, turn);
}

/* What was published and could not be sent is to be safe as well. */
static void sync_outbox(struct hf_client *c)
{
    int err = c->outbox_file == NULL ? 0 : hf_outbox_file_flush(c->outbox_file);
    const struct hf_client_session_event ev = {
        .type = HF_CSE_ERROR, .code = HF_STR("outbox"), .reason = hf_str_from(hf_strerror(err))};

    if (err < 0 && !c->sync_failed)
        hf_client_tell(c, &ev);
    c->sync_failed = err < 0;
}

int hf_client_process(struct hf_client *c, const struct pollfd *fds, int fds_count)
{
    struct hf_socket_turn turn = turn_of(c);
    struct hf_signals_turn signals_turn = signals_turn_of(c, turn.now_ms);
    unsigned slot;
    int i;

    for (i = 0; i < fds_count; i++)
        take_events(c, &fds[i], &turn);
    for (slot = 0; slot < HF_CLIENT_SESSION_SLOTS; slot++)
        hf_socket_tick(&c->sockets[slot], &turn);
    /* Only now: after a long pause the proof of life may have lain in the socket. */
    notice_sleep(c, turn.now_ms);
    hf_signals_process(&c->signals, &signals_turn);
    hf_client_token_tick(c, turn.now_ms); /* Before the session is told: here is known what was waited for. */
    if (hf_client_session_deadline_ms(c->session) <= turn.now_ms)
        hf_client_session_tick(c->session, turn.now_ms);
    obey(c, &turn);
    sync_outbox(c);
    hf_heartbeats_save(&c->heartbeats, turn.now_ms);
    hf_client_tell_heartbeats(c);
    return over(c) ? 0 : 1;
}

static int shorter(int a, int b)
{
    if (a < 0)
        return b;
    return b < 0 || a < b ? a : b;
}

int hf_client_step(struct hf_client *c, int timeout_ms)
{
    struct pollfd fds[HF_CLIENT_POLL_MAX];
    int wait, count;

    count = hf_client_prepare(c, fds, &wait);
    if (poll(fds, (nfds_t)count, shorter(wait, timeout_ms)) < 0) {
        if (errno != EINTR)
            return HF_EIO;
        count = 0;
    }
    return hf_client_process(c, fds, count);
}

int hf_client_run(struct hf_client *c)
{
    int running = 1;

    while (running > 0 && !atomic_exchange(&c->stopped, false))
        running = hf_client_step(c, -1);
    return running;
}

void hf_client_stop(struct hf_client *c)
{
    const uint64_t one = 1;
    int saved = errno;
    ssize_t written;

    atomic_store(&c->stopped, true);
    written = write(c->wake_fd, &one, sizeof(one));
    (void)written; /* It can only fail where the counter is full, and then the client is awake. */
    errno = saved;
}
