/* SPDX-License-Identifier: Apache-2.0 */
/* The store at random against a model, on both engines. */
#include <stdio.h>
#include <stdlib.h>

#include "base/number.h"
#include "tests/unit/test_store_util.h"

struct mrec {
    struct key key;
    uint8_t flags;
    uint64_t stamp;
    char value[64];
};

#define MODEL_MAX 400

static struct mrec model[MODEL_MAX];
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

static struct mrec *m_make(struct slice key)
{
    struct mrec *m = m_find(key);
    if (m)
        return m;
    cr_assert_lt(model_count, MODEL_MAX);
    m = &model[model_count++];
    memset(m, 0, sizeof(*m));
    key_copy(&m->key, key);
    return m;
}

static void m_set(struct slice key, struct slice value, uint64_t stamp)
{
    struct mrec *m = m_make(key);
    cr_assert_lt(value.len, sizeof(m->value));
    memmove(m->value, value.data, value.len);
    m->value[value.len] = '\0';
    m->flags |= NODE_VALUE;
    m->stamp = stamp;
}

static size_t m_kill(struct slice key)
{
    size_t before = model_count;
    for (size_t i = model_count; i-- > 0;)
        if (slice_has_prefix(key_slice(&model[i].key), key))
            m_drop(&model[i]);
    return before - model_count;
}

/* Takes the value away; a mark stays. */
static void m_zkill(struct slice key, uint64_t stamp)
{
    struct mrec *m = m_find(key);
    m->flags &= ~NODE_VALUE;
    m->stamp = stamp;
    if (!m->flags)
        m_drop(m);
}

static void m_keep_parent(const struct update *u, uint64_t stamp)
{
    struct slice parent = key_parent(u->key);
    if (!(u->flags & UPDATE_KEEP_DIR) || parent.len == 0 ||
        m_flags(parent, VIEW_FILES) & (NODE_CHILDREN | NODE_DIR))
        return;
    struct mrec *m = m_make(parent);
    m->flags |= NODE_DIR;
    m->stamp = stamp;
}

static int m_condition(const struct update *u, uint8_t target)
{
    struct mrec *m = m_find(u->key);
    if (u->cond == COND_ABSENT && target)
        return ECP_EEXIST;
    if (u->cond == COND_PRESENT && !(m && m->flags & NODE_VALUE))
        return u->kind == UPDATE_ZKILL ? ECP_ENOENT : ECP_ESTALE;
    if (u->cond == COND_STAMP && (m ? m->stamp : 0) != u->stamp)
        return ECP_ESTALE;
    return 0;
}

static int m_kinds(uint8_t src, uint8_t dst)
{
    bool src_dir = src & ~NODE_VALUE, dst_dir = dst & ~NODE_VALUE;
    if (!dst)
        return 0;
    if (src_dir != dst_dir)
        return src_dir ? ECP_ENOTDIR : ECP_EISDIR;
    return dst_dir && dst != NODE_DIR ? ECP_ENOTEMPTY : 0;
}

static void m_carry(struct slice src, struct slice dst, uint64_t stamp)
{
    m_kill(dst);
    for (size_t i = 0; i < model_count; i++) {
        struct key old = model[i].key;
        if (!slice_has_prefix(key_slice(&old), src))
            continue;
        key_copy(&model[i].key, dst);
        memcpy(model[i].key.data + dst.len, old.data + src.len, old.len - src.len);
        model[i].key.len = (uint16_t)(dst.len + old.len - src.len);
        if (old.len == src.len)
            model[i].stamp = stamp;
    }
}

static int m_move(const struct update *u, uint64_t stamp)
{
    uint8_t src = m_flags(u->key, VIEW_FILES), dst = m_flags(u->value, VIEW_FILES);
    bool value_only = u->flags & UPDATE_VALUE_ONLY, same = slice_equal(u->key, u->value);
    if (!value_only && !same && slice_has_prefix(u->value, u->key))
        return ECP_EINVAL;
    if (value_only ? !(src & NODE_VALUE) : !src)
        return ECP_ENOENT;
    int error = m_condition(u, dst);
    if (error || same)
        return error;
    if (value_only) {
        char value[64];
        strcpy(value, m_find(u->key)->value);
        m_zkill(u->key, stamp);
        m_set(u->value, slice_str(value), stamp);
    } else if ((error = m_kinds(src, dst))) {
        return error;
    } else {
        m_carry(u->key, u->value, stamp);
    }
    m_keep_parent(u, stamp);
    return 0;
}

