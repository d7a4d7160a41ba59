/*
 * hub.h - one worker without its process: connections, sessions, subscriptions, and the shards it owns. It knows no socket and no clock;
 * what happens is told to it, and what it wants goes out through a transport. One thread.
 *
 * The use in a loop: tell it what happened (hf_hub_open, _input, _writable, _lost), then hf_hub_turn() once, which takes what the other
 * workers sent, runs timers and writes to every connection that is due, once, however much there is for it. Then wait until something
 * happens, another worker wakes this one, or hf_hub_deadline_ms().
 */
#ifndef HF_SERVER_HUB_H
#define HF_SERVER_HUB_H

#include "base/err.h"
#include "base/ip.h"
#include "base/now.h"
#include "server/config.h"
#include "server/service.h"
#include "server/transport.h"
#include "shm/region.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hf_conn;

/*
 * A hub for this slot. region is shared and outlives it; config and transport are borrowed. Takes up what the slot's last worker left: its shards,
 * its sessions (parked now), its rings. Returns NULL where memory is short.
 */
struct hf_hub *hf_hub_new(struct hf_region *region, uint32_t slot, const struct hf_config *config,
                          const struct hf_transport *transport, struct hf_now now);
/* All else that its worker needs is there as well: from now on the slot is RUNNING, which is what the supervisor, health checks and other workers go by. Before the first turn. */
void hf_hub_serves(struct hf_hub *hub);
/* Drop everything private, as a dying process does: connections are closed without a word, shared memory stays as it is. */
void hf_hub_free(struct hf_hub *hub);

/*
 * A connection was accepted. address: the peer, for logs and `welcome`; copied. Returns NULL where memory is short: close it. Else the transport's part of it
 * is to be filled before the next call.
 */
struct hf_conn *hf_hub_open(struct hf_hub *hub, const char *address, struct hf_now now);
/* transport.socket_bytes of a connection, and the connection that they belong to. */
void *hf_hub_socket(struct hf_conn *conn);
struct hf_conn *hf_hub_conn(void *socket);
/* A proxy has told whose connection it is; NULL: that of a Unix socket, which has no address. Before its first byte of HTTP. */
void hf_hub_name(struct hf_conn *conn, const struct hf_endpoint *client);
/* What should have come from a proxy is no such thing: end it without a word. */
void hf_hub_abort(struct hf_conn *conn, struct hf_now now);
/* Whether its handshake is still under way. */
bool hf_hub_young(const struct hf_conn *conn);

struct hf_auth;
/*
 * From now on tokens are judged by this; borrowed until another one is set, or the hub is freed. NULL, as at first: nobody is asked for one, and all are anonymous. Connections
 * that stand keep the identity that they have until their token ends; where its key is not in auth that is within seconds (HF_REVOKED_SPREAD_MS).
 */
void hf_hub_set_auth(struct hf_hub *hub, const struct hf_auth *auth);

/* How many connections this worker can hold, by its descriptors; beyond that it refuses. 0: nothing is known of that. */
void hf_hub_set_room(struct hf_hub *hub, uint32_t room);
/* Whether the worker has more memory than it should: then it refuses. */
void hf_hub_set_short(struct hf_hub *hub, bool is_short);
/*
 * Whether there is memory for those who are connected already, so that a newcomer may have some: else an allocation for one of them fails, and
 * he is cut. To be asked once for some hundred newcomers.
 */
bool hf_hub_memory_left(void);
/* Whether nothing more may be accepted now: too many handshakes, or more than room + spare connections. */
bool hf_hub_crowded(const struct hf_hub *hub, uint32_t spare);
/*
 * End one handshake whose client has been silent for longest: idle(socket) says whether nothing of its is waiting to be read. Returns false where all
 * are young, or wait for us.
 */
bool hf_hub_shed(struct hf_hub *hub, bool (*idle)(const void *socket), struct hf_now now);

/* Bytes came. data may be written to. The connection may be closed (transport.close) within the call. */
void hf_hub_input(struct hf_conn *conn, uint8_t *data, size_t len, struct hf_now now);
/* The peer has ended its direction (FIN), or the connection broke (broken). */
void hf_hub_lost(struct hf_conn *conn, bool broken, struct hf_now now);
/* The socket takes bytes again. */
void hf_hub_writable(struct hf_conn *conn, struct hf_now now);
/* The peer has taken something of what the transport still holds; the socket takes nothing more yet. For limits.write. */
void hf_hub_progress(struct hf_conn *conn, struct hf_now now);

/* So late it is, for the calls of service.h that come next. */
void hf_hub_set_now(struct hf_hub *hub, struct hf_now now);
/*
 * What its configuration says has changed: as far as a key may change at run time, it holds from now on. Between two turns. Returns false where memory is short for another compressor: then
 * compression.* stays as it was.
 */
bool hf_hub_reconfigured(struct hf_hub *hub, struct hf_now now);

/* One turn: see above. */
void hf_hub_turn(struct hf_hub *hub, struct hf_now now);
/* When the next turn is due at the latest, monotonic ms; `now` where work is left already. */
uint64_t hf_hub_deadline_ms(const struct hf_hub *hub, struct hf_now now);

/* Advise every connection to leave within window_ms (`draining`), in the next turns, and refuse new ones. */
void hf_hub_drain(struct hf_hub *hub, uint32_t window_ms, struct hf_now now);
/*
 * Advise that many connections to leave within window_ms (`rebalance`), in the next turns. UINT32_MAX: all, and those too that open later; these are served until then.
 * Not while the hub drains. Again: the last word counts.
 */
void hf_hub_rebalance(struct hf_hub *hub, uint32_t count, uint32_t window_ms, struct hf_now now);
/* Close all that are left: 1012 where all were told to go elsewhere in this server, else 1001. */
void hf_hub_close_all(struct hf_hub *hub, struct hf_now now);
uint32_t hf_hub_connections(const struct hf_hub *hub);

#endif
