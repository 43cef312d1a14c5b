/* SPDX-License-Identifier: Apache-2.0 */
/* What the store's tests share: a store on either engine, calls that wait, reads as bytes. */
#ifndef UNIT_TEST_STORE_UTIL_H
#define UNIT_TEST_STORE_UTIL_H

#include <criterion/criterion.h>

#include "store/store.h"
#include "tests/unit/test_loop.h"

struct fix {
    struct loop *loop;
    struct store *store;
    char dir[64]; /* of LMDB; empty: in memory */
    struct store_result result;
    char value[64];  /* of the last INCREMENT */
    struct buf text; /* what reads said */
    struct node node;
    uint64_t limit;
    struct store_options options;
};

/* kind 0: in memory, unjournaled; 1: LMDB and a journal in a directory of their own. limit: bytes. */
void set_up(struct fix *f, int kind, uint64_t limit);
void tear_down(struct fix *f);

/* Closes the store and opens it again; what was in memory is gone. */
void reopen(struct fix *f);

/* "A/b/c": a key from a path. */
struct key K(const char *path);

/* Applies a batch and waits; its error. */
int run(struct fix *f, const struct update *u, size_t n);

/* Applies one update, value being MOVE's destination path. */
int op(struct fix *f, int kind, int cond, int flags, const char *path, const char *value);

static const struct store_source nobody;

/* store_apply's done for a cookie of struct fix. */
void applied(void *cookie, const struct store_result *r);

/* Appends what it is shown to text (cookie: struct fix). */
extern const struct store_sink sink;
void put_node(struct buf *b, struct slice key, uint8_t flags, uint64_t stamp, struct slice value);

/* Reads one node. */
struct node node_of(struct fix *f, const char *path);

#define SET(p, v)        cr_assert_eq(op(f, UPDATE_SET, 0, 0, p, v), 0)
#define MKDIR(p)         op(f, UPDATE_MKDIR, 0, 0, p, "")
#define MOVE(p, q)       op(f, UPDATE_MOVE, 0, 0, p, q)
#define IS(call, wanted) cr_assert_eq(call, wanted, "%s: %s", #call, error_name(f->result.error))

/* A test on both engines, of a function of that name. */
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

#endif
