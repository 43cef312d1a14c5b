/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of the store on both engines: semantics case by case, and at random against a model. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "store/engine_lmdb.h"
#include "store/store.h"
#include "tests/sim/engine_mem.h"
#include "tests/unit/test_loop.h"

struct fix {
    struct loop *loop;
    struct store *store;
    char dir[64];
    struct store_result result;
    char value[64];
    struct buf text; /* what reads said */
    struct node node;
};

static void set_up(struct fix *f, int kind, uint64_t limit)
{
    struct engine *engine;
    char *why = NULL;
    memset(f, 0, sizeof(*f));
    f->loop = test_loop_new();
    if (kind) {
        strcpy(f->dir, "/tmp/test_store.XXXXXX");
        cr_assert(mkdtemp(f->dir));
        cr_assert_eq(engine_lmdb_open(f->dir, limit, &engine, &why), 0, "%s", why);
    } else {
        engine = engine_mem_new(limit);
    }
    cr_assert_eq(store_open(f->loop, engine, &f->store), 0);
}

static void closed(void *cookie)
{
    ((struct fix *)cookie)->store = NULL;
}

static void tear_down(struct fix *f)
{
    char path[128];
    store_close(f->store, closed, f);
    test_loop_run(f->loop);
    cr_assert_null(f->store);
    test_loop_free(f->loop);
    buf_free(&f->text);
    if (f->dir[0]) {
        snprintf(path, sizeof(path), "%s/data.mdb", f->dir);
        unlink(path);
        snprintf(path, sizeof(path), "%s/lock.mdb", f->dir);
        unlink(path);
        rmdir(f->dir);
    }
}

/* "A/b/c": a key from a path. */
static struct key K(const char *path) {
    struct key k;
    key_root(&k);
    while (*path) {
        size_t n = strcspn(path, "/");
        cr_assert_eq(key_append(&k, slice_of(path, n)), 0);
        path += n + (path[n] == '/');
    }
    return k;
}

static void
applied(void *cookie, const struct store_result *r)
{
    struct fix *f = cookie;
    f->result = *r;
    if (r->count)
        snprintf(f->value, sizeof(f->value), "%.*s", (int)r->values[0].len, r->values[0].data);
}

static int run(struct fix *f, const struct update *u, size_t n)
{
    store_apply(f->store, u, n, applied, f);
    test_loop_run(f->loop);
    return f->result.error;
}

static int op(struct fix *f, int kind, int cond, int flags, const char *path, const char *value)
{
    struct key k = K(path), to;
    struct update u = {.kind = kind, .cond = cond, .flags = flags, .key = key_slice(&k)};
    u.value = slice_str(value);
    if (kind == UPDATE_MOVE) {
        to = K(value);
        u.value = key_slice(&to);
    }
    cr_assert_eq(update_check(&u), 0);
    return run(f, &u, 1);
}

#define SET(p, v)        cr_assert_eq(op(f, UPDATE_SET, 0, 0, p, v), 0)
#define MKDIR(p)         op(f, UPDATE_MKDIR, 0, 0, p, "")
#define MOVE(p, q)       op(f, UPDATE_MOVE, 0, 0, p, q)
#define IS(call, wanted) cr_assert_eq(call, wanted, "%s: %s", #call, error_name(f->result.error))

static bool on_page(void *cookie, const struct page *page)
{
    return true;
}

static void on_page_end(void *cookie, bool to_end)
{
    if (to_end)
        put_u8(&((struct fix *)cookie)->text, '.');
}

static void put_node(struct buf *b, struct slice key, uint8_t flags, struct slice value)
{
    put_u8(b, flags);
    put_bytes16(b, key);
    if (flags & NODE_VALUE)
        put_bytes32(b, value);
}

static bool on_entry(void *cookie, const struct entry *e)
{
    put_node(&((struct fix *)cookie)->text, e->sub, e->node.flags, e->node.value);
    return true;
}