static int m_write(const struct update *u, uint64_t stamp)
{
    struct mrec *m = m_find(u->key);
    const char *old = m && m->flags & NODE_VALUE ? m->value : "";
    char text[64 + NUMBER_TEXT_MAX];
    size_t len = strlen(old);
    if (u->kind == UPDATE_INCREMENT) {
        int error = number_add(slice_str(old), u->value, text, &len);
        if (error)
            return error;
    } else {
        if (u->kind == UPDATE_SET)
            len = 0;
        memcpy(text, old, len);
        memcpy(text + len, u->value.data, u->value.len);
        len += u->value.len;
    }
    m_set(u->key, slice_of(text, len), stamp);
    return 0;
}

static int m_update(const struct update *u, uint64_t stamp)
{
    uint8_t flags = m_flags(u->key, VIEW_FILES);
    struct slice parent = key_parent(u->kind == UPDATE_MOVE ? u->value : u->key);
    uint8_t dir = parent.len ? m_flags(parent, VIEW_FILES) : NODE_DIR;
    if (u->flags & UPDATE_IN_DIR && !(dir & ~NODE_VALUE))
        return dir ? ECP_ENOTDIR : ECP_ENOENT;
    if (u->kind == UPDATE_MOVE)
        return m_move(u, stamp);
    if (u->kind == UPDATE_MKDIR && flags)
        return ECP_EEXIST;
    int error = m_condition(u, flags);
    if (error)
        return error;
    if (u->flags & UPDATE_IS_FILE && flags & ~NODE_VALUE &&
        (u->kind == UPDATE_SET || u->kind == UPDATE_APPEND || u->kind == UPDATE_ZKILL))
        return ECP_EISDIR;
    switch (u->kind) {
    case UPDATE_KILL:
        if (m_kill(u->key))
            m_keep_parent(u, stamp);
        return 0;
    case UPDATE_ZKILL:
        if (flags & NODE_VALUE) {
            m_zkill(u->key, stamp);
            if (!(flags & NODE_DIR))
                m_keep_parent(u, stamp);
        }
        return 0;
    case UPDATE_MKDIR:
        m_make(u->key)->flags = NODE_DIR;
        m_find(u->key)->stamp = stamp;
        return 0;
    case UPDATE_RMDIR:
        if (flags != NODE_DIR)
            return !flags ? ECP_ENOENT : flags == NODE_VALUE ? ECP_ENOTDIR : ECP_ENOTEMPTY;
        m_kill(u->key);
        m_keep_parent(u, stamp);
        return 0;
    default:
        return m_write(u, stamp);
    }
}

/* All or nothing; the index of the update that fails in *failed. */
static int m_batch(const struct update *u, size_t count, uint64_t stamp, uint32_t *failed)
{
    static struct mrec saved[MODEL_MAX];
    size_t saved_count = model_count;
    memcpy(saved, model, sizeof(*model) * model_count);
    for (size_t i = 0; i < count; i++) {
        int error = m_update(&u[i], stamp);
        if (error) {
            memcpy(model, saved, sizeof(*model) * saved_count);
            model_count = saved_count;
            *failed = (uint32_t)i;
            return error;
        }
    }
    qsort(model, model_count, sizeof(*model), m_order);
    return 0;
}

