/* SPDX-License-Identifier: Apache-2.0 */
/* Recalls: invalidations to those who hold what a batch touches, and their answers. */
#include <stdlib.h>
#include "server/lease_int.h"

#define RECLAIM_MAX  2048 /* pages asked back at a time */
#define RECLAIM_SCAN 8192 /* pages looked at for that */

/* ---- Notices ---- */

/* The one being put together for a holder. */
static struct lease_notice *notice_collect(struct lease_holder *h, struct lease_recall *recall)
{
    struct lease_notice *n = h->collecting;

    if (n)
        return n;
    n = h->collecting = xcalloc(1, sizeof(*n));
    n->holder = h;
    n->serial = ++h->last_serial;
    n->sent = loop_now(h->table->loop);
    n->highest = h->table->last_number;
    n->recall = recall;
    TAILQ_INSERT_TAIL(&h->notices, n, of_holder);
    if (recall) {
        LIST_INSERT_HEAD(&recall->notices, n, of_recall);
        recall->waiting++;
    }
    return n;
}

/* False when the touch is the one that was added last. */
static bool notice_add(struct lease_notice *n, uint8_t kind, struct slice key)
{
    struct touch *last = n->count ? &n->touches[n->count - 1] : NULL;

    if (last && last->kind == kind && slice_equal(last->key, key))
        return false;
    if (n->count == n->room) {
        n->room = n->room ? 2 * n->room : 4;
        n->touches = xrealloc(n->touches, n->room * sizeof(*n->touches));
    }
    n->touches[n->count++] = (struct touch){.kind = kind, .key = key};
    if (kind != TOUCH_ENTRY) {
        put_u8(&n->drops, kind);
        put_bytes16(&n->drops, key);
    }
    return true;
}

/* Nothing is sent to one whose session is over: its lease runs out. */
static void notice_send(struct lease_notice *n)
{
    struct lease_holder *h = n->holder;
    struct lease_stats *stats = &h->table->stats;

    h->collecting = NULL;
    if (h->send) {
        stats->invalidations++;
        for (size_t i = 0; i < n->count; i++)
            stats->sent[n->touches[i].kind]++;
        h->send(h->cookie, n->serial, n->touches, n->count);
    }
    free(n->touches);
    n->touches = NULL;
    lease_watch(h);
}

void lease_notice_end(struct lease_notice *n)
{
    struct lease_recall *recall = n->recall;
    struct lease_stats *stats = &n->holder->table->stats;
    uint64_t took;

    TAILQ_REMOVE(&n->holder->notices, n, of_holder);
    if (recall)
        LIST_REMOVE(n, of_recall);
    buf_free(&n->drops);
    free(n);
    if (!recall || --recall->waiting)
        return;
    took = loop_now(recall->table->loop) - recall->began;
    if (took > stats->longest_wait)
        stats->longest_wait = took;
    if (recall->done)
        recall->done(recall->cookie);
}

int lease_answered(struct lease_holder *h, uint64_t serial)
{
    struct lease_notice *n;
    struct reader r;

    if (serial == 0 || serial > h->last_serial)
        return ECP_EPROTO;
    TAILQ_FOREACH (n, &h->notices, of_holder)
        if (n->serial == serial)
            break;
    if (!n)
        return 0;
    h->table->stats.answered++;
    for (r = reader_of(buf_slice(&n->drops)); !reader_at_end(&r);) {
        uint8_t kind = get_u8(&r);

        lease_pages_drop(h, get_bytes16(&r), kind == TOUCH_SUBTREE, n->highest);
    }
    lease_notice_end(n);
    return 0;
}

/* ---- Recalls ---- */

struct collect {
    struct lease_recall *recall;
    const struct lease_flight *flight;
    uint64_t now;
    size_t hit, most; /* holders hit by this flight; there are no more */
    bool over;        /* one was hit whose lease is over */
};

static uint8_t kind_of(const struct lease_flight *f)
{
    return f->subtree ? TOUCH_SUBTREE : TOUCH_ENTRY;
}

static bool collect_hit(void *cookie, struct lease_page *p)
{
    struct collect *c = cookie;
    struct lease_holder *h = p->holder;

    if (h == c->recall->own)
        return true;
    if (lease_end(h) <= c->now)
        c->over = true;
    else if (notice_add(notice_collect(h, c->recall), kind_of(c->flight), c->flight->key))
        c->hit++;
    return c->hit < c->most;
}

static void lapse_silent(struct lease_table *t, uint64_t now)
{
    struct lease_holder *h, *next;

    TAILQ_FOREACH_SAFE (h, &t->holders, list, next)
        if (lease_end(h) <= now)
            lease_lapse(h);
}

