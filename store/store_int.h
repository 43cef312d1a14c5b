/* SPDX-License-Identifier: Apache-2.0 */
/* What the store's files share: its state on the loop, and reads under way. */
#ifndef STORE_STORE_INT_H
#define STORE_STORE_INT_H

#include <bsd/sys/queue.h>

#include "store/apply.h"
#include "store/checkpoint.h"
#include "store/ledger.h"
#include "store/overlay.h"
#include "store/recovery.h"
#include "store/store.h"
#include "store/view.h"

/* Updates that are applied together; of those that wait and those that are done there is a list. */
struct batch {
    struct batch *next;
    struct store *store;
    const struct update *updates;
    size_t count;
    struct store_source source;
    uint64_t given; /* its stamp, when it is applied again; else 0 */
    store_done_fn *done;
    void *cookie;
    int error;
    uint32_t failed;
    uint64_t stamp;
    uint64_t mark; /* of the journal behind it */
    struct buf values;
};

TAILQ_HEAD(store_reads, store_read);

/* Somebody to be told when the journal is durable up to a mark. */
struct waiter {
    struct waiter *next;
    uint64_t mark;
    store_sync_fn *done;
    void *cookie;
};

/*
 *   IDLE --freeze--> SYNCING --journal durable--> WRITING --> IDLE
 *                       ^                            |
 *                       +------- RETRY <--no room----+
 *
 * The frozen layer is the checkpoint's from the freeze until it is IDLE again. When it has been
 * written, the worker frees its memory, before another one may be frozen.
 */
enum checkpoint_state { CHECKPOINT_IDLE, CHECKPOINT_SYNCING, CHECKPOINT_WRITING, CHECKPOINT_RETRY };

/* Belongs to the worker while WRITING. */
struct checkpoint {
    enum checkpoint_state state;
    struct store_facts facts; /* as it will write them */
    struct buf sessions;      /* of the facts */
    uint64_t mark;            /* of the journal, to be durable first */
    uint64_t oldest;          /* journal segment that stays */
    uint64_t made;            /* number after the last segment made */
    struct layer *written; /* to be freed */
    int error;
    int told;  /* the last error that was logged, until one succeeds */
    bool last; /* the store closes after it */
    struct loop_event *retry;
};

struct store {
    struct loop *loop;
    struct overlay *overlay;
    struct engine *engine; /* the overlay, as an engine */
    struct store_options options;
    char *directory;
    struct loop_event *turn; /* a turn of applying that will come */
    struct batch *waiting;
    struct batch **tail;
    struct batch *spare; /* batches that were told of */
    struct batch *deferred; /* until nothing is applied again any more */
    struct buf log;         /* operations of the batch being applied */
    struct ledger *ledger;
    struct buf notes;       /* of the ledger, to go with the next record */
    struct changes changes; /* of the turn */
    struct known *known;
    bool awaiting_room;     /* journal_make_room is under way */
    bool want_checkpoint;   /* as soon as there is something to write */
    bool room_told;         /* and the log says so */
    bool no_room;           /* it failed: what finds no room is refused in the next turn */
    int failed;             /* no update is taken any more */
    struct journal *journal;
    uint64_t oldest;        /* journal segment that may exist */
    uint64_t first_segment; /* that the journal will begin with */
    struct waiter *waiters, **waiters_tail;
    struct loop_event *told; /* waiters will be told */
    struct loop_worker *worker;
    struct checkpoint checkpoint;
    struct loop_event *checkpoint_timer;
    uint64_t checkpointed;   /* mark of the journal at the last freeze */
    uint64_t checkpoints;    /* written since the start */
    uint64_t checkpoint_at;  /* when the last of them was: ns since the epoch */
    struct engine_stat stat; /* of the base, as of the last checkpoint */
    struct store_facts facts;
    uint64_t last_stamp; /* of what was applied, here or before the start */
    uint64_t floor;      /* stamps to come are greater, but for those of what is applied again */
    bool replaying;      /* store_replayed has not been called, and something may come */
    uint64_t new_limit; /* to be set when nothing is open; 0: none */
    struct store_reads reads;
    struct loop_event *read_turn; /* reads will be done */
    uint64_t read_count;          /* ever registered; numbers them */
    unsigned reading;             /* read transactions open */
    bool closing;
    loop_fn *closed;
    void *closed_cookie;
    uint64_t slots[CHANGE_SLOTS]; /* listing stamps by hash of the directory's key */
};

