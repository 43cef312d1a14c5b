/* SPDX-License-Identifier: Apache-2.0 */
/* The lease table of one store: which session holds which pages, and their recall for updates. */
#ifndef SERVER_LEASE_H
#define SERVER_LEASE_H

#include "base/buf.h"
#include "base/loop.h"
#include "base/model.h"
#include "store/store.h"

/*
 * All on the loop's thread; no sockets and no store here. Whoever reads a page and grants it does
 * both in one turn of the loop, and sends page and invalidations in the order of these calls.
 *
 * A holder is one client session. Its lease ends a term after it was last heard. Pages of a holder
 * whose lease is over are forgotten when an update needs them gone.
 */
struct lease_table;
struct lease_holder;
struct lease_recall;

#ifndef LEASE_PAGES_MAX
#define LEASE_PAGES_MAX  1000000 /* pages a table keeps; one holder may have a quarter */
#endif
#define LEASE_EXACT_MAX  256     /* updates in a batch that is planned; larger ones are coarse */
#define LEASE_TOUCH_MAX  2048    /* touches of a plan; with more the batch is coarse */
#define LEASE_REPLAN_MAX 8       /* plans in vain, after which a batch goes next */

/* A field that is 0 takes its default. */
struct lease_config {
    size_t max_pages;  /* LEASE_PAGES_MAX */
    size_t max_holder; /* a quarter of max_pages */
};

struct lease_stats {
    size_t pages, bytes; /* bytes: of memory for pages */
    size_t holders;      /* sessions that have asked for leases, and gone ones whose lease runs */
    size_t touches;      /* in flight */
    uint64_t granted, refused, reclaimed;
    uint64_t sent[TOUCH_KIND_END]; /* touches in invalidations, by kind */
    uint64_t invalidations, answered, lapsed;
    uint64_t recalls, waited; /* and how many had to wait */
    uint64_t longest_wait;    /* ns */
};

/* config may be NULL. */
struct lease_table *lease_table_new(struct loop *loop, const struct lease_config *config);
/* Frees holders (their sessions know them no longer) and pages. No recall may be left. */
void lease_table_free(struct lease_table *table);
const struct lease_stats *lease_table_stats(const struct lease_table *table);
/*
 * remember is called before the first lease is given out: from now on some may run for up to term
 * ns after a crash. False: none may be given. forget: none is out, and was not for a while.
 */
void lease_table_remember(struct lease_table *table, bool (*remember)(void *cookie, uint64_t term),
                          void (*forget)(void *cookie), void *cookie);
/* At the end: forgets now, if no lease is out. */
void lease_table_forget(struct lease_table *table);
/* Leases that an earlier process gave out run for so many ns at most: recalls wait for that. Only
 * before the table has given out leases of its own. */
void lease_table_grace(struct lease_table *table, uint64_t time);
/* Whether anybody holds or has lately wanted leases, so that recalls should be exact. */
bool lease_table_wanted(struct lease_table *table);
/* True when no page is held by anyone, nor can be by clients of an earlier process. */
bool lease_table_empty(const struct lease_table *table);

/* ---- Holders ---- */

/* Sends MSG_INVALIDATE; slices are borrowed. Must not call back into the table. */
typedef void lease_send_fn(void *cookie, uint64_t serial, const struct touch *touches,
                           size_t count);

/*
 * The client is heard, so that its lease goes on, but has not answered an invalidation for a term:
 * its session must end, for others wait. Called from the loop; may end the holder.
 */
typedef void lease_overdue_fn(void *cookie);

/* name is for the log (copied). term in ns. */
struct lease_holder *lease_holder_new(struct lease_table *table, uint64_t term, const char *name,
                                      lease_send_fn *send, lease_overdue_fn *overdue, void *cookie);
/* The client was heard at this loop_now(). */
void lease_heard(struct lease_holder *holder, uint64_t when);
/*
 * The session is over, the handle dead. certain: its client serves nothing any more (it said so),
 * and all its leases end now; else they run out by time.
 */
void lease_holder_end(struct lease_holder *holder, bool certain);
/* Whether an invalidation was sent that is not answered yet. */
bool lease_owes(const struct lease_holder *holder);

/* ---- Pages ---- */

/*
 * Leases the page [first, last] of parent (to_end: last does not matter), just read. Returns its
 * number, rising; 0: not leased, for an update is under way there, or there is no room now. The
 * same range held already gets the new number instead of its old one.
 */
uint64_t lease_grant(struct lease_holder *holder, struct slice parent, struct slice first,
                     struct slice last, bool to_end);
/* Given back. Numbers not held (any more) are ignored. */
void lease_release(struct lease_holder *holder, uint64_t number);

/* ---- Recalls ---- */

/*
 * The recall of a batch that must wait for its end before it may be planned, or NULL. A coarse
 * batch covers whole globals and rests on no plan: such ones do not wait for each other.
 */
struct lease_recall *lease_conflict(struct lease_table *table, const struct store_touch *touches,
                                    size_t count, bool coarse);

/*
 * From now on no page that overlaps is leased, until lease_recall_end. Each holder of one, except
 * own (may be NULL), gets one invalidation. Keys must stay as long as the recall. done is called
 * when all have answered or run out of their lease; not at all when lease_recall_ready at once;
 * done may be NULL.
 */
struct lease_recall *lease_recall(struct lease_table *table, struct lease_holder *own,
                                  const struct store_touch *touches, size_t count, bool coarse,
                                  loop_fn *done, void *cookie);
/*
 * The same for a batch that is not exact, whatever it touches, while there is nobody to ask: no
 * page is held, none is wanted, and no exact batch is under way. NULL: then lease_recall it is.
 * Until its lease_recall_end no page at all is leased, and exact batches conflict with it.
 */
struct lease_recall *lease_recall_nobody(struct lease_table *table);
bool lease_recall_ready(const struct lease_recall *recall);
/*
 * What hits pages of the recall's own holder, for MSG_APPLIED; lives as long as the recall. Pages
 * wholly below a subtree are taken back from it by an invalidation of their own.
 */
size_t lease_recall_own(struct lease_recall *recall, const struct touch **touches);
/* The batch is applied, or given up (then done is not called any more). Frees. False: others still
 * have the same recall, and what conflicts with it still does. */
bool lease_recall_end(struct lease_recall *recall);

/* MSG_INVALIDATED. ECP_EPROTO for a serial never sent. */
int lease_answered(struct lease_holder *holder, uint64_t serial);

#endif
