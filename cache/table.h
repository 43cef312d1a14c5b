/* SPDX-License-Identifier: Apache-2.0 */
/* The pages that a cache holds: by parent, and in the order of their eviction. */
#ifndef CACHE_TABLE_H
#define CACHE_TABLE_H

#include "cache/page.h"

/*
 * The pages of one parent, in order, none overlapping another. The parent's ancestors have dirs
 * too, so that what lies below a node is found; a dir without pages and children is freed.
 */
struct dir {
    struct dir *next;                            /* in its bucket */
    struct dir *above, *child, *before, *behind; /* parent's dir, first child's, siblings */
    uint64_t hash;
    struct cpage **pages;
    struct cpage *one; /* where `pages` points while there is but one */
    size_t count, cap;
    uint16_t key_len;
    uint8_t key[];
};

/* Why a page goes, which tells what becomes of its lease. */
enum table_gone {
    GONE_EVICTED,   /* for room, or as nothing in it is known any more */
    GONE_REPLACED,  /* a newer page covers it */
    GONE_TOUCHED,   /* what is in it is no longer true */
    GONE_TAKEN_BACK /* the other side holds the lease no longer */
};

struct table {
    struct dir **buckets;
    size_t bucket_count; /* a power of two */
    size_t dirs, pages;
    size_t bytes;
    struct cpage *oldest, *newest;
    struct cpage *root; /* the page that knows the root's self, or NULL */
    /* Called for each lease that is not needed any more, other than in table_clear. */
    void (*gone)(void *cookie, uint64_t lease, enum table_gone why);
    void *cookie;
};

void table_init(struct table *t, void (*gone)(void *cookie, uint64_t lease, enum table_gone why),
                void *cookie);
/* Drops every page. */
void table_clear(struct table *t);
void table_free(struct table *t);

uint64_t table_hash(struct slice key);
struct dir *table_dir(const struct table *t, struct slice parent, uint64_t hash);
/* The same, made when there is none. */
struct dir *dir_need(struct table *t, struct slice parent, uint64_t hash);
/* Frees the dir if it has neither pages nor children, and then so those above. */
void dir_prune(struct table *t, struct dir *dir);
void dir_free(struct table *t, struct dir *dir);
void dir_add(struct table *t, struct dir *dir, struct cpage *p);
/* Takes the page out of its dir, which stays. */
void dir_remove(struct cpage *p);
/* Index of the first page that begins after the place. */
size_t dir_upper(const struct dir *dir, struct place at);
/* The page that covers the place, or NULL. */
struct cpage *dir_page(const struct dir *dir, struct place at);
/* The last page that begins before or at the place, or NULL. */
struct cpage *dir_page_before(const struct dir *dir, struct place at);

/*
 * Newer than anything held: what overlaps makes way. Within one old page it is spliced in, and the
 * old page's lease covers it. The table takes a copy. budget is remembered in the page.
 */
void table_insert(struct table *t, const struct page *page, uint32_t budget);

/* Lays a touch on. Returns whether something known was hit. */
bool table_touch(struct table *t, const struct touch *touch);

/* Fills a hole with what is true now, unless there is none or filling it is too much work. */
void table_fill(struct table *t, struct slice key, const struct node *node);

/* Whether a sibling of the node is known to exist, in the page where the node would be. */
bool table_has_other(struct table *t, struct slice key);

/* Gives an entry that is known its value. */
void table_attach(struct table *t, struct slice key, struct slice value);

/* Drops pages until no more than `bytes` are taken. Returns how many. */
size_t table_evict(struct table *t, size_t bytes);

#endif
