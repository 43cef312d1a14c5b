/* SPDX-License-Identifier: Apache-2.0 */
/* Reads under way: beginning, running and cancelling them; single nodes and parts of values. */
#include "store/store_int.h"

#include <stdlib.h>

static void unlink_read(struct store_read *r)
{
    *r->link = r->next;
    if (r->next)
        r->next->link = r->link;
}

static int open_cursor(struct store_read *r)
{
    const struct engine_ops *ops = r->store->engine->ops;
    int error = ops->read_begin(r->store->engine, &r->txn);
    if (error)
        return error;
    if ((error = ops->cursor_open(r->txn, &r->cursor)))
        ops->read_end(r->txn);
    else
        r->store->reading++;
    return error;
}

static void free_read(struct store_read *r)
{
    free(r->touches);
    free(r);
}

static void run_read(void *cookie)
{
    struct store_read *r = cookie;
    const struct engine_ops *ops = r->store->engine->ops;
    r->event = NULL;
    int error = open_cursor(r);
    if (error == 0) {
        r->running = true;
        error = r->run(r);
        r->running = false;
        ops->cursor_close(r->cursor);
        ops->read_end(r->txn);
        r->store->reading--;
    }
    if (!r->canceled) {
        unlink_read(r);
        r->finish(r, error);
    }
    free_read(r);
}

static void finish(struct store_read *r, int error)
{
    r->sink->done(r->cookie, error, error == 0 && r->ended && !r->stopped);
}

struct store_read *read_new(struct store *s, read_fn *run, const struct store_sink *sink,
                            void *cookie)
{
    struct store_read *r = xcalloc(1, sizeof(*r));
    r->store = s;
    r->run = run;
    r->finish = finish;
    r->sink = sink;
    r->cookie = cookie;
    r->next = s->reads;
    r->link = &s->reads;
    if (r->next)
        r->next->link = &r->next;
    s->reads = r;
    r->event = loop_soon(s->loop, run_read, r);
    return r;
}

void store_read_cancel(struct store_read *r)
{
    unlink_read(r);
    r->canceled = r->stopped = true;
    if (r->running)
        return;
    loop_cancel(r->store->loop, r->event);
    free_read(r);
}

void store_cancel_reads(struct store *s)
{
    while (s->reads)
        store_read_cancel(s->reads);
}

void read_copy_key(struct key *to, struct slice from)
{
    if (from.len > KEY_MAX_LEN)
        from.len = KEY_MAX_LEN;
    to->len = (uint16_t)from.len;
    if (from.len)
        memcpy(to->data, from.data, from.len);
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
    struct slice key = key_slice(&r->key);
    int error = view_lookup(r->store->engine->ops, r->cursor, key, r->view, &v);
    if (error == 0)
        read_give_node(r, key, &v);
    return error;
}

struct store_read *store_node(struct store *store, struct slice key, enum view view,
                              uint32_t max_value, const struct store_sink *sink, void *cookie)
{
    struct store_read *r = read_new(store, run_node, sink, cookie);
    read_copy_key(&r->key, key);
    r->view = view;
    r->max_value = max_value;
    return r;
}

static int run_value(struct store_read *r)
{
    struct view_node v;
    struct slice key = key_slice(&r->key);
    int error = view_lookup(r->store->engine->ops, r->cursor, key, VIEW_FILES, &v);
    if (error)
        return error;
    struct node n = read_make_node(r, key, &v, VALUE_MAX_LEN);
    if (v.flags & NODE_VALUE) {
        size_t at = r->offset < v.value.len ? r->offset : v.value.len;
        size_t len = v.value.len - at < r->max_value ? v.value.len - at : r->max_value;
        n.value = slice_of(v.value.data + at, len);
    }
    if (!r->sink->node(r->cookie, key, &n))
        r->stopped = true;
    return 0;
}

struct store_read *store_value(struct store *store, struct slice key, uint32_t offset, uint32_t len,
                               const struct store_sink *sink, void *cookie)
{
    struct store_read *r = read_new(store, run_value, sink, cookie);
    read_copy_key(&r->key, key);
    r->offset = offset;
    r->max_value = len;
    return r;
}
