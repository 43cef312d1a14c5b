/* SPDX-License-Identifier: Apache-2.0 */
/* Opening: what the base knows of itself, and the journal beyond it. */
#include <inttypes.h>

#include "base/log.h"
#include "base/mutation.h"
#include "store/journal_read.h"
#include "store/recovery.h"
#include "store/store_int.h"

int recovery_facts(struct engine *base, struct store_facts *f)
{
    struct engine_txn *txn;
    struct slice value;
    const struct engine_ops *ops = base->ops;
    int error = ops->read_begin(base, &txn);
    if (error)
        return error;
    *f = (struct store_facts){0};
    error = ops->meta_get(txn, "restoring", &value);
    if (error == 0 && value.len == 1)
        f->restoring = value.data[0];
    if (error == 0 || error == ECP_ENOENT)
        error = ops->meta_get(txn, "stamp", &value);
    if (error == 0 && value.len == 8)
        f->stamp = record_get_u64(value.data);
    if (error == 0 || error == ECP_ENOENT)
        error = ops->meta_get(txn, "journal", &value);
    if (error == 0 && value.len != 32)
        error = ECP_ECORRUPT;
    if (error == 0) {
        f->found = true;
        f->id = record_get_u64(value.data);
        f->position.segment = record_get_u64(value.data + 8);
        f->position.offset = record_get_u64(value.data + 16);
        f->clean = record_get_u64(value.data + 24);
    }
    if ((error == 0 || error == ECP_ENOENT) && (error = ops->meta_get(txn, "start", &value)) == 0 &&
        value.len == 8)
        f->start = record_get_u64(value.data);
    ops->read_end(txn);
    return error == ECP_ENOENT ? 0 : error;
}

int recovery_mark_restoring(struct engine *base, bool restoring)
{
    struct engine_txn *txn;
    uint8_t mark = restoring;
    int error = base->ops->write_begin(base, &txn);
    if (error)
        return error;
    error = base->ops->meta_put(txn, "restoring", slice_of(&mark, 1));
    if (error == 0)
        return base->ops->commit(txn);
    base->ops->abort(txn);
    return error;
}

static int load_sessions(struct store *s)
{
    struct engine_txn *txn;
    struct slice notes;
    const struct engine_ops *ops = s->overlay->base->ops;
    int error = ops->read_begin(s->overlay->base, &txn);
    if (error)
        return error;
    error = ops->meta_get(txn, "sessions", &notes);
    error = error ? error : ledger_load(s->ledger, notes);
    ops->read_end(txn);
    return error == ECP_ENOENT ? 0 : error;
}

/* ---- Replay ---- */

struct replay {
    struct store *store;
    uint64_t records;
};

static int replay_append(struct store *s, const struct journal_op *op)
{
    struct engine_txn *txn;
    struct slice old = {0};
    const struct engine_ops *ops = s->engine->ops;
    int error = ops->read_begin(s->engine, &txn);
    if (error)
        return error;
    error = ops->get(txn, op->key, &old);
    if (error == 0 || error == ECP_ENOENT) {
        layer_append(s->overlay->active, op->key, op->head, old, op->at, op->value);
        error = 0;
    }
    ops->read_end(txn);
    return error;
}

static int replay_op(struct store *s, const struct journal_op *op)
{
    struct layer *l = s->overlay->active;
    struct record record;
    switch (op->kind) {
    case JOURNAL_PUT:
        if (record_parse(op->value, &record))
            return ECP_ECORRUPT;
        layer_put(l, op->key, op->value, slice_of(NULL, 0));
        return 0;
    case JOURNAL_DEL:
        layer_del(l, op->key);
        return 0;
    case JOURNAL_KILL:
        layer_kill(l, op->key);
        return 0;
    case JOURNAL_NOTES:
        return ledger_load(s->ledger, op->value);
    default:
        return replay_append(s, op);
    }
}

/* More than memory may hold: what was replayed so far goes into the base. */
static int relieve(struct store *s, struct journal_position next)
{
    struct store_facts facts = s->facts;
    struct buf sessions = {0};
    store_sessions_save(s, &sessions);
    facts.sessions = buf_slice(&sessions);
    facts.stamp = s->last_stamp;
    facts.position = next;
    facts.clean = false;
    int error = checkpoint_write(s->overlay->base, overlay_freeze(s->overlay), &facts,
                                 s->options.piece_records);
    layer_free(overlay_thaw(s->overlay));
    buf_free(&sessions);
    facts.sessions = slice_of(NULL, 0);
    if (error == 0)
        s->facts = facts;
    return error;
}

static int replay_record(void *cookie, const struct journal_record *record,
                         struct journal_position position)
{
    struct replay *r = cookie;
    struct store *s = r->store;
    struct reader ops = reader_of(record->ops);
    struct journal_op op;
    int error = 0;
    while (error == 0 && !reader_at_end(&ops) && !(MUTATION(MUTATION_SKIP) && r->records == 0)) {
        error = journal_op_get(&ops, &op);
        if (error == 0)
            error = replay_op(s, &op);
    }
    layer_settle(s->overlay->active);
    if (error)
        return error;
    s->last_stamp = record->stamp;
    ledger_result(s->ledger, record->session,
                  &(struct ledger_outcome){.sequence = record->sequence, .stamp = record->stamp},
                  NULL);
    r->records++;
    position.offset += record->size;
    return s->overlay->active->arena.bytes < s->options.overlay_bytes ? 0 : relieve(s, position);
}

