/* SPDX-License-Identifier: Apache-2.0 */
/* A database: nodes and their semantics over an engine. Reads and update batches, both by callback.
 */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include "base/buf.h"
#include "base/error.h"
#include "base/loop.h"
#include "base/model.h"
#include "store/engine.h"
#include "store/journal.h"
#include "store/journal_keep.h"

struct io;
struct store;
struct store_read; /* a read under way */

#define STORE_OVERLAY_DEFAULT (UINT64_C(64) << 20)
#define STORE_SEGMENT_DEFAULT (UINT64_C(16) << 20)
#define STORE_JOURNAL_DEFAULT (UINT64_C(256) << 20)
#define STORE_PIECE_DEFAULT   8192

/* How a database is kept. Zero-initialise; what is 0 has its default. */
struct store_options {
    struct io *io;              /* NULL: unjournaled */
    const char *directory;      /* of the journal; exists, locked by the caller; copied */
    enum durability durability; /* store/journal.h */
    uint64_t interval;          /* ns, for DURABILITY_INTERVAL */
    bool wait_durable;          /* with DURABILITY_COMMIT: store_apply's done waits for the disk */
    uint64_t overlay_bytes;     /* memory for updates not yet in the engine; twice that in use */
    uint64_t journal_bytes;     /* journal after which a checkpoint begins */
    uint64_t segment_bytes;     /* of a journal file */
    uint32_t piece_records;     /* most that one transaction of a checkpoint writes */
    struct journal_keep keep;   /* of the journal behind a checkpoint */
    uint64_t checkpoint_after;  /* ns after an update until a checkpoint begins; 0: by size only */
};

/*
 * Takes over engine (closed by store_close, also when this fails), and replays what the journal
 * has beyond its last checkpoint. Stamps go on rising strictly from the last one. On failure
 * returns an error and *why (caller frees), a sentence that names the file, when there is one to
 * name, else NULL. options NULL: unjournaled, all defaults.
 *
 * An unjournaled database begins empty. A journaled one cannot be opened unjournaled, nor the
 * other way round.
 */
int store_open(struct loop *loop, struct engine *engine, const struct store_options *options,
               struct store **store, char **why);

/*
 * Finishes the batches already given, cancels reads, makes a checkpoint, then frees the store and
 * calls done. No other call may follow.
 */
void store_close(struct store *store, loop_fn *done, void *cookie);

/* ---- Reads. They see every batch whose done has been called. Arguments are copied. ---- */

/*
 * Receives a read's result, in one turn of the loop: any number of page/entry or node calls, then
 * one done. Slices are borrowed for the length of the call. After done the handle is dead. A sink's
 * page, entry and node return false to stop there: what was offered with the refused call is not
 * part of the result.
 */
struct store_sink {
    /* A page begins; entries follow until the next page or done. page->entries is NULL,
     * page->to_end unset. */
    bool (*page)(void *cookie, const struct page *page);
    bool (*entry)(void *cookie, const struct entry *entry);
    /* The current page ends. to_end: no more children after its last entry. */
    void (*page_end)(void *cookie, bool to_end);
    /* One node with its full key (node, order, scan). value is set when asked for and fitting. */
    bool (*node)(void *cookie, struct slice key, const struct node *node);
    /* error 0: complete. ended: (order, scan) nothing more lies in this direction. */
    void (*done)(void *cookie, int error, bool ended);
};

/*
 * The children of parent from the level `from` on (empty: the first; `after`: excluding from
 * itself), as one page of at most `entries` entries. Then, while the sink accepts pages, at most
 * `readahead` whole pages of the directories that come next in key order, which is the order of a
 * walk: below what of parent the page shows and comes after it; with `onward` beyond parent's
 * subtree too. Values of at most max_value bytes are included. A parent that does not exist yields
 * a page whose self.flags is 0 and no entries.
 */
struct store_page_request {
    struct slice parent;
    struct slice from;
    bool after;
    enum view view;
    uint32_t max_value; /* bytes; larger values come without bytes */
    uint32_t entries;   /* 0: no bound */
    uint32_t readahead; /* most pages read ahead; 0: none */
    bool onward;
};
struct store_read *store_page(struct store *store, const struct store_page_request *request,
                              const struct store_sink *sink, void *cookie);

/* One node: sink->node once (flags 0 when it does not exist), value included up to max_value bytes.
 */
