/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of the store on both engines: semantics case by case. */
#include <stdio.h>

#include "tests/unit/test_store_util.h"

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
    SET("A/e/x", "1");
    IS(op(f, UPDATE_MOVE, 0, UPDATE_KEEP_DIR, "A/e/x", "A/f"), 0);
    cr_assert_eq(node_of(f, "A/e").flags, NODE_DIR);
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

/* A leaf that is SET after it went comes back: its directory's listing changes. */
static void comes_back(struct fix *f, const char *path)
{
    struct key k = K(path);
    uint64_t changed;
    f->node.changed = 0;
    store_node(f->store, key_parent(key_slice(&k)), VIEW_FILES, 0, &sink, f);
    test_loop_run(f->loop);
    changed = f->node.changed;
    SET(path, "again");
    store_node(f->store, key_parent(key_slice(&k)), VIEW_FILES, 0, &sink, f);
    test_loop_run(f->loop);
    cr_assert_gt(f->result.stamp, changed);
    cr_assert_eq(f->node.changed, f->result.stamp, "%s is not new", path);
    SET(path, "and again");
    store_node(f->store, key_parent(key_slice(&k)), VIEW_FILES, 0, &sink, f);
    test_loop_run(f->loop);
    cr_assert_lt(f->node.changed, f->result.stamp, "%s is new", path);
}

/* Applies the update and one that fails. */
static void in_vain(struct fix *f, int kind, const char *path, const char *value)
{
    struct key k = K(path), to = K(value), other = K("A/y");
    struct update u[] = {{.kind = (uint8_t)kind, .key = key_slice(&k), .value = key_slice(&to)},
                         {.kind = UPDATE_MKDIR, .key = key_slice(&other)}};
    cr_assert_eq(run(f, u, 2), ECP_EEXIST);
}

static void again_cases(struct fix *f)
{
    SET("A/y", "stays");
    SET("A/x", "1");
    IS(op(f, UPDATE_ZKILL, 0, 0, "A/x", ""), 0);
    comes_back(f, "A/x");
    IS(op(f, UPDATE_KILL, 0, 0, "A/x", ""), 0);
    comes_back(f, "A/x");
    IS(op(f, UPDATE_KILL, 0, 0, "A", ""), 0);
    comes_back(f, "A/y");
    comes_back(f, "A/x");
    IS(MOVE("A/x", "B/x"), 0);
    comes_back(f, "A/x");
    IS(op(f, UPDATE_MOVE, 0, UPDATE_VALUE_ONLY, "A/x", "C/x"), 0);
    comes_back(f, "A/x");
    IS(op(f, UPDATE_ZKILL, 0, 0, "A/x", ""), 0);
    in_vain(f, UPDATE_SET, "A/x", "value");
    comes_back(f, "A/x");
    in_vain(f, UPDATE_MOVE, "A/x", "A/z");
    comes_back(f, "A/z");
}

/* A mark that a leaf got meanwhile stays when it is SET. */
static void mark_cases(struct fix *f)
{
    SET("A/x", "1");
    SET("A/x/below", "1");
    IS(op(f, UPDATE_ZKILL, 0, UPDATE_KEEP_DIR, "A/x/below", ""), 0);
    SET("A/x", "2");
    cr_assert_eq(node_of(f, "A/x").flags, NODE_VALUE | NODE_DIR);
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
    store_checkpoint(f->store);
    test_loop_run(f->loop);
    cr_assert_eq(store_space(f->store, UINT64_MAX, &space), 0);
    cr_assert_eq(space.nodes, 2);
    cr_assert_eq(store_set_limit(f->store, 8u << 20), 0);
    cr_assert_eq(store_set_limit(f->store, 100), ECP_EINVAL);
}

BOTH(rename_cases, 64u << 20)
BOTH(directory_cases, 64u << 20)
BOTH(rollback_cases, 64u << 20)
BOTH(stamp_cases, 64u << 20)
BOTH(again_cases, 64u << 20)
BOTH(mark_cases, 64u << 20)
BOTH(space_cases, 1u << 20)
