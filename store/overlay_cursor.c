/* SPDX-License-Identifier: Apache-2.0 */
/* Cursors of the overlay: three ordered sources merged, the upper hiding the lower. */
#include <stdlib.h>

#include "store/overlay.h"

/* Of so many hidden records passed one is looked up among the gaps; what took many steps is added.
 */
#define GAP_LOOK 4
#define GAP_MIN  16

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
    struct slice from; /* where the search that is under way began; data NULL: at the end of all */
    bool from_too;     /* forward: it may be what is found */
    unsigned passed;   /* hidden records, and kills, since then */
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

static struct slice directly_after(struct slice key, uint8_t *room)
{
    memcpy(room, key.data, key.len);
    room[key.len] = 0;
    return slice_of(room, key.len + 1);
}

/* Now and then: whether key is known to be in a gap, and where the way goes on then. Empty:
 * nowhere.
 */
static bool in_gap(struct engine_cursor *c, struct slice key, struct slice *to)
{
    struct gap gap;
    if (++c->passed % GAP_LOOK || !gap_at(&c->overlay->gaps, key, &gap))
        return false;
    *to = c->way == FORWARD ? gap.to : gap.from;
    return true;
}

/* Where the way goes on behind the killed subtree that has key. Empty: nowhere. */
static struct slice behind(struct engine_cursor *c, struct slice key, const struct map_node *kill,
                           uint8_t *room)
{
    struct slice to;
    if (in_gap(c, key, &to))
        return to;
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
        struct slice to = behind(c, map_key(c->frozen), kill, room);
        if (to.len == 0)
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
        struct slice to = behind(c, c->base_key, kill, room);
        if (to.len == 0)
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

/* Moves on from the current key, which is hidden. */
static int pass(struct engine_cursor *c)
{
    struct slice to;
    if (!in_gap(c, c->current, &to))
        return step_sources(c);
    if (to.len)
        return c->way == FORWARD ? place_forward(c, to) : place_backward(c, to);
    c->active = c->frozen = NULL;
    c->base_there = false;
    return 0;
}

/* The search has ended at the current key (any), or at the end: what it passed is a gap. */
static void note_gap(struct engine_cursor *c, bool any)
{
    uint8_t room[KEY_MAX_LEN + 1];
    struct gap gap = {.from = slice_str(""), .to = slice_str("")};
    if (c->passed < GAP_MIN)
        return;
    if (c->way == FORWARD) {
        gap.from = c->from_too ? c->from : directly_after(c->from, room);
        gap.to = any ? c->current : gap.to;
    } else {
        gap.from = any ? directly_after(c->current, room) : gap.from;
        gap.to = c->from;
    }
    gap_add(&c->overlay->gaps, gap);
}

/* Goes on to the nearest record that is not hidden. */
static int settle(struct engine_cursor *c, struct slice *found, struct slice *value)
{
    for (;;) {
        int error = skip_base(c);
        if (error)
            return error;
        skip_frozen(c);
        bool any = choose(c);
        if (!any || current_value(c, value)) {
            note_gap(c, any);
            *found = any ? c->current : *found;
            return any ? 0 : ECP_ENOENT;
        }
        if ((error = pass(c)))
            return error;
    }
}

static void begin(struct engine_cursor *c, struct slice from, bool from_too)
{
    c->from = from;
    c->from_too = from_too;
    c->passed = 0;
}

int overlay_seek(struct engine_cursor *c, struct slice key, struct slice *found,
                 struct slice *value)
{
    begin(c, key, true);
    int error = place_forward(c, key);
    return error ? error : settle(c, found, value);
}

int overlay_last(struct engine_cursor *c, struct slice *found, struct slice *value)
{
    begin(c, slice_of(NULL, 0), false);
    int error = place_backward(c, c->from);
    return error ? error : settle(c, found, value);
}

int overlay_next(struct engine_cursor *c, struct slice *found, struct slice *value)
{
    int error = 0;
    if (c->way == NOWHERE)
        return ECP_ENOENT;
    begin(c, c->current, false);
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
    begin(c, c->current, false);
    if (c->way != BACKWARD || c->version != c->overlay->version)
        error = place_backward(c, c->current);
    else
        error = step_sources(c);
    return error ? error : settle(c, found, value);
}
