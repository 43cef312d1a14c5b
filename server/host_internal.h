/* SPDX-License-Identifier: Apache-2.0 */
/* What host.c and host_database.c share; nobody else includes it. */
#ifndef SERVER_HOST_INTERNAL_H
#define SERVER_HOST_INTERNAL_H

#include <stdbool.h>
#include "server/config_file.h"
#include "server/host.h"
#include "server/server.h"

struct host_database {
    struct host_database *next;
    struct host *host;
    char *name;
    char *directory;      /* absolute */
    struct io_lock *lock; /* NULL for the data directory itself, which main has locked */
    struct store *store;
    uint64_t size;
    bool wanted; /* by the configuration being applied */
    bool fresh;  /* opened for it */
};

struct host_listener {
    struct host_listener *next;
    char *address;
    struct listener *listener;
    bool wanted, fresh;
};

struct host_namespace {
    struct host_namespace *next;
    char *name;
    struct host_database *database;
};

struct host {
    struct loop *loop;
    struct network *network;
    char *data;
    struct server *server;
    struct host_database *databases;
    struct host_listener *listeners;
    struct host_namespace *namespaces;
    size_t closing; /* stores whose close is under way */
    bool stopping;
    loop_fn *stop_done;
    void *stop_cookie;
};

struct host_database *host_find_database(struct host *host, const char *name);

/* Opens it unless it is open, and marks it wanted. 0, or an error and *why (caller frees). */
int host_want_database(struct host *host, const struct config_database *want, char **why);

/* Takes it out of the list; it is gone when its updates are done, and stop_done is called when it
 * was the last and the host is stopping. */
void host_database_close(struct host_database *db);

/* Lets the namespace just added know of leases from before, and remember its own. */
void host_database_leases(struct host_database *db, const char *namespace);

/* server_space_fn; cookie is a struct host_database. */
uint64_t host_database_free_space(void *cookie);

#endif
