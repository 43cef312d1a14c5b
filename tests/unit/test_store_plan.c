/* SPDX-License-Identifier: Apache-2.0 */
/* Plans of batches: what they touch, and at random that nothing shown changes without a touch. */
#include <stdio.h>
#include <stdlib.h>

#include "tests/unit/test_store_util.h"

/* ---- A batch and its plan ---- */

#define OPS 4

struct batch {
    struct update updates[OPS];
    struct key keys[OPS], to[OPS];
    char values[OPS][12];
    size_t count;
    struct store_touch *touches;
    size_t touched;
    int error;
    bool done;
};

static void planned(void *cookie, int error, const struct store_touch *touches, size_t count)
{
    struct batch *b = cookie;
    cr_assert_eq(error, 0);
    free(b->touches);
    b->touches = calloc(count, sizeof(*touches));
    memcpy(b->touches, touches, count * sizeof(*touches));
    b->touched = count;
}

static void plan(struct fix *f, struct batch *b)
{
    store_plan(f->store, b->updates, b->count, planned, b);
    test_loop_run(f->loop);
}

static void add(struct batch *b, int kind, int flags, const char *path, const char *value)
{
    size_t i = b->count++;
    b->keys[i] = K(path);
    snprintf(b->values[i], sizeof(b->values[i]), "%s", value);
    b->updates[i] = (struct update){.kind = kind, .flags = flags, .key = key_slice(&b->keys[i])};
    if (kind == UPDATE_MOVE) {
        b->to[i] = K(value);
        b->updates[i].value = key_slice(&b->to[i]);
    } else if (kind == UPDATE_SET || kind == UPDATE_APPEND || kind == UPDATE_INCREMENT) {
        b->updates[i].value = slice_str(b->values[i]);
    }
}

/* ---- What it touches, case by case ---- */

/* "A/1 ~A .": the touches; "~" is shared, a star at the end the subtree, "." the root. */
static void touches(struct fix *f, struct batch *b, const char *wanted)
{
    const char *at = wanted;
    plan(f, b);
    for (size_t i = 0; i < b->touched; i++) {
        char path[32] = "";
        size_t n = strcspn(at, " ");
        bool shared = *at == '~';
        bool subtree = n > 2 && at[n - 1] == '*';
        cr_assert_gt(n, 0, "more than \"%s\"", wanted);
        memcpy(path, at + shared, n - shared - 2 * subtree);
        struct key k = K(path[0] == '.' ? "" : path);
        cr_assert(slice_equal(key_slice(&k), b->touches[i].key), "\"%s\" at %zu", wanted, i);
        cr_assert_eq(b->touches[i].shared, shared, "\"%s\" at %zu", wanted, i);
        cr_assert_eq(b->touches[i].subtree, subtree, "\"%s\" at %zu", wanted, i);
        at += n + (at[n] == ' ');
    }
    cr_assert_eq(*at, '\0', "less than \"%s\"", wanted);
    free(b->touches);
    b->touches = NULL;
    b->count = 0;
}

static void one(struct fix *f, int kind, const char *path, const char *value, const char *wanted)
{
    struct batch b = {.count = 0};
    add(&b, kind, 0, path, value);
    touches(f, &b, wanted);
}

