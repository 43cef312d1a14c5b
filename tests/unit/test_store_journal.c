/* SPDX-License-Identifier: Apache-2.0 */
/* The journal damaged, cut, full and failing: an exact prefix, or a refusal that says where. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "store/journal_format.h"
#include "store/store.h"
#include "tests/sim/disk.h"
#include "tests/sim/engine_mem.h"
#include "tests/unit/test_loop.h"

#define BATCHES 8
#define SEGMENT "db/journal-0000000001"

struct world {
    struct loop *loop;
    struct disk *disk;
    struct engine *engine;
    struct store *store;
    struct store_options options;
    char *why;
    int error; /* of the last batch */
    unsigned applied;
    int synced; /* error of the last sync; -1: not yet */
    char seen[64];
    bool closed;
};

static void set_up(struct world *w)
{
    *w = (struct world){.loop = test_loop_new(), .disk = disk_new(1)};
    w->engine = engine_mem_new(1u << 30);
    engine_mem_keep(w->engine);
    engine_mem_gate(w->engine, disk_gate, w->disk);
    w->options =
        (struct store_options){.io = disk_io(w->disk), .directory = "db", .segment_bytes = 72000};
}

static int open_store(struct world *w)
{
    free(w->why);
    return store_open(w->loop, w->engine, &w->options, &w->store, &w->why);
}

static void closed(void *cookie)
{
    ((struct world *)cookie)->closed = true;
}

static void close_store(struct world *w)
{
    w->closed = false;
    store_close(w->store, closed, w);
    test_loop_run(w->loop);
    cr_assert(w->closed);
    w->store = NULL;
}

static void tear_down(struct world *w)
{
    if (w->store)
        close_store(w);
    engine_mem_free(w->engine);
    disk_free(w->disk);
    test_loop_free(w->loop);
    free(w->why);
}

/* The machine stops; what was written is on the disk. */
static void crash(struct world *w)
{
    disk_settle(w->disk);
    disk_power_off(w->disk, 0);
    close_store(w);
    disk_power_on(w->disk);
}

static void done(void *cookie, const struct store_result *r)
{
    struct world *w = cookie;
    w->error = r->error;
    w->applied += r->error == 0;
}

static struct key key_of(unsigned n)
{
    struct key k;
    char text[16];
    snprintf(text, sizeof(text), "%u", n);
    key_global(&k, slice_str("A"));
    key_append(&k, slice_str(text));
    return k;
}

static int change(struct world *w, int kind, unsigned n, struct slice value)
{
    struct key k = key_of(n);
    struct update u = {.kind = (uint8_t)kind, .key = key_slice(&k), .value = value};
    w->error = -1;
    store_apply(w->store, &u, 1, (struct store_source){5, n}, done, w);
    test_loop_run(w->loop);
    return w->error;
}

static void synced(void *cookie, int error)
{
    ((struct world *)cookie)->synced = error;
}

static int sync_now(struct world *w)
{
    w->synced = -1;
    store_sync(w->store, synced, w);
    test_loop_run(w->loop);
    return w->synced;
}

static bool on_node(void *cookie, struct slice key, const struct node *node)
{
    struct world *w = cookie;
    snprintf(w->seen, sizeof(w->seen), "%.*s", (int)node->value.len,
             node->value.data ? (const char *)node->value.data : "");
    return true;
}

static void on_done(void *cookie, int error, bool ended)
{
    cr_assert_eq(error, 0);
}

static const struct store_sink sink = {.node = on_node, .done = on_done};

static const char *value_of(struct world *w, unsigned n)
{
    struct key k = key_of(n);
    w->seen[0] = '\0';
    store_node(w->store, key_slice(&k), VIEW_FILES, 1000, &sink, w);
    test_loop_run(w->loop);
    return w->seen;
}

/* BATCHES records, each synced, and the machine stops. */
static void write_some(struct world *w)
{
    char text[40];
    set_up(w);
    cr_assert_eq(open_store(w), 0);
    for (unsigned i = 1; i <= BATCHES; i++) {
        snprintf(text, sizeof(text), "value %u", i);
        cr_assert_eq(change(w, UPDATE_SET, i, slice_str(text)), 0);
        cr_assert_eq(sync_now(w), 0);
    }
    crash(w);
}

