/* SPDX-License-Identifier: Apache-2.0 */
/* A simulated process: its clock, timers and workers; stopped, going on, and its end. */
#include <stdlib.h>

#include "base/buf.h"
#include "tests/sim/event.h"
#include "tests/sim/network.h"

#define EPOCH UINT64_C(1700000000000000000)

static struct process *process_of(struct loop *loop)
{
    return (struct process *)loop;
}

static uint64_t op_now(struct loop *loop)
{
    struct process *p = process_of(loop);
    int64_t now = (int64_t)p->world->now;
    return p->clock + (uint64_t)(now + now / 1000 * p->drift / 1000000);
}

static uint64_t op_wall(struct loop *loop)
{
    struct process *p = process_of(loop);
    return EPOCH + p->world->now + p->wall_offset;
}

static uint64_t op_random(struct loop *loop)
{
    return world_random(process_of(loop)->world, 0);
}

/* Timers never fire early on the process's clock, and now and then late. */
static struct loop_event *op_timer(struct loop *loop, uint64_t delay, loop_fn *fn, void *cookie)
{
    struct process *p = process_of(loop);
    uint64_t late = 0;
    if (delay > 3600 * LOOP_SEC)
        delay = 3600 * LOOP_SEC;
    if (delay) {
        delay =
            (uint64_t)((unsigned __int128)delay * 1000000000u / (uint64_t)(1000000000 + p->drift));
        late = 2000 + (world_chance(p->world, 1, 8) ? world_random(p->world, 2 * LOOP_MS) : 0);
    }
    return process_at(p, p->world->now + delay + late, fn, cookie);
}

static void held_remove(struct process *p, struct loop_event *event)
{
    struct loop_event **at = &p->held;
    while (*at != event)
        at = &(*at)->next;
    *at = event->next;
    if (!*at)
        p->held_tail = at;
}

static void op_cancel(struct loop *loop, struct loop_event *event)
{
    struct process *p = process_of(loop);
    if (event->held)
        held_remove(p, event);
    else
        event_pull(p->world, event);
    free(event);
}

/* Workers: a job takes its time, then runs whole, then is reported. */

struct loop_worker {
    struct process *process;
    uint64_t busy_until;
};

struct job {
    struct process *process;
    loop_fn *work, *done;
    void *cookie;
};

static void job_done(void *cookie)
{
    struct job job = *(struct job *)cookie;
    free(cookie);
    job.done(job.cookie);
}

static void job_work(void *cookie)
{
    struct job *job = cookie;
    struct world *world = job->process->world;
    job->work(job->cookie);
    process_at(job->process, world->now + world_random(world, LOOP_MS), job_done, job);
}

static struct loop_worker *op_worker_new(struct loop *loop, const char *name)
{
    struct loop_worker *w = xcalloc(1, sizeof(*w));
    w->process = process_of(loop);
    return w;
}

static void op_worker_run(struct loop_worker *w, loop_fn *work, loop_fn *done, void *cookie)
{
    struct job *job = xcalloc(1, sizeof(*job));
    struct world *world = w->process->world;
    *job = (struct job){.process = w->process, .work = work, .done = done, .cookie = cookie};
    if (w->busy_until < world->now)
        w->busy_until = world->now;
    w->busy_until += 1 + world_random(world, 3 * LOOP_MS);
    process_at(w->process, w->busy_until, job_work, job);
}

static void op_worker_free(struct loop_worker *w)
{
    free(w);
}

static const struct loop_ops process_ops = {
    .now = op_now,
    .wall = op_wall,
    .random = op_random,
    .timer = op_timer,
    .cancel = op_cancel,
    .worker_new = op_worker_new,
    .worker_run = op_worker_run,
    .worker_free = op_worker_free,
};

struct process *process_new(struct world *world, const char *name, int64_t drift)
{
    struct process *p = xcalloc(1, sizeof(*p));
    p->loop.ops = &process_ops;
    p->network.ops = &sim_network_ops;
    p->world = world;
    p->name = name;
    p->drift = drift;
    p->clock = world_random(world, 1000 * LOOP_SEC);
    p->way = 2 * LOOP_MS;
    p->held_tail = &p->held;
    p->next = world->processes;
    world->processes = p;
    return p;
}

void process_free(struct process *p)
{
    struct process **at = &p->world->processes;
    while (*at != p)
        at = &(*at)->next;
    *at = p->next;
    free(p);
}

struct loop_event *process_at(struct process *p, uint64_t at, loop_fn *fn, void *cookie)
{
    return event_new(p->world, p, at, fn, cookie);
}

void event_hold(struct loop_event *event)
{
    struct process *p = event->process;
    event->held = true;
    event->next = NULL;
    *p->held_tail = event;
    p->held_tail = &event->next;
}

void process_stop(struct process *p, bool stop)
{
    p->stopped = stop;
    while (!stop && p->held) {
        struct loop_event *e = p->held;
        p->held = e->next;
        e->held = false;
        e->at = p->world->now;
        event_push(p->world, e);
    }
    if (!p->held)
        p->held_tail = &p->held;
}

/* For the process alone time passes meanwhile. */
void process_drain(struct process *p)
{
    struct world *world = p->world;
    uint64_t now = world->now;
    process_stop(p, false);
    for (struct loop_event *e; (e = event_next(world, p));) {
        event_pull(world, e);
        if (e->at > world->now)
            world->now = e->at;
        event_run(world, e);
    }
    world->now = now;
}
