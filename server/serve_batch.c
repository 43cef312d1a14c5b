/* SPDX-License-Identifier: Apache-2.0 */
/* The way of a batch: what it touches, who must give it back, its turn, the store. */
#include <inttypes.h>
#include <stdlib.h>
#include "base/mutation.h"
#include "server/batch.h"
#include "server/former.h"
#include "server/locks.h"
#include "server/replay.h"

#define GLOBALS_MAX 64 /* a coarse batch over more globals touches all of them */

struct backend *backend_new(struct loop *loop, struct store *store, uint64_t window)
{
    struct backend *backend = xcalloc(1, sizeof(*backend));

    backend->refs = backend->namespaces = 1;
    backend->loop = loop;
    backend->store = store;
    backend->replay = replay_new(backend);
    backend->formers = formers_new(backend, window);
    backend->leases = lease_table_new(loop, NULL);
    TAILQ_INIT(&backend->waiting);
    return backend;
}

void backend_unref(struct backend *backend)
{
    if (--backend->refs)
        return;
    if (backend->last)
        lease_recall_end(backend->last);
    formers_free(backend->formers);
    replay_free(backend->replay);
    locks_free(backend->locks);
    lease_table_free(backend->leases);
    free(backend);
}

void backend_stats(const struct backend *backend, size_t max_locks, struct buf *out)
{
    const struct lease_stats *s = lease_table_stats(backend->leases);

    replay_stats(backend->replay, out);
    locks_stats(backend->locks, max_locks, out);
    buf_printf(out, "leases %zu\nlease_bytes %zu\nlease_holders %zu\ntouches_in_flight %zu\n",
               s->pages, s->bytes, s->holders, s->touches);
    buf_printf(out, "leases_granted %" PRIu64 "\nleases_refused %" PRIu64 "\n", s->granted,
               s->refused);
    buf_printf(out, "leases_reclaimed %" PRIu64 "\ninvalidations %" PRIu64 "\n", s->reclaimed,
               s->invalidations);
    buf_printf(out, "invalidations_answered %" PRIu64 "\ninvalidations_lapsed %" PRIu64 "\n",
               s->answered, s->lapsed);
    buf_printf(out, "touches_entry %" PRIu64 "\ntouches_subtree %" PRIu64 "\n",
               s->sent[TOUCH_ENTRY], s->sent[TOUCH_SUBTREE]);
    buf_printf(out, "touches_pages %" PRIu64 "\nupdates %" PRIu64 "\n", s->sent[TOUCH_PAGES],
               s->recalls);
    buf_printf(out, "updates_parked %" PRIu64 "\nupdates_blocked %" PRIu64 "\n", s->waited,
               backend->blocked);
    buf_printf(out, "longest_wait_ms %" PRIu64 "\n", s->longest_wait / LOOP_MS);
}

/* ---- Coarse: every global that is named, and the root's entry. Needs no look at the store. ----
 */

struct coarse {
    struct store_touch touches[GLOBALS_MAX + 1];
    size_t count;
    bool all;
};

static void coarse_add(struct coarse *c, struct slice key)
{
    struct slice global = slice_of(key.data, key_level_len(key, 0));

    if (global.len == 0)
        c->all = true;
    for (size_t i = c->count; i-- > 0 && !c->all;)
        if (slice_equal(c->touches[i].key, global))
            return;
    if (c->count == GLOBALS_MAX)
        c->all = true;
    if (!c->all)
        c->touches[c->count++] = (struct store_touch){.key = global, .subtree = true};
}

static void coarse_touches(struct coarse *c, const struct batch *b)
{
    c->count = 0;
    c->all = false;
    for (uint32_t i = 0; i < b->count && !c->all; i++) {
        const struct update *u = &b->updates[i];

        if (c->count == 0 || !slice_has_prefix(u->key, c->touches[c->count - 1].key))
            coarse_add(c, u->key);
        if (u->kind == UPDATE_MOVE)
            coarse_add(c, u->value);
    }
    if (c->all)
        c->count = 0;
    c->touches[c->count++] = (struct store_touch){.subtree = c->all};
}

/* ---- Steps ---- */

static void step(struct session *session);

/* Plans anew what was blocked by a recall that has ended, or (NULL) by the next in line. */
static void wake(struct backend *backend, const struct lease_recall *ended)
{
    struct batch *b;

    TAILQ_FOREACH (b, &backend->waiting, waiting)
        b->again |= b->blocker == ended;
    for (b = TAILQ_FIRST(&backend->waiting); b;) {
        if (!b->again) {
            b = TAILQ_NEXT(b, waiting);
            continue;
        }
        TAILQ_REMOVE(&backend->waiting, b, waiting);
        b->again = false;
        b->state = BATCH_QUEUED;
        step(b->session);
        b = TAILQ_FIRST(&backend->waiting); /* others may have come in or left */
    }
}

/* It gets in, or is dropped. */
static void leave_line(struct batch *b)
{
    if (b->backend->next_in_line != b)
        return;
    b->backend->next_in_line = NULL;
    wake(b->backend, NULL);
}

void batch_gone(struct batch *b)
{
    struct session *session = b->session;
    struct backend *backend = b->backend;
    struct lease_recall *recall = b->recall;

    leave_line(b);
    if (recall && lease_recall_end(recall))
        wake(backend, recall);
    session->updates--;
    session->update_bytes -= b->bytes;
    lock_seat_update_done(session, b->sequence);
    serve_sync_updated(session, b->sequence);
    batch_free(b);
    backend_unref(backend);
    session_flow(session);
    session_unref(session);
}

static void applied(void *cookie, const struct store_result *result)
{
    struct batch *b = cookie;

    serve_update_done(b, result);
    batch_gone(b);
}