/* How many of the batches are there; they must be the first ones. */
static unsigned prefix(struct world *w)
{
    char text[40];
    unsigned n = 0;
    while (n < BATCHES && value_of(w, n + 1)[0])
        n++;
    for (unsigned i = 1; i <= BATCHES; i++) {
        snprintf(text, sizeof(text), "value %u", i);
        cr_assert_str_eq(value_of(w, i), i <= n ? text : "");
    }
    return n;
}

/* Where each record begins; the last entry is the end. */
static void offsets(const struct buf *file, size_t *at)
{
    at[0] = JOURNAL_SEGMENT_HEAD;
    for (unsigned i = 0; i < BATCHES; i++) {
        struct reader r = reader_of(slice_of(file->data + at[i] + 8, 4));
        at[i + 1] = at[i] + journal_record_size(get_u32(&r));
    }
}

Test(journal, cut_anywhere_in_the_last_record)
{
    size_t at[BATCHES + 1];
    struct world w;
    write_some(&w);
    offsets(disk_file(w.disk, SEGMENT), at);
    tear_down(&w);
    for (int zeros = 0; zeros < 2; zeros++) {
        for (size_t cut = at[BATCHES - 1]; cut <= at[BATCHES]; cut++) {
            write_some(&w);
            struct buf *file = disk_file(w.disk, SEGMENT);
            bool whole = cut == at[BATCHES];
            if (zeros && cut < at[BATCHES])
                whole = file->data[cut] == 0 &&
                        !memcmp(file->data + cut, file->data + cut + 1, at[BATCHES] - cut);
            if (zeros)
                memset(file->data + cut, 0, file->len - cut);
            else
                file->len = cut;
            disk_settle(w.disk);
            cr_assert_eq(open_store(&w), 0, "cut at %zu: %s", cut, w.why);
            unsigned n = prefix(&w);
            cr_assert_eq(n, BATCHES - !whole, "cut at %zu: %u", cut, n);
            cr_assert_eq(change(&w, UPDATE_SET, 99, slice_str("after")), 0);
            crash(&w);
            cr_assert_eq(open_store(&w), 0, "again: %s", w.why);
            cr_assert_str_eq(value_of(&w, 99), "after");
            cr_assert_eq(prefix(&w), n);
            tear_down(&w);
        }
    }
}

Test(journal, each_byte_flipped)
{
    size_t at[BATCHES + 1];
    struct world w;
    unsigned refused = 0, shorter = 0;
    write_some(&w);
    offsets(disk_file(w.disk, SEGMENT), at);
    tear_down(&w);
    for (size_t i = 0; i < at[BATCHES] + 64; i++) {
        write_some(&w);
        disk_file(w.disk, SEGMENT)->data[i] ^= (uint8_t)(1u << i % 8);
        disk_settle(w.disk);
        int error = open_store(&w);
        if (error) {
            cr_assert_eq(error, ECP_ECORRUPT, "byte %zu: %d", i, error);
            cr_assert(strstr(w.why, SEGMENT) && strstr(w.why, "offset"), "byte %zu: %s", i, w.why);
            cr_assert_lt(i, at[BATCHES - 1], "byte %zu: %s", i, w.why);
            refused++;
        } else {
            unsigned n = prefix(&w);
            cr_assert_geq(i, at[BATCHES - 1], "byte %zu was known to be on disk: %u", i, n);
            cr_assert_geq(n, BATCHES - 1);
            shorter += n < BATCHES;
        }
        tear_down(&w);
    }
    cr_assert(refused > 0 && shorter > 0);
}

Test(journal, a_missing_segment_is_missed)
{
    struct world w;
    static uint8_t big[30000];
    set_up(&w);
    cr_assert_eq(open_store(&w), 0);
    for (unsigned i = 1; i <= 8; i++)
        cr_assert_eq(change(&w, UPDATE_SET, i, slice_of(big, sizeof(big))), 0);
    crash(&w);
    cr_assert_not_null(disk_file(w.disk, "db/journal-0000000003"));
    disk_io(w.disk)->ops->remove(disk_io(w.disk), "db/journal-0000000002");
    cr_assert_eq(open_store(&w), ECP_ECORRUPT);
    cr_assert(strstr(w.why, "journal-0000000002") && strstr(w.why, "missing"), "%s", w.why);
    disk_io(w.disk)->ops->remove(disk_io(w.disk), SEGMENT);
    w.store = NULL;
    tear_down(&w);
}

