/* SPDX-License-Identifier: Apache-2.0 */
/* What tests of the server's locks share: a server and clients in one process, and waiting. */
#ifndef UNIT_TEST_LOCK_UTIL_H
#define UNIT_TEST_LOCK_UTIL_H

#include <criterion/criterion.h>

#include "net/call.h"
#include "net/event.h"
#include "server/server.h"
#include "store/store.h"

#define CLIENTS 8

extern char directory[], address[64], tcp[64]; /* of the data; URLs of the server */
extern struct loop *loop;
extern struct network *network;
extern struct server *server;
extern struct client *clients[CLIENTS]; /* even ones over a unix socket, odd ones over TCP */
extern struct key name;                 /* that is locked */

/* What clients were told is lost. */
struct losses {
    unsigned count;
    uint64_t owner; /* the last one */
    bool any;
};
extern struct losses losses;

void setup(void);
void teardown(void);
/* options NULL: unjournaled. */
void start(struct server_limits limits, const struct store_options *options);

/* The server is started anew on the same data; clients stay. */
void restart(void);

/* Runs the loop until the flag is set by happened; fails the test after 20 s. */
void until(const bool *flag);
void happened(bool *flag);

/* A request for the lock. */
struct waiter {
    struct client *client;
    uint64_t owner, stamp;
    int error;
    bool done;
    struct call *call;
};
void ask(struct waiter *w, bool wait);
void ask_mode(struct waiter *w, bool wait, bool exclusive);
void unlock(struct waiter *w, bool *done);

/* A round trip after what the client has sent; what the server's figure of this name is then. */
unsigned figure_at(struct client *client, const char *figure);
/* That of requests that wait for locks. */
unsigned waiting_at(struct client *client);
/* Until so many requests wait at the server. */
void until_waiting(unsigned count);

#endif
