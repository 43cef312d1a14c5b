/* SPDX-License-Identifier: Apache-2.0 */
/* The semantics of updates on an open write transaction of the overlay. */
#ifndef STORE_APPLY_H
#define STORE_APPLY_H

#include "base/buf.h"
#include "store/engine.h"
#include "store/known.h"
#include "store/view.h"

#ifndef CHANGE_SLOTS
#define CHANGE_SLOTS 65536 /* listing stamps kept; directories share them by hash */
#endif

/* Listings that changed: slot and stamp. */
struct change {
    uint32_t slot;
    uint64_t stamp;
};

struct changes {
    struct change *list;
    size_t count;
    size_t cap;
};

/* The slot of a directory's key. */
uint32_t change_slot(struct slice key);

struct apply {
    const struct engine_ops *ops;
    struct engine_txn *txn;
    struct engine_cursor *cursor; /* NULL: not open */
    uint64_t now;                 /* wall clock, as the turn began */
    uint64_t stamp;               /* of the batch */
    struct changes *changes;
    struct known *known;
    struct buf *values; /* results of INCREMENT: u32 length, bytes each */
    struct buf scratch;
    struct key last; /* a node that has a value for certain, when has_last */
    bool has_last;
};

/* Closes the cursor and forgets what is known: when what was applied is taken back. */
void apply_detach(struct apply *a);

/* Frees what a holds. */
void apply_free(struct apply *a);

/* Applies one update. After an error the caller takes back what was written. */
int apply_update(struct apply *a, const struct update *u);

/* Makes sure that the cursor is open. */
int apply_cursor(struct apply *a);

/* Stamps the listing of one directory. */
void change_listing(struct apply *a, struct slice directory);

/*
 * A record at key comes, goes or changes its flags: stamps the listings this shows in; the cursor
 * moves. Only neighbours with values count as proof, because the globals view does not
 * see marks; where marks stand between, more listings than needed are stamped.
 */
int change_listings(struct apply *a, struct slice key);

/* For apply.c and move.c only. */
int apply_lookup(struct apply *a, struct slice key, struct view_node *node);
int apply_write(struct apply *a, struct slice key, uint8_t old_flags, uint8_t flags, uint64_t stamp,
                struct slice value);
int apply_remove(struct apply *a, struct slice key, const struct view_node *node);
int apply_kill(struct apply *a, struct slice key, bool *removed);
int apply_keep_parent(struct apply *a, struct slice key);
int apply_conditions(const struct update *u, const struct view_node *node,
                     const struct view_node *target);
int apply_move(struct apply *a, const struct update *u, const struct view_node *src);

#endif
