/* SPDX-License-Identifier: Apache-2.0 */
/* What the cache asks of the other side, and is told by it: structs of function pointers. */
#ifndef CACHE_UPSTREAM_H
#define CACHE_UPSTREAM_H

#include "base/error.h"
#include "base/model.h"

/*
 * The calls have the contract of net/call.h: done is called once, from the loop, unless cancelled;
 * arguments are copied, results borrowed for the length of done. Answers and events come in the
 * order in which they took effect on the other side. No call is answered from inside the call.
 */
struct upstream;
struct upstream_call;

struct upstream_read {
    struct slice parent, from;
    bool after;
    bool lease;         /* pages that may be cached are wanted */
    bool onward;        /* read ahead goes on beyond parent's subtree, in key order */
    uint32_t max_value; /* largest value to include, bytes */
    uint32_t budget;    /* bytes of answer, at most */
    uint32_t entries;   /* most entries of the page asked for; 0: as the budget allows */
    uint32_t readahead; /* most children of a directory that is read ahead; 0: none */
};
typedef void upstream_pages_fn(void *cookie, int error, const struct page *pages, size_t count);
typedef void upstream_node_fn(void *cookie, int error, const struct node *node);
struct upstream_applied {
    uint64_t stamp;
    const struct touch *touches; /* of pages leased to this side, what the batch changed */
    size_t count;
};
typedef void upstream_update_fn(void *cookie, int error, const struct upstream_applied *applied);
typedef void upstream_sync_fn(void *cookie, int error);
typedef void upstream_space_fn(void *cookie, int error, const struct space *space);

struct upstream_events {
    /* Leased pages are no longer right about these touches; to be answered by `invalidated`, also
     * when lease_lost comes before. Serials are not 0 and never come twice. */
    void (*invalidate)(void *cookie, uint64_t serial, const struct touch *touches, size_t count);
    /* The lease ran out, or a new session begins: every page got until now is void. Reads under way
     * may still be answered from before. */
    void (*lease_lost)(void *cookie);
};

struct upstream_ops {
    struct upstream_call *(*read)(struct upstream *up, const struct upstream_read *args,
                                  upstream_pages_fn *done, void *cookie);
    struct upstream_call *(*node)(struct upstream *up, struct slice key, uint32_t max_value,
                                  upstream_node_fn *done, void *cookie);
    struct upstream_call *(*update)(struct upstream *up, const struct update *updates, size_t count,
                                    upstream_update_fn *done, void *cookie);
    /* Done when every update sent before is on the other side's disk. */
    struct upstream_call *(*sync)(struct upstream *up, upstream_sync_fn *done, void *cookie);
    struct upstream_call *(*space)(struct upstream *up, upstream_space_fn *done, void *cookie);
    void (*cancel)(struct upstream *up, struct upstream_call *call);
    /* It is not under way: an update that is cancelled now is not applied later. */
    bool (*unsent)(struct upstream *up, const struct upstream_call *call);
    bool (*connected)(struct upstream *up);
    /* loop_now() until which leased pages may be served; 0 or past: not now. */
    uint64_t (*lease_end)(struct upstream *up);
    void (*invalidated)(struct upstream *up, uint64_t serial);
    /* Gives leases (page.lease) back: such as were got after the last lease_lost. Of equal ranges
     * the other side knows but the newest; numbers it does not know, it ignores. */
    void (*release)(struct upstream *up, const uint64_t *leases, size_t count);
    /* Requests sent that were or will be answered, since the start. */
    uint64_t (*round_trips)(struct upstream *up);
};

/* An implementation's own struct begins with this. Whoever uses it sets events and cookie before
 * the first call. */
struct upstream {
    const struct upstream_ops *ops;
    const struct upstream_events *events;
    void *cookie;
};

#endif
