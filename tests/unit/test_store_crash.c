/* SPDX-License-Identifier: Apache-2.0 */
/* The store through crashes at random: what is found again is what was, up to some batch, and never
 * less than what was told to be durable. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <xxhash.h>

#include "store/store_int.h"
#include "tests/sim/disk.h"
#include "tests/sim/engine_mem.h"
#include "tests/unit/test_loop.h"

#define HISTORY 4000

struct crash {
    struct loop *loop;
    struct disk *disk;
    struct engine *engine;
    struct store *store;
    struct store_options options;
    uint64_t seed;
    uint64_t states[HISTORY]; /* hash of everything after so many batches */
    unsigned applied, durable;
    bool waiting, closed;
    struct key keys[4], to[4];
    char values[4][9000];
    struct update updates[4];
};

static unsigned below(struct crash *c, unsigned n)
{
    c->seed = c->seed * UINT64_C(6364136223846793005) + 1442695040888963407;
    return (unsigned)(c->seed >> 33) % n;
}

static uint64_t state(struct store *s)
{
    const struct engine_ops *ops = s->engine->ops;
    struct engine_txn *txn;
    struct engine_cursor *cursor;
    struct slice key, value;
    uint64_t sum = 1;
    cr_assert_eq(ops->read_begin(s->engine, &txn), 0);
    cr_assert_eq(ops->cursor_open(txn, &cursor), 0);
    int error = ops->seek(cursor, slice_of("", 0), &key, &value);
    for (; error == 0; error = ops->next(cursor, &key, &value)) {
        sum = XXH3_64bits_withSeed(key.data, key.len, sum);
        sum = XXH3_64bits_withSeed(value.data, value.len, sum);
    }
    cr_assert_eq(error, ECP_ENOENT);
    ops->cursor_close(cursor);
    ops->read_end(txn);
    return sum;
}

static void done(void *cookie, const struct store_result *r)
{
    struct crash *c = cookie;
    c->waiting = false;
    if (r->error == ECP_EIO)
        return;
    if (r->error == 0) {
        cr_assert_lt(c->applied, HISTORY - 1);
        c->states[++c->applied] = state(c->store);
    }
}

struct promise {
    struct crash *crash;
    unsigned applied;
};

static void synced(void *cookie, int error)
{
    struct promise *p = cookie;
    if (error == 0 && p->crash->durable < p->applied)
        p->crash->durable = p->applied;
    free(p);
}

static void sync_now(struct crash *c)
{
    struct promise *p = malloc(sizeof(*p));
    *p = (struct promise){.crash = c, .applied = c->applied};
    store_sync(c->store, synced, p);
}

static void random_key(struct crash *c, struct key *key)
{
    char text[8];
    key_global(key, slice_str(below(c, 2) ? "A" : "B"));
    for (unsigned depth = below(c, 3); depth > 0; depth--) {
        snprintf(text, sizeof(text), "%u", below(c, 5));
        key_append(key, slice_str(text));
    }
}

static void random_update(struct crash *c, unsigned i)
{
    static const uint8_t kinds[] = {UPDATE_SET,    UPDATE_SET,    UPDATE_SET,       UPDATE_KILL,
                                    UPDATE_APPEND, UPDATE_APPEND, UPDATE_INCREMENT, UPDATE_MOVE,
                                    UPDATE_ZKILL,  UPDATE_MKDIR,  UPDATE_MKDIR};
    struct update *u = &c->updates[i];
    random_key(c, &c->keys[i]);
    *u = (struct update){.kind = kinds[below(c, sizeof(kinds))], .key = key_slice(&c->keys[i])};
    if (u->kind == UPDATE_MOVE) {
        random_key(c, &c->to[i]);
        u->value = key_slice(&c->to[i]);
    } else if (u->kind == UPDATE_INCREMENT) {
        u->value = slice_str("7");
    } else if (u->kind == UPDATE_SET || u->kind == UPDATE_APPEND) {
        unsigned n = below(c, below(c, 3) ? 10 : sizeof(c->values[i]));
        memset(c->values[i], (int)('a' + below(c, 26)), n);
        u->value = slice_of(c->values[i], n);
    }
    if (u->kind != UPDATE_SET && below(c, 2))
        u->flags = UPDATE_KEEP_DIR;
}

