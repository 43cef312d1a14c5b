/* SPDX-License-Identifier: Apache-2.0 */
/* Writes a backup's nodes into the engine, then does again what the journal says. */
#include "store/restore.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/error.h"
#include "base/key.h"
#include "store/checkpoint.h"
#include "store/journal_read.h"
#include "store/record.h"
#include "store/recovery.h"

#define COMMIT_BYTES (64u << 20) /* written in a transaction */
#define KILL_PIECE   65536

struct restore {
    struct store_restore *r;
    struct backup_reader reader;
    struct engine_txn *txn; /* NULL: none is open */
    size_t written;         /* in it */
    struct key last;
    struct buf value; /* being appended to */
    uint64_t records, stamp;
    bool joined; /* the journal has the place where the backup ends */
    bool enough; /* `until` was reached */
};

/* ---- Writing ---- */

static int commit(struct restore *s)
{
    struct engine_txn *txn = s->txn;
    s->txn = NULL;
    s->written = 0;
    return txn ? txn->engine->ops->commit(txn) : 0;
}

/* A transaction to write so many bytes in. */
static int begin(struct restore *s, size_t bytes)
{
    struct engine *engine = s->r->engine;
    int error = s->written >= COMMIT_BYTES ? commit(s) : 0;
    if (error == 0 && !s->txn)
        error = engine->ops->write_begin(engine, &s->txn);
    s->written += bytes;
    return error;
}

static int put(struct restore *s, struct slice key, struct slice value)
{
    int error = begin(s, key.len + value.len);
    return error ? error : s->txn->engine->ops->put(s->txn, key, value, slice_of(NULL, 0));
}

static int kill_all(struct restore *s, struct slice prefix)
{
    bool more = true;
    int error = 0;
    while (error == 0 && more) {
        error = begin(s, KILL_PIECE);
        if (error == 0)
            error = s->txn->engine->ops->kill(s->txn, prefix, KILL_PIECE, &more);
    }
    return error;
}

/* A node that is newer already may be longer or shorter than what is appended to. */
static int append(struct restore *s, const struct journal_op *op)
{
    struct slice old = {0};
    int error = begin(s, 0);
    if (error == 0)
        error = s->txn->engine->ops->get(s->txn, op->key, &old);
    if (error && error != ECP_ENOENT)
        return error;
    buf_clear(&s->value);
    buf_reserve(&s->value, op->at + op->value.len);
    memset(s->value.data, 0, op->at);
    if (error == 0)
        memcpy(s->value.data, old.data, old.len < op->at ? old.len : op->at);
    memcpy(s->value.data, op->head.data, op->head.len);
    s->value.len = op->at;
    buf_append_slice(&s->value, op->value);
    return put(s, op->key, buf_slice(&s->value));
}

static int apply_op(struct restore *s, const struct journal_op *op)
{
    struct record record;
    int error;
    if (!key_valid(op->key) || (op->kind == JOURNAL_PUT && record_parse(op->value, &record)))
        return ECP_ECORRUPT;
    if (!s->r->engine)
        return 0;
    switch (op->kind) {
    case JOURNAL_PUT:
        return put(s, op->key, op->value);
    case JOURNAL_DEL:
        if ((error = begin(s, op->key.len)) == 0)
            error = s->txn->engine->ops->del(s->txn, op->key);
        return error == ECP_ENOENT ? 0 : error;
    case JOURNAL_KILL:
        return kill_all(s, op->key);
    case JOURNAL_APPEND:
        return append(s, op);
    case JOURNAL_NOTES:
        return 0; /* no session goes on in a restored database */
    default:
        return ECP_ECORRUPT;
    }
}

static int apply_record(struct restore *s, uint64_t stamp, struct slice ops)
{
    struct reader r = reader_of(ops);
    struct journal_op op;
    int error = stamp > s->stamp ? 0 : ECP_ECORRUPT;
    while (error == 0 && !reader_at_end(&r)) {
        error = journal_op_get(&r, &op);
        if (error == 0)
            error = apply_op(s, &op);
    }
    if (error == 0)
        s->stamp = stamp;
    return error;
}

/* ---- The backup ---- */

static int take_nodes(struct restore *s)
{
    struct reader r = reader_of(buf_slice(&s->reader.block));
    struct record record;
    int error = 0;
    while (error == 0 && !reader_at_end(&r)) {
        struct slice key = get_bytes16(&r), bytes = get_bytes32(&r);
        if (r.bad || !key.len || !key_valid(key) || record_parse(bytes, &record) ||
            slice_compare(key, key_slice(&s->last)) <= 0)
            return ECP_ECORRUPT;
        key_copy(&s->last, key);
        s->r->nodes++;
        if (s->r->engine)
            error = put(s, key, bytes);
    }
    return error;
}

static int take_journal(struct restore *s)
{
    struct reader r = reader_of(buf_slice(&s->reader.block));
    int error = 0;
    while (error == 0 && !reader_at_end(&r)) {
        uint64_t stamp = get_u64(&r);
        get_u64(&r);
        get_u64(&r);
        struct slice ops = get_bytes32(&r);
        if (r.bad)
            return ECP_ECORRUPT;
        s->records++;
        error = apply_record(s, stamp, ops);
    }
    return error;
}

