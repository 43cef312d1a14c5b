/* SPDX-License-Identifier: Apache-2.0 */
/* Cursors of the overlay: three ordered sources merged, the upper hiding the lower. */
#include <stdlib.h>

#include "store/overlay.h"

enum way { NOWHERE, FORWARD, BACKWARD };

/* The sources stand at the current key or, where they do not have it, beyond it in the way. */
struct engine_cursor {
    struct overlay *overlay;
    struct engine_cursor *base;
    enum way way;
    uint64_t version;
    struct slice current;
    struct map_node *active, *frozen; /* NULL: at the end */
    bool base_there;
    struct slice base_key, base_value;
};

int overlay_cursor_open(struct engine_txn *txn, struct engine_cursor **cursor)
{
    struct overlay *o = overlay_of(txn->engine);
    struct engine_cursor *c = xcalloc(1, sizeof(*c));
    int error = o->base->ops->cursor_open(o->base_txn, &c->base);
    if (error) {
        free(c);
        return error;
    }
    c->overlay = o;
    *cursor = c;
    return 0;
}

void overlay_cursor_close(struct engine_cursor *c)
{
    c->overlay->base->ops->cursor_close(c->base);
    free(c);
}

/* Takes what a call of the base said of where its cursor is. */
static int base_at(struct engine_cursor *c, int error)
{
    c->base_there = error == 0;
    return error == ECP_ENOENT ? 0 : error;
}

static int base_before(struct engine_cursor *c, struct slice key)
{
    const struct engine_ops *ops = c->overlay->base->ops;
    int error = key.data ? ops->seek(c->base, key, &c->base_key, &c->base_value) : ECP_ENOENT;
    if (error == 0)
        error = ops->prev(c->base, &c->base_key, &c->base_value);
    else if (error == ECP_ENOENT)
        error = ops->last(c->base, &c->base_key, &c->base_value);
    return base_at(c, error);
}

static int base_step(struct engine_cursor *c)
{
    const struct engine_ops *ops = c->overlay->base->ops;
    return base_at(c, c->way == FORWARD ? ops->next(c->base, &c->base_key, &c->base_value)
                                        : ops->prev(c->base, &c->base_key, &c->base_value));
}

static struct map_node *map_step(const struct engine_cursor *c, const struct map_node *n)
{
    return c->way == FORWARD ? n->next : n->prev;
}

/* Where the way goes on behind a killed subtree. NULL data: nowhere (forward), or the last of all.
 */
static struct slice behind(struct engine_cursor *c, const struct map_node *kill, uint8_t *room)
{
    if (c->way == BACKWARD)
        return map_key(kill);
    size_t len = key_subtree_end(map_key(kill), room);
    return len ? slice_of(room, len) : slice_of(NULL, 0);
}

static void skip_frozen(struct engine_cursor *c)
{
    uint8_t room[KEY_MAX_LEN + 1];
    struct map_node *kill;
    struct overlay *o = c->overlay;
    while (c->frozen && (kill = layer_kill_over(o->active, map_key(c->frozen)))) {
        struct slice to = behind(c, kill, room);
        if (!to.data || to.len == 0)
            c->frozen = NULL;
        else
            c->frozen = c->way == FORWARD ? map_seek(&o->frozen->records, to)
                                          : map_before(&o->frozen->records, to);
    }
}

static int skip_base(struct engine_cursor *c)
{
    uint8_t room[KEY_MAX_LEN + 1];
    struct map_node *kill;
    struct overlay *o = c->overlay;
    int error = 0;
    while (error == 0 && c->base_there) {
        kill = layer_kill_over(o->active, c->base_key);
        if (!kill && o->frozen)
            kill = layer_kill_over(o->frozen, c->base_key);
        if (!kill)
            break;
        struct slice to = behind(c, kill, room);
        if (!to.data || to.len == 0)
            c->base_there = false;
        else if (c->way == FORWARD)
            error = base_at(c, o->base->ops->seek(c->base, to, &c->base_key, &c->base_value));
        else
            error = base_before(c, to);
    }
    return error;
}

