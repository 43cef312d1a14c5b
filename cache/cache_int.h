/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside of the cache. cache.c answers from memory, call.c keeps who waits, load.c brings pages,
 * plan.c decides how much of them, bounce.c what is not worth a lease, bar.c knows the updates
 * under way, fold.c what they leave behind, recall.c takes back, release.c gives leases back.
 */
#ifndef CACHE_CACHE_INT_H
#define CACHE_CACHE_INT_H

#include "cache/cache.h"
#include "cache/table.h"

/* ---- Calls ---- */

/* What will be known of a single update's node, and of its directory, once it is applied. */
struct fold {
    bool on;
    bool lists; /* the node comes or goes */
    bool parent_known;
    struct key key;
    struct node node, parent;
};

enum call_kind { CALL_NODE, CALL_PAGE, CALL_UPDATE, CALL_SYNC, CALL_SPACE };

/* Whom the call's end is told. */
struct cache_done {
    union {
        cache_node_fn *node;
        cache_page_fn *page;
        cache_update_fn *update; /* NULL: cancelled, but may be applied */
        upstream_sync_fn *sync;
        upstream_space_fn *space;
    };
    void *cookie;
};

/* A call is in `calls` until its done is called or it is cancelled; while it waits for a load, also
 * among that load's waiters. Its memory reaches as far as its kind needs. */
struct cache_call {
    struct cache *cache;
    enum call_kind kind;
    struct cache_call *prev, *next;   /* in cache->calls */
    struct cache_call *wprev, *wnext; /* among load->waiters */
    struct load *load;
    struct loop_event *event;      /* an answer is at hand, or an orphan's end */
    struct upstream_call *up_call; /* UPDATE, SYNC, SPACE */
    struct bar *bar;               /* UPDATE */
    uint64_t asked;                /* cache->moment when it was */
    struct cache_done done;
    uint32_t max_value; /* NODE */
    bool apart;         /* a page did not answer it: asks for itself, without a lease */
    bool after;         /* PAGE */
    union {
        struct {
            struct key key;  /* NODE; PAGE: the parent */
            struct key from; /* PAGE */
        };
        struct fold fold; /* UPDATE */
    };
};

/* ---- Loads ---- */

enum load_kind { LOAD_PAGE, LOAD_NODE };

/* A question to the other side, shared by all who wait for the answer. It goes on without them. */
struct load {
    struct cache *cache;
    enum load_kind kind;
    struct load *prev, *next; /* in cache->loads, by hash */
    uint64_t hash;
    uint64_t sent;       /* cache->moment when it was */
    uint64_t generation; /* cache->generation then */
    struct upstream_call *up_call;
    struct cache_call *first, *last; /* waiters, in the order of their coming */
    uint32_t max_value, budget;
    bool after;
    struct key key; /* PAGE: the parent */
    struct key from;
};

/* What a load asks for. */
struct plan {
    bool lease, onward;
    uint32_t budget, entries, readahead;
};

/* Directories that are asked for one after the other, in key order. */
struct walk {
    struct key last;
    unsigned run; /* how often the next was beyond the one before */
};

/* ---- What keeps being invalidated ---- */

#define BOUNCE_SLOTS 1024
struct bounce {
    uint64_t hash;
    uint64_t since, until; /* loop_now: of the count; when leases are asked for again */
    uint64_t backoff;      /* ns */
    uint32_t count;
};

/* ---- Updates under way ---- */

struct bar {
    struct bar *prev, *next;
    struct touch *touches;
    size_t count;
};

/* ---- Leases to give back ---- */

struct release {
    uint64_t lease, due;
};

struct releases {
    struct release *items; /* by due */
    size_t head, count, cap;
    uint64_t *ready;
    size_t ready_count, ready_cap;
    struct loop_event *timer;
    uint64_t timer_due;
};

#define LOAD_BUCKETS 256

struct cache {
    struct loop *loop;
    struct upstream *up;
    const struct cache_events *events;
    void *cookie;
    size_t bytes; /* the bound */
    struct table table;
    uint64_t moment;     /* counts questions and loads, to tell which came first */
    uint64_t generation; /* counts lost leases */
    struct cache_call *calls;
    struct load *loads[LOAD_BUCKETS];
    struct walk listed, looked;
    struct bounce *bounces;
    struct bar *bars;
    struct releases releases;
    struct {
        uint64_t hits, misses, loads, readahead_pages, evictions;
        uint64_t invalidations[TOUCH_KIND_END];
        uint64_t lost, bounces;
    } stats;
};

/* ---- cache.c ---- */

/* What the table knows of a node, whether it may be served or not. */
bool cache_known_node(struct cache *cache, struct slice key, struct node *node);
/* cache_node_now and cache_page_now without counting. */
bool cache_find_node(struct cache *cache, struct slice key, uint32_t max_value, struct node *node,
                     uint64_t *until);
bool cache_find_page(struct cache *cache, struct slice parent, struct place from, struct page *page,
                     uint64_t *until);
/* Drops what is over the bound. Nothing may be borrowed. */
void cache_fit(struct cache *cache);

/* ---- call.c ---- */

/* Takes the call out of everything and frees it. */
void cache_call_end(struct cache_call *call);
/* Answers a read from memory, if that can be, and ends it. self: of the page that was loaded. */
bool cache_call_answer(struct cache_call *call, const struct node *self);
/* Ends a read with an error. */
void cache_call_fail(struct cache_call *call, int error);

/* ---- load.c ---- */

/* Joins or starts the load that the call needs. */
void load_for(struct cache_call *call);
void load_leave(struct cache_call *call);
void load_free_all(struct cache *cache);

/* ---- plan.c ---- */

struct plan plan_node(struct cache *cache, struct slice key);
struct plan plan_page(struct cache *cache, struct slice parent, struct place from);

/* ---- bounce.c ---- */

/* Something known was taken away by others. */
void bounce_note(struct cache *cache, const struct touch *touch);
/* The node, or the pages of a parent, keep being taken away: what else comes along is wasted. */
bool bounce_often(const struct cache *cache, struct slice key, bool pages);
/* So often that for now a lease is not worth asking for. */
bool bounce_off(const struct cache *cache, struct slice key, bool pages);

/* ---- bar.c ---- */

/*
 * From the moment an update is sent until it is answered, others may have seen it already: what it
 * may change is not served from memory.
 */
struct bar *bar_new(struct cache *cache, const struct update *updates, size_t count);
void bar_free(struct cache *cache, struct bar *bar);
bool bar_hits_node(const struct cache *cache, struct slice key);
/* Cuts the run of children off before the first that is barred; false when none is left. */
bool bar_cut(const struct cache *cache, struct slice parent, struct place from, struct page *page);

/* ---- fold.c ---- */

void fold_prepare(struct fold *fold, const struct update *updates, size_t count);
void fold_free(struct fold *fold);
void fold_before(struct cache *cache, struct fold *fold);
void fold_after(struct cache *cache, struct fold *fold, uint64_t stamp);

/* ---- recall.c ---- */

extern const struct upstream_events recall_events;
/* An own update changed this. */
void recall_own(struct cache *cache, const struct touch *touches, size_t count);

/* ---- release.c ---- */

/* For table.gone: keeps or gives back the lease of a page that is gone. */
void release_gone(void *cookie, uint64_t lease, enum table_gone why);
/* The leases are void. */
void release_forget(struct cache *cache);
void release_free(struct cache *cache);

#endif
