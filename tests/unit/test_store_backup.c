/* SPDX-License-Identifier: Apache-2.0 */
/* Backups and restores: of a store that goes on, as of any moment, damaged, and refused. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <xxhash.h>

#include "store/backup.h"
#include "store/journal_read.h"
#include "store/record.h"
#include "store/restore.h"
#include "store/store_int.h"
#include "tests/sim/disk.h"
#include "tests/sim/engine_mem.h"
#include "tests/unit/test_loop.h"

#define HISTORY 3000
#define LIMIT   (UINT64_C(1) << 30)

struct world {
    struct loop *loop;
    struct disk *disk;
    struct engine *engine;
    struct store *store;
    struct store_options options;
    uint64_t seed;
    unsigned gate; /* one of so many commits fails; 0: none */
    bool closed, busy;
    struct {
        uint64_t stamp, sum;
    } history[HISTORY]; /* after each batch */
    unsigned count;
    struct key keys[3], to[3];
    char value[60000];
    struct update updates[3];
};

static unsigned below(struct world *w, unsigned n)
{
    w->seed = w->seed * UINT64_C(6364136223846793005) + 1442695040888963407;
    return (unsigned)(w->seed >> 33) % n;
}

/* A hash of all records. */
static uint64_t sum_of(struct engine *e)
{
    struct engine_txn *txn;
    struct engine_cursor *cursor;
    struct slice key, value;
    uint64_t sum = 1;
    cr_assert_eq(e->ops->read_begin(e, &txn), 0);
    cr_assert_eq(e->ops->cursor_open(txn, &cursor), 0);
    int error = e->ops->seek(cursor, slice_of("", 0), &key, &value);
    for (; error == 0; error = e->ops->next(cursor, &key, &value)) {
        sum = XXH3_64bits_withSeed(key.data, key.len, sum);
        sum = XXH3_64bits_withSeed(value.data, value.len, sum);
    }
    cr_assert_eq(error, ECP_ENOENT);
    e->ops->cursor_close(cursor);
    e->ops->read_end(txn);
    return sum;
}

/* ---- The store ---- */

static int gate(void *cookie)
{
    struct world *w = cookie;
    return w->gate && below(w, w->gate) == 0 ? ECP_ENOSPC : 0;
}

static void open_store(struct world *w)
{
    char *why = NULL;
    unsigned before = w->gate;
    w->gate = 0;
    cr_assert_eq(store_open(w->loop, w->engine, &w->options, &w->store, &why), 0, "%s", why);
    w->gate = before;
}

static void set_up(struct world *w, uint64_t seed)
{
    memset(w, 0, sizeof(*w));
    w->seed = seed;
    w->loop = test_loop_new();
    w->disk = disk_new(seed);
    w->engine = engine_mem_new(LIMIT);
    engine_mem_keep(w->engine);
    engine_mem_gate(w->engine, gate, w);
    w->options = (struct store_options){.io = disk_io(w->disk),
                                        .directory = "db",
                                        .segment_bytes = 150000,
                                        .overlay_bytes = 200000,
                                        .piece_records = 2,
                                        .keep = {.all = true}};
    open_store(w);
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
}

static void tear_down(struct world *w)
{
    close_store(w);
    engine_mem_free(w->engine);
    disk_free(w->disk);
    test_loop_free(w->loop);
    free(w);
}

static void done(void *cookie, const struct store_result *r)
{
    struct world *w = cookie;
    w->busy = false;
    if (r->error == 0) {
        cr_assert_lt(w->count, HISTORY);
        w->history[w->count].stamp = r->stamp;
        w->history[w->count++].sum = sum_of(w->store->engine);
    }
}

static void random_key(struct world *w, struct key *key)
{
    char text[8];
    key_global(key, slice_str(below(w, 2) ? "A" : "B"));
    for (unsigned depth = below(w, 3); depth > 0; depth--) {
        snprintf(text, sizeof(text), "%u", below(w, 9));
        key_append(key, slice_str(text));
    }
}

