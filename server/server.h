/* SPDX-License-Identifier: Apache-2.0 */
/* The data server: namespaces, listeners and the sessions of clients, over a loop and a network. */
#ifndef SERVER_SERVER_H
#define SERVER_SERVER_H

#include "base/loop.h"
#include "net/stream.h"

/*
 * All on the loop's thread. The server makes no system call: databases, addresses and signals are
 * wired by main (or by the simulator, which runs many servers in one process).
 */
struct server;
struct store;

#define SERVER_LEASE_MS     10000 /* lease term when none is configured */
#define SERVER_RECOVERY_MS  60000 /* recovery window, told in WELCOME */
#define SERVER_UPDATE_BYTES (16u << 20)

/* A field that is 0 takes its default. */
struct server_limits {
    uint32_t max_sessions; /* connections served at a time; 1024 */
    uint64_t hello_time;   /* ns within which HELLO must come; 10 s */
    uint64_t lease_time;   /* ns, the lease term of sessions to come; SERVER_LEASE_MS */
    uint64_t silence_time; /* ns of silence after which a session is cut off; 3 lease terms */
    uint64_t recovery_time; /* ns that locks stand when a connection is lost; SERVER_RECOVERY_MS */
    size_t max_locks;      /* of a store, when the first is asked for; LOCK_MAX */
    size_t update_bytes;   /* bytes of one session's updates under way; SERVER_UPDATE_BYTES */
};

/* limits may be NULL. The result is freed by server_free. */
struct server *server_new(struct loop *loop, const struct server_limits *limits);

/* New limits; sessions that are open stay, even when there are more than max_sessions. */
void server_set_limits(struct server *server, const struct server_limits *limits);

/* Bytes that the disk under a database has free, for MSG_SPACE. */
typedef uint64_t server_space_fn(void *cookie);

/*
 * Serves store under name (copied) from now on. The store stays the caller's and must outlive the
 * namespace. space may be NULL: only the store's own limit counts then. ECP_EEXIST.
 */
int server_add_namespace(struct server *server, const char *name, struct store *store,
                         server_space_fn *space, void *cookie);

/*
 * Leases outlive a crash of the server, for a term. So that the next start knows, remember is
 * called before the first lease of the namespace's store is given out, and again when a longer term
 * (ns) comes into use; it returns true when that will be known after a crash, else nothing is
 * leased. forget: none is out any more. Both must do until the namespace is removed.
 */
void server_set_marker(struct server *server, const char *name,
                       bool (*remember)(void *cookie, uint64_t term), void (*forget)(void *cookie),
                       void *cookie);
/* Updates wait for so many ns, since leases of before the start may still run. Does nothing when the
 * store is served already and leases are out. */
void server_set_grace(struct server *server, const char *name, uint64_t time);

/*
 * Sessions of the namespace are told ECP_ENAMESPACE and closed, their reads are cancelled. Updates
 * given to the store still complete and answer nobody: store_close may follow at once.
 */
void server_remove_namespace(struct server *server, const char *name);

/*
 * Accepts sessions at address, as network_listen does (result, *why). *listener stays the server's
 * and lives until server_unlisten, server_shutdown or server_free.
 */
int server_listen(struct server *server, struct network *network, const char *address,
                  struct listener **listener, char **why);
void server_unlisten(struct server *server, struct listener *listener);

/* Takes over a stream on which a client is expected to say HELLO. */
void server_accept(struct server *server, struct stream *stream);

/* Connections now open. */
size_t server_sessions(const struct server *server);

/*
 * Stops listening, drops new requests, answers the updates under way (which wait for leases at most
 * a term), takes back all leases as far as that takes no longer than 2 s, tells every client
 * ECP_ESHUTDOWN and closes; then calls done from the loop. Only server_free may follow.
 */
void server_shutdown(struct server *server, loop_fn *done, void *cookie);

/* Closes whatever is open without a word, and frees. Not from inside one of its callbacks. */
void server_free(struct server *server);

#endif
