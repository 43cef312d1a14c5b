/* SPDX-License-Identifier: Apache-2.0 */
/* The engine on LMDB: runs of new records fill their pages, and lose nothing of what they meet. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/buf.h"
#include "store/engine_lmdb.h"

#define GROUPS 3
#define SLOTS  400
#define LARGE  3000 /* has pages of its own */

struct fixture {
    char dir[32];
    struct engine *engine;
    struct engine_txn *txn;
};

static void set_up(struct fixture *f)
{
    char *why = NULL;
    strcpy(f->dir, "/tmp/test_engine.XXXXXX");
    cr_assert(mkdtemp(f->dir));
    cr_assert_eq(engine_lmdb_open(f->dir, 256u << 20, &f->engine, &why), 0, "%s", why);
}

static void tear_down(struct fixture *f)
{
    char path[64];
    f->engine->ops->close(f->engine);
    snprintf(path, sizeof(path), "%s/data.mdb", f->dir);
    unlink(path);
    snprintf(path, sizeof(path), "%s/lock.mdb", f->dir);
    unlink(path);
    cr_assert_eq(rmdir(f->dir), 0);
}

static struct slice name(char *room, char group, unsigned n)
{
    return slice_of(room, (size_t)snprintf(room, 16, "%c%08u", group, n));
}

static void begin(struct fixture *f)
{
    cr_assert_eq(f->engine->ops->write_begin(f->engine, &f->txn), 0);
}

static void commit(struct fixture *f)
{
    cr_assert_eq(f->engine->ops->commit(f->txn), 0);
}

static uint64_t used(struct fixture *f)
{
    struct engine_stat stat;
    cr_assert_eq(f->engine->ops->stat(f->engine, &stat), 0);
    return stat.used;
}

/* ---- Room ---- */

/* In several transactions, as checkpoints write; the bytes they took. */
static uint64_t grow(struct fixture *f, char group)
{
    static const char value[40];
    char room[16];
    uint64_t before = used(f);
    for (unsigned n = 0; n < 20000; n++) {
        if (n % 1000 == 0)
            begin(f);
        cr_assert_eq(f->engine->ops->put(f->txn, name(room, group, n), slice_of(value, 20),
                                         slice_of(value, sizeof(value))),
                     0);
        if (n % 1000 == 999)
            commit(f);
    }
    return used(f) - before;
}

Test(engine, runs_fill_their_pages)
{
    struct fixture f;
    set_up(&f);
    uint64_t last = grow(&f, 'C'), first = grow(&f, 'A'), middle = grow(&f, 'B');
    cr_assert_lt(first, last + last / 8, "%llu bytes before others, %llu behind them",
                 (unsigned long long)first, (unsigned long long)last);
    cr_assert_lt(middle, last + last / 8, "%llu bytes between others, %llu behind them",
                 (unsigned long long)middle, (unsigned long long)last);
    tear_down(&f);
}

/* ---- What is there ---- */

struct model {
    unsigned version[GROUPS][SLOTS]; /* 0: there is none */
};

static unsigned below(unsigned n)
{
    return (unsigned)rand() % n;
}

static struct slice value_of(uint8_t *room, unsigned version)
{
    size_t len = version % 23 == 0 ? LARGE : 8 + version % 200;
    memset(room, (int)version, len);
    memcpy(room, &version, sizeof(version));
    return slice_of(room, len);
}

static void put_run(struct fixture *f, struct model *m, unsigned *version)
{
    uint8_t value[LARGE];
    char room[16];
    unsigned group = below(GROUPS), step = 1 + below(3), left = 1 + below(60);
    for (unsigned n = below(SLOTS); n < SLOTS && left; n += step, left--) {
        m->version[group][n] = ++*version;
        cr_assert_eq(f->engine->ops->put(f->txn, name(room, (char)('A' + group), n),
                                         value_of(value, *version), slice_of(NULL, 0)),
                     0);
    }
}

static void delete_some(struct fixture *f, struct model *m)
{
    char room[16];
    unsigned group = below(GROUPS);
    for (unsigned n = below(SLOTS), left = below(8); n < SLOTS && left; n++, left--) {
        int error = f->engine->ops->del(f->txn, name(room, (char)('A' + group), n));
        cr_assert_eq(error, m->version[group][n] ? 0 : ECP_ENOENT);
        m->version[group][n] = 0;
    }
}

static void kill_group(struct fixture *f, struct model *m)
{
    unsigned group = below(GROUPS);
    char prefix = (char)('A' + group);
    bool more;
    cr_assert_eq(f->engine->ops->kill(f->txn, slice_of(&prefix, 1), SIZE_MAX, &more), 0);
    memset(m->version[group], 0, sizeof(m->version[group]));
}

static void get_one(struct fixture *f, const struct model *m)
{
    uint8_t value[LARGE];
    char room[16];
    struct slice found;
    unsigned group = below(GROUPS), n = below(SLOTS), version = m->version[group][n];
    int error = f->engine->ops->get(f->txn, name(room, (char)('A' + group), n), &found);
    cr_assert_eq(error, version ? 0 : ECP_ENOENT);
    cr_assert(!version || slice_equal(found, value_of(value, version)));
}

static void check_all(struct fixture *f, const struct model *m)
{
    const struct engine_ops *ops = f->engine->ops;
    struct engine_txn *txn;
    struct engine_cursor *cursor;
    struct slice key, found;
    uint8_t value[LARGE];
    char room[16];
    cr_assert_eq(ops->read_begin(f->engine, &txn), 0);
    cr_assert_eq(ops->cursor_open(txn, &cursor), 0);
    int error = ops->seek(cursor, slice_str(""), &key, &found);
    for (unsigned i = 0; i < GROUPS * SLOTS; i++) {
        unsigned version = m->version[i / SLOTS][i % SLOTS];
        if (!version)
            continue;
        cr_assert_eq(error, 0);
        cr_assert(slice_equal(key, name(room, (char)('A' + i / SLOTS), i % SLOTS)));
        cr_assert(slice_equal(found, value_of(value, version)));
        error = ops->next(cursor, &key, &found);
    }
    cr_assert_eq(error, ECP_ENOENT);
    ops->cursor_close(cursor);
    ops->read_end(txn);
}

Test(engine, runs_lose_nothing)
{
    static struct model m, before;
    struct fixture f;
    unsigned version = 0;
    srand(7);
    set_up(&f);
    for (unsigned i = 0; i < 400; i++) {
        before = m;
        begin(&f);
        for (unsigned left = 1 + below(8); left; left--) {
            put_run(&f, &m, &version);
            if (below(3) == 0)
                delete_some(&f, &m);
            if (below(3) == 0)
                get_one(&f, &m);
            if (below(60) == 0)
                kill_group(&f, &m);
        }
        if (below(5)) {
            commit(&f);
        } else {
            f.engine->ops->abort(f.txn);
            m = before;
        }
        check_all(&f, &m);
    }
    tear_down(&f);
}
