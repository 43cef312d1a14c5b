/* SPDX-License-Identifier: Apache-2.0 */
/* Telling of batches that are done, and of what is durable. */
#include <stdlib.h>

#include "base/mutation.h"
#include "store/store_int.h"

/* ---- Waiters ---- */

static void tell_waiters(void *cookie)
{
    struct store *s = cookie;
    struct waiter *w;
    s->told = NULL;
    while ((w = s->waiters) &&
           (s->failed || !s->journal || w->mark <= journal_durable(s->journal))) {
        bool durable = !s->journal || w->mark <= journal_durable(s->journal);
        s->waiters = w->next;
        if (!s->waiters)
            s->waiters_tail = &s->waiters;
        w->done(w->cookie, durable ? 0 : s->failed);
        free(w);
    }
    store_closing(s);
}

void store_tell_waiters(struct store *s)
{
    if (s->waiters && !s->told)
        s->told = loop_soon(s->loop, tell_waiters, s);
}

static void wait_durable(struct store *s, uint64_t mark, store_sync_fn *done, void *cookie)
{
    struct waiter *w = xcalloc(1, sizeof(*w));
    *w = (struct waiter){.mark = mark, .done = done, .cookie = cookie};
    *s->waiters_tail = w;
    s->waiters_tail = &w->next;
    if (s->failed || !s->journal || mark <= journal_durable(s->journal))
        store_tell_waiters(s);
}

void store_sync(struct store *s, store_sync_fn *done, void *cookie)
{
    wait_durable(s, s->journal ? journal_appended(s->journal) : 0, done, cookie);
    if (s->journal)
        journal_write(s->journal, true);
}

/* ---- Telling ---- */

void store_tell_batch(struct batch *b)
{
    struct store_result result = {.error = b->error, .failed = b->failed};
    struct slice *values = NULL;
    if (b->error == 0) {
        result.stamp = b->stamp;
        values = b->values.len ? xcalloc(b->values.len / 4, sizeof(*values)) : NULL;
        struct reader r = reader_of(buf_slice(&b->values));
        while (!reader_at_end(&r) && !r.bad)
            values[result.count++] = get_bytes32(&r);
        result.values = values;
    }
    b->done(b->cookie, &result);
    free(values);
    buf_free(&b->values);
    b->next = b->store->spare;
    b->store->spare = b;
}

void store_free_batches(struct store *s)
{
    for (struct batch *b; (b = s->spare);) {
        s->spare = b->next;
        free(b);
    }
}

static void batch_durable(void *cookie, int error)
{
    struct batch *b = cookie;
    if (!b->error)
        b->error = error;
    store_tell_batch(b);
}

static bool waits_durable(const struct store *s)
{
    return s->options.wait_durable && s->options.durability == DURABILITY_COMMIT;
}

bool store_tells_durable(const struct store *s)
{
    return !s->journal || waits_durable(s);
}

bool store_done_is_durable(const struct store *s)
{
    return store_tells_durable(s) && !(s->journal && s->failed);
}

void store_tell_batches(struct store *s, struct batch *first)
{
    bool wait = s->journal && waits_durable(s) && !MUTATION(MUTATION_ACK_EARLY);
    for (struct batch *b = first, *next; b; b = next) {
        next = b->next;
        if (wait)
            wait_durable(s, b->mark, batch_durable, b);
        else
            store_tell_batch(b);
    }
}
