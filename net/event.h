/* SPDX-License-Identifier: Apache-2.0 */
/* The real loop and the real network, on libevent. */
#ifndef NET_EVENT_H
#define NET_EVENT_H

#include "base/loop.h"
#include "net/stream.h"

struct event_base;

/* Make after any fork. Frees with event_loop_free (no stream, timer or worker may be left). */
struct loop *event_loop_new(void);
void event_loop_free(struct loop *loop);

/* Runs callbacks until event_loop_stop. */
void event_loop_run(struct loop *loop);
void event_loop_stop(struct loop *loop);

/* While much comes, look for the next up to so many nanoseconds before sleeping; 0, the default:
 * never. With one processor alone neither. */
void event_loop_poll(struct loop *loop, uint64_t time);
/* How often it looked so, and how often something came meanwhile. */
void event_loop_polls(struct loop *loop, uint64_t *looks, uint64_t *finds);
/* To be called when something came from outside: a request, bytes. */
void event_loop_works(struct loop *loop);

/* Runs callbacks until every stream is gone (the last frames are out), at most max_time ns. */
void event_loop_finish(struct loop *loop, uint64_t max_time);

/* For what only real programs need: signals, the FUSE device. */
struct event_base *event_loop_base(struct loop *loop);

/* TCP (IPv4, IPv6; TCP_NODELAY) and unix sockets. */
struct network *event_network_new(struct loop *loop);
void event_network_free(struct network *network);

/* The port a listener is bound to (0 for a unix socket): for port 0 in tests and logs. */
int event_listener_port(const struct listener *listener);

#endif
