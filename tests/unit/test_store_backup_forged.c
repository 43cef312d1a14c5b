/* SPDX-License-Identifier: Apache-2.0 */
/* Streams of a backup that are whole, with good checks, and say what cannot be. */
#include "store/journal_read.h"
#include "store/record.h"
#include "tests/unit/test_store_backup_util.h"

static struct backup_writer forge(struct stream *s, const char *keys)
{
    struct backup_writer w = {.write = stream_write, .cookie = s};
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
    struct engine *engine = stream_restore(w, s, 0, &error);
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
    world_set_up(w, 1);
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct backup_writer out = forge(&s, cases[i].keys);
        forge_record(&out, cases[i].stamp, cases[i].ops, sizeof(kill));
        forge_end(&out, cases[i].nodes, cases[i].records, cases[i].end_stamp);
        int error;
        struct engine *engine = stream_restore(w, &s, 0, &error);
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
    world_tear_down(w);
}
