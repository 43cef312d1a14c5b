/* SPDX-License-Identifier: Apache-2.0 */
/* Backups and restores: of a store that goes on, as of any moment, damaged, and refused. */
#include <stdio.h>

#include "store/journal_read.h"
#include "tests/unit/test_store_backup_util.h"

Test(backup, of_a_store_that_goes_on)
{
    for (uint64_t seed = 1; seed <= 12; seed++) {
        struct world *w = malloc(sizeof(*w));
        struct stream s = {0};
        world_set_up(w, seed);
        world_go_on(w, 400);
        unsigned before = w->count;
        s.busy = w;
        cr_assert_eq(stream_back_up(w, &s), 0, "%s", s.why);
        cr_assert(w->count > before + 10, "nothing went on");
        stream_restores(w, &s, 0);
        cr_assert_geq(s.restore.stamp, w->history[before - 1].stamp, "what was there is missing");
        stream_free(&s);
        world_tear_down(w);
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
    world_close(w);
    disk_power_on(w->disk);
    uint64_t last = last_in_journal(w);
    world_open(w);
    while (w->history[w->count - 1].stamp > last)
        w->count--;
    cr_assert_gt(w->store->floor, last);
    cr_assert_eq(w->history[w->count - 1].sum, engine_sum(w->store->engine));
}

/* The journal leads from the backup through orderly ends and through crashes. */
Test(backup, as_of_any_moment)
{
    for (uint64_t seed = 1; seed <= 8; seed++) {
        struct world *w = malloc(sizeof(*w));
        struct stream s = {0};
        world_set_up(w, seed);
        world_go_on(w, 200);
        cr_assert_eq(stream_back_up(w, &s), 0, "%s", s.why);
        for (unsigned i = 0; i < 6; i++) {
            world_go_on(w, 100);
            if (i % 3 == 2) {
                crash(w, i == 2);
                continue;
            }
            world_close(w);
            world_open(w);
        }
        unsigned moments = 0;
        for (unsigned n = 0; n < w->count; n++) {
            uint64_t stamp = w->history[n].stamp;
            if (stamp < s.backup.end.stamp)
                continue;
            stream_restores(w, &s, stamp);
            cr_assert_eq(s.restore.stamp, stamp);
            stream_restores(w, &s,
                            stamp + (n + 1 < w->count ? w->history[n + 1].stamp - stamp - 1 : 1));
            moments++;
        }
        cr_assert_gt(moments, 100);
        stream_restores(w, &s, UINT64_MAX);
        cr_assert_eq(s.restore.stamp, w->history[w->count - 1].stamp);
        cr_assert(!s.restore.passed);
        stream_refuses(w, &s, s.backup.end.stamp - 1, ECP_EINVAL, "before that of the backup");
        stream_free(&s);
        world_tear_down(w);
    }
}

Test(backup, each_byte_changed)
{
    struct world *w;
    struct stream s;
    world_small(&w, &s);
    stream_restores(w, &s, 0);
    for (size_t i = 0; i < s.bytes.len; i++) {
        for (int bit = 0; bit < 8; bit++) {
            s.bytes.data[i] ^= (uint8_t)(1u << bit);
            stream_refuses(w, &s, 0, ECP_ECORRUPT, "backup");
            s.bytes.data[i] ^= (uint8_t)(1u << bit);
        }
    }
    stream_restores(w, &s, 0);
    stream_free(&s);
    world_tear_down(w);
}

Test(backup, cut_anywhere_or_longer)
{
    struct world *w;
    struct stream s;
    world_small(&w, &s);
    size_t whole = s.bytes.len;
    for (s.bytes.len = 0; s.bytes.len < whole; s.bytes.len++)
        stream_refuses(w, &s, 0, ECP_ECORRUPT, "cut off");
    put_u8(&s.bytes, 0);
    stream_refuses(w, &s, 0, ECP_ECORRUPT, "goes on");
    stream_free(&s);
    world_tear_down(w);
}

/* A block that is good in itself, but of another backup. */
Test(backup, blocks_exchanged)
{
    struct world *w, *v;
    struct stream s, t;
    size_t at[8] = {8}, n = 0;
    world_small(&w, &s);
    world_small_with(&v, &t, "five");
    for (; at[n] < s.bytes.len; n++) {
        struct reader r = reader_of(slice_of(s.bytes.data + at[n] + 4, 4));
        at[n + 1] = at[n] + 24 + get_u32(&r);
    }
    cr_assert(n == 4 && at[n] == s.bytes.len && s.bytes.len == t.bytes.len);
    cr_assert(memcmp(s.bytes.data, t.bytes.data, at[2]) == 0);
    cr_assert(memcmp(s.bytes.data + at[2], t.bytes.data + at[2], at[3] - at[2]) != 0);
    memcpy(s.bytes.data + at[2], t.bytes.data + at[2], at[3] - at[2]);
    stream_refuses(w, &s, 0, ECP_ECORRUPT, "damaged");
    stream_free(&t);
    stream_free(&s);
    world_tear_down(w);
    world_tear_down(v);
}

Test(backup, what_is_half_restored_does_not_open)
{
    struct world *w;
    struct stream s;
    struct store_options options = {.directory = "other"};
    struct store *store;
    char *why = NULL;
    int error;
    world_small(&w, &s);
    options.io = disk_io(w->disk);
    s.bytes.len -= 8;
    struct engine *engine = stream_restore(w, &s, 0, &error);
    cr_assert_eq(error, ECP_ECORRUPT);
    cr_assert_eq(store_open(w->loop, engine, &options, &store, &why), ECP_ECORRUPT);
    cr_assert(why && strstr(why, "restore"), "%s", why);
    free(why);
    engine_mem_free(engine);
    s.bytes.len += 8;
    engine = stream_restore(w, &s, 0, &error);
    cr_assert_eq(store_open(w->loop, engine, &options, &store, &why), 0, "%s", why);
    cr_assert_eq(engine_sum(store->engine), w->history[w->count - 1].sum);
    cr_assert_eq(store->facts.stamp, w->history[w->count - 1].stamp);
    cr_assert_gt(store->floor, store->facts.stamp);
    w->closed = false;
    store_close(store, world_closed, w);
    test_loop_run(w->loop);
    engine_mem_free(engine);
    stream_free(&s);
    world_tear_down(w);
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
    world_small(&w, &s);
    w->store->options.keep = (struct journal_keep){0};
    for (unsigned i = 0; i < 10; i++)
        world_go_on(w, 100);
    world_checkpoint(w);
    stream_refuses(w, &s, UINT64_MAX, ECP_EINVAL, "journal-keep");
    world_close(w);
    world_open(w);
    stream_refuses(w, &s, UINT64_MAX, ECP_EINVAL, "no journal");
    stream_free(&s);
    world_tear_down(w);
}

Test(backup, a_journal_with_another_history)
{
    struct world *w, *v;
    struct stream s, t;
    world_small(&w, &s);
    world_small(&v, &t);
    world_set(w, "D", "more, that the other does not have");
    stream_free(&s);
    s = (struct stream){0};
    cr_assert_eq(stream_back_up(w, &s), 0, "%s", s.why);
    stream_refuses(v, &s, UINT64_MAX, ECP_EINVAL, "another history");
    stream_restores(w, &s, UINT64_MAX);
    disk_file(v->disk, "db/journal-0000000001")->data[20] ^= 1;
    stream_refuses(v, &s, UINT64_MAX, ECP_ECORRUPT, "not a segment of this database's journal");
    stream_free(&s);
    stream_free(&t);
    world_tear_down(w);
    world_tear_down(v);
}

/* Damage before the time is told; behind it, it does not matter. */
Test(backup, a_damaged_journal)
{
    struct world *w;
    struct stream s;
    world_small(&w, &s);
    for (unsigned i = 0; i < 8; i++)
        world_set(w, "E", "x");
    uint64_t *list, last = w->history[w->count - 4].stamp;
    size_t count;
    struct buf *file = disk_file(w->disk, "db/journal-0000000001");
    cr_assert_eq(journal_segments(disk_io(w->disk), "db", &list, &count), 0);
    free(list);
    size_t end = journal_end(w->store->journal).offset;
    file->data[end - 90] ^= 1;
    stream_refuses(w, &s, UINT64_MAX, ECP_ECORRUPT, "damaged at offset");
    stream_restores(w, &s, last);
    stream_free(&s);
    world_tear_down(w);
}

Test(backup, failures_are_told)
{
    struct world *w;
    struct stream s;
    world_small(&w, &s);
    stream_free(&s);
    for (unsigned n = 1; n <= 10; n++) {
        s = (struct stream){.fail_after = n};
        cr_assert_eq(stream_back_up(w, &s), ECP_ENOSPC, "write %u", n);
        stream_free(&s);
    }
    disk_fail_sync(w->disk, 1, ECP_EIO);
    s = (struct stream){0};
    cr_assert_eq(stream_back_up(w, &s), ECP_EIO, "what may not last is in a backup");
    stream_free(&s);
    world_tear_down(w);
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
    cr_assert_eq(stream_back_up(w, &s), ECP_EINVAL);
    cr_assert(strstr(s.why, "no database"), "%s", s.why);
    stream_free(&s);
    world_open(w);
    cr_assert_eq(stream_back_up(w, &s), ECP_EINVAL);
    cr_assert(strstr(s.why, "no journal"), "%s", s.why);
    stream_free(&s);
    world_tear_down(w);
}

/* ---- What stays of the journal ---- */

Test(backup, a_reader_of_the_journal_is_not_robbed)
{
    struct world *w = malloc(sizeof(*w));
    struct io_lock *lock;
    world_set_up(w, 3);
    w->store->options.keep = (struct journal_keep){0};
    struct io *io = disk_io(w->disk);
    cr_assert_eq(io->ops->hold(io, "db", false, &lock), 0);
    for (unsigned i = 0; i < 8; i++)
        world_go_on(w, 100);
    world_checkpoint(w);
    cr_assert_not_null(disk_file(w->disk, "db/journal-0000000001"));
    unsigned held = segments(w);
    io->ops->unlock(io, lock);
    world_set(w, "A", "so that there is something to write");
    world_checkpoint(w);
    cr_assert_lt(segments(w), held - 2);
    world_tear_down(w);
}

/* About two batches in a segment, a millisecond apart. */
static void fill(struct world *w, unsigned batches)
{
    for (unsigned i = 0; i < batches; i++) {
        world_put(w, "FILL", slice_of(w->value, 40000));
        test_loop_advance(w->loop, LOOP_MS);
    }
    world_checkpoint(w);
}

Test(backup, kept_by_size)
{
    struct world *w = malloc(sizeof(*w));
    world_set_up(w, 4);
    w->store->options.keep = (struct journal_keep){.bytes = 3 * w->options.segment_bytes};
    fill(w, 40);
    uint64_t position = w->store->facts.position.segment;
    cr_assert_gt(position, 8);
    cr_assert_eq(w->store->oldest, position - 3);
    cr_assert_leq(segments(w), 3 + 2);
    world_close(w);
    cr_assert_eq(segments(w), 3);
    world_open(w);
    world_tear_down(w);
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
    world_set_up(w, 5);
    w->store->options.keep = (struct journal_keep){.time = 20 * LOOP_MS};
    fill(w, 60);
    uint64_t oldest = w->store->oldest, since = w->store->facts.stamp - 20 * LOOP_MS;
    cr_assert(oldest > 5 && w->store->facts.position.segment > oldest + 5);
    cr_assert_leq(first_stamp(w, oldest), since, "too much is gone");
    cr_assert_gt(first_stamp(w, oldest + 1), since, "a file that may go has stayed");
    cr_assert_null(disk_file(w->disk, "db/journal-0000000001"));
    world_tear_down(w);
}

/* A file without a record, and files that "journal purge" took, hold up nothing. */
Test(backup, kept_by_time_past_what_has_no_record)
{
    struct world *w = malloc(sizeof(*w));
    struct io *io;
    world_set_up(w, 6);
    io = disk_io(w->disk);
    w->store->options.keep = (struct journal_keep){.all = true};
    fill(w, 20);
    cr_assert_gt(w->store->facts.position.segment, 6);
    struct buf *file = disk_file(w->disk, "db/journal-0000000002");
    memset(file->data + JOURNAL_SEGMENT_HEAD, 0, file->len - JOURNAL_SEGMENT_HEAD);
    io->ops->remove(io, "db/journal-0000000003");
    w->store->options.keep = (struct journal_keep){.time = 20 * LOOP_MS};
    fill(w, 40);
    cr_assert_gt(w->store->oldest, 6);
    cr_assert_null(disk_file(w->disk, "db/journal-0000000001"));
    cr_assert_null(disk_file(w->disk, "db/journal-0000000004"));
    world_tear_down(w);
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