static void random_batch(struct world *w)
{
    static const uint8_t kinds[] = {UPDATE_SET,    UPDATE_SET,    UPDATE_SET,
                                    UPDATE_APPEND, UPDATE_APPEND, UPDATE_ZKILL,
                                    UPDATE_KILL,   UPDATE_MOVE,   UPDATE_MKDIR};
    unsigned n = 1 + below(w, 3);
    memset(w->value, (int)('a' + below(w, 26)), sizeof(w->value));
    for (unsigned i = 0; i < n; i++) {
        struct update *u = &w->updates[i];
        random_key(w, &w->keys[i]);
        *u = (struct update){.kind = kinds[below(w, sizeof(kinds))], .key = key_slice(&w->keys[i])};
        if (u->kind == UPDATE_MOVE) {
            random_key(w, &w->to[i]);
            u->value = key_slice(&w->to[i]);
        } else if (u->kind == UPDATE_SET || u->kind == UPDATE_APPEND) {
            u->value = slice_of(w->value, below(w, below(w, 4) ? 50 : sizeof(w->value)));
        }
    }
    w->busy = true;
    store_apply(w->store, w->updates, n, (struct store_source){7, w->count}, done, w);
}

/* Goes on for so many turns: batches, and checkpoints that fail in the middle. */
static void go_on(struct world *w, unsigned turns)
{
    w->gate = 6;
    for (unsigned i = 0; i < turns; i++) {
        if (!w->busy)
            random_batch(w);
        if (below(w, 20) == 0)
            store_checkpoint(w->store);
        test_loop_step(w->loop);
    }
    while (w->busy)
        cr_assert(test_loop_step(w->loop));
    w->gate = 0;
}

static void set(struct world *w, const char *name, const char *value)
{
    struct key k;
    key_global(&k, slice_str(name));
    struct update u = {.kind = UPDATE_SET, .key = key_slice(&k), .value = slice_str(value)};
    w->busy = true;
    store_apply(w->store, &u, 1, (struct store_source){0}, done, w);
    test_loop_run(w->loop);
    cr_assert(!w->busy);
}

static void checkpoint(struct world *w)
{
    store_checkpoint(w->store);
    test_loop_run(w->loop);
}

/* ---- Streams ---- */

struct stream {
    struct buf bytes;
    size_t at;
    struct world *busy;  /* goes on while it is written */
    unsigned fail_after; /* writes; 0: never */
    struct store_backup backup;
    struct store_restore restore;
    char *why;
};

static int write_stream(void *cookie, struct slice bytes)
{
    struct stream *s = cookie;
    if (s->busy)
        go_on(s->busy, 25);
    if (s->fail_after && --s->fail_after == 0)
        return ECP_ENOSPC;
    buf_append_slice(&s->bytes, bytes);
    return 0;
}

static int read_stream(void *cookie, void *to, size_t len, size_t *got)
{
    struct stream *s = cookie;
    *got = len < s->bytes.len - s->at ? len : s->bytes.len - s->at;
    if (*got)
        memcpy(to, s->bytes.data + s->at, *got);
    s->at += *got;
    return 0;
}

static int back_up(struct world *w, struct stream *s)
{
    *s = (struct stream){.busy = s->busy, .fail_after = s->fail_after};
    s->backup = (struct store_backup){.io = disk_io(w->disk),
                                      .directory = "db",
                                      .engine = w->engine,
                                      .write = write_stream,
                                      .cookie = s};
    return store_backup(&s->backup, &s->why);
}

static void stream_free(struct stream *s)
{
    buf_free(&s->bytes);
    free(s->why);
}

/* Into a new engine, which is returned; with the world's journal up to `until` unless that is 0. */
static struct engine *restore(struct world *w, struct stream *s, uint64_t until, int *error)
{
    struct engine *engine = engine_mem_new(LIMIT);
    engine_mem_keep(engine);
    s->at = 0;
    free(s->why);
    s->why = NULL;
    s->restore = (struct store_restore){.engine = engine,
                                        .id = 99,
                                        .read = read_stream,
                                        .cookie = s,
                                        .io = disk_io(w->disk),
                                        .journal = until ? "db" : NULL,
                                        .until = until};
    *error = store_restore(&s->restore, &s->why);
    return engine;
}

