/* SPDX-License-Identifier: Apache-2.0 */
/* Entries and pages that others change all the time: first loaded alone, then without a lease. */
#include "cache/cache_int.h"

#define WINDOW      LOOP_SEC
#define OFTEN       4 /* times in a window: loaded alone */
#define TOO_OFTEN   8 /* times in a window: no lease for a while */
#define BACKOFF     LOOP_SEC
#define BACKOFF_MAX (8 * LOOP_SEC)

/* An entry and the pages below it bounce apart from each other. */
static uint64_t hash_of(struct slice key, bool pages)
{
    return table_hash(key) ^ (pages ? UINT64_C(0x9E3779B97F4A7C15) : 0);
}

static struct bounce *slot_of(const struct cache *c, uint64_t hash)
{
    return &c->bounces[hash % BOUNCE_SLOTS];
}

void bounce_note(struct cache *c, const struct touch *touch)
{
    uint64_t now = loop_now(c->loop), hash = hash_of(touch->key, touch->kind != TOUCH_ENTRY);
    struct bounce *b = slot_of(c, hash);

    if (b->hash != hash || now > b->until + BACKOFF_MAX)
        *b = (struct bounce){.hash = hash, .since = now, .until = now};
    if (now - b->since > WINDOW) {
        b->since = now;
        b->count = 0;
    }
    if (++b->count < TOO_OFTEN)
        return;
    b->backoff = b->backoff == 0 ? BACKOFF : 2 * b->backoff;
    if (b->backoff > BACKOFF_MAX)
        b->backoff = BACKOFF_MAX;
    b->until = now + b->backoff;
    b->count = 0;
    c->stats.bounces++;
}

bool bounce_often(const struct cache *c, struct slice key, bool pages)
{
    uint64_t hash = hash_of(key, pages);
    const struct bounce *b = slot_of(c, hash);

    return b->hash == hash && b->count >= OFTEN && loop_now(c->loop) - b->since <= WINDOW;
}

bool bounce_off(const struct cache *c, struct slice key, bool pages)
{
    uint64_t hash = hash_of(key, pages);
    const struct bounce *b = slot_of(c, hash);

    return b->hash == hash && b->backoff && loop_now(c->loop) < b->until;
}
