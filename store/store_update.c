/* SPDX-License-Identifier: Apache-2.0 */
/* Batches: applied to the overlay in turns of the loop, and journaled. */
#include "base/log.h"
#include "base/mutation.h"
#include "store/store_int.h"

/* One turn ends after so many updates, or bytes of journal. */
#define TURN_UPDATES 1024
#define TURN_BYTES   (256u << 10)
/* Operations one batch may come to. */
#define LOG_MAX (1u << 30)

/* ---- Applying ---- */

/* How far what the updates of this turn will look for has been announced. */
struct ahead {
    const struct store *store;
    const struct batch *batch;
    size_t at, left;
};

/* The next keys, at most MAP_AHEAD; returns their number, *sorted: each finds its place near that
 * of the one before. */
static size_t next_keys(struct ahead *h, struct slice *keys, bool *sorted)
{
    size_t count = 0;
    *sorted = true;
    while (h->batch && count < MAP_AHEAD) {
        if (h->at < h->batch->count) {
            keys[count] = h->batch->updates[h->at++].key;
            *sorted = *sorted && (!count || slice_compare(keys[count - 1], keys[count]) <= 0);
            count++;
        } else {
            h->batch = h->batch->next;
            h->at = 0;
        }
    }
    return count;
}

static void look_ahead(struct ahead *h)
{
    struct slice keys[MAP_AHEAD];
    size_t unknown = 0;
    bool sorted;
    h->left = next_keys(h, keys, &sorted);
    for (size_t i = 0; i < h->left; i++)
        known_expect(h->store->known, keys[i]);
    if (sorted)
        return;
    for (size_t i = 0; i < h->left; i++)
        if (!known_has(h->store->known, keys[i])) {
            struct slice key = keys[i];
            keys[i] = keys[unknown];
            keys[unknown++] = key;
        }
    overlay_expect(h->store->overlay, keys, h->left, unknown);
}

static int run_updates(struct apply *a, struct batch *b, struct ahead *h)
{
    for (size_t i = 0; i < b->count; i++) {
        if (h->left == 0)
            look_ahead(h);
        h->left--;
        int error = apply_update(a, &b->updates[i]);
        if (error) {
            b->failed = (uint32_t)i;
            return error;
        }
    }
    return 0;
}

/* What was learned from updates that are taken back. */
static void forget(struct known *known, const struct batch *b)
{
    for (size_t i = 0; i < b->count; i++) {
        if (b->updates[i].kind == UPDATE_MOVE)
            known_clear(known);
        else
            known_remove(known, b->updates[i].key);
    }
}

static uint64_t next_stamp(const struct store *s, const struct batch *b, uint64_t now)
{
    uint64_t last = s->last_stamp > s->floor ? s->last_stamp : s->floor;
    if (b->given)
        return b->given;
    return now > last ? now : last + 1;
}

/* 0: applied or failed by itself (b->error); STORE_WAIT: not now. */
static int run_batch(struct store *s, struct apply *a, struct batch *b, struct ahead *h)
{
    struct overlay_mark mark = overlay_mark(s->overlay);
    size_t changes = s->changes.count;
    bool before = s->overlay->frozen || !layer_empty(s->overlay->active);
    buf_clear(&b->values);
    buf_clear(&s->log);
    a->values = &b->values;
    a->stamp = next_stamp(s, b, a->now);
    b->failed = 0;
    int error = b->given && b->given <= s->last_stamp ? ECP_EORDER : run_updates(a, b, h);
    if (error == 0 && s->log.len > LOG_MAX)
        error = ECP_ETOOBIG;
    if (error == 0)
        error = store_room(s, b, before);
    if (error) {
        *h = (struct ahead){.store = s, .batch = b->next};
        forget(s->known, b);
        apply_detach(a);
        if (error != ECP_ENOSPC || !MUTATION(MUTATION_REFUSED))
            overlay_undo(s->overlay, mark);
        s->changes.count = changes;
        b->error = error == STORE_WAIT ? 0 : error;
        return error == STORE_WAIT ? STORE_WAIT : 0;
    }
    b->stamp = s->last_stamp = a->stamp;
    return 0;
}

static void note_outcome(struct store *s, const struct batch *b)
{
    struct ledger_outcome o = {
        .sequence = b->source.sequence, .error = b->error, .index = b->failed};
    if (!b->error) {
        o.stamp = b->stamp;
        o.values = buf_slice(&b->values);
    }
    store_session_result(s, b->source, &o, !b->error);
}

static void journal_batch(struct store *s, struct batch *b)
{
    if (!s->journal)
        return;
    if (!b->error || !b->given) /* what is applied again has had its outcome, and is tried again */
        note_outcome(s, b);
    if (!b->error) {
        store_session_notes(s, &s->log);
        struct journal_record record = {.stamp = b->stamp,
                                        .session = b->source.session,
                                        .sequence = b->source.sequence,
                                        .ops = buf_slice(&s->log)};
        journal_append(s->journal, &record);
    }
    b->mark = journal_appended(s->journal);
}