static bool on_node(void *cookie, struct slice key, const struct node *node)
{
    struct fix *f = cookie;
    f->node = *node;
    put_node(&f->text, key, node->flags, node->value);
    return true;
}

static void on_done(void *cookie, int error, bool ended)
{
    cr_assert_eq(error, 0);
}

static const struct store_sink sink = {on_page, on_entry, on_page_end, on_node, on_done};

static struct node node_of(struct fix *f, const char *path)
{
    struct key k = K(path);
    store_node(f->store, key_slice(&k), VIEW_FILES, 1000, &sink, f);
    test_loop_run(f->loop);
    return f->node;
}

static void rename_cases(struct fix *f)
{
    IS(MOVE("A/x", "A/y"), ECP_ENOENT);
    SET("A/x", "1");
    IS(MOVE("A/x", "A/x"), 0);
    IS(MOVE("A/x", "A/x/y"), ECP_EINVAL);
    IS(MOVE("A/x", "A/y"), 0);
    cr_assert_eq(node_of(f, "A/x").flags, 0);
    cr_assert_eq(node_of(f, "A/y").flags, NODE_VALUE);
    SET("A/d/e", "2");
    IS(MOVE("A/d", "A/y"), ECP_ENOTDIR);
    IS(MOVE("A/y", "A/d"), ECP_EISDIR);
    SET("A/f/g", "3");
    IS(MOVE("A/d", "A/f"), ECP_ENOTEMPTY);
    IS(MKDIR("A/m"), 0);
    IS(MKDIR("A/m"), ECP_EEXIST);
    IS(MOVE("A/y", "A/m"), ECP_EISDIR);
    IS(MOVE("A/d", "A/m"), 0);
    cr_assert_eq(node_of(f, "A/m/e").flags, NODE_VALUE);
    IS(op(f, UPDATE_MOVE, COND_ABSENT, 0, "A/m", "A/f"), ECP_EEXIST);
    IS(op(f, UPDATE_MOVE, 0, UPDATE_IN_DIR, "A/m", "A/q/r"), ECP_ENOENT);
    IS(op(f, UPDATE_MOVE, 0, UPDATE_IN_DIR, "A/m", "A/y/r"), ECP_ENOTDIR);
    SET("A/f", "self");
    IS(op(f, UPDATE_MOVE, 0, UPDATE_VALUE_ONLY, "A/f", "A/m"), 0);
    cr_assert_eq(node_of(f, "A/m").flags, NODE_VALUE | NODE_CHILDREN);
    cr_assert_eq(node_of(f, "A/f").flags, NODE_CHILDREN);
    char deep[600] = "A/f/";
    memset(deep + 4, 'k', 480);
    SET(deep, "long");
    IS(MOVE("A/f", "A/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"), ECP_EKEYLONG);
    cr_assert_eq(node_of(f, "A/f/g").flags, NODE_VALUE);
}

static void directory_cases(struct fix *f)
{
    SET("A/d/x", "1");
    IS(op(f, UPDATE_KILL, 0, UPDATE_KEEP_DIR, "A/d/x", ""), 0);
    cr_assert_eq(node_of(f, "A/d").flags, NODE_DIR);
    IS(op(f, UPDATE_RMDIR, 0, 0, "A/none", ""), ECP_ENOENT);
    SET("A/v", "1");
    IS(op(f, UPDATE_RMDIR, 0, 0, "A/v", ""), ECP_ENOTDIR);
    IS(op(f, UPDATE_RMDIR, 0, 0, "A", ""), ECP_ENOTEMPTY);
    IS(op(f, UPDATE_RMDIR, 0, 0, "A/d", ""), 0);
    IS(op(f, UPDATE_SET, 0, UPDATE_IS_FILE, "A", "v"), ECP_EISDIR);
    IS(op(f, UPDATE_ZKILL, COND_PRESENT, 0, "A", ""), ECP_ENOENT);
    IS(op(f, UPDATE_SET, COND_PRESENT, 0, "A", "v"), ECP_ESTALE);
    IS(op(f, UPDATE_INCREMENT, 0, 0, "A/v", "41"), 0);
    cr_assert_str_eq(f->value, "42");
    IS(op(f, UPDATE_APPEND, 0, 0, "A/v", "x"), 0);
    cr_assert_eq(node_of(f, "A/v").value_len, 3);
    IS(op(f, UPDATE_KILL, 0, 0, "A/none", ""), 0);
}

