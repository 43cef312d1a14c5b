/* SPDX-License-Identifier: Apache-2.0 */
/* The store at random against a model, on both engines. */
#include <stdio.h>
#include <stdlib.h>

#include "tests/unit/test_store_util.h"

struct mrec {
    struct key key;
    uint8_t flags;
    char value[8];
};

static struct mrec model[400];
static size_t model_count;

static struct mrec *m_find(struct slice key)
{
    for (size_t i = 0; i < model_count; i++)
        if (slice_equal(key_slice(&model[i].key), key))
            return &model[i];
    return NULL;
}

static int m_order(const void *a, const void *b)
{
    return slice_compare(key_slice(&((const struct mrec *)a)->key),
                         key_slice(&((const struct mrec *)b)->key));
}

static void m_drop(struct mrec *m)
{
    *m = model[--model_count];
}

static uint8_t m_flags(struct slice key, int view)
{
    struct mrec *m = m_find(key);
    uint8_t flags = m ? m->flags : 0;
    if (view == VIEW_GLOBALS)
        flags &= NODE_VALUE;
    for (size_t i = 0; i < model_count; i++)
        if (model[i].key.len > key.len && slice_has_prefix(key_slice(&model[i].key), key) &&
            (view == VIEW_FILES || model[i].flags & NODE_VALUE))
            flags |= NODE_CHILDREN;
    return flags;
}

static void m_apply(struct slice key, int kind, const char *value)
{
    struct mrec *m = m_find(key);
    if (kind == UPDATE_KILL) {
        for (size_t i = model_count; i-- > 0;)
            if (slice_has_prefix(key_slice(&model[i].key), key))
                m_drop(&model[i]);
    } else if (kind == UPDATE_SET) {
        if (!m) {
            m = &model[model_count++];
            memset(m, 0, sizeof(*m));
            key_copy(&m->key, key);
        }
        m->flags |= NODE_VALUE;
        strcpy(m->value, value);
    } else if (kind == UPDATE_ZKILL && m) {
        m->flags &= ~NODE_VALUE;
        if (!m->flags)
            m_drop(m);
    } else if (kind == UPDATE_MKDIR && !m_flags(key, VIEW_FILES)) {
        m = &model[model_count++];
        memset(m, 0, sizeof(*m));
        key_copy(&m->key, key);
        m->flags = NODE_DIR;
    } else if (kind == UPDATE_RMDIR && m && m_flags(key, VIEW_FILES) == NODE_DIR) {
        m_drop(m);
    }
    qsort(model, model_count, sizeof(*model), m_order);
}

static void m_put(struct buf *b, struct slice key, size_t skip, int view)
{
    struct mrec *m = m_find(key);
    uint8_t flags = m_flags(key, view);
    put_node(b, slice_of(key.data + skip, key.len - skip), flags,
             slice_str(m && m->flags & NODE_VALUE ? m->value : ""));
}

/* Keys of the children, in order. */
static size_t m_children(struct slice parent, int view, struct key *out)
{
    size_t n = 0;
    for (size_t i = 0; i < model_count; i++) {
        struct slice k = key_slice(&model[i].key);
        if (k.len <= parent.len || !slice_has_prefix(k, parent))
            continue;
        k.len = parent.len + key_level_len(k, parent.len);
        if (m_flags(k, view) && (n == 0 || !slice_equal(key_slice(&out[n - 1]), k)))
            key_copy(&out[n++], k);
    }
    return n;
}

static void same(struct fix *f, struct buf *want, const char *what)
{
    test_loop_run(f->loop);
    cr_assert(slice_equal(buf_slice(&f->text), buf_slice(want)), "%s differs", what);
    buf_clear(&f->text);
    buf_clear(want);
}

static uint64_t listing_stamp(struct fix *f, struct slice key)
{
    store_node(f->store, key, VIEW_FILES, 0, &sink, f);
    test_loop_run(f->loop);
    buf_clear(&f->text);
    return f->node.changed;
}

/* What each parent's page and stamp were after the last batch. */
static struct seen {
    struct buf page;
    uint64_t stamp;
} seen[2][3];

