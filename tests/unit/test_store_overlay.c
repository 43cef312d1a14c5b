/* SPDX-License-Identifier: Apache-2.0 */
/* The overlay at random against an array: layers, kills, savepoints, cursors in both ways. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "store/checkpoint.h"
#include "store/overlay.h"
#include "tests/sim/engine_mem.h"

#define KEYS 600 /* possible ones */

struct model {
    bool there[KEYS];
    char value[KEYS][64];
};

static struct key keys[KEYS];
static uint64_t seed;

static unsigned below(unsigned n)
{
    seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
    return (unsigned)(seed >> 33) % n;
}

static int key_order(const void *a, const void *b)
{
    return slice_compare(key_slice(a), key_slice(b));
}

/* 600 keys of three levels, with long common beginnings, in order. */
static void make_keys(void)
{
    for (unsigned i = 0; i < KEYS; i++) {
        char text[40];
        key_global(&keys[i], slice_str(i % 2 ? "A" : "Bcdefghijkl"));
        snprintf(text, sizeof(text), "common-beginning-%u", i / 60);
        key_append(&keys[i], slice_str(text));
        snprintf(text, sizeof(text), "%u", i);
        if (i % 60 > 1)
            key_append(&keys[i], slice_str(text));
    }
    qsort(keys, KEYS, sizeof(*keys), key_order);
}

static struct slice head(char *room, unsigned n)
{
    snprintf(room, 16, "head%05u", n % 100000);
    return slice_of(room, LAYER_HEAD);
}

static void change(struct overlay *o, struct engine_txn *txn, struct model *m)
{
    const struct engine_ops *ops = o->engine.ops;
    unsigned k = below(KEYS), what = below(20);
    struct slice key = key_slice(&keys[k]);
    char room[16], text[32];
    bool more;
    if (what == 0) {
        while (key.len && below(3))
            key = key_parent(key);
        ops->kill(txn, key, SIZE_MAX, &more);
        for (unsigned i = 0; i < KEYS; i++)
            m->there[i] &= !slice_has_prefix(key_slice(&keys[i]), key);
    } else if (what < 5) {
        ops->del(txn, key);
        m->there[k] = false;
    } else if (what < 8 && m->there[k] && strlen(m->value[k]) < 32) {
        struct slice h = head(room, below(1000));
        cr_assert_eq(overlay_append(txn, key, h, slice_str("+x")), 0);
        memcpy(m->value[k], h.data, h.len);
        strcat(m->value[k], "+x");
    } else {
        struct slice h = head(room, below(1000));
        int n = snprintf(text, sizeof(text), "%0*u", 1 + below(16), below(100));
        ops->put(txn, key, h, slice_of(text, (size_t)n));
        snprintf(m->value[k], sizeof(m->value[k]), "%.9s%s", room, text);
        m->there[k] = true;
    }
}

/* Most of a range goes, one by one, in order or not; then some of it comes again. */
static void thin_out(struct overlay *o, struct engine_txn *txn, struct model *m)
{
    const struct engine_ops *ops = o->engine.ops;
    unsigned from = below(KEYS), count = below(KEYS - from + 1), way = below(3);
    for (unsigned i = 0; i < count; i++) {
        unsigned k = from + (way == 0 ? i : way == 1 ? count - 1 - i : below(count));
        ops->del(txn, key_slice(&keys[k]));
        m->there[k] = false;
    }
    for (unsigned i = below(4); i > 0; i--)
        change(o, txn, m);
}

static void same(const struct model *m, unsigned k, struct slice key, struct slice value)
{
    cr_assert(slice_equal(key, key_slice(&keys[k])), "key %u", k);
    cr_assert(slice_equal(value, slice_str(m->value[k])), "value of %u: %.*s, not %s", k,
              (int)value.len, value.data, m->value[k]);
}

/* A walk of random steps from a random place. */
static void walk(struct overlay *o, struct engine_txn *txn, const struct model *m)
{
    const struct engine_ops *ops = o->engine.ops;
    struct engine_cursor *c;
    struct slice key, value;
    int at = (int)below(KEYS + 1), error;
    bool backwards = below(2);
    cr_assert_eq(ops->cursor_open(txn, &c), 0);
    if (at == KEYS) {
        error = ops->last(c, &key, &value);
        for (at = KEYS - 1; at >= 0 && !m->there[at];)
            at--;
    } else {
        error = ops->seek(c, key_slice(&keys[at]), &key, &value);
        while (at < KEYS && !m->there[at])
            at++;
    }
    for (int i = 0; at >= 0 && at < KEYS; i++) {
        cr_assert_eq(error, 0);
        same(m, (unsigned)at, key, value);
        if (i == 100)
            break;
        if (below(10) == 0)
            backwards = !backwards;
        int by = backwards ? -1 : 1;
        do
            at += by;
        while (at >= 0 && at < KEYS && !m->there[at]);
        error = backwards ? ops->prev(c, &key, &value) : ops->next(c, &key, &value);
    }
    cr_assert_eq(error, at >= 0 && at < KEYS ? 0 : ECP_ENOENT);
    ops->cursor_close(c);
}

