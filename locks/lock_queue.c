/* SPDX-License-Identifier: Apache-2.0 */
/* Requests that wait: their queues, what keeps each back, and whom it watches. */
#include <stdlib.h>
#include "locks/lock_int.h"

/* ---- Queues ---- */

static void queue_add(struct lock_name *name, struct lock_link *link, int mode, bool at)
{
    struct lock_queue *q = name->queue;

    if (!q) {
        q = name->queue = xcalloc(1, sizeof(*q));
        for (int m = 0; m < 2; m++) {
            TAILQ_INIT(&q->at[m]);
            TAILQ_INIT(&q->sub[m]);
        }
        name->refs++;
    }
    if (at) {
        TAILQ_INSERT_TAIL(&q->at[mode], link, entry);
    } else {
        TAILQ_INSERT_TAIL(&q->sub[mode], link, entry);
        q->count++;
    }
}

void lock_enqueue(struct lock_table *t, struct lock_request *r)
{
    for (size_t i = 0; i < r->count; i++) {
        struct lock_wait *w = &r->items[i];
        struct lock_link *link;
        size_t depth = 1;

        for (struct lock_name *n = w->name; n; n = n->parent)
            depth++;
        r->owner->session->levels += depth;
        link = w->links = xcalloc(depth, sizeof(*link));
        for (size_t j = 0; j < depth; j++)
            link[j].wait = w;
        queue_add(w->name, link++, w->mode, true);
        for (struct lock_name *n = w->name; n; n = n->parent)
            queue_add(n, link++, w->mode, false);
    }
    r->queued = true;
    TAILQ_INSERT_TAIL(&t->waiting, r, queue);
    LIST_INSERT_HEAD(&r->owner->requests, r, of_owner);
    r->owner->group->waiting++;
    r->owner->session->count += r->count;
    t->stats.items += r->count;
    t->stats.requests++;
}

static void wait_dequeue(struct lock_table *t, struct lock_wait *w)
{
    struct lock_link *link = w->links;
    struct lock_name *n = w->name, *up;

    TAILQ_REMOVE(&n->queue->at[w->mode], link, entry);
    w->request->owner->session->levels--;
    for (link++; n; n = up, link++) {
        up = n->parent;
        w->request->owner->session->levels--;
        TAILQ_REMOVE(&n->queue->sub[w->mode], link, entry);
        if (--n->queue->count == 0) {
            free(n->queue);
            n->queue = NULL;
            lock_name_unref(t, n); /* the request refers to it, and so to its ancestors */
        }
    }
    free(w->links);
    w->links = NULL;
}

void lock_dequeue(struct lock_table *t, struct lock_request *r)
{
    for (size_t i = 0; i < r->count; i++)
        wait_dequeue(t, &r->items[i]);
    r->queued = false;
    TAILQ_REMOVE(&t->waiting, r, queue);
    LIST_REMOVE(r, of_owner);
    r->owner->group->waiting--;
    r->owner->session->count -= r->count;
    t->stats.items -= r->count;
    t->stats.requests--;
    if (r->watches)
        LIST_REMOVE(r, watching);
    if (r->is_again)
        RB_REMOVE(lock_again, &t->again, r);
    r->watches = r->is_again = false;
    lock_wake(t, &r->watchers);
}

/* ---- Watching ---- */

static int compare_arrival(const struct lock_request *a, const struct lock_request *b)
{
    return (a->serial > b->serial) - (a->serial < b->serial);
}

RB_GENERATE(lock_again, lock_request, again, compare_arrival)

void lock_watch(struct lock_request *r, const struct lock_blocker *b)
{
    LIST_INSERT_HEAD(b->entry ? &b->entry->watchers : &b->request->watchers, r, watching);
    r->watches = true;
}

void lock_wake_one(struct lock_table *t, struct lock_request *r)
{
    if (r->watches)
        LIST_REMOVE(r, watching);
    r->watches = false;
    if (!r->is_again)
        RB_INSERT(lock_again, &t->again, r);
    r->is_again = true;
}

void lock_wake(struct lock_table *t, struct lock_request_list *watchers)
{
    while (!LIST_EMPTY(watchers))
        lock_wake_one(t, LIST_FIRST(watchers));
}

/* ---- What keeps a request back ---- */

static bool queue_conflict(const struct lock_wait *a, const struct lock_wait *b)
{
    return lock_modes_conflict(a->mode, b->mode) &&
           (a->name != b->name || (a->start < b->end && b->start < a->end));
}

/* Whether earlier waits for a lock of later's group, so that later need not wait for it. */
static bool exempt(struct lock_table *t, const struct lock_request *earlier,
                   const struct lock_request *later)
{
    for (size_t i = 0; i < earlier->count; i++)
        if (lock_group_conflicts(t, later->owner->group, &earlier->items[i]))
            return true;
    return false;
}

static bool keeps_back(struct lock_table *t, const struct lock_wait *earlier,
                       const struct lock_wait *w)
{
    return earlier->request->owner->group != w->request->owner->group &&
           queue_conflict(earlier, w) && !exempt(t, earlier->request, w->request);
}

