/* SPDX-License-Identifier: Apache-2.0 */
/* A relay between clients and the server of test_lock_util.h, which cuts connections at any byte.
 */
#ifndef UNIT_TEST_RELAY_H
#define UNIT_TEST_RELAY_H

#include "tests/unit/test_lock_util.h"

struct relay {
    unsigned connections; /* that were accepted */
    unsigned cut_below;   /* each is cut after so many bytes at most; 0: not */
    bool down;            /* no connection is accepted */
    bool deaf;            /* what clients send goes nowhere */
};
extern struct relay relay;

/* Between start of test_lock_util.h and teardown. */
void relay_start(void);
void relay_stop(void);

/* A client that comes back through the relay; of the configuration the callbacks count. */
struct client *relay_client(const struct client_config *config);

/* Cuts all connections; stall: the server is not told. */
void relay_cut(bool stall);

/* The same numbers in each run. */
unsigned relay_draw(unsigned below);

/* Fail the test after 20 s. */
void until_connected(struct client *client);
void until_connections(unsigned count);
/* Until so many requests of the client have been sent. */
void until_sent(struct client *client, uint64_t count);

#endif
