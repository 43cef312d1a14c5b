/* SPDX-License-Identifier: Apache-2.0 */
/* Checkpoints: the frozen layer goes into the base, the journal before it goes away. */
#include <inttypes.h>

#include "base/log.h"
#include "base/mutation.h"
#include "store/store_int.h"

/* What one transaction of the base takes beside the number of records: bounds its memory, and the
 * pages it must copy. */
#define PIECE_BYTES  (8u << 20)
#define PIECE_KILLED 8 /* to delete is less than to put, as many times */

#define RETRY_AFTER LOOP_SEC

/* ---- Writing. A layer may be written again, or in part: what it says stays the same. ---- */

static int write_kill(struct engine *base, struct slice prefix, uint32_t piece)
{
    struct engine_txn *txn;
    bool more = true;
    int error = 0;
    while (more && error == 0) {
        if ((error = base->ops->write_begin(base, &txn)))
            return error;
        error = base->ops->kill(txn, prefix, (size_t)piece * PIECE_KILLED, &more);
        if (error)
            base->ops->abort(txn);
        else
            error = base->ops->commit(txn);
    }
    return error;
}

static int write_record(struct engine_txn *txn, const struct map_node *n)
{
    const struct engine_ops *ops = txn->engine->ops;
    if (n->value)
        return ops->put(txn, map_key(n), layer_value(n), slice_of(NULL, 0));
    int error = ops->del(txn, map_key(n));
    return error == ECP_ENOENT ? 0 : error;
}

static int write_facts(struct engine_txn *txn, const struct store_facts *f)
{
    uint8_t stamp[8], journal[32];
    record_put_u64(stamp, f->stamp);
    record_put_u64(journal, f->id);
    record_put_u64(journal + 8, f->position.segment);
    record_put_u64(journal + 16, f->position.offset);
    record_put_u64(journal + 24, f->clean);
    const struct engine_ops *ops = txn->engine->ops;
    int error = ops->meta_put(txn, "stamp", slice_of(stamp, sizeof(stamp)));
    if (error == 0)
        error = ops->meta_put(txn, "journal", slice_of(journal, sizeof(journal)));
    if (error == 0 && f->sessions.data && !MUTATION(MUTATION_FORGET))
        error = ops->meta_put(txn, "sessions", f->sessions);
    return error;
}

/* One transaction: records from *at on, as many as it takes; the last one brings the facts. */
static int write_piece(struct engine *base, struct map_node **at, const struct store_facts *facts,
                       uint32_t piece)
{
    struct engine_txn *txn;
    size_t bytes = 0;
    bool first = MUTATION(MUTATION_POSITION);
    int error = base->ops->write_begin(base, &txn);
    if (error)
        return error;
    for (size_t i = 0; error == 0 && *at && i < piece && bytes < PIECE_BYTES; i++) {
        error = write_record(txn, *at);
        bytes += (*at)->len;
        *at = (*at)->next;
    }
    if (error == 0 && (!*at || first))
        error = write_facts(txn, facts);
    if (error)
        base->ops->abort(txn);
    return error ? error : base->ops->commit(txn);
}

int checkpoint_write(struct engine *base, const struct layer *layer,
                     const struct store_facts *facts, uint32_t piece)
{
    struct map_node *at = map_first(&layer->records);
    int error = 0;
    for (struct map_node *n = map_first(&layer->kills); n && !error; n = n->next)
        error = write_kill(base, map_key(n), piece);
    if (error == 0)
        do
            error = write_piece(base, &at, facts, piece);
        while (error == 0 && at);
    return error;
}

/* ---- On the loop ---- */

static void checkpoint_work(void *cookie)
{
    struct store *s = cookie;
    struct checkpoint *c = &s->checkpoint;
    if (MUTATION(MUTATION_PURGE) && s->journal)
        journal_purge(s->options.io, s->directory, s->oldest, c->facts.position.segment);
    c->error =
        checkpoint_write(s->overlay->base, s->overlay->frozen, &c->facts, s->options.piece_records);
    if (c->error || !s->journal)
        return;
    c->oldest = journal_trim(s->options.io, s->directory, &s->options.keep, s->oldest,
                             c->facts.position.segment, c->facts.stamp);
    if (c->last)
        journal_purge(s->options.io, s->directory, c->facts.position.segment, c->made);
}

static void start_writing(struct store *s);

static void retry(void *cookie)
{
    struct store *s = cookie;
    s->checkpoint.retry = NULL;
    start_writing(s);
}

static void go_on(struct store *s)
{
    checkpoint_limit(s);
    checkpoint_consider(s);
    store_turn(s);
    store_tell_waiters(s);
    store_closing(s);
}

/* It may take the system some time to take so many pages back. */
static void free_work(void *cookie)
{
    layer_free(((struct store *)cookie)->checkpoint.written);
}

static void freed(void *cookie)
{
    struct store *s = cookie;
    s->checkpoint.state = CHECKPOINT_IDLE;
    go_on(s);
}

