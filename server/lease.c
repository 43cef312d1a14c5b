/* SPDX-License-Identifier: Apache-2.0 */
/* The lease table: holders, and the time that their leases run. */
#include <stdlib.h>
#include "base/log.h"
#include "server/lease_int.h"

struct lease_table *lease_table_new(struct loop *loop, const struct lease_config *config)
{
    struct lease_table *t = xcalloc(1, sizeof(*t));

    t->loop = loop;
    if (config)
        t->config = *config;
    if (!t->config.max_pages)
        t->config.max_pages = LEASE_PAGES_MAX;
    if (!t->config.max_holder)
        t->config.max_holder = (t->config.max_pages + 3) / 4;
    RB_INIT(&t->pages);
    RB_INIT(&t->flights);
    TAILQ_INIT(&t->holders);
    LIST_INIT(&t->recalls);
    t->nobody = xcalloc(1, sizeof(*t->nobody));
    t->nobody->table = t;
    t->nobody->coarse = true;
    return t;
}

/* All it has goes, and nobody waits for it any more. */
static void let_go(struct lease_holder *h)
{
    struct lease_page *p;
    struct lease_notice *n;

    while ((p = TAILQ_FIRST(&h->pages)))
        lease_page_drop(p);
    while ((n = TAILQ_FIRST(&h->notices)))
        lease_notice_end(n);
}

static void holder_free(struct lease_holder *h)
{
    struct lease_table *t = h->table;

    let_go(h);
    loop_cancel(t->loop, h->timer);
    if (t->former == h)
        t->former = NULL;
    else
        t->stats.holders--;
    TAILQ_REMOVE(&t->holders, h, list);
    free(h->name);
    free(h);
    lease_idle(t);
}

void lease_table_free(struct lease_table *t)
{
    struct lease_holder *h;

    t->forget = NULL;
    while ((h = TAILQ_FIRST(&t->holders)))
        holder_free(h);
    loop_cancel(t->loop, t->idle);
    loop_cancel(t->loop, t->reclaim);
    free(t->chains);
    free(t->nobody);
    free(t);
}

const struct lease_stats *lease_table_stats(const struct lease_table *t)
{
    return &t->stats;
}

bool lease_table_wanted(struct lease_table *t)
{
    return t->stats.pages > 0 || loop_now(t->loop) < t->wanted_until;
}

void lease_table_remember(struct lease_table *t, bool (*remember)(void *cookie, uint64_t term),
                          void (*forget)(void *cookie), void *cookie)
{
    t->remember = remember;
    t->forget = forget;
    t->memory = cookie;
}

bool lease_table_empty(const struct lease_table *t)
{
    return t->stats.pages == 0 && !t->former;
}

/* ---- Empty for a while ---- */

static void idle_over(void *cookie)
{
    struct lease_table *t = cookie;

    t->idle = NULL;
    lease_table_forget(t);
}

void lease_table_forget(struct lease_table *t)
{
    if (!lease_table_empty(t) || !t->remembered)
        return;
    t->remembered = 0;
    if (t->forget)
        t->forget(t->memory);
}

void lease_idle(struct lease_table *t)
{
    if (t->forget && t->remembered && !t->idle && lease_table_empty(t))
        t->idle = loop_timer(t->loop, t->remembered, idle_over, t);
}

/* ---- Holders ---- */

struct lease_holder *lease_holder_new(struct lease_table *t, uint64_t term, const char *name,
                                      lease_send_fn *send, lease_overdue_fn *overdue, void *cookie)
{
    struct lease_holder *h = xcalloc(1, sizeof(*h));

    *h = (struct lease_holder){.table = t,
                               .order = ++t->last_order,
                               .term = term,
                               .heard = loop_now(t->loop),
                               .name = xstrdup(name),
                               .send = send,
                               .overdue = overdue,
                               .cookie = cookie};
    TAILQ_INIT(&h->pages);
    TAILQ_INIT(&h->notices);
    TAILQ_INSERT_TAIL(&t->holders, h, list);
    t->stats.holders++;
    return h;
}

void lease_heard(struct lease_holder *h, uint64_t when)
{
    if (when > h->heard)
        h->heard = when;
}

bool lease_owes(const struct lease_holder *h)
{
    return !TAILQ_EMPTY(&h->notices);
}

static void tell_lapse(struct lease_holder *h)
{
    const struct lease_notice *n;
    uint64_t began = UINT64_MAX;

    TAILQ_FOREACH (n, &h->notices, of_holder) {
        h->table->stats.lapsed++;
        if (n->recall && n->recall->began < began)
            began = n->recall->began;
    }
    if (began != UINT64_MAX)
        log_notice("%s %s: an update waited %.1f s for it", h->name,
                   h->send ? "did not answer an invalidation within its lease"
                           : "is gone and its lease had to run out",
                   (double)(loop_now(h->table->loop) - began) / 1e9);
}

void lease_lapse(struct lease_holder *h)
{
    tell_lapse(h);
    let_go(h);
}

/* When the oldest notice will have waited for too long. */
static uint64_t overdue_at(const struct lease_holder *h)
{
    const struct lease_notice *n = TAILQ_FIRST(&h->notices);

    return h->send && n ? n->sent + h->term : UINT64_MAX;
}

static void look_at_end(void *cookie)
{
    struct lease_holder *h = cookie;

    uint64_t now = loop_now(h->table->loop);

    h->timer = NULL;
    if (now < lease_end(h)) {
        lease_watch(h);
        if (now >= overdue_at(h))
            h->overdue(h->cookie);
        return;
    }
    lease_lapse(h);
    if (!h->send)
        holder_free(h);
}

void lease_watch(struct lease_holder *h)
{
    struct loop *loop = h->table->loop;
    uint64_t now = loop_now(loop), at = lease_end(h), overdue = overdue_at(h);

    if (overdue > now && overdue < at)
        at = overdue;
    if (!h->timer && (h->send == NULL || !TAILQ_EMPTY(&h->notices)))
        h->timer = loop_timer(loop, now < at ? at - now : 0, look_at_end, h);
}

void lease_holder_end(struct lease_holder *h, bool certain)
{
    struct lease_recall *recall;

    LIST_FOREACH (recall, &h->table->recalls, list)
        if (recall->own == h)
            recall->own = NULL;
    h->send = NULL;
    h->cookie = NULL;
    if (certain || h->page_count == 0)
        holder_free(h);
    else
        lease_watch(h);
}

void lease_table_grace(struct lease_table *t, uint64_t time)
{
    struct lease_holder *h;

    if (t->remembered || time == 0 || MUTATION(MUTATION_GRACE))
        return; /* a table with leases of its own is no new one */
    h = t->former = lease_holder_new(t, time, "a client of before the restart", NULL, NULL, NULL);
    t->stats.holders--;
    t->remembered = time;
    lease_watch(h);
}
