/* SPDX-License-Identifier: Apache-2.0 */
/* A tiny synchronous loop for unit tests. */
#include "tests/unit/test_loop.h"

#include <stdlib.h>

#include "base/buf.h"

struct loop_event {
    struct loop_event *next;
    uint64_t at;
    loop_fn *work; /* worker's part, or NULL */
    loop_fn *fn;
    void *cookie;
};

struct loop_worker {
    struct test_loop *loop;
};

struct test_loop {
    struct loop loop;
    struct loop_event *events; /* by time, then age */
    uint64_t now;
    uint64_t seed;
};

static struct loop_event *add(struct test_loop *t, uint64_t delay, loop_fn *work, loop_fn *fn,
                              void *cookie)
{
    struct loop_event *e = xcalloc(1, sizeof(*e)), **at = &t->events;
    *e = (struct loop_event){.at = t->now + delay, .work = work, .fn = fn, .cookie = cookie};
    while (*at && (*at)->at <= e->at)
        at = &(*at)->next;
    e->next = *at;
    *at = e;
    return e;
}

static uint64_t now(struct loop *loop)
{
    return ((struct test_loop *)loop)->now;
}

static uint64_t wall(struct loop *loop)
{
    return UINT64_C(1700000000000000000) + now(loop);
}

static uint64_t random64(struct loop *loop)
{
    struct test_loop *t = (struct test_loop *)loop;
    return t->seed = t->seed * UINT64_C(6364136223846793005) + 1442695040888963407;
}

static struct loop_event *timer(struct loop *loop, uint64_t delay, loop_fn *fn, void *cookie)
{
    return add((struct test_loop *)loop, delay, NULL, fn, cookie);
}

static void cancel(struct loop *loop, struct loop_event *event)
{
    struct loop_event **at = &((struct test_loop *)loop)->events;
    while (*at && *at != event)
        at = &(*at)->next;
    if (*at) {
        *at = event->next;
        free(event);
    }
}

static struct loop_worker *worker_new(struct loop *loop, const char *name)
{
    struct loop_worker *w = xmalloc(sizeof(*w));
    w->loop = (struct test_loop *)loop;
    return w;
}

static void worker_run(struct loop_worker *w, loop_fn *work, loop_fn *done, void *cookie)
{
    add(w->loop, 0, work, done, cookie);
}

static void worker_free(struct loop_worker *w)
{
    free(w);
}

static const struct loop_ops ops = {
    .now = now,
    .wall = wall,
    .random = random64,
    .timer = timer,
    .cancel = cancel,
    .worker_new = worker_new,
    .worker_run = worker_run,
    .worker_free = worker_free,
};

struct loop *test_loop_new(void)
{
    struct test_loop *t = xcalloc(1, sizeof(*t));
    t->loop.ops = &ops;
    t->seed = 1;
    return &t->loop;
}

bool test_loop_step(struct loop *loop)
{
    struct test_loop *t = (struct test_loop *)loop;
    if (!t->events)
        return false;
    struct loop_event e = *t->events;
    free(t->events);
    t->events = e.next;
    if (t->now < e.at)
        t->now = e.at;
    if (e.work)
        e.work(e.cookie);
    e.fn(e.cookie);
    return true;
}

void test_loop_run(struct loop *loop)
{
    while (test_loop_step(loop))
        ;
}

void test_loop_advance(struct loop *loop, uint64_t time)
{
    struct test_loop *t = (struct test_loop *)loop;
    uint64_t until = t->now + time;
    while (t->events && t->events->at <= until)
        test_loop_step(loop);
    t->now = until;
}

void test_loop_free(struct loop *loop)
{
    free(loop);
}
