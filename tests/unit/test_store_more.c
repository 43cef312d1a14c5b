/* SPDX-License-Identifier: Apache-2.0 */
/* The store: pages read ahead, parts of values, groups of batches, bounds, reopening; its files. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "store/io.h"
#include "tests/unit/test_store_util.h"

/* ---- Reading ahead ---- */

struct pages {
    char text[200]; /* a page's parent's depth, a dot for each entry, "|" at its end */
    int room;       /* entries until the sink has enough */
    bool ended;
};

static bool ahead_page(void *cookie, const struct page *page)
{
    struct pages *p = cookie;
    snprintf(p->text + strlen(p->text), 8, "%u", key_depth(page->parent));
    return true;
}

static bool ahead_entry(void *cookie, const struct entry *entry)
{
    struct pages *p = cookie;
    if (p->room-- == 0)
        return false;
    strcat(p->text, ".");
    return true;
}

static void ahead_end(void *cookie, bool to_end)
{
    strcat(((struct pages *)cookie)->text, to_end ? "|" : "-");
}

static void ahead_done(void *cookie, int error, bool ended)
{
    cr_assert_eq(error, 0);
    ((struct pages *)cookie)->ended = true;
}

static const struct store_sink ahead = {
    .page = ahead_page, .entry = ahead_entry, .page_end = ahead_end, .done = ahead_done};

static void pages_are(struct fix *f, const char *from, uint32_t readahead, int room,
                      const char *wanted)
{
    struct key parent = K("A"), first = K(from);
    struct pages p = {.room = room};
    struct store_page_request q = {
        .parent = key_slice(&parent), .from = key_last(key_slice(&first)), .readahead = readahead};
    store_page(f->store, &q, &ahead, &p);
    test_loop_run(f->loop);
    cr_assert(p.ended);
    cr_assert_str_eq(p.text, wanted);
}

static void readahead_cases(struct fix *f)
{
    SET("A/1/a", "v");
    SET("A/1/b", "v");
    SET("A/2/a", "v");
    SET("A/2/b", "v");
    SET("A/2/c", "v");
    SET("A/3", "leaf");
    IS(MKDIR("A/4"), 0);
    pages_are(f, "", 0, 100, "1....|");
    pages_are(f, "", 1, 100, "1....|2..|");
    pages_are(f, "", 2, 100, "1....|2..|2...|");
    pages_are(f, "", 3, 100, "1....|2..|2...|2|");
    pages_are(f, "A/2", 2, 100, "1...|2...|2|");
    pages_are(f, "", 3, 3, "1...-");
    pages_are(f, "", 3, 5, "1....|2.-");
    pages_are(f, "A/9", 3, 5, "1|");
}

static void walk_is(struct fix *f, const char *parent, uint32_t entries, bool onward,
                    const char *wanted)
{
    struct key key = K(parent);
    struct pages p = {.room = 100};
    struct store_page_request q = {
        .parent = key_slice(&key), .entries = entries, .readahead = 9, .onward = onward};
    store_page(f->store, &q, &ahead, &p);
    test_loop_run(f->loop);
    cr_assert(p.ended);
    cr_assert_str_eq(p.text, wanted, "%s: %s, not %s", parent, p.text, wanted);
}

/* Pages come in the order of a walk, each directory before what is below it. */
static void walk_cases(struct fix *f)
{
    SET("A/1", "both");
    SET("A/1/x/p/q", "v");
    SET("A/1/y", "v");
    SET("A/2/z", "v");
    SET("A/3", "leaf");
    SET("B/1", "v");
    IS(MKDIR("B/2"), 0);
    walk_is(f, "A/1", 0, false, "2..|3.|4.|");
    walk_is(f, "A/1", 0, true, "2..|3.|4.|2.|1..|2|");
    walk_is(f, "A/1/x", 0, true, "3.|4.|2.|1..|2|");
    walk_is(f, "A", 1, false, "1.-2..|3.|4.|2.|");
    walk_is(f, "B", 0, true, "1..|2|");
    walk_is(f, "C", 0, true, "1|");
}

/* ---- Parts of values ---- */

