/* SPDX-License-Identifier: Apache-2.0 */
/* The overlay's transactions, look-ups and changes. */
#include "store/overlay.h"

#include <stdlib.h>

#include "store/journal_format.h"

static int begin(struct engine *engine, struct engine_txn **txn)
{
    struct overlay *o = overlay_of(engine);
    int error = o->base->ops->read_begin(o->base, &o->base_txn);
    *txn = &o->txn;
    return error;
}

static void end(struct engine_txn *txn)
{
    struct overlay *o = overlay_of(txn->engine);
    o->base->ops->read_end(o->base_txn);
    o->base_txn = NULL;
}

static int commit(struct engine_txn *txn)
{
    layer_settle(overlay_of(txn->engine)->active);
    end(txn);
    return 0;
}

/* What was gone is there again. */
static void undo(struct overlay *o, struct layer_mark mark)
{
    if (o->active->undo_count > mark.undo && map_first(&o->gaps))
        map_init(&o->gaps, &o->active->arena);
    layer_undo(o->active, mark);
    o->version++;
}

static void txn_abort(struct engine_txn *txn)
{
    struct overlay *o = overlay_of(txn->engine);
    undo(o, (struct layer_mark){.weight = o->active->weight});
    end(txn);
}

/* Looks into one layer. 0: there; ECP_ENOENT: hidden; -1: it says nothing. */
static int look(const struct layer *l, const struct map_node *n, struct slice key,
                struct slice *value)
{
    if (n && n->value) {
        *value = layer_value(n);
        return 0;
    }
    return n || layer_kill_over(l, key) ? ECP_ENOENT : -1;
}

static int get(struct engine_txn *txn, struct slice key, struct slice *value)
{
    struct overlay *o = overlay_of(txn->engine);
    int error = look(o->active, map_find(&o->active->records, key), key, value);
    if (error < 0 && o->frozen) {
        struct map_node *n = map_seek(&o->frozen->records, key);
        if (n && !slice_equal(map_key(n), key))
            n = NULL;
        error = look(o->frozen, n, key, value);
    }
    return error < 0 ? o->base->ops->get(o->base_txn, key, value) : error;
}

static int put(struct engine_txn *txn, struct slice key, struct slice head, struct slice body)
{
    struct overlay *o = overlay_of(txn->engine);
    gap_cut(&o->gaps, key);
    layer_put(o->active, key, head, body);
    o->version++;
    if (o->log)
        journal_op_put(o->log, key, head, body);
    return 0;
}

static int del(struct engine_txn *txn, struct slice key)
{
    struct overlay *o = overlay_of(txn->engine);
    layer_del(o->active, key);
    o->version++;
    if (o->log)
        journal_op_key(o->log, JOURNAL_DEL, key);
    return 0;
}

static int kill_all(struct engine_txn *txn, struct slice prefix, size_t most, bool *more)
{
    struct overlay *o = overlay_of(txn->engine);
    layer_kill(o->active, prefix);
    o->version++;
    if (o->log)
        journal_op_key(o->log, JOURNAL_KILL, prefix);
    *more = false;
    return 0;
}

int overlay_append(struct engine_txn *txn, struct slice key, struct slice head, struct slice tail)
{
    struct overlay *o = overlay_of(txn->engine);
    struct slice old;
    int error = get(txn, key, &old);
    if (error)
        return error;
    if (o->log)
        journal_op_append(o->log, key, head, old.len, tail);
    layer_append(o->active, key, head, old, old.len, tail);
    o->version++;
    return 0;
}

static int meta_get(struct engine_txn *txn, const char *name, struct slice *value)
{
    struct overlay *o = overlay_of(txn->engine);
    return o->base->ops->meta_get(o->base_txn, name, value);
}

static int stat_figures(struct engine *engine, struct engine_stat *stat)
{
    struct overlay *o = overlay_of(engine);
    int error = o->base->ops->stat(o->base, stat);
    stat->used += error ? 0 : overlay_weight(o);
    return error;
}

static void close_overlay(struct engine *engine)
{
    struct overlay *o = overlay_of(engine);
    layer_free(o->active);
    layer_free(o->frozen);
    o->base->ops->close(o->base);
    free(o);
}

static const struct engine_ops ops = {
    .read_begin = begin,
    .read_end = end,
    .write_begin = begin,
    .commit = commit,
    .abort = txn_abort,
    .get = get,
    .put = put,
    .del = del,
    .kill = kill_all,
    .meta_get = meta_get,
    .cursor_open = overlay_cursor_open,
    .cursor_close = overlay_cursor_close,
    .seek = overlay_seek,
    .last = overlay_last,
    .next = overlay_next,
    .prev = overlay_prev,
    .stat = stat_figures,
    .close = close_overlay,
};

struct overlay *overlay_new(struct engine *base)
{
    struct overlay *o = xcalloc(1, sizeof(*o));
    o->engine.ops = &ops;
    o->base = base;
    o->txn.engine = &o->engine;
    o->active = layer_new();
    map_init(&o->gaps, &o->active->arena);
    return o;
}

void overlay_log(struct overlay *o, struct buf *log)
{
    o->log = log;
}

struct overlay_mark overlay_mark(struct overlay *o)
{
    return (struct overlay_mark){.layer = layer_mark(o->active), .log = o->log ? o->log->len : 0};
}

void overlay_undo(struct overlay *o, struct overlay_mark mark)
{
    undo(o, mark.layer);
    if (o->log)
        o->log->len = mark.log;
}

void overlay_expect(const struct overlay *o, const struct slice *keys, size_t count, size_t read)
{
    map_expect(&o->active->records, keys, count);
    if (o->frozen && read)
        map_expect(&o->frozen->records, keys, read);
}

struct layer *overlay_freeze(struct overlay *o)
{
    o->frozen = o->active;
    o->active = layer_new();
    map_init(&o->gaps, &o->active->arena);
    return o->frozen;
}

struct layer *overlay_thaw(struct overlay *o)
{
    struct layer *frozen = o->frozen;
    o->frozen = NULL;
    return frozen;
}

size_t overlay_bytes(const struct overlay *o)
{
    return o->active->arena.bytes + (o->frozen ? o->frozen->arena.bytes : 0);
}

uint64_t overlay_weight(const struct overlay *o)
{
    return o->active->weight + (o->frozen ? o->frozen->weight : 0);
}