/* What is restored is what was at the stamp it has. */
static void restores(struct world *w, struct stream *s, uint64_t until)
{
    unsigned n = 0;
    int error;
    struct engine *engine = restore(w, s, until, &error);
    cr_assert_eq(error, 0, "%s: %s", error_name(error), s->why);
    uint64_t stamp = s->restore.stamp;
    while (n < w->count && w->history[n].stamp < stamp)
        n++;
    cr_assert_lt(n, w->count);
    cr_assert_eq(w->history[n].stamp, stamp, "no batch has this stamp");
    cr_assert_eq(sum_of(engine), w->history[n].sum, "batch %u of %u", n, w->count);
    if (until)
        cr_assert(stamp <= until && (n + 1 == w->count || w->history[n + 1].stamp > until));
    engine_mem_free(engine);
}

static void refuses(struct world *w, struct stream *s, uint64_t until, int wanted, const char *text)
{
    int error;
    struct engine *engine = restore(w, s, until, &error);
    cr_assert_eq(error, wanted, "%s: %s", error_name(error), s->why);
    cr_assert(s->why && strstr(s->why, text), "%s", s->why ? s->why : "nothing is said");
    engine_mem_free(engine);
}

/* ---- Tests ---- */

Test(backup, of_a_store_that_goes_on)
{
    for (uint64_t seed = 1; seed <= 12; seed++) {
        struct world *w = malloc(sizeof(*w));
        struct stream s = {0};
        set_up(w, seed);
        go_on(w, 400);
        unsigned before = w->count;
        s.busy = w;
        cr_assert_eq(back_up(w, &s), 0, "%s", s.why);
        cr_assert(w->count > before + 10, "nothing went on");
        restores(w, &s, 0);
        cr_assert_geq(s.restore.stamp, w->history[before - 1].stamp, "what was there is missing");
        stream_free(&s);
        tear_down(w);
    }
}

static int note_stamp(void *cookie, const struct journal_record *record,
                      struct journal_position position)
{
    *(uint64_t *)cookie = record->stamp;
    return 0;
}

/* Of the last batch in the journal. */
static uint64_t last_in_journal(struct world *w)
{
    uint64_t stamp = 0;
    char *why = NULL;
    struct journal_read read = {
        .io = disk_io(w->disk), .directory = "db", .record = note_stamp, .cookie = &stamp};
    cr_assert_eq(journal_read(&read, &why), 0, "%s", why);
    return stamp;
}

/* The machine stops; with `tear`, what was not synced is there in part. */
static void crash(struct world *w, bool tear)
{
    if (!tear)
        disk_settle(w->disk);
    disk_power_off(w->disk, 0);
    close_store(w);
    disk_power_on(w->disk);
    uint64_t last = last_in_journal(w);
    open_store(w);
    while (w->history[w->count - 1].stamp > last)
        w->count--;
    cr_assert_gt(w->store->last_stamp, last);
    cr_assert_eq(w->history[w->count - 1].sum, sum_of(w->store->engine));
}

/* The journal leads from the backup through orderly ends and through crashes. */
Test(backup, as_of_any_moment)
{
    for (uint64_t seed = 1; seed <= 8; seed++) {
        struct world *w = malloc(sizeof(*w));
        struct stream s = {0};
        set_up(w, seed);
        go_on(w, 200);
        cr_assert_eq(back_up(w, &s), 0, "%s", s.why);
        for (unsigned i = 0; i < 6; i++) {
            go_on(w, 100);
            if (i % 3 == 2) {
                crash(w, i == 2);
                continue;
            }
            close_store(w);
            open_store(w);
        }
        unsigned moments = 0;
        for (unsigned n = 0; n < w->count; n++) {
            uint64_t stamp = w->history[n].stamp;
            if (stamp < s.backup.end.stamp)
                continue;
            restores(w, &s, stamp);
            cr_assert_eq(s.restore.stamp, stamp);
            restores(w, &s, stamp + (n + 1 < w->count ? w->history[n + 1].stamp - stamp - 1 : 1));
            moments++;
        }
        cr_assert_gt(moments, 100);
        restores(w, &s, UINT64_MAX);
        cr_assert_eq(s.restore.stamp, w->history[w->count - 1].stamp);
        cr_assert(!s.restore.passed);
        refuses(w, &s, s.backup.end.stamp - 1, ECP_EINVAL, "before that of the backup");
        stream_free(&s);
        tear_down(w);
    }
}