struct store_read *store_node(struct store *store, struct slice key, enum view view,
                              uint32_t max_value, const struct store_sink *sink, void *cookie);

/*
 * $ORDER: the next (previous when backwards) sibling of key in the view; sink->node once or never.
 * key's last level may be empty in the sense of parent + nothing: give parent and an empty `level`
 * to start at the end.
 */
struct store_read *store_order(struct store *store, struct slice parent, struct slice level,
                               bool backwards, enum view view, uint32_t max_value,
                               const struct store_sink *sink, void *cookie);

/*
 * $QUERY: nodes that have a value, in key order (descending when backwards), within the subtree of
 * top (root: everything), strictly after (before) the key `from`; from empty: from the start, top
 * itself included.
 */
struct store_read *store_scan(struct store *store, struct slice top, struct slice from,
                              bool backwards, uint32_t max_value, const struct store_sink *sink,
                              void *cookie);

/* Bytes [offset, offset+len) of a value; sink->node with node.value the bytes, node.value_len the
 * whole length. */
struct store_read *store_value(struct store *store, struct slice key, uint32_t offset, uint32_t len,
                               const struct store_sink *sink, void *cookie);

/* Forgets a read whose done has not been called; none of its sink is called again. */
void store_read_cancel(struct store_read *read);

/* ---- What a batch touches, for the recall of cached pages ---- */

/*
 * What a cache may hold of a node N, in either view: N's entry in its parent's page, and the self
 * of N's own page. Both show the same struct node (self without the value), so one touch of N
 * stands for both; a touch of the root for the self of the root's page. What is shown changes so:
 *
 *   value, value_len, stamp   when an update writes N's record (or KEEP_DIR marks N): N is touched.
 *   flags                     when N's record changes, or N gets its first or loses its last
 *                             descendant in a view: N is touched. A node comes into being or
 *                             vanishes when its flags become other than 0, or 0.
 *   changed                   when the listing of N changes: a child of N appears, vanishes or
 *                             changes its flags. The child and N are touched.
 *
 * `changed` may also move forward with no touch, while the listing stays as it is: the slot is
 * shared with another directory, or marks hid from the worker that an ancestor stays. The older
 * time is still right then. But of two that it has been told, a client must show the newer.
 */
struct store_touch {
    struct slice key; /* the node; points into the updates, and lives as long as they */
    bool subtree;     /* and every node below it */
    bool shared;      /* nothing changes but `changed`, as a child comes: see below */
};

/*
 * The touches of a batch as of this call, in no particular order; a key may occur several times.
 * touches lives for the length of the call. Every shown change that the batch can make is covered;
 * more may be. error: the state could not be read; fail the batch with it.
 */
typedef void store_plan_fn(void *cookie, int error, const struct store_touch *touches,
                           size_t count);

/*
 * Plans a batch: reads the present state, changes nothing. `updates` and all they point to must
 * stay until done, which is called in a later turn, in the order of the calls. They must be as
 * base/model.h says. Cancelled by store_read_cancel.
 *
 * A plan rests on what it read: that a node exists, that a directory has other children. So:
 *
 *   1. In done, compare the plan with those of all batches that hold one (store_touch_conflict,
 *      each touch with each). When none conflicts, the batch holds its plan from then on, through
 *      recall, store_apply, until store_apply's done (or until it is given up).
 *   2. When one conflicts, the batch holds nothing. When the holder has ended, plan anew, from 1.
 *   3. A holder recalls every touch, shared or not, from the caches of others, and gives it to
 *      store_apply when they have acknowledged. What a held touch covers is not leased anew.
 *
 * Then a held plan stays right, in whatever order the holders are applied, and also when it was
 * made while others were with the worker. Why: each plan touches the nearest ancestor that is sure
 * to stay because of something else below it, shared when a child comes, and not shared when one
 * goes. The last such "something else" can therefore go neither with a batch that conflicts with
 * this one nor with two that do not conflict with each other: of two batches that each remove one
 * of the last two children, the second waits and, planned anew, touches what vanishes. Two batches
 * that add children to a directory that has some do not conflict; two that create the directory do.
 */
struct store_read *store_plan(struct store *store, const struct update *updates, size_t count,
                              store_plan_fn *done, void *cookie);

/* Whether two batches with these touches must be applied one after the other. */
bool store_touch_conflict(const struct store_touch *a, const struct store_touch *b);