static void compare(struct overlay *o, const struct model *m)
{
    const struct engine_ops *ops = o->engine.ops;
    struct engine_txn *txn;
    cr_assert_eq(ops->read_begin(&o->engine, &txn), 0);
    for (unsigned k = 0; k < KEYS; k++) {
        struct slice value;
        int error = ops->get(txn, key_slice(&keys[k]), &value);
        cr_assert_eq(error, m->there[k] ? 0 : ECP_ENOENT, "%u: %d", k, error);
        if (!error)
            same(m, k, key_slice(&keys[k]), value);
    }
    for (int i = 0; i < 4; i++)
        walk(o, txn, m);
    ops->read_end(txn);
}

/* A savepoint that is taken back, now and then, around some changes. */
static void batch(struct overlay *o, struct engine_txn *txn, struct model *m)
{
    static struct model saved;
    struct overlay_mark mark = overlay_mark(o);
    unsigned n = below(below(10) ? 20 : 400);
    bool undo = below(2);
    saved = *m;
    while (n-- > 0) {
        if (below(100) == 0)
            thin_out(o, txn, m);
        else
            change(o, txn, m);
        if (below(50) == 0)
            walk(o, txn, m);
    }
    if (undo) {
        overlay_undo(o, mark);
        *m = saved;
    }
}

Test(overlay, at_random)
{
    static struct model m;
    struct overlay *o = overlay_new(engine_mem_new(64u << 20));
    struct store_facts facts = {0};
    struct engine_txn *txn;
    make_keys();
    for (seed = 1; seed < 4; seed++) {
        uint64_t started = seed;
        for (int i = 0; i < 400; i++) {
            cr_assert_eq(o->engine.ops->write_begin(&o->engine, &txn), 0);
            for (unsigned n = 1 + below(3); n > 0; n--)
                batch(o, txn, &m);
            o->engine.ops->commit(txn);
            if (!o->frozen && below(10) == 0)
                overlay_freeze(o);
            else if (o->frozen && below(8) == 0)
                cr_assert_eq(checkpoint_write(o->base, o->frozen, &facts, 50), 0);
            else if (o->frozen && below(8) == 0) {
                cr_assert_eq(checkpoint_write(o->base, o->frozen, &facts, 50), 0);
                layer_free(overlay_thaw(o));
            }
            compare(o, &m);
        }
        seed = started;
    }
    o->engine.ops->close(&o->engine);
}

static struct key numbered(unsigned i, unsigned j)
{
    char text[16];
    struct key k;
    key_global(&k, slice_str("K"));
    snprintf(text, sizeof(text), "%u", i);
    key_append(&k, slice_str(text));
    snprintf(text, sizeof(text), "%u", j);
    key_append(&k, slice_str(text));
    return k;
}

Test(overlay, kill_takes_no_longer_for_more)
{
    struct overlay *o = overlay_new(engine_mem_new(64u << 20));
    struct engine_txn *txn;
    struct key k;
    bool more;
    struct slice found, value;
    struct engine_cursor *c;
    cr_assert_eq(o->engine.ops->write_begin(&o->engine, &txn), 0);
    for (unsigned i = 0; i < 200000; i++) {
        char text[16];
        snprintf(text, sizeof(text), "%u", i * 7919 % 200000);
        key_global(&k, slice_str("K"));
        key_append(&k, slice_str(text));
        o->engine.ops->put(txn, key_slice(&k), slice_str("123456789"), slice_str(text));
    }
    struct overlay_mark mark = overlay_mark(o);
    size_t before = overlay_bytes(o);
    key_global(&k, slice_str("K"));
    o->engine.ops->kill(txn, key_slice(&k), SIZE_MAX, &more);
    cr_assert_lt(overlay_bytes(o) - before, 100000, "a KILL that takes memory for what it kills");
    cr_assert_eq(o->engine.ops->cursor_open(txn, &c), 0);
    cr_assert_eq(o->engine.ops->seek(c, slice_of("", 0), &found, &value), ECP_ENOENT);
    overlay_undo(o, mark);
    unsigned n = 0;
    int error = o->engine.ops->seek(c, slice_of("", 0), &found, &value);
    for (; error == 0; error = o->engine.ops->next(c, &found, &value))
        n++;
    cr_assert_eq(n, 200000);
    o->engine.ops->cursor_close(c);
    o->engine.ops->commit(txn);
    o->engine.ops->close(&o->engine);
}

/* What branches above tell of a leaf may be lower than its first record, once records before that
 * have been cut out: a record must be put where it will be looked for. */
