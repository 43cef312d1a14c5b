/* SPDX-License-Identifier: Apache-2.0 */
/* The upstream of a mount over the network: a session with a data server. */
#ifndef FS_UPSTREAM_NET_H
#define FS_UPSTREAM_NET_H

#include "cache/upstream.h"

struct client;

/* The client stays the caller's and must outlive the upstream; upstream_net_free frees what this
 * made. */
struct upstream *upstream_net_new(struct client *client);
void upstream_net_free(struct upstream *up);

/* For the client's config: what comes is handed to the upstream's events. With no events set,
 * nothing is cached, and an invalidation is answered at once. */
void upstream_net_invalidate(struct upstream *up, uint64_t serial, const struct touch *touches,
                             size_t count);
void upstream_net_lease_lost(struct upstream *up);

/* Until there is a connection, calls that would wait for one end with ECP_EUNREACHABLE. */
void upstream_net_refuse(struct upstream *up);

#endif