static void recalled(void *cookie)
{
    struct batch *b = cookie;

    b->state = BATCH_READY;
    step(b->session);
}

static void block(struct batch *b, const struct lease_recall *blocker)
{
    b->state = BATCH_BLOCKED;
    b->backend->blocked++;
    b->blocker = blocker;
    TAILQ_INSERT_TAIL(&b->backend->waiting, b, waiting);
    if (++b->plans >= LEASE_REPLAN_MAX && !b->backend->next_in_line)
        b->backend->next_in_line = b;
}

static void hold(struct batch *b, const struct store_touch *touches, size_t count, bool coarse)
{
    struct backend *backend = b->backend;
    struct lease_recall *conflict = lease_conflict(backend->leases, touches, count, coarse);

    if (conflict || (backend->next_in_line && backend->next_in_line != b)) {
        block(b, conflict);
        return;
    }
    b->state = BATCH_RECALLING;
    b->recall =
        lease_recall(backend->leases, b->session->holder, touches, count, coarse, recalled, b);
    if (lease_recall_ready(b->recall))
        b->state = BATCH_READY;
    b->session->unheld = TAILQ_NEXT(b, of_session);
    leave_line(b);
}

static void hold_coarse(struct batch *b)
{
    struct coarse c;

    coarse_touches(&c, b);
    hold(b, c.touches, c.count, true);
}

/* Refused before it came to the store. */
static void fail(struct batch *b, int error)
{
    struct store_result failed = {.error = error};

    TAILQ_REMOVE(&b->session->parked, b, of_session);
    serve_update_done(b, &failed);
    batch_gone(b);
}

static void planned(void *cookie, int error, const struct store_touch *touches, size_t count)
{
    struct batch *b = cookie;
    struct session *session = b->session;

    session_ref(session);
    b->plan = NULL;
    if (error) {
        session->unheld = TAILQ_NEXT(b, of_session);
        fail(b, error);
    } else if (count > LEASE_TOUCH_MAX) {
        hold_coarse(b);
    } else {
        hold(b, touches, count, false);
    }
    step(session);
    session_unref(session);
}

/* Those in line come first. */
static bool hold_all(struct batch *b)
{
    struct backend *backend = b->backend;

    if (backend->next_in_line || !TAILQ_EMPTY(&backend->waiting))
        return false;
    b->recall = lease_recall_nobody(backend->leases);
    if (!b->recall)
        return false;
    b->state = BATCH_READY;
    b->session->unheld = TAILQ_NEXT(b, of_session);
    return true;
}

static void begin(struct batch *b)
{
    if (hold_all(b))
        return;
    if (b->count > LEASE_EXACT_MAX || !lease_table_wanted(b->backend->leases)) {
        hold_coarse(b);
    } else {
        b->state = BATCH_PLANNING;
        b->plan = store_plan(b->backend->store, b->updates, b->count, planned, b);
    }
}

/* The one that asked is the first, and stays so. */
static void asked(void *cookie, int error)
{
    struct session *session = cookie;

    session->asking = false;
    session->certain = !error;
    if (session->state != SESSION_ENDED && error)
        fail(TAILQ_FIRST(&session->parked), error);
    if (session->state != SESSION_ENDED)
        step(session);
    session_unref(session);
}

/* Who was told of an update, and comes back after a crash, must find its session, though the crash
 * may have taken the update. So the session's first one waits for the disk. */
static bool is_certain(struct session *session)
{
    struct store *store = session->namespace->store;

    if (session->certain || !session->resumes || store_done_is_durable(store) ||
        MUTATION(MUTATION_NO_TRACE))
        return true;
    if (!session->asking) {
        session->asking = true;
        session_ref(session);
        store_session_begin(store, session->id, session->secret,
                            session->retains ? STORE_SESSION_RETAINS : 0, asked, session);
    }
    return false;
}

/* Goes on with a session's batches as far as they can go. */
static void step(struct session *session)
{
    struct batch *b;

    if (TAILQ_EMPTY(&session->parked) || replay_holds(session))
        return;
    while ((b = session->unheld) && b->state == BATCH_QUEUED)
        begin(b);
    while ((b = TAILQ_FIRST(&session->parked)) && b->state == BATCH_READY && is_certain(session)) {
        TAILQ_REMOVE(&session->parked, b, of_session);
        b->state = BATCH_APPLYING;
        struct store_source source = {.session = session->id, .sequence = b->sequence};
        store_apply(b->backend->store, b->updates, b->count, source, applied, b);
    }
}

void batch_begin(struct session *session, struct batch *b)
{
    b->session = session;
    b->backend = session->namespace->backend;
    b->backend->refs++;
    session_ref(session);
    session->updates++;
    session->update_bytes += b->bytes;
}

void batch_go_on(struct session *session)
{
    step(session);
}

void batch_submit(struct session *session, struct batch *b)
{
    batch_begin(session, b);
    TAILQ_INSERT_TAIL(&session->parked, b, of_session);
    if (!session->unheld)
        session->unheld = b;
    step(session);
    session_flow(session);
}

/* The last one first, so that none is woken that will be dropped. */
void batch_drop_all(struct session *session)
{
    struct batch *b;

    session->unheld = NULL;
    while ((b = TAILQ_LAST(&session->parked, batch_list))) {
        TAILQ_REMOVE(&session->parked, b, of_session);
        if (b->state == BATCH_PLANNING)
            store_read_cancel(b->plan);
        if (b->state == BATCH_BLOCKED)
            TAILQ_REMOVE(&b->backend->waiting, b, waiting);
        batch_gone(b);
    }
}