Test(overlay, what_was_killed_can_be_filled_again_in_order)
{
    struct overlay *o = overlay_new(engine_mem_new(64u << 20));
    const struct engine_ops *ops = o->engine.ops;
    struct engine_txn *txn;
    struct slice value;
    bool more;
    cr_assert_eq(ops->write_begin(&o->engine, &txn), 0);
    for (int round = 0; round < 2; round++) {
        for (unsigned i = 0; i < 600; i++) {
            struct key k = numbered(i / 200, i % 200);
            ops->put(txn, key_slice(&k), slice_str("123456789"), slice_str(""));
        }
        for (unsigned i = 0; i < 600; i++) {
            struct key k = numbered(i / 200, i % 200);
            cr_assert_eq(ops->get(txn, key_slice(&k), &value), 0, "%u in round %d", i, round);
        }
        struct key killed = numbered(1, 0);
        ops->kill(txn, key_parent(key_slice(&killed)), SIZE_MAX, &more);
    }
    ops->commit(txn);
    o->engine.ops->close(&o->engine);
}

/* A base that counts the steps of its cursors. */
static const struct engine_ops *plain;
static size_t steps;

static int counted_next(struct engine_cursor *c, struct slice *key, struct slice *value)
{
    steps++;
    return plain->next(c, key, value);
}

static int counted_prev(struct engine_cursor *c, struct slice *key, struct slice *value)
{
    steps++;
    return plain->prev(c, key, value);
}

/* One record after the other is removed, as `way` says, and after each its neighbours are asked
 * for; then each comes and goes once more. Steps of the base in all. */
static size_t steps_of_removing(unsigned count, int way, bool kills)
{
    struct engine *base = engine_mem_new(64u << 20);
    struct overlay *o = overlay_new(base);
    struct engine_ops counting = *base->ops;
    struct store_facts facts = {0};
    struct engine_txn *txn;
    struct engine_cursor *c;
    struct slice found, value;
    bool more;
    plain = base->ops;
    counting.next = counted_next;
    counting.prev = counted_prev;
    base->ops = &counting;
    o->engine.ops->write_begin(&o->engine, &txn);
    for (unsigned i = 0; i < count + 2; i++) {
        struct key k = numbered(1, i);
        o->engine.ops->put(txn, key_slice(&k), slice_str("123456789"), slice_str(""));
    }
    o->engine.ops->commit(txn);
    cr_assert_eq(checkpoint_write(base, overlay_freeze(o), &facts, 50), 0);
    layer_free(overlay_thaw(o));
    steps = 0;
    o->engine.ops->write_begin(&o->engine, &txn);
    cr_assert_eq(o->engine.ops->cursor_open(txn, &c), 0);
    for (unsigned i = 0; i < count; i++) {
        unsigned at = way == 0 ? i : way == 1 ? count - 1 - i : i * 7919u % count;
        struct key k = numbered(1, at + 1);
        if (kills)
            o->engine.ops->kill(txn, key_slice(&k), SIZE_MAX, &more);
        else
            o->engine.ops->del(txn, key_slice(&k));
        cr_assert_eq(o->engine.ops->seek(c, key_slice(&k), &found, &value), 0);
        cr_assert_eq(o->engine.ops->prev(c, &found, &value), 0);
    }
    struct key last = numbered(1, count + 1);
    for (unsigned i = 0; i < count; i++) {
        struct key k = numbered(1, i * 7919u % count + 1);
        o->engine.ops->put(txn, key_slice(&k), slice_str("123456789"), slice_str(""));
        cr_assert_eq(o->engine.ops->seek(c, key_slice(&k), &found, &value), 0);
        cr_assert(slice_equal(found, key_slice(&k)));
        cr_assert_eq(o->engine.ops->next(c, &found, &value), 0);
        cr_assert(slice_equal(found, key_slice(&last)));
        o->engine.ops->del(txn, key_slice(&k));
    }
    cr_assert_eq(o->engine.ops->last(c, &found, &value), 0);
    cr_assert(slice_equal(found, key_slice(&last)));
    cr_assert_eq(o->engine.ops->prev(c, &found, &value), 0);
    last = numbered(1, 0);
    cr_assert(slice_equal(found, key_slice(&last)));
    o->engine.ops->cursor_close(c);
    o->engine.ops->commit(txn);
    base->ops = plain;
    o->engine.ops->close(&o->engine);
    return steps;
}

Test(overlay, a_removed_run_is_not_walked_each_time)
{
    for (int way = 0; way < 3; way++)
        for (int kills = 0; kills < 2; kills++) {
            size_t n = steps_of_removing(4000, way, kills);
            cr_assert_lt(n, 4000 * 40, "way %d, kills %d: %zu steps", way, kills, n);
        }
}