/* Two nodes in the base, two records in the journal. */
static void small_with(struct world **w, struct stream *s, const char *last)
{
    *w = malloc(sizeof(**w));
    set_up(*w, 1);
    set(*w, "A", "one");
    set(*w, "B", "two");
    checkpoint(*w);
    set(*w, "C", "three");
    set(*w, "A", last);
    *s = (struct stream){0};
    cr_assert_eq(back_up(*w, s), 0, "%s", s->why);
    cr_assert(s->backup.end.nodes == 2 && s->backup.end.records == 2);
}

static void small(struct world **w, struct stream *s)
{
    small_with(w, s, "four");
}

Test(backup, each_byte_changed)
{
    struct world *w;
    struct stream s;
    small(&w, &s);
    restores(w, &s, 0);
    for (size_t i = 0; i < s.bytes.len; i++) {
        for (int bit = 0; bit < 8; bit++) {
            s.bytes.data[i] ^= (uint8_t)(1u << bit);
            refuses(w, &s, 0, ECP_ECORRUPT, "backup");
            s.bytes.data[i] ^= (uint8_t)(1u << bit);
        }
    }
    restores(w, &s, 0);
    stream_free(&s);
    tear_down(w);
}

Test(backup, cut_anywhere_or_longer)
{
    struct world *w;
    struct stream s;
    small(&w, &s);
    size_t whole = s.bytes.len;
    for (s.bytes.len = 0; s.bytes.len < whole; s.bytes.len++)
        refuses(w, &s, 0, ECP_ECORRUPT, "cut off");
    put_u8(&s.bytes, 0);
    refuses(w, &s, 0, ECP_ECORRUPT, "goes on");
    stream_free(&s);
    tear_down(w);
}

/* A block that is good in itself, but of another backup. */
Test(backup, blocks_exchanged)
{
    struct world *w, *v;
    struct stream s, t;
    size_t at[8] = {8}, n = 0;
    small(&w, &s);
    small_with(&v, &t, "five");
    for (; at[n] < s.bytes.len; n++) {
        struct reader r = reader_of(slice_of(s.bytes.data + at[n] + 4, 4));
        at[n + 1] = at[n] + 24 + get_u32(&r);
    }
    cr_assert(n == 4 && at[n] == s.bytes.len && s.bytes.len == t.bytes.len);
    cr_assert(memcmp(s.bytes.data, t.bytes.data, at[2]) == 0);
    cr_assert(memcmp(s.bytes.data + at[2], t.bytes.data + at[2], at[3] - at[2]) != 0);
    memcpy(s.bytes.data + at[2], t.bytes.data + at[2], at[3] - at[2]);
    refuses(w, &s, 0, ECP_ECORRUPT, "damaged");
    stream_free(&t);
    stream_free(&s);
    tear_down(w);
    tear_down(v);
}

/* ---- Streams that are whole, and say what cannot be ---- */

static struct backup_writer forge(struct stream *s, const char *keys)
{
    struct backup_writer w = {.write = write_stream, .cookie = s};
    struct backup_begin begin = {.id = 1, .stamp = 10, .position = {1, JOURNAL_SEGMENT_HEAD}};
    struct buf block = {0};
    uint8_t record[10];
    record_head(record, 5, NODE_VALUE);
    record[9] = 'x';
    buf_clear(&s->bytes);
    cr_assert_eq(backup_put_begin(&w, &begin), 0);
    for (; *keys; keys++) {
        put_bytes16(&block, slice_of((char[]){*keys, 0}, 2));
        put_bytes32(&block, slice_of(record, *keys == 'S' ? 5 : sizeof(record)));
    }
    if (block.len)
        cr_assert_eq(backup_put(&w, BACKUP_NODES, buf_slice(&block)), 0);
    buf_free(&block);
    return w;
}

static void forge_record(struct backup_writer *w, uint64_t stamp, const char *ops, size_t len)
{
    struct buf block = {0};
    put_u64(&block, stamp);
    put_u64(&block, 1);
    put_u64(&block, 1);
    put_bytes32(&block, slice_of(ops, len));
    cr_assert_eq(backup_put(w, BACKUP_JOURNAL, buf_slice(&block)), 0);
    buf_free(&block);
}

