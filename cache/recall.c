/* SPDX-License-Identifier: Apache-2.0 */
/* What the other side takes back: touches, and whole leases. */
#include "base/mutation.h"
#include "cache/cache_int.h"

static void lay_on(struct cache *c, const struct touch *touches, size_t count, bool others)
{
    for (size_t i = 0; i < count; i++)
        if (!(MUTATION(MUTATION_RECLAIM) && touches[i].kind == TOUCH_PAGES) &&
            table_touch(&c->table, &touches[i]) && others)
            bounce_note(c, &touches[i]);
}

void recall_own(struct cache *c, const struct touch *touches, size_t count)
{
    lay_on(c, touches, count, false);
    if (c->events && count)
        c->events->recall(c->cookie, 0, touches, count);
}

static void invalidate(void *cookie, uint64_t serial, const struct touch *touches, size_t count)
{
    struct cache *c = cookie;

    lay_on(c, touches, count, true);
    for (size_t i = 0; i < count; i++)
        c->stats.invalidations[touches[i].kind]++;
    if (c->events)
        c->events->recall(c->cookie, serial, touches, count);
    else
        c->up->ops->invalidated(c->up, serial);
}

void cache_recalled(struct cache *c, uint64_t serial)
{
    c->up->ops->invalidated(c->up, serial);
}

static void lease_lost(void *cookie)
{
    struct cache *c = cookie;

    c->generation++;
    c->stats.lost++;
    table_clear(&c->table);
    release_forget(c);
    if (c->events)
        c->events->lost(c->cookie);
}

const struct upstream_events recall_events = {.invalidate = invalidate, .lease_lost = lease_lost};