/*
 * First the end is found, and is made to be on disk: more than memory holds goes into the base
 * while it is replayed, and the base must never have what the journal may lose.
 */
static int replay(struct store *s, char **why)
{
    struct replay r = {.store = s};
    struct journal_read read = {.io = s->options.io,
                                .directory = s->directory,
                                .id = s->facts.id,
                                .from = s->facts.position,
                                .may_lack = s->facts.clean,
                                .record = MUTATION(MUTATION_UNPROVEN) ? replay_record : NULL,
                                .cookie = &r};
    uint64_t start = loop_now(s->loop);
    int error = journal_read(&read, why);
    if (error == 0)
        error = journal_repair(&read, why);
    struct journal_read again = read;
    again.record = replay_record;
    if (error == 0 && read.records && !read.record)
        error = journal_read(&again, why);
    if (error)
        return error;
    if (r.records || read.torn)
        log_notice("%s: journal replayed: %" PRIu64 " records from segment %" PRIu64
                   " offset %" PRIu64 " on, in %" PRIu64 " ms",
                   s->directory, r.records, read.from.segment, read.from.offset,
                   (loop_now(s->loop) - start) / LOOP_MS);
    if (read.torn)
        log_warning("%s: segment %" PRIu64 " ends at offset %" PRIu64
                    " in something incomplete, which is cut off",
                    s->directory, read.end.segment, read.end.offset);
    s->first_segment = read.end.segment + (read.segments ? 1 : 0);
    s->oldest = read.first_segment ? read.first_segment : s->first_segment;
    return 0;
}

/* ---- Opening ---- */

static bool has_records(struct store *s)
{
    struct engine_stat stat;
    return s->overlay->base->ops->stat(s->overlay->base, &stat) == 0 && stat.records > 0;
}

/* A base that knows of no journal: new, or of a version that had none. */
static int adopt(struct store *s, bool journaled)
{
    struct layer *nothing = layer_new();
    s->facts.found = true;
    s->facts.id = journaled ? loop_random(s->loop) | 1 : 0;
    s->facts.position = (struct journal_position){.segment = 1, .offset = JOURNAL_SEGMENT_HEAD};
    s->facts.clean = true;
    int error = checkpoint_write(s->overlay->base, nothing, &s->facts, 1);
    layer_free(nothing);
    return error;
}

/*
 * Stamps, and times of directories, may have been seen and then lost with the end of the journal.
 * All that come are newer, whatever the clock says, but for those that come again: it is noted in the
 * base before they are used.
 */
static int begin_stamps(struct store *s)
{
    struct engine_txn *txn;
    struct engine *base = s->overlay->base;
    uint8_t start[8];
    uint64_t wall = loop_wall(s->loop);
    uint64_t last = s->last_stamp > s->facts.start ? s->last_stamp : s->facts.start;
    s->floor = wall > last || MUTATION(MUTATION_STAMP) ? wall : last + LOOP_SEC;
    record_put_u64(start, s->floor);
    int error = base->ops->write_begin(base, &txn);
    if (error)
        return error;
    error = base->ops->meta_put(txn, "start", slice_of(start, sizeof(start)));
    if (error)
        base->ops->abort(txn);
    else
        error = base->ops->commit(txn);
    return error == ECP_ENOSPC ? 0 : error; /* a full database is opened all the same */
}

static int find_end(struct store *s, char **why)
{
    bool journaled = s->options.io;
    int error = recovery_facts(s->overlay->base, &s->facts);
    if (error)
        return error;
    s->last_stamp = s->facts.stamp;
    if (s->facts.restoring) {
        *why = xstrdup("a restore into its directory did not end: remove the directory and "
                       "restore again");
        return ECP_ECORRUPT;
    }
    if (s->facts.found ? (s->facts.id != 0) != journaled : !journaled && has_records(s)) {
        *why = xstrdup(journaled ? "the database was unjournaled, and cannot be used with a "
                                   "journal: remove its directory to begin a new one"
                                 : "the database has a journal, and cannot be used without one: an "
                                   "unjournaled database begins empty");
        return ECP_EINVAL;
    }
    if (!s->facts.found && (error = adopt(s, journaled)))
        return error;
    if (journaled)
        return (error = load_sessions(s)) ? error : replay(s, why);
    if (has_records(s)) {
        layer_kill(s->overlay->active, slice_of("", 0));
        layer_settle(s->overlay->active);
    }
    return 0;
}

int recovery_run(struct store *s, char **why)
{
    int error = find_end(s, why);
    s->replaying = ledger_retains(s->ledger);
    return error ? error : begin_stamps(s);
}