static void forge_end(struct backup_writer *w, uint64_t nodes, uint64_t records, uint64_t stamp)
{
    struct backup_end end = {.nodes = nodes, .records = records, .stamp = stamp};
    cr_assert_eq(backup_put_end(w, &end), 0);
}

static void judge(struct world *w, struct stream *s, int wanted)
{
    int error;
    struct engine *engine = restore(w, s, 0, &error);
    cr_assert_eq(error, wanted, "%s: %s", error_name(error), s->why);
    engine_mem_free(engine);
}

Test(backup, nonsense_with_good_checks)
{
    static const char kill[] = {JOURNAL_KILL, 2, 0, 'A', 0}, unknown[] = {99, 2, 0, 'A', 0},
                      no_key[] = {JOURNAL_DEL, 2, 0, 'A', 'A'};
    static const struct {
        const char *keys, *ops;
        uint64_t stamp, nodes, records, end_stamp;
        int wanted;
    } cases[] = {
        {"AB", kill, 11, 2, 1, 11, 0},
        {"AB", kill, 11, 3, 1, 11, ECP_ECORRUPT},    /* a node less than it says */
        {"AB", kill, 11, 2, 2, 11, ECP_ECORRUPT},    /* a record less */
        {"AB", kill, 11, 2, 1, 12, ECP_ECORRUPT},    /* not the last stamp */
        {"BA", kill, 11, 2, 1, 11, ECP_ECORRUPT},    /* out of order */
        {"AA", kill, 11, 2, 1, 11, ECP_ECORRUPT},    /* twice */
        {"A1", kill, 11, 2, 1, 11, ECP_ECORRUPT},    /* no key */
        {"AS", kill, 11, 2, 1, 11, ECP_ECORRUPT},    /* a record too short */
        {"AB", kill, 10, 2, 1, 10, ECP_ECORRUPT},    /* a stamp that does not rise */
        {"AB", unknown, 11, 2, 1, 11, ECP_ECORRUPT}, /* an operation that there is not */
        {"AB", no_key, 11, 2, 1, 11, ECP_ECORRUPT},
    };
    struct world *w = malloc(sizeof(*w));
    struct stream s = {0};
    set_up(w, 1);
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct backup_writer out = forge(&s, cases[i].keys);
        forge_record(&out, cases[i].stamp, cases[i].ops, sizeof(kill));
        forge_end(&out, cases[i].nodes, cases[i].records, cases[i].end_stamp);
        int error;
        struct engine *engine = restore(w, &s, 0, &error);
        cr_assert_eq(error, cases[i].wanted, "case %zu: %s", i, error_name(error));
        engine_mem_free(engine);
    }
    struct backup_writer out = forge(&s, "A");
    forge_record(&out, 11, kill, sizeof(kill));
    cr_assert_eq(backup_put(&out, BACKUP_NODES, slice_of(NULL, 0)), 0);
    forge_end(&out, 1, 1, 11);
    judge(w, &s, ECP_ECORRUPT); /* nodes behind the journal */
    out = forge(&s, "");
    cr_assert_eq(backup_put(&out, 7, slice_of(NULL, 0)), 0);
    forge_end(&out, 0, 0, 10);
    judge(w, &s, ECP_ECORRUPT); /* a block that there is not */
    out = forge(&s, "");
    forge_end(&out, 0, 0, 10);
    judge(w, &s, 0);
    stream_free(&s);
    tear_down(w);
}

Test(backup, what_is_half_restored_does_not_open)
{
    struct world *w;
    struct stream s;
    struct store_options options = {.directory = "other"};
    struct store *store;
    char *why = NULL;
    int error;
    small(&w, &s);
    options.io = disk_io(w->disk);
    s.bytes.len -= 8;
    struct engine *engine = restore(w, &s, 0, &error);
    cr_assert_eq(error, ECP_ECORRUPT);
    cr_assert_eq(store_open(w->loop, engine, &options, &store, &why), ECP_ECORRUPT);
    cr_assert(why && strstr(why, "restore"), "%s", why);
    free(why);
    engine_mem_free(engine);
    s.bytes.len += 8;
    engine = restore(w, &s, 0, &error);
    cr_assert_eq(store_open(w->loop, engine, &options, &store, &why), 0, "%s", why);
    cr_assert_eq(sum_of(store->engine), w->history[w->count - 1].sum);
    cr_assert_eq(store->facts.stamp, w->history[w->count - 1].stamp);
    cr_assert_gt(store->last_stamp, store->facts.stamp);
    w->closed = false;
    store_close(store, closed, w);
    test_loop_run(w->loop);
    engine_mem_free(engine);
    stream_free(&s);
    tear_down(w);
}

