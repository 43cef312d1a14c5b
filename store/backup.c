/* SPDX-License-Identifier: Apache-2.0 */
/* A backup is the engine's records, read in pieces while checkpoints go on, and the journal from
 * before the first piece to after the last one. */
#include "store/backup.h"

#include <stdlib.h>

#include "base/error.h"
#include "store/base_scan.h"
#include "store/journal_read.h"
#include "store/recovery.h"

#define BLOCK_BYTES (1u << 20)

struct backup {
    struct store_backup *b;
    struct backup_writer writer;
    struct buf block;
};

static int flush(struct backup *s, enum backup_kind kind)
{
    int error = s->block.len ? backup_put(&s->writer, kind, buf_slice(&s->block)) : 0;
    buf_clear(&s->block);
    s->b->bytes = s->writer.bytes;
    if (s->b->progress)
        s->b->progress(s->b->cookie, s->b);
    return error;
}

/* ---- Nodes ---- */

static void add_node(void *cookie, struct slice key, struct slice value)
{
    struct backup *s = cookie;
    put_bytes16(&s->block, key);
    put_bytes32(&s->block, value);
    s->b->end.nodes++;
}

/* No transaction is open while a block is written: that may wait for whoever takes the stream. */
static int copy_nodes(struct backup *s, char **why)
{
    struct base_scan scan = {.engine = s->b->engine};
    int error = 0;
    while (error == 0 && !scan.ended) {
        error = base_scan_some(&scan, BLOCK_BYTES, add_node, s);
        if (error == ECP_ECORRUPT)
            *why = xasprintf("%s/data.mdb: damaged; ecp check says where", s->b->directory);
        if (error == 0)
            error = flush(s, BACKUP_NODES);
    }
    return error;
}

/* ---- Journal ---- */

static int add_record(void *cookie, const struct journal_record *record,
                      struct journal_position position)
{
    struct backup *s = cookie;
    put_u64(&s->block, record->stamp);
    put_u64(&s->block, record->session);
    put_u64(&s->block, record->sequence);
    put_bytes32(&s->block, record->ops);
    s->b->end.records++;
    s->b->end.stamp = record->stamp;
    s->b->end.position = position;
    s->b->end.position.offset += record->size;
    return s->block.len < BLOCK_BYTES ? 0 : flush(s, BACKUP_JOURNAL);
}

static int copy_journal(struct backup *s, bool clean, char **why)
{
    struct journal_read read = {.io = s->b->io,
                                .directory = s->b->directory,
                                .id = s->b->begin.id,
                                .from = s->b->begin.position,
                                .may_lack = clean,
                                .live = true,
                                .sync = true,
                                .record = add_record,
                                .cookie = s};
    int error = journal_read(&read, why);
    return error ? error : flush(s, BACKUP_JOURNAL);
}

/* ---- The whole ---- */

static int check_facts(const struct store_backup *b, const struct store_facts *facts, char **why)
{
    const char *what = NULL;
    if (facts->restoring)
        what = "a restore into it did not end";
    else if (!facts->found)
        what = "it is no database that was ever served";
    else if (!facts->id)
        what = "it has no journal: such a database begins empty at each start; ecp export writes "
               "what it holds now";
    if (!what)
        return 0;
    *why = xasprintf("%s: %s", b->directory, what);
    return ECP_EINVAL;
}

static int copy(struct backup *s, char **why)
{
    struct store_facts facts;
    struct engine_stat stat;
    struct store_backup *b = s->b;
    int error = recovery_facts(b->engine, &facts);
    if (error || (error = check_facts(b, &facts, why)) ||
        (error = b->engine->ops->stat(b->engine, &stat)))
        return error;
    b->begin = (struct backup_begin){
        .id = facts.id, .stamp = facts.stamp, .position = facts.position, .expected = stat.records};
    b->end = (struct backup_end){.stamp = facts.stamp, .position = facts.position};
    if ((error = backup_put_begin(&s->writer, &b->begin)) || (error = copy_nodes(s, why)) ||
        (error = copy_journal(s, facts.clean, why)))
        return error;
    error = backup_put_end(&s->writer, &b->end);
    b->bytes = s->writer.bytes;
    return error;
}

int store_backup(struct store_backup *b, char **why)
{
    struct backup s = {.b = b, .writer = {.write = b->write, .cookie = b->cookie}};
    struct io_lock *lock;
    *why = NULL;
    int error = b->io->ops->hold(b->io, b->directory, false, &lock);
    if (error)
        return error;
    error = copy(&s, why);
    b->io->ops->unlock(b->io, lock);
    buf_free(&s.block);
    return error;
}
