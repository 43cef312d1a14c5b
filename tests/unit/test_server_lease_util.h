/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of the lease table share: a table with two holders, a and b. */
#ifndef UNIT_TEST_SERVER_LEASE_UTIL_H
#define UNIT_TEST_SERVER_LEASE_UTIL_H

#include "server/lease.h"

#define TERM LOOP_SEC

/* What was sent to one holder. */
struct seat {
    struct lease_holder *holder;
    uint64_t serial;   /* of the last invalidation; 0: none */
    unsigned messages; /* so far */
    bool overdue;      /* it was said to be */
    char text[600];    /* of the last: "E^A(1) S^B P^C " */
};

extern struct loop *loop;
extern struct lease_table *table;
extern struct seat a, b;
extern unsigned done_calls; /* of recalls */

void begin(const struct lease_config *config); /* a table with a and b */
void end(void);
void sit(struct seat *seat, uint64_t id); /* a new holder; its secret is id + 1000 */

/* Of a reference; "" is the root. Good for some dozens of calls more. */
struct slice key(const char *ref);
struct slice level(const char *ref); /* its last level */

uint64_t whole(struct seat *seat, const char *parent); /* grants the page of all children */
struct lease_recall *recall(struct seat *own, const char *ref, bool subtree); /* for one touch */
void done(void *cookie); /* a recall's: counts */
size_t pages(void);

#endif
