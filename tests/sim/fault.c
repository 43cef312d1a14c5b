/* SPDX-License-Identifier: Apache-2.0 */
/* What befalls processes and connections, and how it passes. */
#include <stdlib.h>

#include "base/buf.h"
#include "tests/sim/network.h"
#include "tests/sim/scene.h"

#define RECOVERY (10 * LOOP_SEC) /* of sessions: backing off, connecting */

enum fault_kind {
    FAULT_STOP_MOUNT,
    FAULT_STOP_SERVER,
    FAULT_CRASH_MOUNT,
    FAULT_END_MOUNT,
    FAULT_CRASH_SERVER,
    FAULT_END_SERVER,
    FAULT_BREAK,
    FAULT_DELAY,
    FAULT_CUT_MOUNT,
    FAULT_CUT_SERVER,
    FAULT_FORGET,
    FAULT_KINDS
};

struct fault {
    struct scene *scene;
    enum fault_kind kind;
    unsigned who;
};

static bool of_server(enum fault_kind kind)
{
    return kind == FAULT_STOP_SERVER || kind == FAULT_CRASH_SERVER || kind == FAULT_END_SERVER ||
           kind == FAULT_CUT_SERVER;
}

static struct process *process_of(const struct fault *f)
{
    return f->who == SICK ? f->scene->host.process : f->scene->mounts[f->who].process;
}

/* Some are short, some about as long as leases, some longer than them. */
static uint64_t duration(struct scene *scene)
{
    uint64_t term = scene->host.term;
    static const unsigned parts[] = {20, 2, 1};
    unsigned i = (unsigned)world_random(scene->world, 4);
    return 1 + world_random(scene->world, i < 3 ? term * 5 / 4 / parts[i] : 3 * term);
}

static void end_fault(void *cookie)
{
    struct fault *f = cookie;
    struct scene *scene = f->scene;
    struct health *health = &scene->health[f->who];
    if (f->kind == FAULT_END_SERVER && scene->host.up) {
        world_after(scene->world, 10 * LOOP_MS, end_fault, f);
        return;
    }
    switch (f->kind) {
    case FAULT_STOP_MOUNT:
    case FAULT_STOP_SERVER:
        world_trace(scene->world, process_of(f), "goes on");
        process_stop(process_of(f), false);
        break;
    case FAULT_CRASH_MOUNT:
    case FAULT_END_MOUNT:
        mount_start(&scene->mounts[f->who]);
        break;
    case FAULT_CRASH_SERVER:
    case FAULT_END_SERVER:
        host_start(&scene->host);
        break;
    case FAULT_CUT_MOUNT:
    case FAULT_CUT_SERVER:
        world_trace(scene->world, process_of(f), "is connected again");
        net_partition(process_of(f), false, false);
        break;
    default:
        break;
    }
    health->faults--;
    health->well_from = scene->world->now + RECOVERY + 2 * scene->host.term;
    free(f);
}

/* With only one way cut, the last that comes the other way may be late. */
static void cut(struct fault *f, uint64_t time)
{
    unsigned ways = 1 + (unsigned)world_random(f->scene->world, 3);
    struct end *end = net_pick(process_of(f));
    if (end && ways == 2)
        net_delay(end, world_random(f->scene->world, time), true, false);
    world_trace(f->scene->world, process_of(f), "is cut off%s%s", ways & 1 ? ", in" : "",
                ways & 2 ? ", out" : "");
    net_partition(process_of(f), ways & 1, ways & 2);
}

static void trouble_connection(struct fault *f, uint64_t time)
{
    struct process *p = process_of(f);
    struct end *end = net_pick(p);
    unsigned how = (unsigned)world_random(f->scene->world, BREAK_END);
    if (!end)
        return;
    if (f->kind == FAULT_BREAK) {
        world_trace(f->scene->world, p, "connection breaks, %u", how);
        net_break(end, how);
    } else {
        world_trace(f->scene->world, p, "delay of %.3f s, %u", (double)time / LOOP_SEC, how % 3);
        net_delay(end, time, how % 3 != 0, how % 3 != 1);
    }
}

static void apply(struct fault *f, uint64_t time)
{
    struct scene *scene = f->scene;
    switch (f->kind) {
    case FAULT_STOP_MOUNT:
    case FAULT_STOP_SERVER:
        world_trace(scene->world, process_of(f), "is stopped");
        process_stop(process_of(f), true);
        break;
    case FAULT_CRASH_MOUNT:
    case FAULT_END_MOUNT:
        mount_end(&scene->mounts[f->who], f->kind == FAULT_CRASH_MOUNT);
        break;
    case FAULT_CRASH_SERVER:
        host_crash(&scene->host);
        break;
    case FAULT_END_SERVER:
        host_shut_down(&scene->host);
        break;
    case FAULT_CUT_MOUNT:
    case FAULT_CUT_SERVER:
        cut(f, time);
        break;
    default:
        trouble_connection(f, time);
    }
}

static void strike(struct scene *scene)
{
    struct world *world = scene->world;
    enum fault_kind kind = world_random(world, FAULT_KINDS);
    unsigned who = (unsigned)world_random(world, scene->mount_count);
    uint64_t time = duration(scene);
    struct fault *f;
    if (!(scene->fault_kinds & 1u << kind))
        return;
    if (kind == FAULT_FORGET) {
        kernel_forget(&scene->mounts[who].kernel, (unsigned)world_random(world, NODES));
        return;
    }
    if (of_server(kind))
        who = SICK;
    if (scene->health[who].faults)
        return;
    if (kind == FAULT_CRASH_SERVER && world_chance(world, 1, 2))
        time /= 16; /* while leases still run */
    f = xmalloc(sizeof(*f));
    *f = (struct fault){.scene = scene, .kind = kind, .who = who};
    scene->health[who].faults++;
    scene->health[who].count++;
    apply(f, time);
    world_after(world, time, end_fault, f);
}

static void next(void *cookie)
{
    struct scene *scene = cookie;
    if (scene->world->now >= scene->faults_until)
        return;
    strike(scene);
    world_after(scene->world, 1 + world_random(scene->world, 2 * scene->fault_gap), next, scene);
}

void faults_begin(struct scene *scene)
{
    next(scene);
}

bool scene_well(const struct scene *scene, unsigned mount, uint64_t since)
{
    const struct health *a = &scene->health[mount], *b = &scene->health[SICK];
    return !a->faults && !b->faults && a->well_from <= since && b->well_from <= since;
}

unsigned scene_faults(const struct scene *scene)
{
    unsigned count = 0;
    for (unsigned i = 0; i <= MOUNTS_MAX; i++)
        count += scene->health[i].count;
    return count;
}

bool scene_calm(const struct scene *scene)
{
    for (unsigned i = 0; i <= MOUNTS_MAX; i++)
        if (scene->health[i].faults)
            return false;
    return scene->world->now >= scene->faults_until;
}