static void part_is(struct fix *f, uint32_t offset, uint32_t len, const char *wanted)
{
    struct buf want = {0};
    struct key k = K("A/1");
    store_value(f->store, key_slice(&k), offset, len, &sink, f);
    test_loop_run(f->loop);
    put_node(&want, key_slice(&k), NODE_VALUE, f->node.stamp, slice_str(wanted));
    cr_assert(slice_equal(buf_slice(&f->text), buf_slice(&want)), "\"%s\"", wanted);
    cr_assert_eq(f->node.value_len, 10);
    buf_clear(&f->text);
    buf_free(&want);
}

static void value_cases(struct fix *f)
{
    struct key none = K("A/2");
    SET("A/1", "0123456789");
    part_is(f, 0, 100, "0123456789");
    part_is(f, 3, 4, "3456");
    part_is(f, 9, 4, "9");
    part_is(f, 10, 4, "");
    part_is(f, UINT32_MAX, UINT32_MAX, "");
    part_is(f, 2, 0, "");
    store_value(f->store, key_slice(&none), 0, 5, &sink, f);
    test_loop_run(f->loop);
    cr_assert_eq(f->node.flags, 0);
    store_read_cancel(store_value(f->store, key_slice(&none), 0, 5, &sink, f));
    buf_clear(&f->text);
    test_loop_run(f->loop);
    cr_assert_eq(f->text.len, 0);
}

/* ---- Groups ---- */

struct outcome {
    int error;
    uint32_t failed;
    uint64_t stamp;
    size_t count;
};

static void told(void *cookie, const struct store_result *r)
{
    *(struct outcome *)cookie = (struct outcome){r->error, r->failed, r->stamp, r->count};
}

static void group_cases(struct fix *f)
{
    static char big[70000];
    struct key a = K("A/1"), b = K("A/2"), c = K("A/3"), d = K("A/4");
    memset(big, 'b', sizeof(big));
    struct update first[] = {
        {.kind = UPDATE_SET, .key = key_slice(&a), .value = slice_str("1")},
        {.kind = UPDATE_INCREMENT, .key = key_slice(&a), .value = slice_str("1")}};
    struct update refused[] = {{.kind = UPDATE_SET, .key = key_slice(&b), .value = slice_str("1")},
                               {.kind = UPDATE_MKDIR, .key = key_slice(&a)}};
    struct update huge[64] = {{.kind = 0}};
    struct key keys[64];
    for (int i = 0; i < 64; i++) {
        char path[16];
        snprintf(path, sizeof(path), "B/%d", i);
        keys[i] = K(path);
        huge[i] = (struct update){
            .kind = UPDATE_SET, .key = key_slice(&keys[i]), .value = slice_of(big, sizeof(big))};
    }
    struct update last = {.kind = UPDATE_SET, .key = key_slice(&c), .value = slice_str("3")};
    struct update mark = {.kind = UPDATE_MKDIR, .key = key_slice(&d)};
    struct outcome o[6];
    store_apply(f->store, first, 2, nobody, told, &o[0]);
    store_apply(f->store, refused, 2, nobody, told, &o[1]);
    store_apply(f->store, &mark, 1, nobody, told, &o[2]);
    test_loop_run(f->loop);
    cr_assert(o[0].error == 0 && o[0].count == 1 && o[2].error == 0 && o[2].count == 0);
    cr_assert(o[1].error == ECP_EEXIST && o[1].failed == 1);
    cr_assert_gt(o[2].stamp, o[0].stamp);
    cr_assert_eq(node_of(f, "A/2").flags, 0);
    cr_assert_eq(node_of(f, "A/4").flags, NODE_DIR);
    store_apply(f->store, first, 2, nobody, told, &o[3]);
    store_apply(f->store, huge, 64, nobody, told, &o[4]);
    store_apply(f->store, &last, 1, nobody, told, &o[5]);
    test_loop_run(f->loop);
    cr_assert(o[3].error == 0 && o[3].count == 1, "the group's retry tells an INCREMENT once");
    cr_assert_eq(o[4].error, ECP_ENOSPC);
    cr_assert_eq(o[5].error, 0);
    cr_assert(o[3].stamp > o[2].stamp && o[5].stamp > o[3].stamp);
    cr_assert_eq(node_of(f, "B").flags, 0);
    cr_assert_eq(node_of(f, "A/1").stamp, o[3].stamp);
    cr_assert_eq(node_of(f, "A/3").stamp, o[5].stamp);
    cr_assert_eq(node_of(f, "A").changed, o[5].stamp);
}