static void plan_cases(struct fix *f)
{
    one(f, UPDATE_SET, "A/1/x", "v", "A/1/x . A A/1");
    SET("A/1/x", "v");
    one(f, UPDATE_SET, "A/1/x", "v", "A/1/x");
    one(f, UPDATE_SET, "A/1/y", "v", "A/1/y ~A/1");
    one(f, UPDATE_SET, "A/2/y", "v", "A/2/y ~A A/2");
    one(f, UPDATE_SET, "B/2", "v", "B/2 ~. B");
    one(f, UPDATE_SET, "A/1/x/z", "v", "A/1/x/z ~A/1 A/1/x");
    one(f, UPDATE_SET, "A/1", "v", "A/1 ~A");
    one(f, UPDATE_KILL, "A/1/x", "", "A/1/x/* . A A/1");
    one(f, UPDATE_KILL, "A/1/q", "", "A/1/q/*");
    one(f, UPDATE_MOVE, "A/1/x", "A/1/y", "A/1/x/* A/1/y/* A/1");
    SET("A/1/y", "v");
    one(f, UPDATE_KILL, "A/1/x", "", "A/1/x/* A/1");
    one(f, UPDATE_ZKILL, "A/1/x", "", "A/1/x A/1");
    one(f, UPDATE_APPEND, "A/1/x", "v", "A/1/x");
    one(f, UPDATE_INCREMENT, "A/1/x", "1", "A/1/x");
    one(f, UPDATE_MOVE, "A/1/x", "A/1/y", "A/1/x/* A/1/y/* A/1");
    SET("A/2", "v");
    one(f, UPDATE_KILL, "A/1", "", "A/1/* A");
    one(f, UPDATE_MKDIR, "A/3", "", "A/3 ~A");
    IS(MKDIR("A/3"), 0);
    one(f, UPDATE_RMDIR, "A/3", "", "A/3 A");
    one(f, UPDATE_MKDIR, "A/3/m", "", "A/3/m ~A A/3");
    one(f, UPDATE_SET, "A/3/m", "", "A/3/m ~A A/3");
    IS(MKDIR("A/3/m"), 0);
    one(f, UPDATE_MKDIR, "A/3/n", "", "A/3/n ~A/3");
    one(f, UPDATE_KILL, "", "", "./*");
}

static void plan_of_batch_cases(struct fix *f)
{
    struct batch b = {.count = 0};
    SET("A/1/x", "v");
    SET("A/1/y", "v");
    SET("A/2", "v");
    add(&b, UPDATE_KILL, 0, "A/1/x", "");
    add(&b, UPDATE_KILL, 0, "A/1/y", "");
    touches(f, &b, "A/1/x/* A A/1 A/1/y/*");
    add(&b, UPDATE_KILL, 0, "A/1", "");
    add(&b, UPDATE_KILL, 0, "A/1/a", "");
    add(&b, UPDATE_ZKILL, 0, "A/2", "");
    touches(f, &b, "A/1/* . A A/1/a/* A/2");
    add(&b, UPDATE_SET, 0, "A/3/a", "v");
    add(&b, UPDATE_SET, 0, "A/3/b", "v");
    add(&b, UPDATE_SET, 0, "A/3/c", "v");
    touches(f, &b, "A/3/a ~A A/3 A/3/b A/3/c");
    add(&b, UPDATE_SET, 0, "A/1/z", "v");
    add(&b, UPDATE_KILL, 0, "A/1/x", "");
    touches(f, &b, "A/1/z ~A/1 A/1/x/* A/1");
    IS(MKDIR("A/3/m"), 0);
    add(&b, UPDATE_MKDIR, 0, "A/3/n", "");
    add(&b, UPDATE_SET, 0, "A/3/o", "v");
    touches(f, &b, "A/3/n ~A/3 A/3/o ~A A/3");
    add(&b, UPDATE_MOVE, 0, "A/1/x", "A/3/m");
    add(&b, UPDATE_KILL, 0, "A/3/m", "");
    touches(f, &b, "A/1/x/* A/3/m/* A/1 A A/3 A/3/m/*");
    IS(MKDIR("B/1"), 0);
    SET("A/1/y/d", "v");
    add(&b, UPDATE_MOVE, 0, "A/1/y", "B/1");
    add(&b, UPDATE_KILL, 0, "B/1/d", "");
    touches(f, &b, "A/1/y/* B/1/* A/1 . B B/1/d/*");
    SET("C/9/a", "v");
    add(&b, UPDATE_MOVE, 0, "C/9/a", "C/9/b");
    add(&b, UPDATE_KILL, 0, "C/9/b", "");
    touches(f, &b, "C/9/a/* C/9/b/* . C C/9 C/9/b/*");
    store_read_cancel(store_plan(f->store, b.updates, 1, planned, &b));
    test_loop_run(f->loop);
    cr_assert_null(b.touches);
}

