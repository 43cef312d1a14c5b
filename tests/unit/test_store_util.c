/* SPDX-License-Identifier: Apache-2.0 */
/* What the store's tests share. */
#include "tests/unit/test_store_util.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "store/engine_lmdb.h"
#include "store/io.h"
#include "tests/sim/engine_mem.h"

static struct engine *open_engine(struct fix *f)
{
    struct engine *engine;
    char *why = NULL;
    if (!f->dir[0])
        return engine_mem_new(f->limit);
    cr_assert_eq(engine_lmdb_open(f->dir, f->limit, &engine, &why), 0, "%s", why);
    return engine;
}

static void open_store(struct fix *f)
{
    char *why = NULL;
    f->options.directory = f->dir;
    f->options.io = f->dir[0] ? io_posix() : NULL;
    cr_assert_eq(store_open(f->loop, open_engine(f), &f->options, &f->store, &why), 0, "%s", why);
}

void set_up(struct fix *f, int kind, uint64_t limit)
{
    memset(f, 0, sizeof(*f));
    f->loop = test_loop_new();
    f->limit = limit;
    f->options.segment_bytes = 1u << 20;
    if (kind) {
        strcpy(f->dir, "/tmp/test_store.XXXXXX");
        cr_assert(mkdtemp(f->dir));
    }
    open_store(f);
}

static void closed(void *cookie)
{
    ((struct fix *)cookie)->store = NULL;
}

void reopen(struct fix *f)
{
    store_close(f->store, closed, f);
    test_loop_run(f->loop);
    cr_assert_null(f->store);
    open_store(f);
}

void tear_down(struct fix *f)
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
        cr_assert_eq(rmdir(f->dir), 0, "%s is not empty", f->dir);
    }
}

struct key K(const char *path) {
    struct key k;
    key_root(&k);
    while (*path) {
        size_t n = strcspn(path, "/");
        cr_assert_eq(key_append(&k, slice_of(path, n)), 0);
        path += n + (path[n] == '/');
    }
    return k;
}

void applied(void *cookie, const struct store_result *r)
{
    struct fix *f = cookie;
    f->result = *r;
    if (r->count)
        snprintf(f->value, sizeof(f->value), "%.*s", (int)r->values[0].len, r->values[0].data);
}

int run(struct fix *f, const struct update *u, size_t n)
{
    store_apply(f->store, u, n, nobody, applied, f);
    test_loop_run(f->loop);
    return f->result.error;
}

int op(struct fix *f, int kind, int cond, int flags, const char *path, const char *value)
{
    struct key k = K(path), to;
    struct update u = {.kind = kind, .cond = cond, .flags = flags, .key = key_slice(&k)};
    u.value = slice_str(value);
    if (kind == UPDATE_MOVE) {
        to = K(value);
        u.value = key_slice(&to);
    }
    return run(f, &u, 1);
}

static bool on_page(void *cookie, const struct page *page)
{
    return true;
}

static void on_page_end(void *cookie, bool to_end)
{
    if (to_end)
        put_u8(&((struct fix *)cookie)->text, '.');
}

void put_node(struct buf *b, struct slice key, uint8_t flags, uint64_t stamp, struct slice value)
{
    put_u8(b, flags);
    put_u64(b, stamp);
    put_bytes16(b, key);
    if (flags & NODE_VALUE)
        put_bytes32(b, value);
}

static bool on_entry(void *cookie, const struct entry *e)
{
    put_node(&((struct fix *)cookie)->text, e->sub, e->node.flags, e->node.stamp, e->node.value);
    return true;
}

static bool on_node(void *cookie, struct slice key, const struct node *node)
{
    struct fix *f = cookie;
    f->node = *node;
    put_node(&f->text, key, node->flags, node->stamp, node->value);
    return true;
}

static void on_done(void *cookie, int error, bool ended)
{
    cr_assert_eq(error, 0);
}

const struct store_sink sink = {on_page, on_entry, on_page_end, on_node, on_done};

struct node node_of(struct fix *f, const char *path)
{
    struct key k = K(path);
    store_node(f->store, key_slice(&k), VIEW_FILES, 1000, &sink, f);
    test_loop_run(f->loop);
    return f->node;
}