/* ---- Updates ---- */

/* What became of a batch. Slices live for the length of the call. */
struct store_result {
    int error;       /* 0: all applied, and seen by all reads from now on; else none applied */
    uint32_t failed; /* index of the update that failed, when error is about one */
    uint64_t stamp;  /* commit stamp of the batch, when error is 0 */
    size_t count;    /* values below: one per INCREMENT, in order */
    const struct slice *values;
};
typedef void store_done_fn(void *cookie, const struct store_result *result);

/* Who sent a batch, for the journal; 0, 0: nobody in particular. */
struct store_source {
    uint64_t session, sequence;
};

/*
 * Applies a batch atomically, after every batch given before. `updates` and all they point to must
 * stay until done. They must be as base/model.h says. done waits while memory
 * or journal have no room; it waits for the disk only with wait_durable. Errors that are not about
 * one update: ECP_ENOSPC while there is no room in the database or on disk, ECP_EIO from when the
 * journal could not be written.
 */
void store_apply(struct store *store, const struct update *updates, size_t count,
                 struct store_source source, store_done_fn *done, void *cookie);

/*
 * Applies again what a crash took back: with the stamp that it had, which must be newer than all
 * that is there (ECP_EORDER). To be called in the order of the stamps, before any store_apply. As
 * long as store_replayed has not been called, the next start waits for the same sessions again.
 */
void store_replay(struct store *store, const struct update *updates, size_t count,
                  struct store_source source, uint64_t stamp, store_done_fn *done, void *cookie);
void store_replayed(struct store *store);

/*
 * done(cookie, 0) when every batch whose done has been called is durable, or with the error that
 * keeps them from it. Unjournaled databases: at once.
 */
typedef void store_sync_fn(void *cookie, int error);
void store_sync(struct store *store, store_sync_fn *done, void *cookie);

/* Whether store_apply's done says that a batch is durable, as configured; else store_sync does. Not
 * when the journal has failed: what was applied then never becomes durable. */
bool store_done_is_durable(const struct store *store);
/* Whether that is so as configured. */
bool store_tells_durable(const struct store *store);

/*
 * Begins a checkpoint unless one is under way or nothing has changed: what was updated goes into
 * the engine, and the journal behind it is removed.
 */
void store_checkpoint(struct store *store);

/* ---- Sessions, which outlive the process. In an unjournaled database nothing is known of any. ---- */

struct store_session {
    uint64_t id, secret;
    uint64_t last; /* sequence of the newest batch that was applied, or failed */
    bool locks;    /* it may have held locks */
    bool retains;  /* its client may have answers to batches that a crash took back */
};
/* Calls for each that is known. fn may end the one that it is called for. */
void store_sessions(struct store *store,
                    void (*fn)(void *cookie, const struct store_session *session), void *cookie);
/*
 * From now on the session is known: what became of its batches (store_source) is kept until
 * answered. done, unless NULL, is called when that is durable, or with the error that keeps it from
 * becoming so. May be called again, with other flags.
 */
enum store_session_flags { STORE_SESSION_LOCKS = 1, STORE_SESSION_RETAINS = 2 };
void store_session_begin(struct store *store, uint64_t id, uint64_t secret, unsigned flags,
                         store_sync_fn *done, void *cookie);
/* It is over, and known no longer. */
void store_session_end(struct store *store, uint64_t id);
/* Its client has the answers to all batches up to this one. */
void store_session_answered(struct store *store, uint64_t id, uint64_t sequence);
/* What became of a batch, as store_done_fn tells it; false: nothing is known, and it not called. */
bool store_session_outcome(struct store *store, uint64_t id, uint64_t sequence,
                           store_done_fn *done, void *cookie);

/*
 * Figures, at once. disk_free: bytes the file system still has, to bound what is reported. nodes
 * counts what checkpoints have written.
 */
int store_space(struct store *store, uint64_t disk_free, struct space *space);

/* Appends lines "name value" about the database: sizes, journal, checkpoints, durability. */
void store_stats(const struct store *store, struct buf *out);
/* The error for which no update is taken any more; 0: all is well. */
int store_failed(const struct store *store);

/* A new size limit in bytes, from the next commit on; smaller than what is in use is ECP_EINVAL. */
int store_set_limit(struct store *store, uint64_t limit);

#endif
