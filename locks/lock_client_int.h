/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the client's side of locks: owners, the locks it keeps, calls under way. */
#ifndef LOCKS_LOCK_CLIENT_INT_H
#define LOCKS_LOCK_CLIENT_INT_H

#include "locks/lock_client.h"
#include "base/buf.h"

#include <bsd/sys/queue.h>
#include <bsd/sys/tree.h>

/* An owner that holds something, waits, or whose label is on an idle lock. */
struct client_owner {
    RB_ENTRY(client_owner) tree;
    uint64_t id;
    size_t held;            /* kept locks that it uses */
    size_t calls;           /* LOCKs under way at the server */
    size_t told;            /* of these, granted here already */
    size_t unlocks;         /* UNLOCKs under way */
    bool plain;             /* has locks that cannot be kept; until it unlocks all */
    LIST_HEAD(, kept) kept; /* that it uses */
    struct kept *idle;      /* the one that bears its label, or NULL */
};

/* A lock of one whole name that may be kept. */
struct kept {
    RB_ENTRY(kept) tree;
    TAILQ_ENTRY(kept) idle;
    LIST_ENTRY(kept) of_owner;  /* unless it is idle */
    struct client_owner *label; /* whose it is for the server, and here unless it is idle */
    bool is_idle, exclusive;
    bool wanted;     /* by the server: it goes back when its owner is done */
    unsigned passes; /* here, since the server granted it */
    uint64_t stamp;
    size_t len;
    uint8_t name[];
};

/* A lock_client_lock, from the call to its done; or until the server has answered, if that is
 * later. */
struct lock_call {
    TAILQ_ENTRY(lock_call) all;
    struct lock_client *client;
    struct client_owner *owner;
    struct loop_event *soon; /* tells done */
    void *upstream;          /* call under way, or NULL */
    bool keepable, exclusive, told;
    uint64_t stamp;
    call_lock_fn *done;
    void *cookie;
    uint64_t process;
    struct buf text;
    size_t len;
    uint8_t name[]; /* when keepable */
};

/* An UNLOCK at the server. */
struct client_unlock {
    TAILQ_ENTRY(client_unlock) all;
    struct lock_client *client;
    struct client_owner *owner;
    bool raced; /* a LOCK of this owner was under way */
    call_done_fn *done;
    void *cookie;
};

RB_HEAD(kept_tree, kept);
RB_HEAD(owner_tree, client_owner);

struct lock_client {
    struct loop *loop;
    struct lock_upstream up;
    struct kept_tree kept;
    struct owner_tree owners;
    TAILQ_HEAD(, kept) idle;       /* the oldest first */
    TAILQ_HEAD(, lock_call) calls; /* in their order */
    TAILQ_HEAD(, client_unlock) unlocks;
    LIST_HEAD(, unlocked) unlocked; /* without the server, and not yet told */
    struct lock_client_stats stats;
};

/* ---- lock_client_kept.c ---- */

#define CLIENT_TREE __attribute__((unused))
RB_PROTOTYPE_INTERNAL(kept_tree, kept, tree, kept_compare, CLIENT_TREE)
RB_PROTOTYPE_INTERNAL(owner_tree, client_owner, tree, client_owner_compare, CLIENT_TREE)

struct client_owner *client_owner_find(struct lock_client *c, uint64_t id);
struct client_owner *client_owner_get(struct lock_client *c, uint64_t id);
/* Frees it when nothing refers to it. */
void client_owner_check(struct lock_client *c, struct client_owner *o);
/* Before an owner asks the server for anything, its idle lock goes back. */
void client_owner_clear(struct lock_client *c, struct client_owner *o);

static inline struct slice kept_name(const struct kept *k)
{
    return slice_of(k->name, k->len);
}

/* The first with this name, whatever its label; then RB_NEXT while the name is the same. */
struct kept *kept_first(struct lock_client *c, struct slice name);
struct kept *kept_find(struct lock_client *c, uint64_t label, struct slice name);
/* Into and out of its label's list of locks in use. */
void kept_use(struct kept *k);
void kept_unuse(struct kept *k);
/* Used, it becomes idle; the oldest of too many that are idle goes back. */
void kept_make_idle(struct lock_client *c, struct kept *k);
void kept_end_idle(struct lock_client *c, struct kept *k);
/* To one that uses it; it is in no owner's list now. */
void kept_relabel(struct lock_client *c, struct kept *k, struct client_owner *to);
/* Forgets it. The label is still the owner's; it may be gone afterwards. */
void kept_drop(struct lock_client *c, struct kept *k);
void kept_unlock(struct lock_client *c, const struct kept *k, call_done_fn *done, void *cookie);
/* Unlocks and forgets it. */
void kept_give_back(struct lock_client *c, struct kept *k);
/* Parts of it get modes of their own: from now on the server alone knows. */
void kept_split(struct lock_client *c, uint64_t owner, struct slice name);

/* ---- lock_client_unlock.c ---- */

/* UNLOCK, asked of the server. done may be NULL. */
void client_unlock(struct lock_client *c, struct client_owner *o,
                   const struct call_lock_item *items, size_t count, call_done_fn *done,
                   void *cookie);

/* Nobody is told of what was unlocked without the server. */
void unlocked_forget(struct lock_client *c);

/* ---- lock_client.c ---- */

/* It is granted by a lock that was passed on here. Its done comes from the loop. */
void lock_call_grant(struct lock_call *call, uint64_t stamp);

static inline bool item_is_whole(const struct call_lock_item *item)
{
    return !item->counted && item->start == 0 && (item->end == 0 || item->end == UINT64_MAX);
}

#endif
