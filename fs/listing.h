/* SPDX-License-Identifier: Apache-2.0 */
/* What one open directory lists: the names of the current page. */
#ifndef FS_LISTING_H
#define FS_LISTING_H

#include "fs/fs.h"

struct item {
    uint32_t name_at;
    uint16_t name_len;
    uint16_t level_len; /* last level of the node's key, after the name; 0: no node */
    bool dir;
    uint64_t ino;
};

/* Where a page began: enough to fetch it again when a reader seeks back. */
struct mark {
    uint64_t first;  /* cookie before its first item */
    struct buf from; /* level after which it was read */
};

/*
 * One open directory. Items are numbered from 1 as they are first listed; the number is the
 * cookie. Only the current page is held, so deleting while listing does not shift what follows in
 * it.
 */
struct listing {
    struct item *items;
    size_t count, capacity;
    struct buf names;
    uint64_t first; /* cookie before items[0] */
    bool to_end;
    struct buf last; /* last level of the page */
    struct mark *marks;
    size_t mark_count;
    struct buf *local_names; /* listed from this mount's own knowledge: not to be listed twice */
    size_t local_count;
    struct buf more[3]; /* continued components listed that may come again soon */
    size_t more_next;
};

/* Empties the current page. */
void listing_reset(struct listing *l);
void listing_free(struct listing *l);
void listing_add(struct listing *l, struct slice name, bool dir, uint64_t ino);
/* Of the node that an item of dir stands for. False: it is none. */
bool listing_key(const struct inode *dir, const struct listing *l, const struct item *it,
                 struct key *key);
/* What this mount alone knows of below dir. */
void listing_add_locals(struct fs *fs, struct inode *dir, struct listing *l);
/* false: the entry lies beyond the names that begin as this directory says. */
bool listing_add_entry(struct inode *dir, struct listing *l, const struct entry *e);

#endif
