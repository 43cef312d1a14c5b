/* SPDX-License-Identifier: Apache-2.0 */
/* Reads under way: beginning, running and cancelling them; single nodes and parts of values. */
#include "store/store_int.h"

#include <stdlib.h>

static void free_read(struct store_read *r)
{
    free(r->touches);
    free(r);
}

/* Of a read that is in no list any more when it was cancelled. */
static void end_read(struct store_read *r, int error)
{
    if (!r->canceled) {
        TAILQ_REMOVE(&r->store->reads, r, link);
        r->finish(r, error);
    }
    free_read(r);
}

/* The reads that are there now; those that their answers bring wait for the next turn. */
static void run_all(struct store *s, struct engine_cursor *cursor, int error)
{
    uint64_t last = s->read_count;
    struct store_read *r;
    while ((r = TAILQ_FIRST(&s->reads)) && r->number <= last) {
        int result = error;
        if (!error) {
            r->cursor = cursor;
            r->running = true;
            result = r->run(r);
            r->running = false;
        }
        end_read(r, result);
    }
}

/* One transaction for all the reads of a turn: nothing is applied in between. */
static void run_reads(void *cookie)
{
    struct store *s = cookie;
    const struct engine_ops *ops = s->engine->ops;
    struct engine_cursor *cursor = NULL;
    struct engine_txn *txn;
    s->read_turn = NULL;
    if (TAILQ_EMPTY(&s->reads))
        return;
    int error = ops->read_begin(s->engine, &txn);
    if (error)
        goto err0;
    if ((error = ops->cursor_open(txn, &cursor)))
        goto err1;
    s->reading++;
    run_all(s, cursor, 0);
    s->reading--;
    ops->cursor_close(cursor);
    ops->read_end(txn);
    return;
err1:
    ops->read_end(txn);
err0:
    run_all(s, NULL, error);
}

static void finish(struct store_read *r, int error)
{
    r->sink->done(r->cookie, error, error == 0 && r->ended && !r->stopped);
}

static struct slice keep(uint8_t *room, struct slice bytes)
{
    if (bytes.len)
        memcpy(room, bytes.data, bytes.len);
    return slice_of(room, bytes.len);
}

struct store_read *read_new(struct store *s, read_fn *run, struct slice key, struct slice from,
                            const struct store_sink *sink, void *cookie)
{
    key.len = key.len < KEY_MAX_LEN ? key.len : KEY_MAX_LEN;
    from.len = from.len < KEY_MAX_LEN ? from.len : KEY_MAX_LEN;
    struct store_read *r = xmalloc(sizeof(*r) + key.len + from.len);
    *r = (struct store_read){.store = s,
                             .number = ++s->read_count,
                             .run = run,
                             .finish = finish,
                             .sink = sink,
                             .cookie = cookie};
    r->key = keep(r->bytes, key);
    r->from = keep(r->bytes + key.len, from);
    TAILQ_INSERT_TAIL(&s->reads, r, link);
    if (!s->read_turn)
        s->read_turn = loop_soon(s->loop, run_reads, s);
    return r;
}

void store_read_cancel(struct store_read *r)
{
    TAILQ_REMOVE(&r->store->reads, r, link);
    r->canceled = r->stopped = true;
    if (!r->running)
        free_read(r);
}

void store_cancel_reads(struct store *s)
{
    while (!TAILQ_EMPTY(&s->reads))
        store_read_cancel(TAILQ_FIRST(&s->reads));
}

struct node read_make_node(struct store_read *r, struct slice key, const struct view_node *v,
                           uint32_t max_value)
{
    struct node n = {.flags = v->flags, .stamp = v->stamp};
    if (v->flags & (NODE_CHILDREN | NODE_DIR) || key.len == 0) {
        n.changed = r->store->slots[change_slot(key)];
        if (n.changed < v->record_stamp)
            n.changed = v->record_stamp;
    }
    if (v->flags & NODE_VALUE) {
        n.value_len = (uint32_t)v->value.len;
        if (v->value.len <= max_value)
            n.value = v->value;
    }
    return n;
}

void read_give_node(struct store_read *r, struct slice key, const struct view_node *v)
{
    struct node n = read_make_node(r, key, v, r->max_value);
    if (!r->sink->node(r->cookie, key, &n))
        r->stopped = true;
}

static int run_node(struct store_read *r)
{
    struct view_node v;
    int error = view_lookup(r->store->engine->ops, r->cursor, r->key, r->view, &v);
    if (error == 0)
        read_give_node(r, r->key, &v);
    return error;
}

struct store_read *store_node(struct store *store, struct slice key, enum view view,
                              uint32_t max_value, const struct store_sink *sink, void *cookie)
{
    struct store_read *r = read_new(store, run_node, key, slice_of(NULL, 0), sink, cookie);
    r->view = view;
    r->max_value = max_value;
    return r;
}

static int run_value(struct store_read *r)
{
    struct view_node v;
    int error = view_lookup(r->store->engine->ops, r->cursor, r->key, VIEW_FILES, &v);
    if (error)
        return error;
    struct node n = read_make_node(r, r->key, &v, VALUE_MAX_LEN);
    if (v.flags & NODE_VALUE) {
        size_t at = r->offset < v.value.len ? r->offset : v.value.len;
        size_t len = v.value.len - at < r->max_value ? v.value.len - at : r->max_value;
        n.value = slice_of(v.value.data + at, len);
    }
    if (!r->sink->node(r->cookie, r->key, &n))
        r->stopped = true;
    return 0;
}

struct store_read *store_value(struct store *store, struct slice key, uint32_t offset, uint32_t len,
                               const struct store_sink *sink, void *cookie)
{
    struct store_read *r = read_new(store, run_value, key, slice_of(NULL, 0), sink, cookie);
    r->offset = offset;
    r->max_value = len;
    return r;
}