static void m_put(struct buf *b, struct slice key, size_t skip, int view)
{
    struct mrec *m = m_find(key);
    uint8_t flags = m_flags(key, view);
    put_node(b, slice_of(key.data + skip, key.len - skip), flags,
             m && (view == VIEW_FILES || m->flags & NODE_VALUE) ? m->stamp : 0,
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
        put_node(&shape, key_slice(&kids[i]), m_flags(key_slice(&kids[i]), view) & ~NODE_VALUE, 0,
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

static unsigned below(struct fix *f, unsigned n)
{
    return (unsigned)(loop_random(f->loop) >> 33) % n;
}

/* The nodes of a subtree behind or before a key (of length 0: all). */
static void compare_scan(struct fix *f, struct slice top, struct slice from, bool back)
{
    struct buf want = {0};
    for (size_t i = 0; i < model_count; i++) {
        struct mrec *m = &model[back ? model_count - 1 - i : i];
        struct slice key = key_slice(&m->key);
        int order = from.len ? slice_compare(key, from) : 0;
        if (m->flags & NODE_VALUE && slice_has_prefix(key, top) &&
            (!from.len || (back ? order < 0 : order > 0)))
            m_put(&want, key, 0, VIEW_GLOBALS);
    }
    store_scan(f->store, top, from, back, 100, &sink, f);
    same(f, &want, "scan");
    buf_free(&want);
}

static void compare(struct fix *f)
{
    struct key parents[3] = {K(""), K("A"), K("A/1")};
    for (int view = 0; view < 2; view++)
        for (int p = 0; p < 3; p++)
            compare_children(f, parents, p, view);
    for (int p = 0; p < 3; p++)
        for (int back = 0; back < 2; back++) {
            struct slice top = key_slice(&parents[p]);
            compare_scan(f, top, slice_of(NULL, 0), back);
            if (model_count)
                compare_scan(f, top, key_slice(&model[below(f, (unsigned)model_count)].key), back);
        }
}

static void random_key(struct fix *f, struct key *key)
{
    static const char *const part[] = {"1", "2", "-3", "0", "a", "b"};
    char path[32];
    int n = snprintf(path, sizeof(path), "%c", 'A' + below(f, 2));
    for (unsigned d = below(f, 4); d > 0; d--)
        n += snprintf(path + n, sizeof(path) - (size_t)n, "/%s", part[below(f, 6)]);
    *key = K(path);
}

#define OPS 3

struct random_batch {
    struct update updates[OPS];
    struct key keys[OPS], to[OPS];
    char values[OPS][8];
    size_t count;
};

static void random_update(struct fix *f, struct random_batch *b, size_t i)
{
    static const int kinds[] = {UPDATE_SET,   UPDATE_SET,    UPDATE_SET,       UPDATE_KILL,
                                UPDATE_ZKILL, UPDATE_MKDIR,  UPDATE_MKDIR,     UPDATE_RMDIR,
                                UPDATE_MOVE,  UPDATE_APPEND, UPDATE_INCREMENT, UPDATE_MOVE};
    struct update *u = &b->updates[i];
    random_key(f, &b->keys[i]);
    *u = (struct update){.kind = kinds[below(f, 12)]};
    for (size_t k = 0; k < model_count && u->kind == UPDATE_RMDIR; k++)
        if (model[k].flags == NODE_DIR && below(f, 2))
            key_copy(&b->keys[i], key_slice(&model[k].key));
    u->key = key_slice(&b->keys[i]);
    u->cond = below(f, 3) ? COND_NONE : below(f, COND_END);
    u->flags = below(f, 2) ? below(f, UPDATE_FLAGS_ALL + 1) : 0;
    if (u->kind != UPDATE_MOVE)
        u->flags &= ~UPDATE_VALUE_ONLY;
    struct mrec *m = m_find(u->key);
    u->stamp = m && below(f, 2) ? m->stamp : below(f, 2);
    snprintf(b->values[i], sizeof(b->values[i]), "%u", below(f, 50));
    if (u->kind == UPDATE_MOVE) {
        random_key(f, &b->to[i]);
        u->value = key_slice(&b->to[i]);
    } else if (u->kind == UPDATE_SET || u->kind == UPDATE_INCREMENT) {
        u->value = slice_str(b->values[i]);
    } else if (u->kind == UPDATE_APPEND && (!m || strlen(m->value) < 20)) {
        u->value = slice_str(b->values[i]);
    }
}

static void forget_seen(void)
{
    for (int i = 0; i < 6; i++) {
        buf_free(&seen[i / 3][i % 3].page);
        seen[i / 3][i % 3].stamp = 0;
    }
}

static void random_cases(struct fix *f)
{
    bool happened[UPDATE_KIND_END] = {false};
    unsigned failed = 0;
    model_count = 0;
    forget_seen();
    for (int i = 0; i < 1500; i++) {
        struct random_batch b = {.count = below(f, 2) ? 1 : 1 + below(f, OPS)};
        uint32_t at = 0;
        for (size_t k = 0; k < b.count; k++)
            random_update(f, &b, k);
        int error = run(f, b.updates, b.count);
        uint64_t stamp = error ? UINT64_MAX : f->result.stamp;
        cr_assert_eq(error, m_batch(b.updates, b.count, stamp, &at), "%d: %s", i,
                     error_name(error));
        if (error)
            cr_assert_eq(f->result.failed, at, "%d", i);
        for (size_t k = 0; k < b.count && !error; k++)
            happened[b.updates[k].kind] = true;
        failed += error != 0;
        if (below(f, 8) == 0)
            store_checkpoint(f->store);
        compare(f);
    }
    for (int kind = UPDATE_SET; kind < UPDATE_KIND_END; kind++)
        cr_assert(happened[kind], "kind %d never succeeded", kind);
    cr_assert_gt(failed, 100);
    forget_seen();
}

BOTH(random_cases, 64u << 20)
