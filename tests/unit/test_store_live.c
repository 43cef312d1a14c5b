/* SPDX-License-Identifier: Apache-2.0 */
/* Looking at a database that is served: a journal that is read while it is written, the check,
 * readers that are killed. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store/check.h"
#include "store/checkpoint.h"
#include "store/engine_lmdb.h"
#include "store/store_int.h"
#include "tests/sim/disk.h"
#include "tests/sim/engine_mem.h"
#include "tests/unit/test_loop.h"

struct world {
    struct loop *loop;
    struct disk *disk;
    struct engine *engine;
    struct store *store;
    struct store_options options;
    int error;
    bool closed;
    struct buf told;
};

static void set_up(struct world *w)
{
    char *why = NULL;
    *w = (struct world){.loop = test_loop_new(), .disk = disk_new(1)};
    w->engine = engine_mem_new(UINT64_C(1) << 30);
    engine_mem_keep(w->engine);
    w->options = (struct store_options){
        .io = disk_io(w->disk), .directory = "db", .segment_bytes = 72000, .keep = {.all = true}};
    cr_assert_eq(store_open(w->loop, w->engine, &w->options, &w->store, &why), 0, "%s", why);
}

static void closed(void *cookie)
{
    ((struct world *)cookie)->closed = true;
}

static void tear_down(struct world *w)
{
    store_close(w->store, closed, w);
    test_loop_run(w->loop);
    cr_assert(w->closed);
    engine_mem_free(w->engine);
    disk_free(w->disk);
    test_loop_free(w->loop);
    buf_free(&w->told);
}

static void done(void *cookie, const struct store_result *r)
{
    ((struct world *)cookie)->error = r->error;
}

static void set(struct world *w, unsigned n)
{
    static const char value[5000] = "some bytes";
    struct key k;
    char text[16];
    snprintf(text, sizeof(text), "%u", n);
    key_global(&k, slice_str("A"));
    key_append(&k, slice_str(text));
    struct update u = {
        .kind = UPDATE_SET, .key = key_slice(&k), .value = slice_of(value, sizeof(value))};
    w->error = -1;
    store_apply(w->store, &u, 1, (struct store_source){1, n}, done, w);
    test_loop_run(w->loop);
    cr_assert_eq(w->error, 0);
}

/* ---- Reading what is being written ---- */

/* The disk, but the first look at a file shows some bytes as they were before. */
struct stale {
    struct io io;
    struct io_ops ops;
    struct io *under;
    uint64_t size; /* of a file that is meant */
    size_t from, to;
    unsigned looks, after;
};

static int stale_read(struct io *io, struct io_file *file, uint64_t offset, void *to, size_t len)
{
    struct stale *s = (struct stale *)io;
    int error = s->under->ops->read(s->under, file, offset, to, len);
    if (error == 0 && s->looks++ == s->after)
        memset((uint8_t *)to + s->from, 0, s->to - s->from);
    return error;
}

static int stale_open(struct io *io, const char *path, bool create, struct io_file **file,
                      char **why)
{
    struct io *under = ((struct stale *)io)->under;
    return under->ops->open(under, path, create, file, why);
}

static void stale_close(struct io *io, struct io_file *file)
{
    struct io *under = ((struct stale *)io)->under;
    under->ops->close(under, file);
}

static int stale_size(struct io *io, struct io_file *file, uint64_t *bytes)
{
    struct io *under = ((struct stale *)io)->under;
    return under->ops->size(under, file, bytes);
}

static int stale_list(struct io *io, const char *path, void (*each)(void *cookie, const char *name),
                      void *cookie)
{
    struct io *under = ((struct stale *)io)->under;
    return under->ops->list(under, path, each, cookie);
}

static int count_record(void *cookie, const struct journal_record *record,
                        struct journal_position position)
{
    unsigned *sequence = cookie;
    cr_assert_eq(record->sequence, ++*sequence, "record %u comes next", *sequence);
    return 0;
}

/* Reads all; how many records there are, or an error. */
static int read_stale(struct world *w, unsigned after, size_t from, size_t to, bool live,
                      unsigned *records)
{
    struct stale s = {.under = disk_io(w->disk), .after = after, .from = from, .to = to};
    s.io.ops = &s.ops;
    s.ops = (struct io_ops){.open = stale_open,
                            .close = stale_close,
                            .size = stale_size,
                            .read = stale_read,
                            .list = stale_list};
    struct journal_read read = {
        .io = &s.io, .directory = "db", .live = live, .record = count_record, .cookie = records};
    char *why = NULL;
    *records = 0;
    int error = journal_read(&read, &why);
    cr_assert((error == 0) == (why == NULL));
    free(why);
    return error;
}