/* ---- Bounds and reopening, on LMDB ---- */

Test(store, move_too_big)
{
    static struct update updates[BATCH_MAX_OPS];
    static struct key keys[BATCH_MAX_OPS];
    struct fix fix, *f = &fix;
    size_t n = 0;
    set_up(f, 1, 256u << 20);
    for (unsigned i = 0; i <= MOVE_MAX_NODES; i++) {
        char text[16];
        snprintf(text, sizeof(text), "%u", i);
        keys[n] = K("A");
        cr_assert_eq(key_append(&keys[n], slice_str(text)), 0);
        updates[n] = (struct update){.kind = UPDATE_SET, .key = key_slice(&keys[n])};
        if (++n == BATCH_MAX_OPS || i == MOVE_MAX_NODES) {
            cr_assert_eq(run(f, updates, n), 0);
            n = 0;
        }
    }
    IS(MOVE("A", "B"), ECP_ETOOBIG);
    cr_assert_eq(node_of(f, "B").flags, 0);
    cr_assert_eq(node_of(f, "A/0").flags, NODE_VALUE);
    IS(op(f, UPDATE_KILL, 0, 0, "A/7", ""), 0);
    IS(MOVE("A", "B"), 0);
    cr_assert_eq(node_of(f, "A").flags, 0);
    cr_assert_eq(node_of(f, "B/262144").flags, NODE_VALUE);
    tear_down(f);
}

Test(store, stamps_rise_after_reopening)
{
    struct fix fix, *f = &fix;
    set_up(f, 1, 64u << 20);
    uint64_t stamp = 0;
    for (int i = 0; i < 3; i++) {
        char value[2] = {(char)('0' + i), '\0'};
        SET("A/1", value);
        cr_assert_gt(f->result.stamp, stamp);
        stamp = f->result.stamp;
        uint64_t changed = node_of(f, "A").changed;
        reopen(f);
        cr_assert_eq(node_of(f, "A/1").stamp, stamp);
        cr_assert_geq(node_of(f, "A").changed, changed);
    }
    tear_down(f);
}

/* ---- Directories and lock files ---- */

Test(store, io_posix)
{
    struct io *io = io_posix();
    struct io_lock *lock, *other;
    char top[] = "/tmp/test_io.XXXXXX", deep[64], file[80], below[96], *why = NULL;
    cr_assert(mkdtemp(top));
    snprintf(deep, sizeof(deep), "%s/a/b", top);
    snprintf(file, sizeof(file), "%s/lock", deep);
    snprintf(below, sizeof(below), "%s/c", file);
    cr_assert_eq(io->ops->make_directory(io, deep, &why), 0);
    cr_assert_eq(io->ops->make_directory(io, deep, &why), 0);
    cr_assert_eq(io->ops->lock(io, file, "a long owner's text", &lock, &why), 0);
    cr_assert_eq(io->ops->lock(io, file, "second", &other, &why), ECP_EBUSY);
    cr_assert(strstr(why, "\"a long owner's text\"") && strstr(why, file), "%s", why);
    free(why);
    io->ops->unlock(io, lock);
    cr_assert_eq(io->ops->lock(io, file, "third", &lock, &why), 0);
    cr_assert_eq(io->ops->lock(io, file, "fourth", &other, &why), ECP_EBUSY);
    cr_assert(strstr(why, "\"third\""), "%s", why);
    free(why);
    io->ops->unlock(io, lock);
    cr_assert_eq(io->ops->make_directory(io, file, &why), ECP_ENOTDIR);
    cr_assert(strstr(why, file), "%s", why);
    free(why);
    cr_assert_eq(io->ops->make_directory(io, below, &why), ECP_ENOTDIR);
    free(why);
    cr_assert_eq(io->ops->lock(io, below, "x", &lock, &why), ECP_ENOTDIR);
    free(why);
    unlink(file);
    rmdir(deep);
    snprintf(deep, sizeof(deep), "%s/a", top);
    rmdir(deep);
    cr_assert_eq(rmdir(top), 0);
}

BOTH(readahead_cases, 64u << 20)
BOTH(walk_cases, 64u << 20)
BOTH(value_cases, 64u << 20)
BOTH(group_cases, 2u << 20)