static bool conflict(const struct batch *a, const struct batch *b)
{
    for (size_t i = 0; i < a->touched; i++)
        for (size_t k = 0; k < b->touched; k++)
            if (store_touch_conflict(&a->touches[i], &b->touches[k]))
                return true;
    return false;
}

static bool conflicts(struct fix *f, int kind_a, const char *a, int kind_b, const char *b)
{
    struct batch x = {.count = 0}, y = {.count = 0};
    add(&x, kind_a, 0, a, "1");
    add(&y, kind_b, 0, b, "1");
    plan(f, &x);
    plan(f, &y);
    bool yes = conflict(&x, &y);
    cr_assert_eq(yes, conflict(&y, &x));
    free(x.touches);
    free(y.touches);
    return yes;
}

static void conflict_cases(struct fix *f)
{
    SET("A/1/x", "v");
    SET("A/1/y", "v");
    SET("B/1", "v");
    cr_assert(conflicts(f, UPDATE_KILL, "A/1/x", UPDATE_KILL, "A/1/y"), "the last two children");
    cr_assert(conflicts(f, UPDATE_KILL, "A/1/x", UPDATE_SET, "A/1/z"));
    cr_assert(conflicts(f, UPDATE_SET, "A/2/x", UPDATE_SET, "A/2/y"), "the first two children");
    cr_assert(!conflicts(f, UPDATE_SET, "A/1/z", UPDATE_SET, "A/1/w"));
    cr_assert(!conflicts(f, UPDATE_SET, "A/1/x", UPDATE_SET, "A/1/y"));
    cr_assert(conflicts(f, UPDATE_SET, "A/1/x", UPDATE_APPEND, "A/1/x"));
    cr_assert(conflicts(f, UPDATE_KILL, "A/1", UPDATE_SET, "A/1/x"));
    cr_assert(!conflicts(f, UPDATE_KILL, "A/1/x", UPDATE_SET, "B/2"));
}

/* ---- Everything that pages show ---- */

struct shown {
    struct key key;
    struct node node; /* value: data NULL; the bytes are in value */
    uint8_t value[64];
};

struct listing {
    struct shown *nodes; /* in key order */
    size_t count, cap;
    struct slice parent;
    struct node self;
};

struct snapshot {
    struct listing views[VIEW_END];
};

static bool page_shown(void *cookie, const struct page *page)
{
    struct listing *l = cookie;
    l->self = page->self;
    return true;
}

static struct shown *append_shown(struct listing *l, const struct node *node)
{
    if (l->count == l->cap) {
        l->cap = l->cap ? l->cap * 2 : 64;
        l->nodes = realloc(l->nodes, l->cap * sizeof(*l->nodes));
    }
    struct shown *s = &l->nodes[l->count++];
    memset(s, 0, sizeof(*s));
    s->node = *node;
    s->node.value = slice_of(NULL, 0);
    return s;
}

static bool entry_shown(void *cookie, const struct entry *e)
{
    struct listing *l = cookie;
    struct shown *s = append_shown(l, &e->node);
    key_copy(&s->key, l->parent);
    memcpy(s->key.data + l->parent.len, e->sub.data, e->sub.len);
    s->key.len = (uint16_t)(l->parent.len + e->sub.len);
    if (e->node.value.len)
        memcpy(s->value, e->node.value.data, e->node.value.len);
    return true;
}

static void page_ended(void *cookie, bool to_end)
{
    cr_assert(to_end);
}

static void read_ended(void *cookie, int error, bool ended)
{
    cr_assert_eq(error, 0);
}

static bool same_node(const struct node *a, const struct node *b)
{
    return a->flags == b->flags && a->stamp == b->stamp && a->value_len == b->value_len &&
           a->changed == b->changed;
}

