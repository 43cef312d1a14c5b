/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of what is remembered of a client's locks: owners, their names, and modes by range. */
#ifndef LOCKS_LOCK_HELD_INT_H
#define LOCKS_LOCK_HELD_INT_H

#include <bsd/sys/tree.h>

#include "base/buf.h"
#include "locks/lock_held.h"
#include "locks/lock_table.h"

#define LOCK_NONE (-1) /* no mode */

struct held_range {
    uint64_t start, end;
    bool exclusive;
};

/* What one owner holds of a name; exists while that is anything. */
struct held_name {
    RB_ENTRY(held_name) tree;
    bool delegable;
    uint32_t count[2];         /* of counted locks, by mode */
    uint32_t leaving[2];       /* of these, while it is declared: may have been unlocked */
    struct held_range *ranges; /* rising; those that touch differ in mode */
    size_t range_count, range_room;
    size_t len;
    uint8_t name[];
};
RB_HEAD(held_names, held_name);

/* Exists while it holds a name. Group, process and text are those of its first lock. */
struct held_owner {
    RB_ENTRY(held_owner) tree;
    uint64_t id;
    bool grouped;
    uint8_t group[LOCK_GROUP_LEN];
    uint64_t process;
    struct buf text;
    struct held_names names;
};
RB_HEAD(held_owners, held_owner);

#define HELD_TREE __attribute__((unused))
RB_PROTOTYPE_INTERNAL(held_names, held_name, tree, held_name_compare, HELD_TREE)
RB_PROTOTYPE_INTERNAL(held_owners, held_owner, tree, held_owner_compare, HELD_TREE)

static inline struct slice held_name_slice(const struct held_name *n)
{
    return slice_of(n->name, n->len);
}

static inline uint64_t held_end(const struct call_lock_item *item)
{
    return item->end ? item->end : LOCK_RANGE_END;
}

struct held_owner *held_owner_find(struct held_owners *owners, uint64_t id);
/* NULL: it holds nothing of that name. */
struct held_name *held_name_find(struct held_owner *owner, struct slice name);

/* Granted to the owner. */
void held_add(struct held_owners *owners, const struct call_lock_who *who,
              const struct call_lock_item *items, size_t count, bool delegable);
/* Taken back; count 0: all that it holds. */
void held_take(struct held_owners *owners, uint64_t owner, const struct call_lock_item *items,
               size_t count);
/* All that it holds of a name. */
void held_take_name(struct held_owners *owners, uint64_t owner, struct slice name);
/* What `from` holds of a name, unless there are counted locks, is now held by another: its
 * mode. LOCK_NONE: nothing is passed. */
int held_pass(struct held_owners *owners, uint64_t from, const struct call_lock_who *to,
              struct slice name, bool delegable);
/* What is exclusive in the item's range becomes shared. False: there was nothing. */
bool held_weaken(struct held_name *name, const struct call_lock_item *item);
/* Frees the name, and then its owner, when it holds nothing. */
void held_check(struct held_owners *owners, struct held_owner *owner, struct held_name *name);
void held_clear(struct held_owners *owners);

#endif