/* Where each record of the first segment begins, its end mark included. */
static size_t starts(struct world *w, size_t *at)
{
    struct buf *file = disk_file(w->disk, "db/journal-0000000001");
    size_t n = 0;
    for (at[0] = JOURNAL_SEGMENT_HEAD;; n++) {
        struct reader r = reader_of(slice_of(file->data + at[n] + 8, 16));
        size_t len = get_u32(&r);
        get_u32(&r);
        if (get_u64(&r) == 0)
            return n;
        at[n + 1] = at[n] + journal_record_size(len);
    }
}

Test(live, a_journal_read_while_it_is_written)
{
    struct world w;
    size_t at[32];
    unsigned records;
    set_up(&w);
    for (unsigned i = 1; i <= 25; i++)
        set(&w, i);
    size_t n = starts(&w, at);
    cr_assert(n > 5 && n < 25, "the first of several segments has %zu records", n);
    for (size_t i = 0; i < n; i++) {
        cr_assert_eq(read_stale(&w, 0, at[i], at[i + 1], false, &records), ECP_ECORRUPT);
        cr_assert_eq(read_stale(&w, 0, at[i], at[i + 1], true, &records), 0, "record %zu", i);
        cr_assert_eq(records, 25);
        cr_assert_eq(read_stale(&w, 0, at[i], at[n] + JOURNAL_RECORD_HEAD, false, &records),
                     ECP_ECORRUPT);
        cr_assert_eq(read_stale(&w, 0, at[i], at[n] + JOURNAL_RECORD_HEAD, true, &records), 0);
        cr_assert_eq(records, 25);
    }
    disk_file(w.disk, "db/journal-0000000001")->data[at[2] + 50] ^= 1;
    cr_assert_eq(read_stale(&w, 99, 0, 0, true, &records), ECP_ECORRUPT, "damage stays damage");
    cr_assert_eq(records, 2);
    tear_down(&w);
}

/* ---- The check ---- */

static void problem(void *cookie, const char *text)
{
    struct world *w = cookie;
    buf_append_str(&w->told, text);
    put_u8(&w->told, '\n');
}

/* What it says; its number of problems is that of the lines. */
static const char *check(struct world *w)
{
    struct store_check c = {.io = disk_io(w->disk),
                            .directory = "db",
                            .engine = w->engine,
                            .problem = problem,
                            .cookie = w};
    buf_clear(&w->told);
    cr_assert_eq(store_check(&c), 0);
    uint64_t lines = 0;
    for (size_t i = 0; i < w->told.len; i++)
        lines += w->told.data[i] == '\n';
    cr_assert_eq(lines, c.problems);
    put_u8(&w->told, 0);
    return (const char *)w->told.data;
}

static void put_raw(struct world *w, struct slice key, struct slice value)
{
    struct engine_txn *txn;
    const struct engine_ops *ops = w->engine->ops;
    ops->still(w->engine, false);
    cr_assert_eq(ops->write_begin(w->engine, &txn), 0);
    cr_assert_eq(value.data ? ops->put(txn, key, value, slice_of(NULL, 0)) : ops->del(txn, key), 0);
    cr_assert_eq(ops->commit(txn), 0);
}

static void write_facts(struct world *w, const struct store_facts *facts)
{
    struct layer *nothing = layer_new();
    w->engine->ops->still(w->engine, false);
    cr_assert_eq(checkpoint_write(w->engine, nothing, facts, 1), 0);
    layer_free(nothing);
}

/* A database with journal before and behind its checkpoint. */
static void several(struct world *w, struct store_facts *facts)
{
    set_up(w);
    for (unsigned i = 1; i <= 30; i++)
        set(w, i);
    store_checkpoint(w->store);
    test_loop_run(w->loop);
    for (unsigned i = 31; i <= 40; i++)
        set(w, i);
    cr_assert_str_eq(check(w), "");
    cr_assert_eq(recovery_facts(w->engine, facts), 0);
}

#define FOUND(what) cr_assert(strstr(check(&w), what), "\"%s\" is not in: %s", what, check(&w))