static int take_end(struct restore *s, char **why)
{
    struct backup_end *end = &s->r->end;
    int error = backup_get_end(&s->reader, end, why);
    if (error)
        return error;
    return end->nodes == s->r->nodes && end->records == s->records && end->stamp == s->stamp
               ? 0
               : ECP_ECORRUPT;
}

static int take_blocks(struct restore *s, char **why)
{
    enum backup_kind kind, before = BACKUP_BEGIN;
    int error = backup_get_begin(&s->reader, &s->r->begin, why);
    s->stamp = s->r->begin.stamp;
    for (; error == 0 && before != BACKUP_END; before = kind) {
        if ((error = backup_get(&s->reader, &kind, why)))
            break;
        if (kind < before)
            error = ECP_ECORRUPT;
        else if (kind == BACKUP_NODES)
            error = take_nodes(s);
        else if (kind == BACKUP_JOURNAL)
            error = take_journal(s);
        else
            error = kind == BACKUP_END ? take_end(s, why) : ECP_ECORRUPT;
        s->r->bytes = s->reader.bytes;
        if (s->r->progress)
            s->r->progress(s->r->cookie, s->r);
    }
    if (error == ECP_ECORRUPT && !*why)
        *why = xasprintf("the backup is damaged before byte %" PRIu64, s->reader.bytes);
    return error;
}

/* ---- The journal behind it ---- */

static int replay(void *cookie, const struct journal_record *record,
                  struct journal_position position)
{
    struct restore *s = cookie;
    const struct journal_position *end = &s->r->end.position;
    if (position.segment == end->segment && position.offset < end->offset) {
        s->joined = position.offset + record->size == end->offset && record->stamp <= s->stamp;
        return 0;
    }
    if (!s->joined || record->stamp <= s->stamp)
        return ECP_EINVAL;
    s->enough = record->stamp > s->r->until;
    if (s->enough)
        return ECP_ECANCELED;
    s->r->replayed++;
    return apply_record(s, record->stamp, record->ops);
}

static int no_way(struct restore *s, const struct journal_read *read, char **why)
{
    uint64_t need = s->r->end.position.segment;
    free(*why);
    if (read->first_segment && read->first_segment <= need && read->last_segment >= need)
        *why = xasprintf("the journal in %s has another history than the backup", s->r->journal);
    else if (read->first_segment)
        *why = xasprintf("the journal in %s has the files %" PRIu64 " to %" PRIu64
                         ", the backup ends in %" PRIu64
                         ": what is between is gone; see journal-keep in ecpd(8)",
                         s->r->journal, read->first_segment, read->last_segment, need);
    else
        *why = xasprintf("there is no journal in %s", s->r->journal);
    return ECP_EINVAL;
}

/* A journal that ends where the backup does is none the shorter for it: its oldest files go first.
 */
static bool reaches(const struct journal_read *read)
{
    return read->first_segment && read->first_segment <= read->from.segment &&
           read->last_segment + read->may_lack >= read->from.segment;
}

static int read_journal(struct restore *s, char **why)
{
    struct journal_position from = {.segment = s->r->end.position.segment,
                                    .offset = JOURNAL_SEGMENT_HEAD};
    struct journal_read read = {.io = s->r->io,
                                .directory = s->r->journal,
                                .id = s->r->begin.id,
                                .from = from,
                                .live = true,
                                .record = replay,
                                .cookie = s};
    s->joined = read.may_lack = s->r->end.position.offset == JOURNAL_SEGMENT_HEAD;
    int error = journal_read(&read, why);
    if (error == ECP_EINVAL || !reaches(&read))
        return no_way(s, &read, why);
    s->r->passed = s->enough;
    if (s->enough)
        return 0;
    return error == 0 && !s->joined ? no_way(s, &read, why) : error;
}

static int forward(struct restore *s, char **why)
{
    struct io *io = s->r->io;
    struct io_lock *lock;
    if (s->r->until < s->stamp) {
        *why = xstrdup("the time lies before that of the backup: an older backup is needed");
        return ECP_EINVAL;
    }
    int error = io->ops->hold(io, s->r->journal, false, &lock);
    if (error) {
        *why = xasprintf("%s: cannot be read: %s", s->r->journal, error_text(error));
        return error;
    }
    error = read_journal(s, why);
    io->ops->unlock(io, lock);
    return error;
}

/* ---- The whole ---- */

static int write_facts(struct restore *s)
{
    struct store_facts facts = {.stamp = s->stamp,
                                .id = s->r->id,
                                .position = {.segment = 1, .offset = JOURNAL_SEGMENT_HEAD},
                                .clean = true};
    struct layer *nothing = layer_new();
    int error = checkpoint_write(s->r->engine, nothing, &facts, 1);
    layer_free(nothing);
    return error ? error : recovery_mark_restoring(s->r->engine, false);
}

int store_restore(struct store_restore *r, char **why)
{
    struct restore s = {.r = r, .reader = {.read = r->read, .cookie = r->cookie}};
    *why = NULL;
    int error = r->engine ? recovery_mark_restoring(r->engine, true) : 0;
    if (error == 0)
        error = take_blocks(&s, why);
    if (error == 0 && r->journal)
        error = forward(&s, why);
    if (error == 0)
        error = commit(&s);
    else if (s.txn)
        s.txn->engine->ops->abort(s.txn);
    if (error == 0 && r->engine)
        error = write_facts(&s);
    r->stamp = s.stamp;
    buf_free(&s.reader.block);
    buf_free(&s.value);
    return error;
}