Test(journal, a_full_disk_refuses_and_heals)
{
    struct world w;
    static uint8_t big[20000];
    unsigned i = 0;
    set_up(&w);
    cr_assert_eq(open_store(&w), 0);
    disk_limit(w.disk, 200000);
    while (change(&w, UPDATE_SET, ++i, slice_of(big, sizeof(big))) == 0)
        cr_assert_lt(i, 1000);
    cr_assert_eq(w.error, ECP_ENOSPC);
    cr_assert_gt(i, 4);
    cr_assert_eq(sync_now(&w), 0, "what was told before is durable");
    cr_assert_eq(change(&w, UPDATE_KILL, 1, slice_of(NULL, 0)), 0, "removing goes on");
    disk_limit(w.disk, 0);
    cr_assert_eq(change(&w, UPDATE_SET, 500, slice_str("healed")), 0);
    crash(&w);
    cr_assert_eq(open_store(&w), 0, "%s", w.why);
    cr_assert_str_eq(value_of(&w, 500), "healed");
    tear_down(&w);
}

static const struct io_ops *disk_ops;

static int no_file(struct io *io, const char *path, bool create, struct io_file **file, char **why)
{
    return create ? ECP_ENOMEM : disk_ops->open(io, path, create, file, why);
}

/* A process that has no descriptor left cannot make a segment; it may have one later. */
Test(journal, without_files_it_refuses_and_heals)
{
    struct world w;
    static uint8_t big[20000];
    struct io_ops ops;
    unsigned i = 0;
    set_up(&w);
    cr_assert_eq(open_store(&w), 0);
    cr_assert_eq(change(&w, UPDATE_SET, ++i, slice_of(big, sizeof(big))), 0);
    disk_ops = disk_io(w.disk)->ops;
    ops = *disk_ops;
    ops.open = no_file;
    disk_io(w.disk)->ops = &ops;
    while (change(&w, UPDATE_SET, ++i, slice_of(big, sizeof(big))) == 0)
        cr_assert_lt(i, 1000);
    cr_assert_eq(w.error, ECP_ENOSPC);
    cr_assert_eq(store_failed(w.store), 0);
    disk_io(w.disk)->ops = disk_ops;
    cr_assert_eq(change(&w, UPDATE_SET, 500, slice_str("healed")), 0);
    crash(&w);
    cr_assert_eq(open_store(&w), 0, "%s", w.why);
    cr_assert_str_eq(value_of(&w, 500), "healed");
    tear_down(&w);
}

static void failing(bool sync)
{
    struct world w;
    set_up(&w);
    cr_assert_eq(open_store(&w), 0);
    cr_assert_eq(change(&w, UPDATE_SET, 1, slice_str("good")), 0);
    cr_assert_eq(sync_now(&w), 0);
    if (sync)
        disk_fail_sync(w.disk, 1, ECP_EIO);
    else
        disk_fail_write(w.disk, 1, ECP_EIO);
    change(&w, UPDATE_SET, 2, slice_str("lost"));
    cr_assert_eq(sync_now(&w), ECP_EIO);
    cr_assert_eq(change(&w, UPDATE_SET, 3, slice_str("x")), ECP_EIO);
    cr_assert_eq(sync_now(&w), ECP_EIO, "an error that was told once stays");
    cr_assert_str_eq(value_of(&w, 1), "good");
    store_checkpoint(w.store);
    test_loop_run(w.loop);
    close_store(&w);
    cr_assert_eq(open_store(&w), 0, "%s", w.why);
    cr_assert_str_eq(value_of(&w, 1), "good");
    cr_assert_eq(change(&w, UPDATE_SET, 3, slice_str("again")), 0);
    tear_down(&w);
}

/*
 * What a failed sync left in memory is found after a start; then it must be on disk, too. Values
 * are of a size that lets some of the syncs be of a segment's end.
 */