static unsigned segments(struct world *w)
{
    uint64_t *list;
    size_t count;
    cr_assert_eq(journal_segments(disk_io(w->disk), "db", &list, &count), 0);
    free(list);
    return (unsigned)count;
}

Test(backup, a_journal_that_does_not_reach_back)
{
    struct world *w;
    struct stream s;
    small(&w, &s);
    w->store->options.keep = (struct journal_keep){0};
    for (unsigned i = 0; i < 10; i++)
        go_on(w, 100);
    checkpoint(w);
    refuses(w, &s, UINT64_MAX, ECP_EINVAL, "journal-keep");
    close_store(w);
    open_store(w);
    refuses(w, &s, UINT64_MAX, ECP_EINVAL, "no journal");
    stream_free(&s);
    tear_down(w);
}

Test(backup, a_journal_with_another_history)
{
    struct world *w, *v;
    struct stream s, t;
    small(&w, &s);
    small(&v, &t);
    set(w, "D", "more, that the other does not have");
    stream_free(&s);
    s = (struct stream){0};
    cr_assert_eq(back_up(w, &s), 0, "%s", s.why);
    refuses(v, &s, UINT64_MAX, ECP_EINVAL, "another history");
    restores(w, &s, UINT64_MAX);
    disk_file(v->disk, "db/journal-0000000001")->data[20] ^= 1;
    refuses(v, &s, UINT64_MAX, ECP_ECORRUPT, "not a segment of this database's journal");
    stream_free(&s);
    stream_free(&t);
    tear_down(w);
    tear_down(v);
}

/* Damage before the time is told; behind it, it does not matter. */
Test(backup, a_damaged_journal)
{
    struct world *w;
    struct stream s;
    small(&w, &s);
    for (unsigned i = 0; i < 8; i++)
        set(w, "E", "x");
    uint64_t *list, last = w->history[w->count - 4].stamp;
    size_t count;
    struct buf *file = disk_file(w->disk, "db/journal-0000000001");
    cr_assert_eq(journal_segments(disk_io(w->disk), "db", &list, &count), 0);
    free(list);
    size_t end = journal_end(w->store->journal).offset;
    file->data[end - 90] ^= 1;
    refuses(w, &s, UINT64_MAX, ECP_ECORRUPT, "damaged at offset");
    restores(w, &s, last);
    stream_free(&s);
    tear_down(w);
}

Test(backup, failures_are_told)
{
    struct world *w;
    struct stream s;
    small(&w, &s);
    stream_free(&s);
    for (unsigned n = 1; n <= 10; n++) {
        s = (struct stream){.fail_after = n};
        cr_assert_eq(back_up(w, &s), ECP_ENOSPC, "write %u", n);
        stream_free(&s);
    }
    disk_fail_sync(w->disk, 1, ECP_EIO);
    s = (struct stream){0};
    cr_assert_eq(back_up(w, &s), ECP_EIO, "what may not last is in a backup");
    stream_free(&s);
    tear_down(w);
}

Test(backup, an_unjournaled_database_is_refused)
{
    struct world *w = malloc(sizeof(*w));
    struct stream s = {0};
    memset(w, 0, sizeof(*w));
    w->loop = test_loop_new();
    w->disk = disk_new(1);
    w->engine = engine_mem_new(LIMIT);
    engine_mem_keep(w->engine);
    cr_assert_eq(back_up(w, &s), ECP_EINVAL);
    cr_assert(strstr(s.why, "no database"), "%s", s.why);
    stream_free(&s);
    open_store(w);
    cr_assert_eq(back_up(w, &s), ECP_EINVAL);
    cr_assert(strstr(s.why, "no journal"), "%s", s.why);
    stream_free(&s);
    tear_down(w);
}