static void rollback_cases(struct fix *f)
{
    SET("A/v", "1");
    struct key k = K("A/w"), v = K("A/v");
    struct update u[] = {
        {.kind = UPDATE_SET, .key = key_slice(&k), .value = slice_str("2")},
        {.kind = UPDATE_KILL, .key = key_slice(&v)},
        {.kind = UPDATE_MKDIR, .key = key_slice(&k)},
    };
    cr_assert_eq(run(f, u, 3), ECP_EEXIST);
    cr_assert_eq(f->result.failed, 2);
    cr_assert_eq(node_of(f, "A/w").flags, 0);
    cr_assert_eq(node_of(f, "A/v").flags, NODE_VALUE);
}

static void stamp_cases(struct fix *f)
{
    SET("A/d/x", "1");
    uint64_t stamp = f->result.stamp;
    uint64_t d = node_of(f, "A/d").changed, a = node_of(f, "A").changed;
    SET("A/d/x", "2");
    cr_assert_gt(f->result.stamp, stamp);
    cr_assert_eq(node_of(f, "A/d").changed, d);
    SET("A/d/y", "1");
    cr_assert_gt(node_of(f, "A/d").changed, d);
    cr_assert_eq(node_of(f, "A").changed, a);
    SET("A/d/x/z", "1");
    cr_assert_eq(node_of(f, "A/d").changed, f->result.stamp);
    SET("A/d", "v");
    d = node_of(f, "A/d").changed;
    IS(op(f, UPDATE_ZKILL, 0, 0, "A/d", ""), 0);
    cr_assert_geq(node_of(f, "A/d").changed, d);
    IS(op(f, UPDATE_KILL, 0, 0, "A/d", ""), 0);
}

static void space_cases(struct fix *f)
{
    static char big[20001];
    char path[32];
    int i, error = 0;
    memset(big, 'b', 20000);
    for (i = 0; i < 1000 && !error; i++) {
        snprintf(path, sizeof(path), "A/%d", i + 1);
        error = op(f, UPDATE_SET, 0, 0, path, big);
    }
    cr_assert_eq(error, ECP_ENOSPC);
    cr_assert_gt(i, 10);
    IS(op(f, UPDATE_KILL, 0, 0, "A", ""), 0);
    SET("A/1", "x");
    IS(op(f, UPDATE_SET, 0, 0, "A/2", big), 0);
    struct space space;
    cr_assert_eq(store_space(f->store, UINT64_MAX, &space), 0);
    cr_assert_eq(space.nodes, 2);
    cr_assert_eq(store_set_limit(f->store, 8u << 20), 0);
    cr_assert_eq(store_set_limit(f->store, 100), ECP_EINVAL);
}

/* ---- Model ---- */

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

#define BOTH(name, limit)                                                                          \
    Test(store, name)                                                                              \
    {                                                                                              \
        for (int kind = 0; kind < 2; kind++) {                                                     \
            struct fix f;                                                                          \
            set_up(&f, kind, limit);                                                               \
            name(&f);                                                                              \
            tear_down(&f);                                                                         \
        }                                                                                          \
    }

BOTH(rename_cases, 64u << 20)
BOTH(directory_cases, 64u << 20)
BOTH(rollback_cases, 64u << 20)
BOTH(stamp_cases, 64u << 20)
BOTH(space_cases, 1u << 20)
BOTH(random_cases, 64u << 20)
