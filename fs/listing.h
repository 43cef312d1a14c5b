/* SPDX-License-Identifier: Apache-2.0 */
/* What one open directory lists: the names of the current page. */
#ifndef FS_LISTING_H
#define FS_LISTING_H

#include "fs/op.h"

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
 *
 * What the kernel keeps of a listing it reads to other handles, too, and comes back to us in the
 * middle with a cookie that this handle never gave out. So there cookies are of names.
 */
struct listing {
    struct item *items;
    size_t count, capacity;
    struct buf names;
    uint64_t first;       /* number before that of items[0] */
    uint64_t until;       /* loop_now() up to which the page may be served; 0: not leased */
    bool kept;            /* by the kernel */
    size_t known;         /* nodes of an answer which it knows then, */
    uint64_t known_until; /* and loop_now() up to which it knows them all */
    bool to_end;
    struct buf last; /* last level of the page */
    struct mark *marks;
    size_t mark_count;
    struct buf *local_names; /* listed from this mount's own knowledge: not to be listed twice */
    size_t local_count;
    struct buf more[3]; /* continued components listed that may come again soon */
    size_t more_next;
    TAILQ_ENTRY(listing) told_link; /* in fs->told */
    const struct inode *told_of;    /* NULL: not in it */
    uint64_t told_number, told_at, told_epoch;
};

/* Empties the current page. */
void listing_reset(struct listing *l);
/* As it was when the directory was opened. */
void listing_restart(struct listing *l);
void listing_free(struct listing *l);
void listing_add(struct listing *l, struct slice name, bool dir, uint64_t ino);
/* What comes with items[i], for who goes on behind it: a number of 31 bits or the item's number. */
uint64_t listing_cookie(const struct listing *l, size_t i);
/* Of a listing that is kept: the number of the item with that cookie, in the current page; or 0. */
uint64_t listing_find(const struct listing *l, uint64_t cookie);
/* Of the node that an item of dir stands for. False: it is none. */
bool listing_key(const struct inode *dir, const struct listing *l, const struct item *it,
                 struct key *key);
/* What this mount alone knows of below dir, and whether there is such. */
void listing_add_locals(struct fs *fs, struct inode *dir, struct listing *l);
bool listing_has_locals(struct fs *fs, const struct inode *dir);
/*
 * The kernel takes the names of a READDIRPLUS as of the epoch that it has when it comes to them,
 * not of the one when they were asked for. So until it is known that it has them, or long enough
 * ago that they were told, they may be taken into an epoch that has begun since. It has them when
 * the same open directory asks for more, or is closed.
 */
void listing_told(struct fs *fs, const struct inode *dir, struct listing *l);
void listing_taken(struct fs *fs, struct listing *l);
/* The number of the last told of a directory that may not have been taken yet; 0: none. */
uint64_t listing_last_told(const struct fs *fs, struct slice dir);
/* Whether one up to that number may not have been taken yet. */
bool listing_is_under_way(const struct fs *fs, uint64_t number);
/* The oldest epoch in which one was told that may not have been taken yet; fs->epoch if none. */
uint64_t listing_told_epoch(const struct fs *fs);
/* What there is room for of the current page, from op->offset on. */
void listing_answer(struct op *op, struct listing *l);
/* false: the entry lies beyond the names that begin as this directory says. */
bool listing_add_entry(struct inode *dir, struct listing *l, const struct entry *e);

#endif