/* Moves what stands at the current key on. */
static int step_sources(struct engine_cursor *c)
{
    struct slice key = c->current;
    if (c->active && slice_equal(map_key(c->active), key))
        c->active = map_step(c, c->active);
    if (c->frozen && slice_equal(map_key(c->frozen), key))
        c->frozen = map_step(c, c->frozen);
    return c->base_there && slice_equal(c->base_key, key) ? base_step(c) : 0;
}

static void take_nearer(struct engine_cursor *c, const struct map_node *n, bool *any)
{
    int order = n && *any ? slice_compare(map_key(n), c->current) : 0;
    if (!n || (*any && (c->way == FORWARD ? order >= 0 : order <= 0)))
        return;
    c->current = map_key(n);
    *any = true;
}

/* The nearest key of all sources becomes current; false: they are at their ends. */
static bool choose(struct engine_cursor *c)
{
    bool any = c->base_there;
    if (any)
        c->current = c->base_key;
    take_nearer(c, c->frozen, &any);
    take_nearer(c, c->active, &any);
    return any;
}

/* The value that the uppermost source has for the current key; false: it is hidden. */
static bool current_value(const struct engine_cursor *c, struct slice *value)
{
    const struct map_node *n = c->active;
    if (!n || !slice_equal(map_key(n), c->current))
        n = c->frozen;
    if (!n || !slice_equal(map_key(n), c->current)) {
        *value = c->base_value;
        return true;
    }
    *value = layer_value(n);
    return n->value;
}

/* Goes on to the nearest record that is not hidden. */
static int settle(struct engine_cursor *c, struct slice *found, struct slice *value)
{
    for (;;) {
        int error = skip_base(c);
        if (error)
            return error;
        skip_frozen(c);
        if (!choose(c))
            return ECP_ENOENT;
        if (current_value(c, value)) {
            *found = c->current;
            return 0;
        }
        if ((error = step_sources(c)))
            return error;
    }
}

static int place_forward(struct engine_cursor *c, struct slice key)
{
    struct overlay *o = c->overlay;
    c->way = FORWARD;
    c->version = o->version;
    c->active = map_seek(&o->active->records, key);
    c->frozen = o->frozen ? map_seek(&o->frozen->records, key) : NULL;
    return base_at(c, o->base->ops->seek(c->base, key, &c->base_key, &c->base_value));
}

/* key.data NULL: at the last of all. */
static int place_backward(struct engine_cursor *c, struct slice key)
{
    struct overlay *o = c->overlay;
    c->way = BACKWARD;
    c->version = o->version;
    c->active = map_before(&o->active->records, key);
    c->frozen = o->frozen ? map_before(&o->frozen->records, key) : NULL;
    return base_before(c, key);
}

int overlay_seek(struct engine_cursor *c, struct slice key, struct slice *found,
                 struct slice *value)
{
    int error = place_forward(c, key);
    return error ? error : settle(c, found, value);
}

int overlay_last(struct engine_cursor *c, struct slice *found, struct slice *value)
{
    int error = place_backward(c, slice_of(NULL, 0));
    return error ? error : settle(c, found, value);
}

int overlay_next(struct engine_cursor *c, struct slice *found, struct slice *value)
{
    int error = 0;
    if (c->way == NOWHERE)
        return ECP_ENOENT;
    if (c->way != FORWARD || c->version != c->overlay->version)
        error = place_forward(c, c->current);
    if (error == 0)
        error = step_sources(c);
    return error ? error : settle(c, found, value);
}

int overlay_prev(struct engine_cursor *c, struct slice *found, struct slice *value)
{
    int error;
    if (c->way == NOWHERE)
        return ECP_ENOENT;
    if (c->way != BACKWARD || c->version != c->overlay->version)
        error = place_backward(c, c->current);
    else
        error = step_sources(c);
    return error ? error : settle(c, found, value);
}