static const struct store_sink shown_sink = {
    .page = page_shown, .entry = entry_shown, .page_end = page_ended, .done = read_ended};

/* The page of every node, whose self must say what the node's entry says. */
static void take_view(struct fix *f, struct listing *l, enum view view)
{
    l->count = 0;
    append_shown(l, &(struct node){0});
    for (size_t i = 0; i < l->count; i++) {
        struct key parent = l->nodes[i].key;
        struct store_page_request q = {
            .parent = key_slice(&parent), .view = view, .max_value = sizeof(l->nodes[i].value)};
        l->parent = q.parent;
        store_page(f->store, &q, &shown_sink, l);
        test_loop_run(f->loop);
        if (i == 0)
            l->nodes[0].node = l->self;
        cr_assert(same_node(&l->nodes[i].node, &l->self), "self differs from the entry");
    }
}

static void take(struct fix *f, struct snapshot *s)
{
    for (int view = 0; view < VIEW_END; view++)
        take_view(f, &s->views[view], view);
}

static void free_snapshot(struct snapshot *s)
{
    for (int view = 0; view < VIEW_END; view++)
        free(s->views[view].nodes);
}

static const struct shown *find(const struct listing *l, struct slice key)
{
    static const struct shown none;
    for (size_t i = 0; i < l->count; i++)
        if (slice_equal(key_slice(&l->nodes[i].key), key))
            return &l->nodes[i];
    return &none;
}

/* Whether all children of a node in one are in the other too, with the same flags. */
static bool children_in(const struct listing *a, const struct listing *b, struct slice parent)
{
    for (size_t i = 1; i < a->count; i++) {
        struct slice key = key_slice(&a->nodes[i].key);
        if (slice_equal(key_parent(key), parent) &&
            a->nodes[i].node.flags != find(b, key)->node.flags)
            return false;
    }
    return true;
}

static bool covered(const struct batch *b, struct slice key, bool shared)
{
    for (size_t i = 0; i < b->touched; i++) {
        const struct store_touch *t = &b->touches[i];
        if (t->subtree ? slice_has_prefix(key, t->key) : slice_equal(key, t->key))
            if (shared || !t->shared)
                return true;
    }
    return false;
}

/* One node before and after a batch: what became different must be touched. */
static void check_node(const struct batch *b, const struct listing *was, const struct listing *is,
                       struct slice key, unsigned seed)
{
    const struct shown *a = find(was, key), *z = find(is, key);
    struct node older = a->node;
    bool value = a->node.value_len != z->node.value_len || memcmp(a->value, z->value, 64) != 0;
    if (same_node(&a->node, &z->node) && !value)
        return;
    older.changed = z->node.changed;
    if (value || !same_node(&older, &z->node)) {
        cr_assert(covered(b, key, false), "seed %u: a node changed without a touch", seed);
    } else {
        cr_assert_gt(z->node.changed, a->node.changed);
        cr_assert(covered(b, key, true) || (children_in(was, is, key) && children_in(is, was, key)),
                  "seed %u: a listing changed without a touch", seed);
    }
}

/* Compares everything shown; now becomes before. */
static void check(struct fix *f, const struct batch *b, struct snapshot *before,
                  struct snapshot *now, unsigned seed)
{
    take(f, now);
    for (int view = 0; view < VIEW_END; view++) {
        const struct listing *was = &before->views[view], *is = &now->views[view];
        for (size_t i = 0; i < was->count; i++)
            check_node(b, was, is, key_slice(&was->nodes[i].key), seed);
        for (size_t i = 0; i < is->count; i++)
            check_node(b, was, is, key_slice(&is->nodes[i].key), seed);
    }
    struct snapshot old = *before;
    *before = *now;
    *now = old;
}

/* ---- At random ---- */

static unsigned below(struct fix *f, unsigned n)
{
    return (unsigned)(loop_random(f->loop) >> 33) % n;
}

