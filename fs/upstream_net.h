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

#endif
