/* SPDX-License-Identifier: Apache-2.0 */
/* What event_loop.c, event_stream.c and event_network.c share; nobody else includes it. */
#ifndef NET_EVENT_INTERNAL_H
#define NET_EVENT_INTERNAL_H

#include "net/event.h"

/* A stream over a connected, non-blocking socket, which it owns from then on. */
struct stream *event_stream_new(struct loop *loop, int fd);

/* Streams that exist, for event_loop_finish: one more (+1), one less (-1). */
void event_loop_streams(struct loop *loop, int change);

#endif