Test(live, nodes_are_checked)
{
    struct world w;
    struct store_facts facts;
    struct key k;
    uint8_t record[12] = {[8] = NODE_VALUE};
    several(&w, &facts);
    key_global(&k, slice_str("B"));
    put_raw(&w, key_slice(&k), slice_of(record, 5));
    FOUND("node ^B: the record does not decode");
    record[8] = NODE_DIR;
    put_raw(&w, key_slice(&k), slice_of(record, 12));
    FOUND("node ^B: the record does not decode");
    put_raw(&w, key_slice(&k), slice_of(record, 9));
    cr_assert_str_eq(check(&w), "", "a mark is none");
    record_head(record, w.store->last_stamp + 1, NODE_VALUE);
    put_raw(&w, key_slice(&k), slice_of(record, 12));
    FOUND("node ^B: its stamp is newer than the journal's end");
    put_raw(&w, key_slice(&k), slice_of(NULL, 0));
    record_head(record, 5, NODE_VALUE);
    put_raw(&w, slice_str("B"), slice_of(record, 12));
    FOUND("the key is malformed");
    put_raw(&w, slice_str("B"), slice_of(NULL, 0));
    cr_assert_str_eq(check(&w), "");
    tear_down(&w);
}

Test(live, the_journal_is_checked)
{
    struct world w;
    struct store_facts facts, wrong;
    size_t at[32];
    several(&w, &facts);
    cr_assert_gt(facts.position.segment, 2);
    cr_assert_gt(facts.position.offset, JOURNAL_SEGMENT_HEAD);
    starts(&w, at);
    disk_file(w.disk, "db/journal-0000000001")->data[at[1] + 60] ^= 4;
    FOUND("db/journal-0000000001: damaged at offset");
    disk_file(w.disk, "db/journal-0000000001")->data[at[1] + 60] ^= 4;
    cr_assert_str_eq(check(&w), "");
    wrong = facts;
    wrong.position.offset -= 8;
    write_facts(&w, &wrong);
    FOUND("where no record ends");
    wrong = facts;
    wrong.stamp -= 1;
    write_facts(&w, &wrong);
    FOUND("its checkpoint is older");
    wrong = facts;
    wrong.position.segment += 20;
    write_facts(&w, &wrong);
    FOUND("the file is missing");
    write_facts(&w, &facts);
    cr_assert_eq(recovery_mark_restoring(w.engine, true), 0);
    FOUND("a restore into it did not end");
    cr_assert_eq(recovery_mark_restoring(w.engine, false), 0);
    cr_assert_str_eq(check(&w), "");
    struct io *io = disk_io(w.disk);
    cr_assert_eq(io->ops->remove(io, "db/journal-0000000002"), 0);
    FOUND("db/journal-0000000002: damaged at offset 0: the file is missing");
    tear_down(&w);
}

/* ---- Readers of the base ---- */

static uint64_t file_size(const char *dir)
{
    char path[64];
    struct stat st;
    snprintf(path, sizeof(path), "%s/data.mdb", dir);
    cr_assert_eq(stat(path, &st), 0);
    return (uint64_t)st.st_size;
}

/* A process that dies in the middle of a read transaction. */
static void read_and_die(const char *dir)
{
    struct engine *engine;
    struct engine_txn *txn;
    char *why = NULL;
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        if (engine_lmdb_open_reader(dir, &engine, &why) || engine->ops->read_begin(engine, &txn))
            _exit(1);
        _exit(0);
    }
    cr_assert(waitpid(pid, &status, 0) == pid && WIFEXITED(status));
    cr_assert_eq(WEXITSTATUS(status), 0);
}

static void write_once(struct engine *engine)
{
    static uint8_t value[200000];
    struct engine_txn *txn;
    cr_assert_eq(engine->ops->write_begin(engine, &txn), 0);
    cr_assert_eq(
        engine->ops->put(txn, slice_str("A"), slice_of(value, sizeof(value)), slice_of(NULL, 0)),
        0);
    cr_assert_eq(engine->ops->commit(txn), 0);
}

Test(live, a_killed_reader_keeps_nothing)
{
    char dir[] = "/tmp/test_store.XXXXXX", path[64];
    struct engine *engine;
    char *why = NULL;
    cr_assert(mkdtemp(dir));
    cr_assert_eq(engine_lmdb_open(dir, 64u << 20, &engine, &why), 0, "%s", why);
    for (unsigned i = 0; i < 10; i++)
        write_once(engine);
    uint64_t before = file_size(dir);
    read_and_die(dir);
    for (unsigned i = 0; i < 50; i++)
        write_once(engine);
    cr_assert_leq(file_size(dir), before + 3 * 200000, "%llu bytes, %llu before",
                  (unsigned long long)file_size(dir), (unsigned long long)before);
    engine->ops->close(engine);
    snprintf(path, sizeof(path), "%s/data.mdb", dir);
    unlink(path);
    snprintf(path, sizeof(path), "%s/lock.mdb", dir);
    unlink(path);
    rmdir(dir);
}
