/* SPDX-License-Identifier: Apache-2.0 */
/* Leases of pages that are gone: given back in batches, and not before the kernel's time is up. */
#include "cache/cache_int.h"
#include "base/mutation.h"

#include <stdlib.h>

#define BATCH_DELAY (100 * LOOP_MS)

static void fire(void *cookie);

static void arm(struct cache *c, uint64_t due)
{
    struct releases *r = &c->releases;
    uint64_t now = loop_now(c->loop);

    if (r->timer && r->timer_due <= due)
        return;
    loop_cancel(c->loop, r->timer);
    r->timer_due = due;
    r->timer = loop_timer(c->loop, due > now ? due - now : 0, fire, c);
}

static void add_ready(struct releases *r, uint64_t lease)
{
    if (r->ready_count == r->ready_cap) {
        r->ready_cap = r->ready_cap ? 2 * r->ready_cap : 64;
        r->ready = xrealloc(r->ready, r->ready_cap * sizeof(*r->ready));
    }
    r->ready[r->ready_count++] = lease;
}

static void fire(void *cookie)
{
    struct cache *c = cookie;
    struct releases *r = &c->releases;
    uint64_t soon = loop_now(c->loop) + BATCH_DELAY;

    r->timer = NULL;
    while (r->head < r->count && r->items[r->head].due <= loop_now(c->loop))
        add_ready(r, r->items[r->head++].lease);
    if (r->head == r->count)
        r->head = r->count = 0;
    if (r->ready_count)
        c->up->ops->release(c->up, r->ready, r->ready_count);
    r->ready_count = 0;
    if (r->count)
        arm(c, r->items[r->head].due > soon ? r->items[r->head].due : soon);
}

static void add_later(struct releases *r, uint64_t lease, uint64_t due)
{
    if (r->count == r->cap && r->head >= r->cap / 2 && r->head) {
        memmove(r->items, r->items + r->head, (r->count - r->head) * sizeof(*r->items));
        r->count -= r->head;
        r->head = 0;
    }
    if (r->count == r->cap) {
        r->cap = r->cap ? 2 * r->cap : 64;
        r->items = xrealloc(r->items, r->cap * sizeof(*r->items));
    }
    r->items[r->count++] = (struct release){.lease = lease, .due = due};
}

/* What of an evicted page is still in the kernel lives until the lease end of now. What was
 * replaced lies under the newer page's lease. */
void release_gone(void *cookie, uint64_t lease, enum table_gone why)
{
    struct cache *c = cookie;
    struct releases *r = &c->releases;
    bool later = c->events && why != GONE_REPLACED && !MUTATION(MUTATION_RELEASE);
    uint64_t due;

    if (lease == 0 || why == GONE_TAKEN_BACK)
        return;
    due = later ? c->up->ops->lease_end(c->up) : loop_now(c->loop) + BATCH_DELAY;
    if (later)
        add_later(r, lease, due);
    else
        add_ready(r, lease);
    arm(c, due);
}

void release_forget(struct cache *c)
{
    struct releases *r = &c->releases;

    loop_cancel(c->loop, r->timer);
    r->timer = NULL;
    r->head = r->count = r->ready_count = 0;
}

void release_free(struct cache *c)
{
    release_forget(c);
    free(c->releases.items);
    free(c->releases.ready);
}
