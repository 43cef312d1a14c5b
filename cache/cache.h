/* SPDX-License-Identifier: Apache-2.0 */
/* The client cache: pages under a lease, between those who read and write and an upstream. */
#ifndef CACHE_CACHE_H
#define CACHE_CACHE_H

#include "base/buf.h"
#include "base/error.h"
#include "base/loop.h"
#include "base/model.h"
#include "cache/upstream.h"

/*
 * All on the loop's thread. The *_now functions answer from memory or not at all and never call
 * back; what they return is borrowed until the next call of any cache function. The others return a
 * handle; their done is called once, from the loop and never from inside the call, unless
 * cache_cancel came first; results are borrowed for the length of done.
 *
 * `until` is the loop_now() up to which an answer may be served again without asking; 0: not at
 * all, for the answer is not leased.
 */
struct cache;
struct cache_call;

struct cache_config {
    size_t bytes; /* bound on what pages and values take; 0: 256 MiB */
};

/* What whoever stands above the cache (the kernel's caches) must know. */
struct cache_events {
    /*
     * What was answered about these touches may no longer be served. serial not 0: call
     * cache_recalled(cache, serial) once nothing serves it any more, at once or later, also when
     * `lost` comes before.
     */
    void (*recall)(void *cookie, uint64_t serial, const struct touch *touches, size_t count);
    /* Nothing answered before may be served any more. */
    void (*lost)(void *cookie);
};

/* Takes the upstream's events. events may be NULL. up must outlive the cache. */
struct cache *cache_new(struct loop *loop, struct upstream *up, const struct cache_config *config,
                        const struct cache_events *events, void *cookie);
/* Cancels every call without calling done. Not from inside a done or an event. */
void cache_free(struct cache *cache);

/*
 * One node. max_value: when the value is wanted, its largest length in bytes; 0: not wanted. A
 * value that is wanted and not longer comes with the node.
 */
bool cache_node_now(struct cache *cache, struct slice key, uint32_t max_value, struct node *node,
                    uint64_t *until);
typedef void cache_node_fn(void *cookie, int error, const struct node *node, uint64_t until);
struct cache_call *cache_node(struct cache *cache, struct slice key, uint32_t max_value,
                              cache_node_fn *done, void *cookie);

/*
 * Children of parent from the level `from` on (empty: the first; `after`: beyond it): as many as
 * are known in one run, at least one unless there is none. page->to_end: there are no more.
 * page->self is set from a load only, and not leased. Values come along where they happen to be
 * known.
 */
bool cache_page_now(struct cache *cache, struct slice parent, struct slice from, bool after,
                    struct page *page, uint64_t *until);
typedef void cache_page_fn(void *cookie, int error, const struct page *page, uint64_t until);
struct cache_call *cache_page(struct cache *cache, struct slice parent, struct slice from,
                              bool after, cache_page_fn *done, void *cookie);

/*
 * A batch. Until it is done, nothing that it may change is answered from memory, for others may
 * have seen it already. Before done is called every answer of this cache shows it, and recall was
 * called for what it changed (with serial 0); when it ends so that it may have been applied or not,
 * for all that it may have changed.
 */
typedef void cache_update_fn(void *cookie, int error, uint64_t stamp);
struct cache_call *cache_update(struct cache *cache, const struct update *updates, size_t count,
                                cache_update_fn *done, void *cookie);

/* Done when every update given before is durable. */
struct cache_call *cache_sync(struct cache *cache, upstream_sync_fn *done, void *cookie);

struct cache_call *cache_space(struct cache *cache, upstream_space_fn *done, void *cookie);

/* done is not called any more; an update may be applied all the same, and recall tells of it.
 * NULL is allowed. */
void cache_cancel(struct cache *cache, struct cache_call *call);

bool cache_connected(struct cache *cache);
void cache_recalled(struct cache *cache, uint64_t serial);

/* Appends figures as lines "name value". */
void cache_stats(struct cache *cache, struct buf *out);

#endif