/* ---- store_update.c ---- */

/* The store closes: what was deferred is not done. */
void store_drop_deferred(struct store *s);
/* Goes on with the batches that wait, in a later turn. */
void store_turn(struct store *s);

/* ---- store_room.c ---- */

#define STORE_WAIT (-1) /* beside enum ecp_error: there will be room, and store_turn is called */

/* Whether what the batch came to (s->log) finds room: 0, STORE_WAIT or an error. anything_before:
 * a checkpoint would tell more exactly. */
int store_room(struct store *s, const struct batch *b, bool anything_before);
/* The active layer has all the memory that it may have. */
bool store_memory_full(const struct store *s);

/* ---- store_tell.c ---- */

/* Tells of a batch, whose memory then is the store's. */
void store_tell_batch(struct batch *b);
/* Tells of batches in order, as configured when they are durable: failures take their turn too. */
void store_tell_batches(struct store *s, struct batch *first);
/* Frees those kept for reuse. */
void store_free_batches(struct store *s);
/* Tells those whose mark has been reached, or all when the journal has failed. */
void store_tell_waiters(struct store *s);

/* ---- store_session.c ---- */

/* Replaces buf by the notes of the ledger; its data is not NULL then. */
void store_sessions_save(struct store *s, struct buf *notes);
/* What became of a batch, also when there is no record of it in the journal. */
void store_session_result(struct store *s, struct store_source source,
                          const struct ledger_outcome *outcome, bool journaled);
/* Moves the notes that wait to the end of ops. */
void store_session_notes(struct store *s, struct buf *ops);

/* ---- checkpoint.c ---- */

/* Begins one when it is time; goes on with one that waits for the journal. */
void checkpoint_consider(struct store *s);
/* The last one, if need be: true when there is something to wait for. */
bool checkpoint_close(struct store *s);
/* Sets the limit that was asked for, when nothing is open. */
void checkpoint_limit(struct store *s);

/* ---- recovery.c ---- */

/* Brings the overlay to where the journal ends, and begins a new segment. */
int recovery_run(struct store *s, char **why);

/* ---- store.c ---- */

/* Ends the closing when nothing is under way any more. */
void store_closing(struct store *s);

/* Does a read inside its transaction; 0 or an error. */
typedef int read_fn(struct store_read *r);

struct store_read {
    struct store *store;
    TAILQ_ENTRY(store_read) link;
    uint64_t number;
    const struct store_sink *sink;
    void *cookie;
    read_fn *run;
    void (*finish)(struct store_read *r, int error); /* tells the caller; r is freed after it */
    bool running;
    bool canceled;
    bool stopped; /* the sink had enough */
    bool ended;
    struct engine_cursor *cursor; /* while it runs */
    enum view view;
    bool flag; /* backwards, or after */
    uint32_t max_value;
    uint32_t offset;
    uint32_t readahead, entries;
    bool onward;
    struct slice key;  /* parent, top or the node */
    struct slice from; /* level or key */
    /* store_plan */
    const struct update *updates;
    size_t count;
    store_plan_fn *planned;
    struct store_touch *touches;
    size_t touched;
    uint8_t bytes[]; /* of key and from */
};

/* A read that run will do in a later turn; its done is the sink's unless finish is replaced. key
 * and from are copied: the caller has checked them, only their lengths are bounded once more. */
struct store_read *read_new(struct store *store, read_fn *run, struct slice key, struct slice from,
                            const struct store_sink *sink, void *cookie);

/* Shows one page; most: bound of its entries, 0 for none. */
typedef int read_page_fn(struct store_read *r, struct slice parent, struct slice from, bool after,
                         uint32_t most);
/* Shows the pages of the directories that come after the page asked for. */
int read_ahead(struct store_read *r, read_page_fn *page);

/* A node as it is shown; its value when it is at most max_value bytes. */
struct node read_make_node(struct store_read *r, struct slice key, const struct view_node *v,
                           uint32_t max_value);

/* Shows a node to the sink. */
void read_give_node(struct store_read *r, struct slice key, const struct view_node *v);

/* Cancels every read. */
void store_cancel_reads(struct store *store);

#endif