static void collect(struct lease_recall *recall)
{
    struct lease_table *t = recall->table;
    struct lease_holder *own = recall->own;
    struct collect c = {.recall = recall};
    struct lease_notice *n;

    if (!t->holding && !t->former)
        return;
    recall->began = c.now = loop_now(t->loop);
    c.most = t->holding - (own && own->page_count > 0);
    for (size_t i = 0; i < recall->count && c.most; i++) {
        c.flight = &recall->flights[i];
        c.hit = 0;
        lease_pages_hit(t, c.flight->key, c.flight->subtree, collect_hit, &c);
    }
    if (t->former)
        notice_collect(t->former, recall);
    LIST_FOREACH (n, &recall->notices, of_recall)
        notice_send(n);
    if (c.over)
        lapse_silent(t, c.now);
}

struct lease_recall *lease_recall(struct lease_table *t, struct lease_holder *own,
                                  const struct store_touch *touches, size_t count, bool coarse,
                                  loop_fn *done, void *cookie)
{
    struct lease_recall *recall = xcalloc(1, sizeof(*recall) + count * sizeof(recall->flights[0]));

    *recall = (struct lease_recall){.table = t,
                                    .own = own,
                                    .coarse = coarse,
                                    .cookie = cookie};
    LIST_INSERT_HEAD(&t->recalls, recall, list);
    t->exact += !coarse;
    t->stats.recalls++;
    for (size_t i = 0; i < count; i++)
        lease_flight_add(recall, &touches[i]);
    collect(recall);
    t->stats.waited += recall->waiting > 0;
    recall->done = done;
    return recall;
}

struct lease_recall *lease_recall_nobody(struct lease_table *t)
{
    if (t->exact || !lease_table_empty(t) || lease_table_wanted(t))
        return NULL;
    t->nobody_count++;
    t->stats.recalls++;
    return t->nobody;
}

bool lease_recall_ready(const struct lease_recall *recall)
{
    return recall->waiting == 0 || MUTATION(MUTATION_NO_WAIT);
}

struct own_hit {
    struct lease_holder *own;
    struct slice key;
    bool hit, below;
};

static bool own_page_hit(void *cookie, struct lease_page *p)
{
    struct own_hit *o = cookie;

    if (p->holder == o->own) {
        o->hit = true;
        o->below |= slice_has_prefix(lease_page_parent(p), o->key);
    }
    return !o->below;
}

size_t lease_recall_own(struct lease_recall *recall, const struct touch **touches)
{
    struct lease_holder *own = recall->own;
    size_t count = 0;

    if (!own || own->page_count == 0)
        return 0;
    recall->own_touches = xcalloc(recall->count, sizeof(*recall->own_touches));
    for (size_t i = 0; i < recall->count; i++) {
        const struct lease_flight *f = &recall->flights[i];
        struct own_hit o = {.own = own, .key = f->key};

        lease_pages_hit(recall->table, f->key, f->subtree, own_page_hit, &o);
        if (o.hit)
            recall->own_touches[count++] = (struct touch){.kind = kind_of(f), .key = f->key};
        if (f->subtree && o.below)
            notice_add(notice_collect(own, NULL), TOUCH_SUBTREE, f->key);
    }
    if (own->collecting)
        notice_send(own->collecting);
    *touches = recall->own_touches;
    return count;
}

bool lease_recall_end(struct lease_recall *recall)
{
    struct lease_notice *n;

    if (recall == recall->table->nobody)
        return --recall->table->nobody_count == 0;
    while ((n = LIST_FIRST(&recall->notices))) {
        LIST_REMOVE(n, of_recall);
        n->recall = NULL;
    }
    lease_flight_remove(recall);
    recall->table->exact -= !recall->coarse;
    LIST_REMOVE(recall, list);
    free(recall->own_touches);
    free(recall);
    return true;
}

/* ---- Want of room ---- */

/* Of those that are there: others keep what they have until their lease ends. */
static struct lease_holder *largest(struct lease_table *t)
{
    struct lease_holder *h, *found = NULL;

    TAILQ_FOREACH (h, &t->holders, list)
        if (h->send && (!found || h->page_count > found->page_count))
            found = h;
    return found;
}

/* Of all pages the oldest would be those of clients that read the same ones all day; one that has
 * walked over everything would push them out. */
void lease_reclaim(struct lease_table *t, struct lease_holder *one)
{
    size_t limit = one ? t->config.max_holder : t->config.max_pages, most = 1 + limit / 16;
    struct lease_holder *h = one ? one : largest(t);
    struct lease_page *p;

    if (!h || !h->send || (one ? one->reclaiming : t->reclaiming))
        return;
    if (most > RECLAIM_MAX)
        most = RECLAIM_MAX;
    p = TAILQ_FIRST(&h->pages);
    for (int i = 0; p && most && i < RECLAIM_SCAN; i++, p = TAILQ_NEXT(p, of_holder)) {
        if (p->reclaimed)
            continue;
        notice_add(notice_collect(h, NULL), TOUCH_PAGES, lease_page_parent(p));
        p->reclaimed = true;
        h->reclaiming++;
        t->reclaiming++;
        t->stats.reclaimed++;
        most--;
    }
    if (h->collecting)
        notice_send(h->collecting);
}
