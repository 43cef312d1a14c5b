/* SPDX-License-Identifier: Apache-2.0 */
/* What a batch will touch: found before it is applied, from its updates and the present state. */
#include "store/store_int.h"
#include "base/mutation.h"

#include <stdlib.h>

/* Records looked at on each side of a key; beyond, an ancestor counts as not proven. */
#define LOOK_MAX 8

/* What stays around a key in one view: the longest prefix of it that is proven to exist. */
struct proof {
    size_t len;
    bool below; /* it has another descendant than the key */
};

/* What a batch of several updates may remove, by key. */
struct gone {
    struct slice key;
    bool subtree;
};

struct plan {
    const struct engine_ops *ops;
    struct engine_cursor *cursor;
    const struct update *updates;
    size_t count;
    struct gone *gone;
    size_t gone_count;
    struct store_touch *touches;
    size_t touched, cap;
    struct slice arrived; /* the parent of the last node whose value came, when has_arrived */
    bool has_arrived;
    struct slice chain; /* the last ancestors touched: from chain_at to chain, when has_chain */
    size_t chain_at;
    bool chain_shared; /* the one at chain_at is */
    bool has_chain;
};

bool store_touch_conflict(const struct store_touch *a, const struct store_touch *b)
{
    if ((a->subtree && slice_has_prefix(b->key, a->key)) ||
        (b->subtree && slice_has_prefix(a->key, b->key)))
        return true;
    return !(a->shared && b->shared) && slice_equal(a->key, b->key);
}

static void push(struct plan *p, struct slice key, bool subtree, bool shared)
{
    if (p->touched == p->cap) {
        p->cap = p->cap ? p->cap * 2 : 8;
        p->touches = xrealloc(p->touches, p->cap * sizeof(*p->touches));
    }
    p->touches[p->touched++] =
        (struct store_touch){.key = key,
                             .subtree = subtree && !MUTATION(MUTATION_SUBTREE),
                             .shared = shared};
}

/* Whether an update is about the node and all below it. */
static bool is_whole(const struct update *u)
{
    return u->kind == UPDATE_KILL || (u->kind == UPDATE_MOVE && !(u->flags & UPDATE_VALUE_ONLY));
}

/* ---- What the batch itself removes ---- */

static int gone_order(const void *a, const void *b)
{
    return slice_compare(((const struct gone *)a)->key, ((const struct gone *)b)->key);
}

static void collect_gone(struct plan *p)
{
    bool sorted = true;
    size_t n = 0, kept = 0;
    p->gone = xcalloc(2 * p->count, sizeof(*p->gone));
    for (size_t i = 0; i < p->count; i++) {
        const struct update *u = &p->updates[i];
        bool whole = is_whole(u);
        if (whole || u->kind == UPDATE_ZKILL || u->kind == UPDATE_RMDIR || u->kind == UPDATE_MOVE)
            p->gone[n++] = (struct gone){.key = u->key, .subtree = whole};
        if (whole && u->kind == UPDATE_MOVE)
            p->gone[n++] = (struct gone){.key = u->value, .subtree = true};
    }
    for (size_t i = 1; i < n && sorted; i++)
        sorted = gone_order(&p->gone[i - 1], &p->gone[i]) <= 0;
    if (!sorted)
        qsort(p->gone, n, sizeof(*p->gone), gone_order);
    for (size_t i = 0; i < n; i++) {
        if (kept && slice_equal(p->gone[kept - 1].key, p->gone[i].key))
            p->gone[kept - 1].subtree |= p->gone[i].subtree;
        else
            p->gone[kept++] = p->gone[i];
    }
    p->gone_count = kept;
}

static bool is_gone(const struct plan *p, struct slice key)
{
    size_t at = 0;
    if (!p->gone_count)
        return false;
    for (;;) {
        struct gone wanted = {.key = slice_of(key.data, at)};
        const struct gone *g =
            bsearch(&wanted, p->gone, p->gone_count, sizeof(*p->gone), gone_order);
        if (g && (g->subtree || at == key.len))
            return true;
        if (at == key.len)
            return false;
        at += key_level_len(key, at);
    }
}

/* ---- Looking around a key ---- */

static void prove(struct proof *p, size_t len, bool below)
{
    if (len > p->len)
        *p = (struct proof){.len = len, .below = below};
    else if (len == p->len)
        p->below |= below;
}

/* Length of the nearest ancestor of key whose flags stay as they are, going by a proof. */
static size_t stays(struct slice key, struct proof p)
{
    if (p.len && (p.len == key.len || !p.below))
        return key_parent(slice_of(key.data, p.len)).len;
    return p.len;
}

