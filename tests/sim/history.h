/* SPDX-License-Identifier: Apache-2.0 */
/* What is true: the states the store went through; and whether what readers saw agrees with it. */
#ifndef TESTS_SIM_HISTORY_H
#define TESTS_SIM_HISTORY_H

#include "base/model.h"
#include "store/engine.h"
#include "tests/sim/world.h"

/*
 * The world's nodes: the root, one global, SPREAD children of it and SPREAD of each; and another
 * global that is changed only under a lock. A node's children have consecutive numbers.
 */
#define SPREAD       3
#define NODES        (3 + SPREAD + SPREAD * SPREAD)
#define NODE_TOP     1 /* the global */
#define NODE_COUNTER 2 /* the other one */
#define NODE_FIRST   3 /* the first child */
/* Value of the counter: its mount's number, a number of its own, stamp of the version before. */
#define COUNTER_FORMAT "m%u.%u after %llx;"

/* What can be seen of a node. hash: of the value. */
struct state {
    uint8_t flags;
    uint32_t len;
    uint64_t stamp, hash;
};

/* States from..to-1, which some may have seen, and which a crash took back. State `to` is what was
 * found then: a copy of the one before `from`. */
struct lost {
    size_t from, to;
    uint64_t crashed; /* when, true time */
    uint64_t until;   /* leases of before may run */
    size_t known[NODES];
};

/* An update that was acknowledged: whoever was told of it in this session of a mount. */
struct told {
    uint64_t stamp, time; /* true time */
    size_t at;            /* its commit */
    size_t again;         /* the last commit that made it anew after a crash; or 0 */
    unsigned mount, session;
    uint64_t incarnation;
};

/*
 * States are numbered by the commits that made them; the state of number 0 is empty. A node is a
 * register, whose order of versions is known: that makes the check of linearizability exact. A read
 * takes effect at one commit between the last of what was known of its node when it began, and the
 * newest when it ends; and of those that fit, the earliest, which leaves most to those that follow.
 *
 * A crash may take back the last states, but none up to the newest of which anybody was told that
 * it is durable. After that they are seen only by reads that began before, and in caches whose
 * leases still run. But an update of which its writer was told comes again, with the same stamp, when
 * the writer's session goes on; and what reads show from then on has it.
 */
struct history {
    struct world *world;
    struct key keys[NODES];
    struct state (*states)[NODES];
    uint64_t *stamps; /* newest stamp of each commit */
    size_t count, cap;
    size_t durable;      /* newest that no crash may take back */
    size_t born[NODES];  /* commit that made each the directory it is, or moved one there */
    size_t known[NODES]; /* commit that readers or writers have been told of, of each node */
    struct lost *lost;
    size_t lost_count;
    struct told *told;
    size_t told_count;
};

void history_init(struct history *h, struct world *world);
void history_free(struct history *h);
/* Something was applied, with this stamp: a state more, as txn has it. */
void history_committed(struct history *h, struct engine_txn *txn, uint64_t stamp);
/* The store was opened again, with that newest stamp. crashed: when it ended without order, else 0;
 * until: leases of before may run; next: all stamps to come are greater. Fails when what is there
 * cannot be. */
void history_recovered(struct history *h, struct engine *engine, uint64_t stamp, uint64_t crashed,
                       uint64_t until, uint64_t next);

/* What was known when a read began. */
struct moment {
    uint64_t time;
    bool cached; /* it may be served from a cache */
    size_t known[NODES];
    size_t born[NODES];
};
void history_begin(const struct history *h, struct moment *moment, bool cached);

/* What a read that began then saw; exact: including the value. Fails when it cannot have. Returns
 * a commit that it may have seen. */
size_t history_saw(struct history *h, const struct moment *began, unsigned node,
                   const struct state *seen, bool exact, const char *who);
/* The same for several nodes that were seen at one time: those of `mask`. */
void history_saw_all(struct history *h, const struct moment *began, unsigned mask,
                     const struct state *seen, const char *who);
/* This update was acknowledged, to a session that has not ended. */
void history_told(struct history *h, size_t commit, uint64_t stamp, unsigned mount,
                  uint64_t incarnation, unsigned session);
/* All is well: what that session was told of must be there. */
void history_check_told(const struct history *h, unsigned mount, uint64_t incarnation,
                        unsigned session);
/* A batch given then was acknowledged, with this stamp; as durable, too? Returns its commit. */
size_t history_applied(struct history *h, const struct moment *began, const struct update *updates,
                       size_t count, uint64_t stamp, bool durable);
/* The counter as it was after this commit was seen by who got the lock from the session that wrote
 * it: that is durable. */
void history_passed(struct history *h, size_t commit);
/* What was known then was acknowledged as durable. */
void history_synced(struct history *h, const struct moment *began);

/* Number of the node, or -1. */
int history_node(const struct history *h, struct slice key);
/* First child's number and how many there are; 0 for a leaf. */
unsigned history_children(unsigned node, unsigned *first);
unsigned history_parent(unsigned node);
const struct state *history_now(const struct history *h, unsigned node);

struct state state_of(const struct node *node);
/* Name of a node, for messages: borrowed until the next but three calls. */
const char *node_name(unsigned node);

#endif