static void found_after_failed_sync(unsigned before, unsigned nth)
{
    static char text[700];
    struct world w;
    char found[2] = "";
    memset(text, 'x', sizeof(text));
    set_up(&w);
    cr_assert_eq(open_store(&w), 0);
    for (unsigned n = 1; n <= before; n++)
        cr_assert_eq(change(&w, UPDATE_SET, n, slice_of(text, sizeof(text))), 0);
    disk_fail_sync(w.disk, nth, ECP_EIO);
    for (unsigned n = 0; n < nth; n++)
        change(&w, UPDATE_SET, 50, slice_str("f"));
    disk_fail_sync(w.disk, 0, 0);
    close_store(&w);
    cr_assert_eq(open_store(&w), 0, "%s", w.why);
    strcpy(found, value_of(&w, 50));
    cr_assert_eq(change(&w, UPDATE_SET, 60, slice_str("later")), 0);
    disk_power_off(w.disk, 0);
    close_store(&w);
    disk_power_on(w.disk);
    cr_assert_eq(open_store(&w), 0, "%s", w.why);
    cr_assert_str_eq(value_of(&w, 50), found);
    tear_down(&w);
}

Test(journal, what_was_found_after_a_failed_sync_stays)
{
    for (unsigned before = 0; before < 24; before++)
        for (unsigned nth = 1; nth < 4; nth++)
            found_after_failed_sync(before, nth);
}

Test(journal, a_failed_sync_is_final)
{
    failing(true);
}

Test(journal, a_failed_write_is_final)
{
    failing(false);
}

Test(journal, waiting_for_the_disk)
{
    struct world w;
    struct key k = key_of(1);
    struct update u = {.kind = UPDATE_SET, .key = key_slice(&k), .value = slice_str("v")};
    set_up(&w);
    w.options.wait_durable = true;
    cr_assert_eq(open_store(&w), 0);
    cr_assert_eq(change(&w, UPDATE_SET, 7, slice_str("first")), 0);
    disk_settle(w.disk);
    store_apply(w.store, &u, 1, (struct store_source){0}, done, &w);
    w.applied = 0;
    while (!w.applied)
        cr_assert(test_loop_step(w.loop));
    disk_power_off(w.disk, 0);
    close_store(&w);
    disk_power_on(w.disk);
    cr_assert_eq(open_store(&w), 0, "%s", w.why);
    cr_assert_str_eq(value_of(&w, 1), "v");
    w.error = 0;
    disk_fail_sync(w.disk, 1, ECP_EIO);
    store_apply(w.store, &u, 1, (struct store_source){0}, done, &w);
    test_loop_run(w.loop);
    cr_assert_neq(w.error, 0, "an update that is not on disk was told to be");
    tear_down(&w);
}

Test(journal, policies)
{
    for (int durability = 0; durability < 3; durability++) {
        struct world w;
        set_up(&w);
        w.options.durability = (enum durability)durability;
        w.options.interval = LOOP_SEC;
        cr_assert_eq(open_store(&w), 0);
        cr_assert_eq(change(&w, UPDATE_SET, 1, slice_str("v")), 0);
        cr_assert_eq(sync_now(&w), 0);
        disk_power_off(w.disk, 0);
        close_store(&w);
        disk_power_on(w.disk);
        cr_assert_eq(open_store(&w), 0, "%s", w.why);
        cr_assert_str_eq(value_of(&w, 1), "v");
        tear_down(&w);
    }
}

Test(journal, unjournaled_begins_empty_and_is_not_mixed_up)
{
    struct world w;
    struct io *io;
    set_up(&w);
    io = w.options.io;
    w.options.io = NULL;
    cr_assert_eq(open_store(&w), 0);
    cr_assert_eq(change(&w, UPDATE_SET, 1, slice_str("v")), 0);
    store_checkpoint(w.store);
    test_loop_run(w.loop);
    cr_assert_str_eq(value_of(&w, 1), "v");
    close_store(&w);
    cr_assert_eq(open_store(&w), 0, "%s", w.why);
    cr_assert_str_eq(value_of(&w, 1), "");
    close_store(&w);
    w.options.io = io;
    cr_assert_eq(open_store(&w), ECP_EINVAL);
    cr_assert(strstr(w.why, "unjournaled"), "%s", w.why);
    w.store = NULL;
    tear_down(&w);
    write_some(&w);
    w.options.io = NULL;
    cr_assert_eq(open_store(&w), ECP_EINVAL);
    w.options.io = disk_io(w.disk);
    cr_assert_eq(open_store(&w), 0);
    cr_assert_eq(prefix(&w), BATCHES);
    tear_down(&w);
}