/* How a node comes or goes. */
struct passage {
    struct slice key;
    bool arrives;
    bool values; /* it may have values, so that the globals view changes too */
    struct proof proof[VIEW_END];
};

typedef int move_fn(struct engine_cursor *cursor, struct slice *found, struct slice *value);

/* From a record at hand on, until one proves as much as can be proven on this side. */
static int look(struct plan *p, struct passage *w, struct slice found, struct slice bytes,
                move_fn *further)
{
    struct record record;
    int error = 0;
    for (int i = 0; error == 0 && i < LOOK_MAX; i++) {
        size_t n = key_common(w->key, found);
        if ((error = record_parse(bytes, &record)))
            return error;
        if (w->arrives || !is_gone(p, found)) {
            bool value = record.flags & NODE_VALUE;
            prove(&w->proof[VIEW_FILES], n, found.len > n);
            if (value)
                prove(&w->proof[VIEW_GLOBALS], n, found.len > n);
            if (value || !w->values)
                return 0;
        }
        error = further(p->cursor, &found, &bytes);
    }
    return error == ECP_ENOENT ? 0 : error;
}

static size_t top_of(const struct passage *w)
{
    size_t files = stays(w->key, w->proof[VIEW_FILES]);
    size_t globals = stays(w->key, w->proof[VIEW_GLOBALS]);
    return w->values && globals < files ? globals : files;
}

/*
 * Touches the ancestors from the one that stays down to the parent, but for those that the chain
 * before this one touched.
 */
static void touch_ancestors(struct plan *p, const struct passage *w)
{
    struct slice parent = key_parent(w->key);
    const struct proof *proof = &w->proof[w->values ? VIEW_GLOBALS : VIEW_FILES];
    size_t top = top_of(w), at = top, common = p->has_chain ? key_common(parent, p->chain) : 0;
    bool shared = w->arrives && (proof->len || proof->below);
    if (p->has_chain && common >= top &&
        (top > p->chain_at || (top == p->chain_at && (shared || !p->chain_shared)))) {
        shared = top == p->chain_at && p->chain_shared;
        at = common + key_level_len(parent, common);
        if (common == parent.len)
            at = w->key.len;
    }
    for (; at <= parent.len && !MUTATION(MUTATION_ANCESTORS); at += key_level_len(w->key, at))
        push(p, slice_of(w->key.data, at), false, shared && at == top);
    p->chain = parent;
    p->chain_at = top;
    p->chain_shared = shared;
    p->has_chain = true;
}

/* A removal of which every ancestor but the parent has been touched, and the parent will be. */
static bool no_need_to_look(const struct plan *p, const struct passage *w)
{
    struct slice parent = key_parent(w->key);
    return !w->arrives && p->has_chain && p->chain_at == 0 && !p->chain_shared &&
           key_common(parent, p->chain) >= key_parent(parent).len;
}

/* Nothing to the left can keep more ancestors out. */
static bool settled(const struct passage *w)
{
    const struct proof *proof = &w->proof[w->values ? VIEW_GLOBALS : VIEW_FILES];
    return (proof->len || proof->below) && top_of(w) == key_parent(w->key).len;
}

/* Looks on both sides, given what seeking to the right said, and touches what may change. */
static int look_around(struct plan *p, struct passage *w, int error, struct slice found,
                       struct slice bytes)
{
    if (error && error != ECP_ENOENT)
        return error;
    if (no_need_to_look(p, w)) {
        touch_ancestors(p, w);
        return 0;
    }
    if (error == 0 && (error = look(p, w, found, bytes, p->ops->next)))
        return error;
    if (!settled(w)) {
        error = view_before(p->ops, p->cursor, w->key, &found, &bytes);
        if (error == 0)
            error = look(p, w, found, bytes, p->ops->prev);
        if (error && error != ECP_ENOENT)
            return error;
    }
    touch_ancestors(p, w);
    return 0;
}

/*
 * A node gets a value or a mark. When it has one already, no ancestor changes. After a node whose
 * value came, its siblings find their ancestors touched.
 */
static int arrive(struct plan *p, struct slice key, bool values)
{
    struct passage w = {.key = key, .arrives = true, .values = values};
    struct slice found, bytes, parent = key_parent(key);
    struct record record;
    if (p->has_arrived && slice_equal(parent, p->arrived))
        return 0;
    int error = p->ops->seek(p->cursor, key, &found, &bytes);
    if (error == 0 && slice_equal(found, key)) {
        if ((error = record_parse(bytes, &record)))
            return error;
        if (!values || record.flags & NODE_VALUE)
            return 0;
        prove(&w.proof[VIEW_FILES], key.len, false);
        error = p->ops->next(p->cursor, &found, &bytes);
    }
    error = look_around(p, &w, error, found, bytes);
    p->arrived = parent;
    p->has_arrived = values && error == 0;
    return error;
}