static void stamp_listings(struct store *s)
{
    for (size_t i = 0; i < s->changes.count; i++) {
        const struct change *c = &s->changes.list[i];
        if (s->slots[c->slot] < c->stamp)
            s->slots[c->slot] = c->stamp;
    }
    s->changes.count = 0;
}

/* Applies what it can of the batches that wait; returns those that are done, in order. */
static struct batch *run_batches(struct store *s, struct apply *a)
{
    struct batch *first = s->waiting, *b;
    struct batch **end = &first;
    struct ahead ahead = {.store = s, .batch = first};
    size_t updates = 0;
    uint64_t bytes = s->journal ? journal_appended(s->journal) : 0;
    while ((b = s->waiting) && updates < TURN_UPDATES &&
           (!store_memory_full(s) || s->checkpoint.state == CHECKPOINT_RETRY)) {
        if (s->journal && journal_appended(s->journal) - bytes > TURN_BYTES)
            break;
        if (run_batch(s, a, b, &ahead) == STORE_WAIT)
            break;
        journal_batch(s, b);
        updates += b->count;
        s->waiting = b->next;
        end = &b->next;
    }
    *end = NULL;
    return first;
}

static struct batch *fail_all(struct store *s)
{
    struct batch *first = s->waiting;
    for (struct batch *b = first; b; b = b->next)
        b->error = s->failed;
    s->waiting = NULL;
    return first;
}

static struct batch *apply_some(struct store *s)
{
    struct apply a = {.now = loop_wall(s->loop),
                      .ops = s->engine->ops,
                      .changes = &s->changes,
                      .known = s->known};
    int error = a.ops->write_begin(s->engine, &a.txn);
    if (error) {
        s->failed = error;
        log_error("the database cannot be read: %s", error_text(error));
        return fail_all(s);
    }
    struct batch *done = run_batches(s, &a);
    apply_free(&a);
    a.ops->commit(a.txn);
    return done;
}

static void turn(void *cookie)
{
    struct store *s = cookie;
    struct batch *done;
    s->turn = NULL;
    if (s->failed)
        done = fail_all(s);
    else if (s->awaiting_room)
        return;
    else
        done = apply_some(s);
    s->no_room = s->no_room && MUTATION(MUTATION_NO_ROOM);
    if (!s->waiting)
        s->tail = &s->waiting;
    stamp_listings(s);
    if (s->journal)
        journal_write(s->journal, false);
    store_tell_batches(s, done);
    checkpoint_consider(s);
    if (done && s->waiting)
        store_turn(s);
    store_closing(s);
}

void store_turn(struct store *s)
{
    if (!s->turn && s->waiting)
        s->turn = loop_soon(s->loop, turn, s);
}

static void add(struct store *s, struct batch *b)
{
    *s->tail = b;
    s->tail = &b->next;
    if (!s->awaiting_room)
        store_turn(s);
}

static struct batch *batch_new(struct store *s, const struct update *updates, size_t count,
                               struct store_source source, store_done_fn *done, void *cookie)
{
    struct batch *b = s->spare;
    if (b)
        s->spare = b->next;
    else
        b = xmalloc(sizeof(*b));
    *b = (struct batch){.store = s,
                        .updates = updates,
                        .count = count,
                        .source = source,
                        .done = done,
                        .cookie = cookie};
    return b;
}

void store_replay(struct store *s, const struct update *updates, size_t count,
                  struct store_source source, uint64_t stamp, store_done_fn *done, void *cookie)
{
    struct batch *b = batch_new(s, updates, count, source, done, cookie);
    b->given = stamp;
    add(s, b);
}

/* What only carries notes would have a stamp that is newer than those of what is applied again. */
static void defer(struct store *s, struct batch *b)
{
    struct batch **at = &s->deferred;
    while (*at)
        at = &(*at)->next;
    *at = b;
}

void store_replayed(struct store *s)
{
    struct batch *next;
    s->replaying = false;
    for (struct batch *b = s->deferred; b; b = next) {
        next = b->next;
        b->next = NULL;
        add(s, b);
    }
    s->deferred = NULL;
}

void store_drop_deferred(struct store *s)
{
    struct batch *next;
    for (struct batch *b = s->deferred; b; b = next) {
        next = b->next;
        b->error = ECP_ESHUTDOWN;
        store_tell_batch(b);
    }
    s->deferred = NULL;
}

void store_apply(struct store *s, const struct update *updates, size_t count,
                 struct store_source source, store_done_fn *done, void *cookie)
{
    struct batch *b = batch_new(s, updates, count, source, done, cookie);
    if (s->replaying && !count)
        defer(s, b);
    else
        add(s, b);
}
