/* SPDX-License-Identifier: Apache-2.0 */
/* What ecpd hosts: databases opened, addresses listened on, and how a reload changes them. */
#ifndef SERVER_HOST_H
#define SERVER_HOST_H

#include "base/loop.h"
#include "net/stream.h"

struct config;
struct host;

/* data: the data directory (absolute, exists, locked by the caller). */
struct host *host_new(struct loop *loop, struct network *network, const char *data);

/*
 * Makes the host as config says: opens and closes databases, namespaces and listeners, sets
 * limits. All or nothing: on failure returns an error, *why (caller frees) says what failed, and
 * the host is as it was. The directory of an open database cannot change.
 */
int host_apply(struct host *host, const struct config *config, char **why);

/* Drains: answers updates, says goodbye to clients, closes databases; then done from the loop. */
void host_stop(struct host *host, loop_fn *done, void *cookie);

/* After host_stop's done, or when host_apply failed at the start and nothing is open. */
void host_free(struct host *host);

#endif
