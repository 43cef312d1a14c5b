/* SPDX-License-Identifier: Apache-2.0 */
/* What the file system asks of the other side: a struct of function pointers, filled in by main. */
#ifndef CACHE_UPSTREAM_H
#define CACHE_UPSTREAM_H

#include "base/error.h"
#include "base/model.h"

/*
 * The calls have the contract of net/call.h: done is called once, from the loop, unless cancelled;
 * arguments are copied, results borrowed for the length of done. Nothing is cached here yet: each
 * call is a round trip.
 */
struct upstream;
struct upstream_call;

typedef void upstream_pages_fn(void *cookie, int error, const struct page *pages, size_t count);
typedef void upstream_node_fn(void *cookie, int error, const struct node *node);
typedef void upstream_update_fn(void *cookie, int error, uint64_t stamp);
typedef void upstream_space_fn(void *cookie, int error, const struct space *space);

struct upstream_read {
    struct slice parent, from;
    bool after;
    uint32_t max_value, budget, readahead;
};

struct upstream_ops {
    struct upstream_call *(*read)(struct upstream *up, const struct upstream_read *args,
                                  upstream_pages_fn *done, void *cookie);
    struct upstream_call *(*node)(struct upstream *up, struct slice key, uint32_t max_value,
                                  upstream_node_fn *done, void *cookie);
    struct upstream_call *(*value)(struct upstream *up, struct slice key, uint32_t offset,
                                   uint32_t len, upstream_node_fn *done, void *cookie);
    struct upstream_call *(*update)(struct upstream *up, const struct update *updates, size_t count,
                                    upstream_update_fn *done, void *cookie);
    struct upstream_call *(*space)(struct upstream *up, upstream_space_fn *done, void *cookie);
    void (*cancel)(struct upstream *up, struct upstream_call *call);
    bool (*connected)(struct upstream *up);
};

/* An implementation's own struct begins with this. */
struct upstream {
    const struct upstream_ops *ops;
};

#endif
