#include "net/loop.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS = 512 };

struct hf_loop {
    int fd;
    int count, next; /* events fetched, and the one being handled */
    struct epoll_event events[EVENTS];
};

struct hf_loop *hf_loop_new(void)
{
    struct hf_loop *l = calloc(1, sizeof(*l));

    if (l == NULL)
        return NULL;
    l->fd = epoll_create1(EPOLL_CLOEXEC);
    if (l->fd < 0) {
        free(l);
        return NULL;
    }
    return l;
}

void hf_loop_free(struct hf_loop *l)
{
    if (l == NULL)
        return;
    close(l->fd);
    free(l);
}

int hf_loop_add(struct hf_loop *l, struct hf_watch *w, bool level)
{
    struct epoll_event ev = {.events = level ? EPOLLIN : EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                             .data = {.ptr = w}};

    return epoll_ctl(l->fd, EPOLL_CTL_ADD, w->fd, &ev) < 0 ? HF_EIO : 0;
}

int hf_loop_add_shared(struct hf_loop *l, struct hf_watch *w)
{
    struct epoll_event ev = {.events = EPOLLIN | EPOLLEXCLUSIVE, .data = {.ptr = w}};

    return epoll_ctl(l->fd, EPOLL_CTL_ADD, w->fd, &ev) < 0 ? HF_EIO : 0;
}

int hf_loop_want(struct hf_loop *l, struct hf_watch *w, unsigned what, bool added)
{
    struct epoll_event ev = {.events = (what & HF_READY_READ ? EPOLLIN : 0) |
                                       (what & HF_READY_WRITE ? EPOLLOUT : 0),
                             .data = {.ptr = w}};

    return epoll_ctl(l->fd, added ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, w->fd, &ev) < 0 ? HF_EIO : 0;
}

void hf_loop_remove(struct hf_loop *l, struct hf_watch *w)
{
    epoll_ctl(l->fd, EPOLL_CTL_DEL, w->fd, NULL);
    for (int i = l->next; i < l->count; i++)
        if (l->events[i].data.ptr == w)
            l->events[i].data.ptr = NULL;
}

static unsigned what_of(uint32_t events)
{
    return (events & (EPOLLIN | EPOLLRDHUP) ? HF_READY_READ : 0) | (events & EPOLLOUT ? HF_READY_WRITE : 0) |
           (events & (EPOLLERR | EPOLLHUP | EPOLLRDHUP) ? HF_READY_ENDED : 0);
}

int hf_loop_wait(struct hf_loop *l, int timeout_ms, struct hf_now *now)
{
    int called = 0;

    l->count = epoll_wait(l->fd, l->events, EVENTS, timeout_ms);
    *now = hf_now_read();
    for (l->next = 0; l->next < l->count;) {
        struct epoll_event *ev = &l->events[l->next++];
        struct hf_watch *w = ev->data.ptr;

        if (w == NULL)
            continue;
        w->ready(w, what_of(ev->events));
        called++;
    }
    l->count = l->next = 0;
    return called;
}

static uint64_t clock_us(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

uint64_t hf_now_read_us(void)
{
    return clock_us(CLOCK_MONOTONIC);
}

struct hf_now hf_now_read(void)
{
    uint64_t us = hf_now_read_us();

    return (struct hf_now){
        .mono_ms = us / 1000, .wall_ms = clock_us(CLOCK_REALTIME) / 1000, .sub_us = (uint32_t)(us % 1000)};
}
