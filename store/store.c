/* SPDX-License-Identifier: Apache-2.0 */
/* The store: opening, closing, figures. */
#include "store/store_int.h"

#include <stdlib.h>

/* Of the overlay's memory, so many parts give one more for known keys. */
#define KNOWN_SHARE 8

static void journal_moved(void *cookie)
{
    struct store *s = cookie;
    if (journal_error(s->journal) && !s->failed) {
        s->failed = ECP_EIO;
        store_turn(s);
    }
    store_tell_waiters(s);
    checkpoint_consider(s);
    store_closing(s);
}

static void free_store(struct store *s)
{
    loop_cancel(s->loop, s->turn);
    loop_cancel(s->loop, s->told);
    loop_cancel(s->loop, s->read_turn);
    loop_cancel(s->loop, s->checkpoint_timer);
    loop_cancel(s->loop, s->checkpoint.retry);
    if (s->journal)
        journal_free(s->journal);
    loop_worker_free(s->loop, s->worker);
    s->engine->ops->close(s->engine);
    buf_free(&s->log);
    buf_free(&s->notes);
    buf_free(&s->checkpoint.sessions);
    store_free_batches(s);
    ledger_free(s->ledger);
    known_free(s->known);
    free(s->changes.list);
    free(s->directory);
    free(s);
}

static void take_options(struct store *s, const struct store_options *options)
{
    if (options)
        s->options = *options;
    struct store_options *o = &s->options;
    if (!o->overlay_bytes)
        o->overlay_bytes = STORE_OVERLAY_DEFAULT;
    if (!o->journal_bytes)
        o->journal_bytes = STORE_JOURNAL_DEFAULT;
    if (!o->segment_bytes)
        o->segment_bytes = STORE_SEGMENT_DEFAULT;
    if (!o->piece_records)
        o->piece_records = STORE_PIECE_DEFAULT;
    if (o->directory)
        s->directory = xstrdup(o->directory);
    o->directory = s->directory;
}

static void begin_journal(struct store *s)
{
    struct journal_config config = {.io = s->options.io,
                                    .directory = s->directory,
                                    .id = s->facts.id,
                                    .segment_size = s->options.segment_bytes,
                                    .durability = s->options.durability,
                                    .interval = s->options.interval};
    overlay_log(s->overlay, &s->log);
    s->journal = journal_new(s->loop, &config, s->first_segment, journal_moved, s);
}

int store_open(struct loop *loop, struct engine *engine, const struct store_options *options,
               struct store **store, char **why)
{
    struct store *s = xcalloc(1, sizeof(*s));
    s->loop = loop;
    s->overlay = overlay_new(engine);
    s->engine = &s->overlay->engine;
    s->ledger = ledger_new();
    s->tail = &s->waiting;
    s->waiters_tail = &s->waiters;
    TAILQ_INIT(&s->reads);
    take_options(s, options);
    *why = NULL;
    int error = recovery_run(s, why);
    if (error == 0)
        error = engine->ops->stat(engine, &s->stat);
    if (error) {
        free_store(s);
        return error;
    }
    for (size_t i = 0; i < CHANGE_SLOTS; i++)
        s->slots[i] = s->floor;
    s->known = known_new(s->options.overlay_bytes / KNOWN_SHARE, s->facts.id ^ s->floor);
    s->worker = loop_worker_new(loop, "checkpoint");
    if (s->options.io)
        begin_journal(s);
    engine->ops->still(engine, true);
    checkpoint_consider(s);
    *store = s;
    return 0;
}

/* ---- Closing ---- */

static void finish_close(void *cookie)
{
    struct store *s = cookie;
    loop_fn *closed = s->closed;
    void *closed_cookie = s->closed_cookie;
    s->turn = NULL;
    free_store(s);
    closed(closed_cookie);
}

void store_closing(struct store *s)
{
    if (!s->closing || s->turn || s->waiting || s->waiters ||
        (s->journal && !journal_idle(s->journal)) || checkpoint_close(s))
        return;
    s->turn = loop_soon(s->loop, finish_close, s);
}

void store_close(struct store *s, loop_fn *done, void *cookie)
{
    s->closing = true;
    s->closed = done;
    s->closed_cookie = cookie;
    store_cancel_reads(s);
    store_drop_deferred(s);
    if (s->journal)
        journal_write(s->journal, true);
    store_closing(s);
}

/* ---- Figures ---- */

int store_space(struct store *s, uint64_t disk_free, struct space *space)
{
    uint64_t used = s->stat.used + overlay_weight(s->overlay);
    uint64_t room = s->stat.limit > used ? s->stat.limit - used : 0;
    space->free = room < disk_free ? room : disk_free;
    space->total = used + space->free;
    space->nodes = s->stat.records;
    return 0;
}

int store_set_limit(struct store *s, uint64_t limit)
{
    if (limit == 0 || limit < s->stat.used)
        return ECP_EINVAL;
    s->new_limit = limit;
    checkpoint_limit(s);
    return 0;
}
