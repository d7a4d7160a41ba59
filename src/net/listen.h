/*
 * listen.h - addresses and listening sockets.
 */
#ifndef HF_NET_LISTEN_H
#define HF_NET_LISTEN_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

/* Read "ADDR:PORT" or "[ADDR6]:PORT" (numbers only). Returns 0 or HF_EINVAL. */
int hf_address_parse(const char *text, struct sockaddr_storage *out, socklen_t *len) HF_MUST_CHECK;
/* The other way; IPv4 addresses in IPv6 form are written as IPv4. */
void hf_address_format(const struct sockaddr_storage *address, char *out, size_t cap);

/*
 * `count` non-blocking listening sockets on one address, with SO_REUSEPORT, so that the kernel spreads connections over them. That nobody else
 * listens there is made sure first, because SO_REUSEPORT would share the port with another server of the same user without a word.
 * Returns 0 and the descriptors, or HF_EIO with errno set and none.
 */
int hf_listen_many(const struct sockaddr_storage *address, socklen_t len, int *fds,
                   size_t count) HF_MUST_CHECK;

/*
 * Let the kernel give new connections to some sockets of such a group only, in equal parts: `members` are their places in the order in which hf_listen_many()
 * returned them, `fd` is any of them. It counts for the whole group, whoever says it, until the next word. count 0: all of them, by hash, as at
 * first. Connections that wait already stay where they are. Returns 0, or HF_EIO with errno where the kernel cannot.
 */
int hf_listen_steer(int fd, const uint32_t *members, uint32_t count) HF_MUST_CHECK;

#endif
