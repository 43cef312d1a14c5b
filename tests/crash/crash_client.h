/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of crash_client: the load of a protocol client, and its notes. */
#ifndef CRASH_CRASH_CLIENT_H
#define CRASH_CRASH_CLIENT_H

#include "base/key.h"
#include "net/call.h"
#include "tests/crash/crash.h"

#define CRASH_NUMBERS (UINT64_C(1) << 26) /* the shared counter may get so far */
#define CRASH_PAIR    1500                /* bytes of filler in a half of a pair, at most */

/* `sent` may have been done, `told` has been; `durable`: and no crash may take it back. */
struct crash_count {
    uint64_t sent, told, durable;
};

/* One file for each client. */
struct crash_notes {
    struct crash_count own, shared, pairs, rounds;
    uint64_t restarts;               /* of the server, that were noticed */
    uint64_t longest, longest_round; /* ns */
    bool ended;                      /* of itself: nothing is left that was sent and not told */
};

/* One file for all. */
struct crash_common {
    uint64_t locked;                    /* the newest value written under the lock that must stay */
    uint8_t numbers[CRASH_NUMBERS / 8]; /* which values of the shared counter were told */
};

struct crash_load {
    struct loop *loop;
    struct network *network;
    struct client *client;
    const char *name;
    struct crash_notes *notes;
    struct crash_common *common;
    bool applied; /* answers do not wait for the disk: what was told may be lost with the client */
    volatile bool ending;
    unsigned pending;                          /* calls without an answer, those of rounds apart */
    bool round;                                /* one is under way */
    bool held;                                 /* the lock, and no UNLOCK was sent */
    uint64_t begun;                            /* of the round */
    uint64_t value;                            /* that it writes */
    struct loop_event *next_sync, *next_round; /* timers */
};

extern struct crash_load crash_load;

/* ---- crash_lock.c: a read-modify-write of a node under a lock, again and again ---- */

void crash_round(void *load);
/* client_config.reclaim */
void crash_reclaim(void *load);

/* ---- crash_check.c ---- */

/* ^GLOBAL, ^GLOBAL(first) or ^GLOBAL(first,second). */
void crash_key(struct key *key, const char *global, const char *first, const char *second);
/* The number that a value begins with. */
uint64_t crash_number(struct slice value);
struct slice crash_digits(char text[24], uint64_t number);

/* Reads the pair of a client. */
void crash_look(const char *name, call_nodes_fn *done, void *cookie);
/* Both halves are there, are the same, and are of a batch that was sent. */
void crash_check_pair(struct call_nodes *nodes, uint64_t least, uint64_t sent, const char *name);

/* Fills in crash_load, but for notes. A session or server that is lost for good ends the program.
 */
void crash_open(const char *address, const char *notes, const char *name);
void crash_close(void);

/* ADDRESS NOTES NAME... */
void crash_check(char **arguments);

#endif
