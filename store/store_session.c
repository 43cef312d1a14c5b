/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions that outlive the process: the store's calls about them. */
#include <stdlib.h>

#include "store/store_int.h"

/* Notes that wait for a record are not left to wait when there are so many bytes of them. */
#define NOTES_MAX 65536

struct registration {
    struct store *store;
    store_sync_fn *done;
    void *cookie;
};

static struct buf *notes_of(struct store *s)
{
    return s->journal ? &s->notes : NULL;
}

void store_sessions_save(struct store *s, struct buf *notes)
{
    buf_clear(notes);
    buf_reserve(notes, 1);
    ledger_save(s->ledger, notes);
}

void store_session_notes(struct store *s, struct buf *ops)
{
    if (!s->notes.len)
        return;
    journal_op_notes(ops, buf_slice(&s->notes));
    buf_free(&s->notes);
}

/* ---- A record of its own ---- */

static void flushed(void *cookie, const struct store_result *result)
{
}

static void registered(void *cookie, const struct store_result *result)
{
    struct registration *r = cookie;
    if (result->error)
        r->done(r->cookie, result->error);
    else
        store_sync(r->store, r->done, r->cookie);
    free(r);
}

void store_session_begin(struct store *s, uint64_t id, uint64_t secret, unsigned flags,
                         store_sync_fn *done, void *cookie)
{
    if (!s->journal) {
        if (done)
            store_sync(s, done, cookie);
        return;
    }
    ledger_begin(s->ledger, id, secret, flags, notes_of(s));
    if (!done)
        return;
    struct registration *r = xcalloc(1, sizeof(*r));
    *r = (struct registration){.store = s, .done = done, .cookie = cookie};
    store_apply(s, NULL, 0, (struct store_source){0}, registered, r);
}

void store_session_end(struct store *s, uint64_t id)
{
    const struct ledger_session *session = ledger_find(s->ledger, id);
    bool awaited = session && session->flags; /* for the whole window, should a crash forget this */
    ledger_end(s->ledger, id, notes_of(s));
    if (s->journal && (awaited || s->notes.len > NOTES_MAX))
        store_apply(s, NULL, 0, (struct store_source){0}, flushed, NULL);
}

/* ---- Batches ---- */

void store_session_result(struct store *s, struct store_source source,
                          const struct ledger_outcome *outcome, bool journaled)
{
    bool told = journaled && !outcome->values.len; /* by the record itself */
    if (source.session)
        ledger_result(s->ledger, source.session, outcome, told ? NULL : &s->notes);
}

void store_session_answered(struct store *s, uint64_t id, uint64_t sequence)
{
    ledger_answered(s->ledger, id, sequence, notes_of(s));
}

bool store_session_outcome(struct store *s, uint64_t id, uint64_t sequence, store_done_fn *done,
                           void *cookie)
{
    const struct ledger_session *session = ledger_find(s->ledger, id);
    const struct ledger_outcome *o = session ? ledger_outcome(session, sequence) : NULL;
    if (!o)
        return false;
    struct store_result result = {.error = o->error, .failed = o->index, .stamp = o->stamp};
    struct slice *values = o->values.len ? xcalloc(o->values.len / 4, sizeof(*values)) : NULL;
    struct reader r = reader_of(o->values);
    while (!o->error && !reader_at_end(&r) && !r.bad)
        values[result.count++] = get_bytes32(&r);
    result.values = values;
    done(cookie, &result);
    free(values);
    return true;
}

void store_sessions(struct store *s, void (*fn)(void *cookie, const struct store_session *session),
                    void *cookie)
{
    struct ledger_session *l, *next;
    for (l = ledger_next(s->ledger, NULL); l; l = next) {
        next = ledger_next(s->ledger, l);
        fn(cookie, &(struct store_session){.id = l->id,
                                           .secret = l->secret,
                                           .last = l->last,
                                           .locks = l->flags & LEDGER_LOCKS,
                                           .retains = l->flags & LEDGER_RETAINS});
    }
}
