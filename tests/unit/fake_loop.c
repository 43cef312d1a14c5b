/* SPDX-License-Identifier: Apache-2.0 */
/* A loop whose time passes only when told. */
#include "tests/unit/fake_loop.h"

#include <stdlib.h>

#include "base/buf.h"

struct loop_event {
    struct loop_event *next;
    uint64_t at;
    loop_fn *fn;
    void *cookie;
};

static uint64_t now(struct loop *loop)
{
    return ((struct fake_loop *)loop)->now;
}

static struct loop_event *timer(struct loop *loop, uint64_t delay, loop_fn *fn, void *cookie)
{
    struct fake_loop *l = (struct fake_loop *)loop;
    struct loop_event *e = xcalloc(1, sizeof(*e)), **at = &l->events;

    *e = (struct loop_event){.at = l->now + delay, .fn = fn, .cookie = cookie};
    while (*at && (*at)->at <= e->at)
        at = &(*at)->next;
    e->next = *at;
    *at = e;
    return e;
}

static void cancel(struct loop *loop, struct loop_event *event)
{
    struct loop_event **at = &((struct fake_loop *)loop)->events;

    while (*at != event)
        at = &(*at)->next;
    *at = event->next;
    free(event);
}

static const struct loop_ops ops = {.now = now, .timer = timer, .cancel = cancel};

void fake_loop_init(struct fake_loop *l)
{
    *l = (struct fake_loop){.loop.ops = &ops, .now = LOOP_SEC};
}

void fake_loop_advance(struct fake_loop *l, uint64_t ns)
{
    uint64_t end = l->now + ns;

    while (l->events && l->events->at <= end) {
        struct loop_event *e = l->events;
        l->events = e->next;
        if (l->now < e->at)
            l->now = e->at;
        e->fn(e->cookie);
        free(e);
    }
    l->now = end;
}