static void apply(struct crash *c)
{
    unsigned n = 1 + below(c, 4);
    for (unsigned i = 0; i < n; i++)
        random_update(c, i);
    c->waiting = true;
    store_apply(c->store, c->updates, n, (struct store_source){7, c->applied}, done, c);
}

static void closed(void *cookie)
{
    ((struct crash *)cookie)->closed = true;
}

static void reopen(struct crash *c, unsigned crash)
{
    char *why = NULL;
    int error = store_open(c->loop, c->engine, &c->options, &c->store, &why);
    cr_assert_eq(error, 0, "crash %u: %s", crash, why);
    uint64_t found = state(c->store);
    unsigned n = c->applied;
    while (n > c->durable && c->states[n] != found)
        n--;
    cr_assert_eq(c->states[n], found, "crash %u: not a state between %u and %u", crash, c->durable,
                 c->applied);
    c->applied = c->durable = n;
}

static void crash_once(struct crash *c)
{
    disk_power_off(c->disk, 1 + below(c, below(c, 3) ? 40 : 400));
    for (int i = 0; i < 100000 && !disk_is_off(c->disk); i++) {
        if (!c->waiting && below(c, 2))
            apply(c);
        if (below(c, 10) == 0)
            sync_now(c);
        if (below(c, 30) == 0)
            store_checkpoint(c->store);
        test_loop_step(c->loop);
    }
    cr_assert(disk_is_off(c->disk));
    for (unsigned i = below(c, 10); i > 0; i--)
        test_loop_step(c->loop);
    c->closed = false;
    store_close(c->store, closed, c);
    test_loop_run(c->loop);
    cr_assert(c->closed && !c->waiting);
    disk_power_on(c->disk);
}

static void run(uint64_t seed, enum durability durability)
{
    struct crash *c = calloc(1, sizeof(*c));
    c->seed = seed;
    c->loop = test_loop_new();
    c->disk = disk_new(seed);
    c->engine = engine_mem_new(1u << 30);
    engine_mem_keep(c->engine);
    engine_mem_gate(c->engine, disk_gate, c->disk);
    c->options = (struct store_options){.io = disk_io(c->disk),
                                        .directory = "db",
                                        .segment_bytes = 70000 + seed % 7 * 4096,
                                        .journal_bytes = 40000,
                                        .overlay_bytes = 1 + seed % 3 * 20000,
                                        .piece_records = 1 + (uint32_t)(seed % 5),
                                        .durability = durability,
                                        .interval = 5 * LOOP_MS};
    if (seed % 3 == 0)
        c->options.checkpoint_after = LOOP_MS;
    char *why = NULL;
    cr_assert_eq(store_open(c->loop, c->engine, &c->options, &c->store, &why), 0);
    c->states[0] = state(c->store);
    for (unsigned i = 0; i < 25 && c->applied < HISTORY - 1000; i++) {
        crash_once(c);
        reopen(c, i);
    }
    c->closed = false;
    c->durable = c->applied;
    store_close(c->store, closed, c);
    test_loop_run(c->loop);
    cr_assert(c->closed);
    cr_assert_null(disk_path(c->disk, 0), "closing in order leaves %s", disk_path(c->disk, 0));
    reopen(c, 1000);
    store_close(c->store, closed, c);
    test_loop_run(c->loop);
    engine_mem_free(c->engine);
    disk_free(c->disk);
    test_loop_free(c->loop);
    free(c);
}

Test(store_crash, random)
{
    const char *seeds = getenv("CRASH_SEEDS"), *first = getenv("CRASH_SEED");
    uint64_t from = first ? strtoull(first, NULL, 10) : 1,
             n = seeds ? strtoull(seeds, NULL, 10) : 60;
    for (uint64_t seed = from; seed < from + n; seed++) {
        if (seeds)
            fprintf(stderr, "seed %llu\n", (unsigned long long)seed);
        run(seed, (enum durability)(seed % 3));
    }
}