static void random_path(struct fix *f, char *path, size_t size)
{
    static const char *const part[] = {"1", "-2", "b"};
    int n = snprintf(path, size, "%c", 'A' + below(f, 2));
    for (unsigned d = below(f, 8) ? 1 + below(f, 3) : 0; d > 0; d--)
        n += snprintf(path + n, size - (size_t)n, "/%s", part[below(f, 3)]);
}

/* Batches of a few updates of any kind, or of removals only, or a removal or arrival alone. */
static void random_batch(struct fix *f, struct batch *b)
{
    static const int kinds[] = {UPDATE_KILL,  UPDATE_KILL,      UPDATE_ZKILL, UPDATE_MOVE,
                                UPDATE_RMDIR, UPDATE_MKDIR,     UPDATE_SET,   UPDATE_SET,
                                UPDATE_SET,   UPDATE_INCREMENT, UPDATE_APPEND};
    unsigned mood = below(f, 4), first = mood == 3 ? 5 : 0, end = mood == 1 || mood == 2 ? 3 : 11;
    b->count = 0;
    for (unsigned n = mood > 1 ? 1 : 1 + below(f, OPS); n > 0; n--) {
        char path[32], value[32];
        int kind = kinds[first + below(f, end - first)];
        int flags = below(f, 3) ? 0 : UPDATE_KEEP_DIR;
        random_path(f, path, sizeof(path));
        if (kind == UPDATE_MOVE) {
            random_path(f, value, sizeof(value));
            if (below(f, 3) == 0)
                flags |= UPDATE_VALUE_ONLY;
        } else {
            snprintf(value, sizeof(value), "%u", below(f, 100));
        }
        add(b, kind, flags, path, value);
    }
}

static void plan_covers_every_change(struct fix *f)
{
    struct batch b = {.count = 0};
    struct snapshot before = {0}, now = {0};
    unsigned applied = 0;
    take(f, &before);
    for (unsigned i = 0; i < 3000; i++) {
        random_batch(f, &b);
        plan(f, &b);
        applied += run(f, b.updates, b.count) == 0;
        check(f, &b, &before, &now, i);
    }
    cr_assert_gt(applied, 1000);
    free(b.touches);
    free_snapshot(&before);
    free_snapshot(&now);
}

static void batch_done(void *cookie, const struct store_result *result)
{
    struct batch *b = cookie;
    b->error = result->error;
    b->done = true;
}

#define BATCHES 6

/* Batches planned in one state that do not conflict, applied in any order: the plans stay right. */
static void plans_stay_right(struct fix *f)
{
    struct batch batches[BATCHES] = {{.count = 0}};
    struct snapshot before = {0}, now = {0};
    unsigned together = 0;
    take(f, &before);
    for (unsigned i = 0; i < 1000; i++) {
        struct batch *held[BATCHES];
        unsigned n = 0;
        for (unsigned k = 0; k < BATCHES; k++) {
            bool free_of_conflict = true;
            random_batch(f, &batches[k]);
            plan(f, &batches[k]);
            for (unsigned h = 0; h < n; h++)
                free_of_conflict &= !conflict(held[h], &batches[k]);
            if (free_of_conflict)
                held[n++] = &batches[k];
        }
        together += n > 1;
        while (n > 0) {
            unsigned at = below(f, n);
            struct batch *b = held[at];
            held[at] = held[--n];
            store_apply(f->store, b->updates, b->count, nobody, batch_done, b);
            test_loop_run(f->loop);
            check(f, b, &before, &now, i);
        }
    }
    cr_assert_gt(together, 300);
    for (unsigned k = 0; k < BATCHES; k++)
        free(batches[k].touches);
    free_snapshot(&before);
    free_snapshot(&now);
}

BOTH(plan_cases, 64u << 20)
BOTH(plan_of_batch_cases, 64u << 20)
BOTH(conflict_cases, 64u << 20)
BOTH(plan_covers_every_change, 64u << 20)
BOTH(plans_stay_right, 64u << 20)