/* ---- What stays of the journal ---- */

Test(backup, a_reader_of_the_journal_is_not_robbed)
{
    struct world *w = malloc(sizeof(*w));
    struct io_lock *lock;
    set_up(w, 3);
    w->store->options.keep = (struct journal_keep){0};
    struct io *io = disk_io(w->disk);
    cr_assert_eq(io->ops->hold(io, "db", false, &lock), 0);
    for (unsigned i = 0; i < 8; i++)
        go_on(w, 100);
    checkpoint(w);
    cr_assert_not_null(disk_file(w->disk, "db/journal-0000000001"));
    unsigned held = segments(w);
    io->ops->unlock(io, lock);
    set(w, "A", "so that there is something to write");
    checkpoint(w);
    cr_assert_lt(segments(w), held - 2);
    tear_down(w);
}

/* About two batches in a segment, a millisecond apart. */
static void fill(struct world *w, unsigned batches)
{
    struct key k;
    key_global(&k, slice_str("FILL"));
    struct update u = {
        .kind = UPDATE_SET, .key = key_slice(&k), .value = slice_of(w->value, 40000)};
    for (unsigned i = 0; i < batches; i++) {
        w->busy = true;
        store_apply(w->store, &u, 1, (struct store_source){0}, done, w);
        test_loop_run(w->loop);
        cr_assert(!w->busy);
        test_loop_advance(w->loop, LOOP_MS);
    }
    checkpoint(w);
}

Test(backup, kept_by_size)
{
    struct world *w = malloc(sizeof(*w));
    set_up(w, 4);
    w->store->options.keep = (struct journal_keep){.bytes = 3 * w->options.segment_bytes};
    fill(w, 40);
    uint64_t position = w->store->facts.position.segment;
    cr_assert_gt(position, 8);
    cr_assert_eq(w->store->oldest, position - 3);
    cr_assert_leq(segments(w), 3 + 2);
    close_store(w);
    cr_assert_eq(segments(w), 3);
    open_store(w);
    tear_down(w);
}

/* The stamp of a segment's first record. */
static uint64_t first_stamp(struct world *w, uint64_t segment)
{
    char path[40];
    snprintf(path, sizeof(path), "db/journal-%010llu", (unsigned long long)segment);
    struct buf *file = disk_file(w->disk, path);
    cr_assert_not_null(file);
    struct reader r = reader_of(slice_of(file->data + JOURNAL_SEGMENT_HEAD + 16, 8));
    return get_u64(&r);
}

Test(backup, kept_by_time)
{
    struct world *w = malloc(sizeof(*w));
    set_up(w, 5);
    w->store->options.keep = (struct journal_keep){.time = 20 * LOOP_MS};
    fill(w, 60);
    uint64_t oldest = w->store->oldest, since = w->store->facts.stamp - 20 * LOOP_MS;
    cr_assert(oldest > 5 && w->store->facts.position.segment > oldest + 5);
    cr_assert_leq(first_stamp(w, oldest), since, "too much is gone");
    cr_assert_gt(first_stamp(w, oldest + 1), since, "a file that may go has stayed");
    cr_assert_null(disk_file(w->disk, "db/journal-0000000001"));
    tear_down(w);
}

Test(backup, how_much_is_kept_is_read)
{
    struct journal_keep k;
    static const char *const bad[] = {"",    "7",   "d",   "7w",      "0d",
                                      "-1d", "7 d", "7dd", "100001d", "some"};
    cr_assert(journal_keep_parse("none", &k) && !k.all && !k.bytes && !k.time);
    cr_assert(journal_keep_parse("all", &k) && k.all);
    cr_assert(journal_keep_parse("10G", &k) && k.bytes == UINT64_C(10) << 30);
    cr_assert(journal_keep_parse("100000T", &k) && k.bytes == UINT64_C(100000) << 40);
    cr_assert(journal_keep_parse("36h", &k) && k.time == 36 * 3600 * LOOP_SEC);
    cr_assert(journal_keep_parse("100000d", &k) && k.time / LOOP_SEC == UINT64_C(8640000000));
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        cr_assert(!journal_keep_parse(bad[i], &k), "\"%s\"", bad[i]);
}