/* From the newest on; the queue holds earlier ones only from `link` on. */
static struct lock_request *search_back(struct lock_table *t, struct lock_link *link,
                                        const struct lock_wait *w)
{
    for (; link; link = TAILQ_PREV(link, lock_link_queue, entry))
        if (keeps_back(t, link->wait, w))
            return link->wait->request;
    return NULL;
}

static struct lock_request *search(struct lock_table *t, struct lock_link_queue *queue,
                                   const struct lock_wait *w)
{
    struct lock_link *link;

    if (!w->request->queued)
        return search_back(t, TAILQ_LAST(queue, lock_link_queue), w);
    TAILQ_FOREACH (link, queue, entry) {
        if (link->wait->request->serial >= w->request->serial)
            break;
        if (keeps_back(t, link->wait, w))
            return link->wait->request;
    }
    return NULL;
}

static struct lock_request *queue_blocker(struct lock_table *t, const struct lock_wait *w)
{
    struct lock_request *found = NULL;
    int weakest = w->mode == LOCK_EXCLUSIVE ? LOCK_SHARED : LOCK_EXCLUSIVE;

    if (!t->root->queue || lock_group_covers(t, w->request->owner->group, w->name))
        return NULL;
    for (int mode = LOCK_EXCLUSIVE; mode >= weakest && !found; mode--) {
        if (w->links && mode == w->mode)
            found = search_back(t, &w->links[1], w);
        else if (w->name->queue)
            found = search(t, &w->name->queue->sub[mode], w);
        for (struct lock_name *n = w->name->parent; n && !found; n = n->parent)
            if (n->queue)
                found = search(t, &n->queue->at[mode], w);
    }
    return found;
}

/* Begins behind those at the queue's front that this visit has all seen: else, of many that wait
 * for each other, each would pass by all before it. */
static bool each_before(struct lock_table *t, struct lock_link_queue *queue,
                        struct lock_link **seen, const struct lock_wait *w,
                        bool (*each)(void *cookie, struct lock_request *request), void *cookie)
{
    struct lock_link *link = *seen ? TAILQ_NEXT(*seen, entry) : TAILQ_FIRST(queue);
    struct lock_request *r;
    bool all = true;

    for (; link && (r = link->wait->request)->serial < w->request->serial;
         link = TAILQ_NEXT(link, entry)) {
        if (r->visit != t->visit && keeps_back(t, link->wait, w) && !each(cookie, r))
            return false;
        all &= r->visit == t->visit;
        if (all)
            *seen = link;
    }
    return true;
}

static struct lock_queue *queue_visited(struct lock_table *t, struct lock_name *name)
{
    struct lock_queue *q = name->queue;

    if (q->visit != t->visit)
        q->seen_at[0] = q->seen_at[1] = q->seen_sub[0] = q->seen_sub[1] = NULL;
    q->visit = t->visit;
    return q;
}

bool lock_each_earlier(struct lock_table *t, const struct lock_wait *w,
                       bool (*each)(void *cookie, struct lock_request *request), void *cookie)
{
    int weakest = w->mode == LOCK_EXCLUSIVE ? LOCK_SHARED : LOCK_EXCLUSIVE;
    struct lock_queue *q;

    if (lock_group_covers(t, w->request->owner->group, w->name))
        return true;
    for (int mode = LOCK_EXCLUSIVE; mode >= weakest; mode--) {
        q = queue_visited(t, w->name);
        if (!each_before(t, &q->sub[mode], &q->seen_sub[mode], w, each, cookie))
            return false;
        for (struct lock_name *n = w->name->parent; n; n = n->parent) {
            q = queue_visited(t, n);
            if (!each_before(t, &q->at[mode], &q->seen_at[mode], w, each, cookie))
                return false;
        }
    }
    return true;
}

bool lock_each_holder(struct lock_wait *w, bool (*each)(void *cookie, struct lock_entry *entry),
                      void *cookie)
{
    int weakest = w->mode == LOCK_EXCLUSIVE ? LOCK_SHARED : LOCK_EXCLUSIVE;
    struct lock_group *own = w->request->owner->group;
    bool whole = w->start == 0 && w->end == LOCK_RANGE_END;
    struct lock_entry *e;

    for (int mode = LOCK_EXCLUSIVE; mode >= weakest; mode--) {
        for (struct lock_name *n = w->name->parent; n; n = n->parent)
            LIST_FOREACH (e, &n->at[mode], at)
                if (e->owner->group != own && !each(cookie, e))
                    return false;
        LIST_FOREACH (e, &w->name->sub[mode], sub)
            if (e->owner->group != own && (whole || lock_entry_conflicts(e, w)) && !each(cookie, e))
                return false;
    }
    return true;
}

static bool first_holder(void *cookie, struct lock_entry *entry)
{
    struct lock_blocker *b = cookie;

    b->entry = entry;
    return false;
}

bool lock_blocked(struct lock_table *t, struct lock_request *r, struct lock_blocker *b)
{
    *b = (struct lock_blocker){0};
    for (size_t i = 0; i < r->count && !b->request; i++)
        b->request = queue_blocker(t, &r->items[i]);
    for (size_t i = 0; i < r->count && !b->request; i++)
        if (!lock_each_holder(&r->items[i], first_holder, b))
            return true;
    return b->request;
}
