/* SPDX-License-Identifier: Apache-2.0 */
/* A client process: session, cache and the kernel above it; or (plain) a session alone. */
#ifndef TESTS_SIM_MOUNT_H
#define TESTS_SIM_MOUNT_H

#include <limits.h>

#include "cache/cache.h"
#include "tests/sim/kernel.h"

struct client;
struct cache_call;
struct call;
struct host;
struct lock_client;
struct lock_held;
struct recall;

#define MOUNT_ACKED  32
#define MOUNT_OWNERS 4 /* of locks; 0 is nobody */

/* A directory as it was listed last. */
struct listed {
    uint64_t ended, changed_before; /* changed_before: newest time shown before it began */
    uint8_t flags[SPREAD];
};

struct mount {
    struct world *world;
    struct host *host;
    struct history *history; /* its */
    struct process *process;
    bool plain;
    size_t cache_bytes;
    bool up;
    uint64_t incarnation;
    struct client *client;
    struct upstream *upstream;
    struct cache *cache;
    struct lock_held *held;
    struct lock_client *locks;
    bool registered; /* a crash of the server does not make it forget the session */
    bool lost_early; /* such a one was lost, at lost_at, and it has not been asked why */
    uint64_t lost_at;
    unsigned sessions;       /* so far */
    bool lost[MOUNT_OWNERS]; /* a lock, since it was asked for */
    unsigned number;
    struct kernel kernel;
    struct request *requests; /* without answer yet */
    struct recall *recalls;   /* waiting for the kernel to learn of nodes */
    uint64_t updates;         /* given so far */
    struct {
        uint64_t number;
        uint64_t stamp;
    } acked[MOUNT_ACKED]; /* of them, the last that were applied */
    unsigned acked_count;
    uint64_t changed[NODES]; /* newest time of each directory that was shown */
    size_t born[NODES];      /* since it was the directory that it is */
    struct listed listed[NODES];
};

enum request_kind {
    REQUEST_NODE,
    REQUEST_VALUE,
    REQUEST_PAGE,
    REQUEST_UPDATE,
    REQUEST_SYNC,
    REQUEST_LOCK, /* of the counter */
    REQUEST_UNLOCK
};

/*
 * An application's call, and its answer. A page: children [from, to) of the node were seen, in
 * seen[0..]; whether at one moment (whole); to_end: there are no more.
 */
struct request {
    enum request_kind kind;
    unsigned node, from;
    const struct update *updates; /* must live until done */
    size_t count;
    unsigned owner; /* of a lock, which it is about or under; or 0 */
    loop_fn *done;
    void *cookie;

    int error;
    uint64_t stamp, changed;
    struct state seen[SPREAD];
    bool exact, whole, to_end;
    unsigned to;
    unsigned writer; /* of the counter, as was seen; MOUNT_NOBODY */

    struct mount *mount;
    struct request *next, **link; /* in its mount's list */
    struct moment began;
    unsigned session;
    uint64_t incarnation, number, version, keep, changed_before;
    bool first; /* on its way to a kernel that does not know the node */
    bool replied, from_kernel;
    bool overtaken; /* by something newer about the node, which the kernel goes by */
    struct loop_event *event;
    struct call *call; /* an update under way, in a plain session */
    struct cache_call *cache_call;
};

#define MOUNT_NOBODY UINT_MAX

void mount_init(struct mount *m, unsigned number, struct host *host, struct process *process,
                bool plain, size_t cache_bytes);
void mount_start(struct mount *m);
/* As kill -9, or orderly. Calls without answer end with ECP_ECANCELED. */
void mount_end(struct mount *m, bool crash);

/* Begins a call whose fields up to cookie are set. done is called in a later event; what the call
 * saw has been checked then. */
void request_begin(struct mount *m, struct request *r);

/* ---- mount_serve.c: what the process does ---- */

void request_serve(void *request);
/* The answer leaves for the kernel. until: as the cache has it. */
void request_reply(struct request *r, int error, uint64_t until);

/* ---- mount_lock.c: locks, which the session keeps for its owners ---- */

void mount_locks_new(struct mount *m);
/* After the client. */
void mount_locks_free(struct mount *m);
/* For client_config. */
void mount_lock_said(void *mount, bool lost, uint64_t owner, struct slice name);
void mount_reclaim(void *mount);
void mount_session_lost(void *mount);
void request_serve_lock(struct request *r);

/* ---- mount_check.c ---- */

/* Fails when the answer cannot be. */
void request_check(struct request *r);

/* ---- mount_recall.c: and when something is taken back ---- */

extern const struct cache_events mount_events;
/* Whether the kernel may still come to keep what an update of this mount replaced. */
bool mount_recalling(const struct mount *m);
void mount_recalls_free(struct mount *m);

#endif