static void written(struct store *s)
{
    struct checkpoint *c = &s->checkpoint;
    c->written = overlay_thaw(s->overlay);
    s->facts = c->facts;
    s->facts.sessions = slice_of(NULL, 0);
    s->oldest = c->oldest;
    c->told = 0;
    s->checkpoints++;
    s->checkpoint_at = loop_wall(s->loop);
    s->overlay->base->ops->still(s->overlay->base, true);
    s->overlay->base->ops->stat(s->overlay->base, &s->stat);
    log_debug("%s: checkpoint up to segment %" PRIu64 " offset %" PRIu64,
              s->directory ? s->directory : "unjournaled", s->facts.position.segment,
              s->facts.position.offset);
    loop_worker_run(s->loop, s->worker, free_work, freed, s);
}

static void checkpoint_done(void *cookie)
{
    struct store *s = cookie;
    struct checkpoint *c = &s->checkpoint;
    if (c->error == 0) {
        written(s);
        return;
    }
    if (c->error != ECP_ECORRUPT) {
        /* The journal has it all: it may be tried again. A full disk can be an I/O error, too. */
        if (c->error != c->told)
            log_warning("%s: a checkpoint cannot be written (%s): trying again",
                        s->directory ? s->directory : "unjournaled", error_text(c->error));
        c->told = c->error;
        c->state = CHECKPOINT_RETRY;
        if (!s->closing)
            c->retry = loop_timer(s->loop, RETRY_AFTER, retry, s);
    } else {
        log_error("%s: the checkpoint failed (%s): no update is taken any more",
                  s->directory ? s->directory : "unjournaled", error_text(c->error));
        s->failed = c->error;
        c->state = CHECKPOINT_RETRY;
    }
    go_on(s);
}

static void start_writing(struct store *s)
{
    s->overlay->base->ops->still(s->overlay->base, false);
    s->checkpoint.state = CHECKPOINT_WRITING;
    loop_worker_run(s->loop, s->worker, checkpoint_work, checkpoint_done, s);
}

static void begin(struct store *s)
{
    struct checkpoint *c = &s->checkpoint;
    loop_cancel(s->loop, s->checkpoint_timer);
    s->checkpoint_timer = NULL;
    s->want_checkpoint = false;
    overlay_freeze(s->overlay);
    if (c->last && !s->replaying)
        ledger_settle(s->ledger);
    store_sessions_save(s, &c->sessions);
    c->facts = (struct store_facts){
        .stamp = s->last_stamp, .id = s->facts.id, .sessions = buf_slice(&c->sessions)};
    c->mark = 0;
    if (s->journal) {
        c->facts.position = c->last ? journal_seal(s->journal) : journal_end(s->journal);
        c->facts.clean = c->last || !journal_begun(s->journal);
        c->made = journal_next_segment(s->journal);
        c->mark = s->checkpointed = journal_appended(s->journal);
        journal_write(s->journal, true);
    }
    c->state = CHECKPOINT_SYNCING;
    store_turn(s);
}

static bool is_time(const struct store *s)
{
    if (layer_empty(s->overlay->active) &&
        (!s->journal || journal_appended(s->journal) == s->checkpointed))
        return false;
    return s->want_checkpoint || s->overlay->active->arena.bytes >= s->options.overlay_bytes ||
           (s->journal &&
            journal_appended(s->journal) - s->checkpointed >= s->options.journal_bytes);
}

static void timer_fired(void *cookie)
{
    struct store *s = cookie;
    s->checkpoint_timer = NULL;
    s->want_checkpoint = true;
    checkpoint_consider(s);
}

void checkpoint_consider(struct store *s)
{
    struct checkpoint *c = &s->checkpoint;
    if (s->failed)
        return;
    if (c->state == CHECKPOINT_IDLE && is_time(s))
        begin(s);
    if (c->state == CHECKPOINT_SYNCING &&
        (!s->journal || journal_durable(s->journal) >= c->mark || MUTATION(MUTATION_AHEAD)))
        start_writing(s);
    if (s->options.checkpoint_after && !s->checkpoint_timer && !s->closing &&
        !layer_empty(s->overlay->active))
        s->checkpoint_timer = loop_timer(s->loop, s->options.checkpoint_after, timer_fired, s);
}

void store_checkpoint(struct store *s)
{
    s->want_checkpoint = true;
    checkpoint_consider(s);
}

bool checkpoint_close(struct store *s)
{
    struct checkpoint *c = &s->checkpoint;
    if (c->state == CHECKPOINT_WRITING)
        return true;
    if (s->failed || !s->journal || c->state == CHECKPOINT_RETRY)
        return false;
    if (c->state == CHECKPOINT_IDLE) {
        if (c->last ||
            (layer_empty(s->overlay->active) && !s->notes.len &&
             (s->replaying || !ledger_retains(s->ledger)) &&
             s->oldest == journal_next_segment(s->journal)))
            return false;
        c->last = true;
        begin(s);
    }
    checkpoint_consider(s);
    return true;
}

void checkpoint_limit(struct store *s)
{
    struct engine *base = s->overlay->base;
    if (!s->new_limit || s->reading || s->checkpoint.state == CHECKPOINT_WRITING ||
        base->ops->set_limit(base, s->new_limit))
        return;
    s->stat.limit = s->new_limit;
    s->new_limit = 0;
}
