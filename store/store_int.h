/* SPDX-License-Identifier: Apache-2.0 */
/* What the store's files share: its state on the loop, and reads under way. */
#ifndef STORE_STORE_INT_H
#define STORE_STORE_INT_H

#include "store/apply.h"
#include "store/store.h"
#include "store/view.h"

struct batch;

/* Batches that one transaction takes. Belongs to the worker between run and done. */
struct job {
    struct batch *first;
    uint64_t wall;
    uint64_t last_stamp;
    struct changes changes;
};

struct store {
    struct loop *loop;
    struct engine *engine;
    struct loop_worker *worker;
    struct loop_event *start; /* pending start of a job */
    struct batch *waiting;
    struct batch **tail;
    bool running; /* a job is with the worker, or its results are being told */
    struct job job;
    uint64_t last_stamp;
    uint64_t new_limit; /* to be set when nothing is open; 0: none */
    struct store_read *reads;
    struct store_read *early; /* put off until the running job is told of, in their order */
    unsigned reading; /* read transactions open */
    bool closing;
    loop_fn *closed;
    void *closed_cookie;
    uint64_t slots[CHANGE_SLOTS]; /* listing stamps by hash of the directory's key */
};

/* Does a read inside its transaction; 0 or an error. */
typedef int read_fn(struct store_read *r);

struct store_read {
    struct store *store;
    struct store_read *next;
    struct store_read **link; /* what points to this one */
    struct loop_event *event;
    const struct store_sink *sink;
    void *cookie;
    read_fn *run;
    void (*finish)(struct store_read *r, int error); /* tells the caller; r is freed after it */
    bool running;
    bool canceled;
    bool stopped; /* the sink had enough */
    bool ended;
    struct engine_txn *txn;
    struct engine_cursor *cursor;
    enum view view;
    bool flag; /* backwards, or after */
    uint32_t max_value;
    uint32_t offset;
    uint32_t readahead, entries;
    bool onward;
    struct key key;  /* parent, top or the node */
    struct key from; /* level or key */
    /* store_plan */
    const struct update *updates;
    size_t count;
    store_plan_fn *planned;
    struct store_touch *touches;
    size_t touched;
};

/* A read that run will do in a later turn; its done is the sink's unless finish is replaced. */
struct store_read *read_new(struct store *store, read_fn *run, const struct store_sink *sink,
                            void *cookie);

/* Shows one page; most: bound of its entries, 0 for none. */
typedef int read_page_fn(struct store_read *r, struct slice parent, struct slice from, bool after,
                         uint32_t most);
/* Shows the pages of the directories that come after the page asked for. */
int read_ahead(struct store_read *r, read_page_fn *page);

/* Copies key bytes that the caller has checked; only the length is bounded once more. */
void read_copy_key(struct key *to, struct slice from);

/* A node as it is shown; its value when it is at most max_value bytes. */
struct node read_make_node(struct store_read *r, struct slice key, const struct view_node *v,
                           uint32_t max_value);

/* Shows a node to the sink. */
void read_give_node(struct store_read *r, struct slice key, const struct view_node *v);

/* Cancels every read. */
/* Runs the reads that were put off, now that the job is done. */
void store_run_early(struct store *store);
void store_cancel_reads(struct store *store);

#endif
