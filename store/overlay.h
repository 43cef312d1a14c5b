/* SPDX-License-Identifier: Apache-2.0 */
/* The overlay: what was updated since the last checkpoint, as an engine in front of an engine. */
#ifndef STORE_OVERLAY_H
#define STORE_OVERLAY_H

#include "store/engine.h"
#include "store/gap.h"
#include "store/layer.h"

/*
 * Two layers lie over the base: the active one takes updates; the frozen one, while there is one,
 * is read only, and may be read by another thread that writes it to the base. All of this belongs
 * to the loop's thread. Its transactions see the base as of their beginning.
 *
 * It is an engine (struct engine first) with these limits: its kill takes all, whatever `most`
 * says; commit always succeeds; meta_put and set_limit are the base's.
 */
struct overlay {
    struct engine engine;
    struct engine *base;
    struct layer *active, *frozen; /* frozen: NULL when there is none */
    struct map gaps; /* in the active layer's arena: as long as that layer, found anew after it */
    struct engine_txn txn;
    struct engine_txn *base_txn; /* while a transaction is open */
    struct buf *log;             /* what a write transaction changes is noted here */
    uint64_t version;            /* of the active layer: cursors look anew when it has changed */
};

/* base is closed by the engine's close. */
struct overlay *overlay_new(struct engine *base);

/* The log of write transactions (store/journal_format.h, operations); NULL: none. */
void overlay_log(struct overlay *overlay, struct buf *log);

/*
 * The record at key, which exists, gets head in place of its first LAYER_HEAD bytes, and tail at
 * its end.
 */
int overlay_append(struct engine_txn *txn, struct slice key, struct slice head, struct slice tail);

/* Within a write transaction: what was written since the mark can be taken back. */
struct overlay_mark {
    struct layer_mark layer;
    size_t log;
};
struct overlay_mark overlay_mark(struct overlay *overlay);
void overlay_undo(struct overlay *overlay, struct overlay_mark mark);

/* These keys, at most MAP_AHEAD, will be written next, and the first `read` of them be read before:
 * see map_expect. */
void overlay_expect(const struct overlay *overlay, const struct slice *keys, size_t count,
                    size_t read);

/* Between transactions: freezes the active layer (none is frozen) and begins another. */
struct layer *overlay_freeze(struct overlay *overlay);
/* The frozen layer is in the base: gives it up, to be freed (layer_free) by any thread. */
struct layer *overlay_thaw(struct overlay *overlay);

/* Bytes of memory that both layers hold. */
size_t overlay_bytes(const struct overlay *overlay);
/* Bytes that they may need in the base. */
uint64_t overlay_weight(const struct overlay *overlay);

/* ---- overlay_cursor.c ---- */

static inline struct overlay *overlay_of(struct engine *engine)
{
    return (struct overlay *)engine;
}

int overlay_cursor_open(struct engine_txn *txn, struct engine_cursor **cursor);
void overlay_cursor_close(struct engine_cursor *cursor);
int overlay_seek(struct engine_cursor *c, struct slice key, struct slice *found,
                 struct slice *value);
int overlay_last(struct engine_cursor *c, struct slice *found, struct slice *value);
int overlay_next(struct engine_cursor *c, struct slice *found, struct slice *value);
int overlay_prev(struct engine_cursor *c, struct slice *found, struct slice *value);

#endif