/* Something else is there after the batch for certain, or nothing (NULL). */
static void prove_stand_in(struct passage *w, const struct slice *stand_in)
{
    if (!stand_in)
        return;
    size_t n = key_common(w->key, *stand_in);
    for (int view = 0; view < VIEW_END; view++)
        prove(&w->proof[view], n, stand_in->len > n);
}

/* The node and all below it go. */
static int leave_subtree(struct plan *p, struct slice key, const struct slice *stand_in)
{
    struct passage w = {.key = key, .values = true};
    struct slice found, bytes;
    uint8_t end[KEY_MAX_LEN + 1];
    int error = p->ops->seek(p->cursor, key, &found, &bytes);
    if (error || key.len == 0 || !slice_has_prefix(found, key))
        return error == ECP_ENOENT ? 0 : error;
    prove_stand_in(&w, stand_in);
    error = p->ops->next(p->cursor, &found, &bytes);
    if (error == 0 && slice_has_prefix(found, key)) {
        size_t len = key_subtree_end(key, end);
        error = p->ops->seek(p->cursor, slice_of(end, len), &found, &bytes);
    }
    return look_around(p, &w, error, found, bytes);
}

/* The record alone loses flag, and vanishes when it has no other. */
static int leave(struct plan *p, struct slice key, uint8_t flag, const struct slice *stand_in)
{
    struct passage w = {.key = key, .values = flag == NODE_VALUE};
    struct slice found, bytes;
    struct record record;
    int error = p->ops->seek(p->cursor, key, &found, &bytes);
    if (error || !slice_equal(found, key))
        return error == ECP_ENOENT ? 0 : error;
    if ((error = record_parse(bytes, &record)) || !(record.flags & flag))
        return error;
    if (record.flags != flag)
        prove(&w.proof[VIEW_FILES], key.len, false);
    prove_stand_in(&w, stand_in);
    error = p->ops->next(p->cursor, &found, &bytes);
    return look_around(p, &w, error, found, bytes);
}

/* ---- Updates ---- */

/*
 * Alone in its batch, a MOVE leaves its destination in being for certain: it stands in for the
 * source. Among others, what it replaces may in the end be gone.
 */
static int plan_move(struct plan *p, const struct update *u)
{
    bool whole = is_whole(u), alone = p->count == 1;
    const struct slice *stand_in = alone ? &u->value : NULL;
    push(p, u->value, whole, false);
    int error = whole ? leave_subtree(p, u->key, stand_in) : leave(p, u->key, NODE_VALUE, stand_in);
    if (error == 0 && whole && !alone)
        error = leave_subtree(p, u->value, NULL);
    return error ? error : arrive(p, u->value, true);
}

static int plan_update(struct plan *p, const struct update *u)
{
    push(p, u->key, is_whole(u), false);
    switch (u->kind) {
    case UPDATE_KILL:
        return leave_subtree(p, u->key, NULL);
    case UPDATE_ZKILL:
        return leave(p, u->key, NODE_VALUE, NULL);
    case UPDATE_RMDIR:
        return leave(p, u->key, NODE_DIR, NULL);
    case UPDATE_MKDIR:
        return arrive(p, u->key, false);
    case UPDATE_MOVE:
        return plan_move(p, u);
    default:
        return arrive(p, u->key, true);
    }
}

static int run_plan(struct store_read *r)
{
    struct plan p = {.ops = r->store->engine->ops,
                     .cursor = r->cursor,
                     .updates = r->updates,
                     .count = r->count};
    int error = 0;
    if (p.count > 1)
        collect_gone(&p);
    for (size_t i = 0; i < p.count && error == 0; i++)
        error = plan_update(&p, &p.updates[i]);
    free(p.gone);
    r->touches = p.touches;
    r->touched = p.touched;
    return error;
}

static void finish_plan(struct store_read *r, int error)
{
    r->planned(r->cookie, error, error ? NULL : r->touches, error ? 0 : r->touched);
}

struct store_read *store_plan(struct store *store, const struct update *updates, size_t count,
                              store_plan_fn *done, void *cookie)
{
    struct store_read *r = read_new(store, run_plan, slice_of(NULL, 0), slice_of(NULL, 0), NULL, cookie);
    r->finish = finish_plan;
    r->updates = updates;
    r->count = count;
    r->planned = done;
    return r;
}