static void compare_children(struct fix *f, struct key *parents, int p, int view)
{
    struct key kids[400];
    struct buf want = {0};
    struct slice parent = key_slice(&parents[p]);
    size_t n = m_children(parent, view, kids);
    for (size_t i = 0; i < n; i++)
        m_put(&want, key_slice(&kids[i]), parent.len, view);
    put_u8(&want, '.');
    uint64_t stamp = listing_stamp(f, parent);
    struct seen *s = &seen[view][p];
    struct buf shape = {0};
    for (size_t i = 0; i < n; i++)
        put_node(&shape, key_slice(&kids[i]), m_flags(key_slice(&kids[i]), view) & ~NODE_VALUE,
                 slice_str(""));
    if (stamp && s->stamp) {
        cr_assert_geq(stamp, s->stamp);
        if (!slice_equal(buf_slice(&shape), buf_slice(&s->page)))
            cr_assert_gt(stamp, s->stamp, "listing changed without a stamp");
    }
    buf_free(&s->page);
    *s = (struct seen){.page = shape, .stamp = stamp ? stamp : s->stamp};
    struct store_page_request q = {.parent = parent, .view = view, .max_value = 100};
    store_page(f->store, &q, &sink, f);
    same(f, &want, "page");
    for (size_t i = 0; i <= n; i++) {
        struct slice level = slice_of(NULL, 0);
        if (i < n)
            level = slice_of(kids[i].data + parent.len, kids[i].len - parent.len);
        store_order(f->store, parent, level, true, view, 100, &sink, f);
        if (i > 0)
            m_put(&want, key_slice(&kids[i - 1]), 0, view);
        same(f, &want, "order backwards");
        store_order(f->store, parent, level, false, view, 100, &sink, f);
        if (i < n ? i + 1 < n : n > 0)
            m_put(&want, key_slice(&kids[i < n ? i + 1 : 0]), 0, view);
        same(f, &want, "order");
    }
    buf_free(&want);
}

static void compare(struct fix *f)
{
    struct key parents[3] = {K(""), K("A"), K("A/1")};
    struct buf want = {0};
    for (int view = 0; view < 2; view++)
        for (int p = 0; p < 3; p++)
            compare_children(f, parents, p, view);
    for (int back = 0; back < 2; back++) {
        for (size_t i = 0; i < model_count; i++) {
            struct mrec *m = &model[back ? model_count - 1 - i : i];
            if (m->flags & NODE_VALUE)
                m_put(&want, key_slice(&m->key), 0, VIEW_GLOBALS);
        }
        store_scan(f->store, slice_of(NULL, 0), slice_of(NULL, 0), back, 100, &sink, f);
        same(f, &want, "scan");
    }
    buf_free(&want);
}

static void random_cases(struct fix *f)
{
    static const char *const part[] = {"1", "2", "-3", "0", "a", "b"};
    static const int kinds[] = {UPDATE_SET,   UPDATE_SET,   UPDATE_SET,   UPDATE_KILL,
                                UPDATE_ZKILL, UPDATE_MKDIR, UPDATE_MKDIR, UPDATE_RMDIR};
    model_count = 0;
    for (int view = 0; view < 2; view++)
        for (int p = 0; p < 3; p++) {
            buf_free(&seen[view][p].page);
            seen[view][p].stamp = 0;
        }
    for (int i = 0; i < 600; i++) {
        char path[32], value[8];
        int n = snprintf(path, sizeof(path), "%c", 'A' + (int)(loop_random(f->loop) >> 40) % 2);
        for (int d = (int)(loop_random(f->loop) >> 40) % 4; d > 0; d--)
            n +=
                snprintf(path + n, sizeof(path) - n, "/%s", part[(loop_random(f->loop) >> 40) % 6]);
        int kind = kinds[(loop_random(f->loop) >> 40) % 8];
        snprintf(value, sizeof(value), "%d", i);
        op(f, kind, 0, 0, path, kind == UPDATE_SET ? value : "");
        struct key k = K(path);
        m_apply(key_slice(&k), kind, value);
        compare(f);
    }
    for (int i = 0; i < 6; i++)
        buf_free(&seen[i / 3][i % 3].page);
}

BOTH(random_cases, 64u << 20)
