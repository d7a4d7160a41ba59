#include "client/stuck.h"

#include <limits.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

void hf_stuck_init(struct hf_stuck *s)
{
    *s = (struct hf_stuck){.look_at_ms = UINT64_MAX};
}

void hf_stuck_written(struct hf_stuck *s, uint64_t now_ms)
{
    if (s->look_at_ms == UINT64_MAX)
        s->look_at_ms = now_ms + HF_STUCK_LOOK_MS;
}

static bool is_stuck(const struct hf_stuck *s, const struct hf_tcp_facts *facts, uint64_t now_ms)
{
    if (facts->unacked_segments > 0 && facts->backoff >= HF_STUCK_BACKOFF)
        return true;
    return now_ms - s->moved_at_ms >= HF_STUCK_UNMOVED_MS;
}

bool hf_stuck_look(struct hf_stuck *s, const struct hf_tcp_facts *facts, uint64_t now_ms)
{
    if (facts->waiting_bytes == 0) {
        hf_stuck_init(s);
        return false;
    }
    s->look_at_ms = now_ms + HF_STUCK_LOOK_MS;
    if (!s->waits || facts->acked_bytes != s->acked_bytes) {
        s->waits = true;
        s->told = false;
        s->moved_at_ms = now_ms;
        s->acked_bytes = facts->acked_bytes;
    }
    if (s->told || !is_stuck(s, facts, now_ms))
        return false;
    s->told = true;
    return true;
}

int hf_tcp_facts_read(int fd, struct hf_tcp_facts *out)
{
    struct tcp_info info;
    socklen_t len = sizeof(info);
    int waiting;

    memset(&info, 0, sizeof(info)); /* An older kernel fills less. */
    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) < 0 || ioctl(fd, SIOCOUTQ, &waiting) < 0)
        return HF_EIO;
    *out = (struct hf_tcp_facts){.unacked_segments = info.tcpi_unacked,
                                 .backoff = info.tcpi_backoff,
                                 .waiting_bytes = (uint64_t)waiting,
                                 .acked_bytes = info.tcpi_bytes_acked};
    return 0;
}

void hf_tcp_give_up_after(int fd, uint64_t ms)
{
    unsigned timeout = ms < INT_MAX ? (unsigned)ms : INT_MAX;

    (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout, sizeof(timeout));
}
