/* SPDX-License-Identifier: Apache-2.0 */
/* Time and the order of events: a heap of what is to come. */
#include "tests/sim/world.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "tests/sim/event.h"

#define EVENTS_MAX UINT64_C(5000000) /* of a run that comes to an end */

struct world_heap {
    struct loop_event **list;
    size_t count, cap;
};

static bool before(const struct loop_event *a, const struct loop_event *b)
{
    return a->at < b->at || (a->at == b->at && a->order < b->order);
}

static void place(struct world_heap *h, size_t i, struct loop_event *e)
{
    h->list[i] = e;
    e->index = i;
}

static void sift_up(struct world_heap *h, size_t i, struct loop_event *e)
{
    while (i && before(e, h->list[(i - 1) / 2])) {
        place(h, i, h->list[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
    place(h, i, e);
}

static void sift_down(struct world_heap *h, size_t i, struct loop_event *e)
{
    for (size_t child; (child = 2 * i + 1) < h->count; i = child) {
        if (child + 1 < h->count && before(h->list[child + 1], h->list[child]))
            child++;
        if (before(e, h->list[child]))
            break;
        place(h, i, h->list[child]);
    }
    place(h, i, e);
}

void event_push(struct world *world, struct loop_event *e)
{
    struct world_heap *h = world->heap;
    if (h->count == h->cap) {
        h->cap = h->cap ? 2 * h->cap : 256;
        h->list = xrealloc(h->list, h->cap * sizeof(*h->list));
    }
    e->order = ++world->last_order;
    sift_up(h, h->count++, e);
}

void event_pull(struct world *world, struct loop_event *e)
{
    struct world_heap *h = world->heap;
    size_t i = e->index;
    struct loop_event *last = h->list[--h->count];
    if (last == e)
        return;
    if (i && before(last, h->list[(i - 1) / 2]))
        sift_up(h, i, last);
    else
        sift_down(h, i, last);
}

struct loop_event *event_next(struct world *world, const struct process *p)
{
    struct world_heap *h = world->heap;
    struct loop_event *best = NULL;
    for (size_t i = 0; i < h->count; i++)
        if (h->list[i]->process == p && (!best || before(h->list[i], best)))
            best = h->list[i];
    return best;
}

struct loop_event *event_new(struct world *world, struct process *p, uint64_t at, loop_fn *fn,
                             void *cookie)
{
    struct loop_event *e = xcalloc(1, sizeof(*e));
    *e = (struct loop_event){.process = p, .at = at, .fn = fn, .cookie = cookie};
    event_push(world, e);
    return e;
}

void event_run(struct world *world, struct loop_event *e)
{
    struct loop_event copy = *e;
    free(e);
    if (++world->events_run > EVENTS_MAX)
        world_fail(world, "the simulation does not come to rest");
    world->digest = (world->digest ^ world->now) * UINT64_C(0x100000001B3);
    copy.fn(copy.cookie);
}

bool world_step(struct world *world)
{
    struct world_heap *h = world->heap;
    if (!h->count)
        return false;
    struct loop_event *e = h->list[0];
    event_pull(world, e);
    if (e->at > world->now)
        world->now = e->at;
    if (e->process && e->process->stopped)
        event_hold(e);
    else
        event_run(world, e);
    return true;
}

struct loop_event *world_after(struct world *world, uint64_t delay, loop_fn *fn, void *cookie)
{
    return event_new(world, NULL, world->now + delay, fn, cookie);
}

void world_cancel(struct world *world, struct loop_event *event)
{
    if (event) {
        event_pull(world, event);
        free(event);
    }
}

uint64_t world_random(struct world *world, uint64_t below)
{
    uint64_t z = (world->random += UINT64_C(0x9E3779B97F4A7C15));
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    z ^= z >> 31;
    return below ? z % below : z;
}

bool world_chance(struct world *world, unsigned times, unsigned of)
{
    return world_random(world, of) < times;
}

struct world *world_new(uint64_t seed, bool verbose)
{
    struct world *world = xcalloc(1, sizeof(*world));
    world->heap = xcalloc(1, sizeof(*world->heap));
    world->seed = world->random = seed;
    world->verbose = verbose;
    world->now = LOOP_SEC;
    return world;
}

void world_free(struct world *world)
{
    for (size_t i = 0; i < world->heap->count; i++)
        free(world->heap->list[i]);
    free(world->heap->list);
    free(world->heap);
    free(world);
}

static void say(FILE *out, const struct world *world, const char *name, const char *format,
                va_list args)
{
    fprintf(out, "%5llu.%06llu %-8s ", (unsigned long long)(world->now / LOOP_SEC),
            (unsigned long long)(world->now % LOOP_SEC / 1000), name);
    vfprintf(out, format, args);
    fputc('\n', out);
}

void world_trace(const struct world *world, const struct process *p, const char *format, ...)
{
    va_list args;
    if (!world->verbose)
        return;
    va_start(args, format);
    say(stdout, world, p ? p->name : "-", format, args);
    va_end(args);
}

void world_fail(const struct world *world, const char *format, ...)
{
    va_list args;
    fflush(stdout);
    va_start(args, format);
    say(stderr, world, "FAILED", format, args);
    va_end(args);
    fprintf(stderr, "to repeat it: tests/sim/run");
    if (world->mutation)
        fprintf(stderr, " --mutation %d", world->mutation);
    fprintf(stderr, " --seed %llu --verbose\n", (unsigned long long)world->seed);
    exit(1);
}
