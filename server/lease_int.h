/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the lease table: lease.c has holders and time, lease_page.c pages, lease_flight.c the
 * touches of batches under way, lease_recall.c recalls and invalidations. */
#ifndef SERVER_LEASE_INT_H
#define SERVER_LEASE_INT_H

#include <bsd/sys/queue.h>
#include <bsd/sys/tree.h>
#include "base/mutation.h"
#include "server/lease.h"

/* How the trees' functions are defined: in one file, not all of them used. */
#define LEASE_TREE __attribute__((unused)) static

/* A page that one holder has. Ordered by parent, first, holder and number. */
struct lease_page {
    RB_ENTRY(lease_page) tree;
    struct lease_page *furthest; /* of this page's subtree in the tree: the one that ends last */
    struct lease_holder *holder;
    TAILQ_ENTRY(lease_page) of_holder; /* by number */
    SLIST_ENTRY(lease_page) chain;     /* in the table by number */
    uint64_t number;
    uint16_t parent_len, first_len, last_len;
    bool to_end;
    bool reclaimed;  /* asked back for want of room */
    uint8_t bytes[]; /* parent, first, last */
};
RB_HEAD(lease_pages, lease_page);
TAILQ_HEAD(lease_page_list, lease_page);
SLIST_HEAD(lease_page_chain, lease_page);

static inline struct slice lease_page_parent(const struct lease_page *p)
{
    return slice_of(p->bytes, p->parent_len);
}

static inline struct slice lease_page_first(const struct lease_page *p)
{
    return slice_of(p->bytes + p->parent_len, p->first_len);
}

static inline struct slice lease_page_last(const struct lease_page *p)
{
    return slice_of(p->bytes + p->parent_len + p->first_len, p->last_len);
}

/* A touch in flight. Ordered by parent and last level. Those of one key are a ring in the order of
 * their recalls, of which the first is in the tree. */
struct lease_flight {
    RB_ENTRY(lease_flight) tree;
    struct lease_flight *next, *prev;
    struct lease_recall *recall;
    struct slice key;
    uint16_t parent_len;
    bool first, subtree, shared;
};
RB_HEAD(lease_flights, lease_flight);

/* An invalidation sent and not answered: by its holder and (unless given up) its recall. */
struct lease_notice {
    TAILQ_ENTRY(lease_notice) of_holder;
    LIST_ENTRY(lease_notice) of_recall;
    struct lease_holder *holder;
    struct lease_recall *recall; /* NULL: no update waits for it */
    uint64_t serial;
    uint64_t sent;         /* time */
    uint64_t highest;      /* last number granted before it was sent */
    struct touch *touches; /* until sent */
    size_t count, room;
    struct buf drops; /* what the answer takes out of the table: u8 kind, bytes16 key each */
};
TAILQ_HEAD(lease_notices, lease_notice);
LIST_HEAD(lease_recall_notices, lease_notice);

struct lease_holder {
    struct lease_table *table;
    TAILQ_ENTRY(lease_holder) list;
    uint64_t order; /* among the table's holders */
    uint64_t term, heard;
    uint64_t last_serial;
    char *name;
    lease_send_fn *send; /* NULL: its session is over */
    lease_overdue_fn *overdue;
    void *cookie;
    struct lease_page_list pages;
    size_t page_count;
    size_t reclaiming; /* pages asked back for want of room */
    struct lease_notices notices;
    struct lease_notice *collecting; /* for the recall that is being sent */
    struct loop_event *timer;        /* while notices are out, or its session is over */
};
TAILQ_HEAD(lease_holders, lease_holder);

struct lease_recall {
    struct lease_table *table;
    LIST_ENTRY(lease_recall) list;
    struct lease_holder *own;
    uint64_t began;
    bool coarse;
    bool waited;
    size_t waiting; /* notices */
    struct lease_recall_notices notices;
    struct touch *own_touches;
    loop_fn *done;
    void *cookie;
    size_t count;
    struct lease_flight flights[];
};
LIST_HEAD(lease_recalls, lease_recall);

struct lease_table {
    struct loop *loop;
    struct lease_config config;
    bool (*remember)(void *cookie, uint64_t term);
    void (*forget)(void *cookie);
    void *memory; /* their cookie */
    struct lease_stats stats;
    struct lease_pages pages;
    struct lease_page_chain *chains; /* by number */
    size_t chain_count;              /* a power of two */
    struct lease_flights flights;
    size_t subtrees; /* in flights */
    size_t exact;    /* recalls that are not coarse */
    struct lease_recall *nobody; /* of all batches for which nobody had to be asked */
    size_t nobody_count;         /* of those batches under way */
    struct lease_recalls recalls;
    struct lease_holders holders;
    struct lease_holder *former; /* stands for the clients of an earlier process, or NULL */
    size_t holding;              /* holders that have pages */
    size_t reclaiming;           /* pages asked back for want of room */
    uint64_t last_number, last_order;
    uint64_t remembered; /* longest term told to remember; 0: forgotten */
    uint64_t wanted_until;
    struct loop_event *idle;    /* forgets, when still empty */
    struct loop_event *reclaim; /* asks pages back */
};

/* ---- lease.c ---- */

static inline uint64_t lease_end(const struct lease_holder *holder)
{
    return holder->heard + holder->term + (MUTATION(MUTATION_NO_LAPSE) ? 3600 * LOOP_SEC : 0);
}

/* Sees to it that the holder's lease end is looked at. */
void lease_watch(struct lease_holder *holder);
/* The holder's lease is over: all it has goes, and nobody waits for it any more. */
void lease_lapse(struct lease_holder *holder);
/* Pages went: perhaps the last. */
void lease_idle(struct lease_table *table);

/* ---- lease_page.c ---- */

void lease_page_drop(struct lease_page *page);
/* Calls hit for pages that a touch of key hits; it returns false to stop. It changes no pages. */
typedef bool lease_hit_fn(void *cookie, struct lease_page *page);
void lease_pages_hit(struct lease_table *table, struct slice key, bool subtree, lease_hit_fn *hit,
                     void *cookie);
/* Drops the holder's pages numbered at most highest: below key, or (not below) of parent key. */
void lease_pages_drop(struct lease_holder *holder, struct slice key, bool below, uint64_t highest);

/* ---- lease_flight.c ---- */

void lease_flight_add(struct lease_recall *recall, const struct store_touch *touch);
void lease_flight_remove(struct lease_recall *recall);
/* Whether a touch in flight hits the page. */
bool lease_flight_hits(struct lease_table *table, struct slice parent, struct slice first,
                       struct slice last, bool to_end);

/* ---- lease_recall.c ---- */

/* Asks pages back, the oldest first: of one holder, or (NULL) of the one that has most. */
void lease_reclaim(struct lease_table *table, struct lease_holder *holder);
/* A notice is answered or lapsed: unlinks and frees it. Its recall's done may be called. */
void lease_notice_end(struct lease_notice *notice);

#endif
