/* SPDX-License-Identifier: Apache-2.0 */
/* What befalls processes and connections, and how it passes. */
#include <stdlib.h>

#include "base/buf.h"
#include "tests/sim/disk.h"
#include "tests/sim/network.h"
#include "tests/sim/scene.h"

#define RECOVERY (10 * LOOP_SEC) /* of sessions: backing off, connecting */

enum fault_kind {
    FAULT_STOP_MOUNT,
    FAULT_STOP_SERVER,
    FAULT_CRASH_MOUNT,
    FAULT_END_MOUNT,
    FAULT_CRASH_SERVER,
    FAULT_CRASH_WITHIN, /* a change of the disk */
    FAULT_END_SERVER,
    FAULT_BAD_DISK,  /* a write or sync of the journal fails */
    FAULT_FULL_DISK, /* or the engine finds no room */
    FAULT_BREAK,
    FAULT_DELAY,
    FAULT_CUT_MOUNT,
    FAULT_CUT_SERVER,
    FAULT_FORGET,
    FAULT_KINDS
};

#define DISK_FAULTS                                                                                \
    (1u << FAULT_CRASH_SERVER | 1u << FAULT_CRASH_WITHIN | 1u << FAULT_END_SERVER |                \
     1u << FAULT_BAD_DISK | 1u << FAULT_FULL_DISK)

struct fault {
    struct scene *scene;
    enum fault_kind kind;
    unsigned who;
};

static bool of_server(enum fault_kind kind)
{
    return kind == FAULT_STOP_SERVER || kind == FAULT_CUT_SERVER ||
           (kind >= FAULT_CRASH_SERVER && kind <= FAULT_BAD_DISK);
}

static struct process *process_of(const struct fault *f)
{
    return f->who >= SICK ? f->scene->host.process : f->scene->mounts[f->who].process;
}

/* Some are short, some about as long as leases, some longer than them. */
static uint64_t duration(struct scene *scene)
{
    uint64_t term = scene->host.term;
    static const unsigned parts[] = {20, 2, 1};
    unsigned i = (unsigned)world_random(scene->world, 4);
    return 1 + world_random(scene->world, i < 3 ? term * 5 / 4 / parts[i] : 3 * term);
}

static void mend_disk(struct fault *f)
{
    disk_fail_write(f->scene->host.disk, 0, 0);
    disk_fail_sync(f->scene->host.disk, 0, 0);
}

static void end_fault(void *cookie);

/* It does not end yet. A failed journal works again after a start; in which way it ends does not
 * matter. */
static bool goes_on(struct fault *f)
{
    struct host *host = &f->scene->host;
    struct world *world = f->scene->world;
    if (f->kind == FAULT_BAD_DISK && host_failed(host, world->now)) {
        mend_disk(f);
        f->kind = world_chance(world, 1, 2) ? FAULT_END_SERVER : FAULT_CRASH_SERVER;
        if (f->kind == FAULT_END_SERVER)
            host_shut_down(host);
        else
            host_crash(host, world_chance(world, 1, 2));
    } else if (f->kind != FAULT_END_SERVER || !host->up) {
        return false;
    }
    world_after(world, 10 * LOOP_MS, end_fault, f);
    return true;
}

static void end_fault(void *cookie)
{
    struct fault *f = cookie;
    struct scene *scene = f->scene;
    struct health *health = &scene->health[f->who];
    if (goes_on(f))
        return;
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
    case FAULT_CRASH_WITHIN:
        disk_stay_on(scene->host.disk);
        if (!scene->host.up)
            host_start(&scene->host);
        break;
    case FAULT_BAD_DISK:
        mend_disk(f);
        break;
    case FAULT_FULL_DISK:
        world_trace(scene->world, process_of(f), "has room again");
        disk_limit(scene->host.disk, 0);
        scene->host.base_error = 0;
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

static void spoil_disk(struct fault *f)
{
    struct disk *disk = f->scene->host.disk;
    struct world *world = f->scene->world;
    unsigned nth = 1 + (unsigned)world_random(world, 4);
    bool write = world_chance(world, 1, 2);
    world_trace(world, process_of(f), "%s number %u will fail", write ? "write" : "sync", nth);
    if (write)
        disk_fail_write(disk, nth, ECP_EIO);
    else
        disk_fail_sync(disk, nth, ECP_EIO);
}

static void fill_disk(struct fault *f)
{
    struct host *host = &f->scene->host;
    struct world *world = f->scene->world;
    unsigned which = 1 + (unsigned)world_random(world, 3);
    world_trace(world, process_of(f), "has no room, %u", which);
    if (which & 1)
        disk_limit(host->disk, disk_used(host->disk) + 1 + world_random(world, 70000));
    if (which & 2)
        host->base_error = world_chance(world, 3, 4) ? ECP_ENOSPC : ECP_EIO;
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
        host_crash(&scene->host, world_chance(scene->world, 2, 3));
        break;
    case FAULT_CRASH_WITHIN:
        host_crash_within(&scene->host, 1 + (unsigned)world_random(scene->world, 12));
        break;
    case FAULT_END_SERVER:
        host_shut_down(&scene->host);
        break;
    case FAULT_BAD_DISK:
        spoil_disk(f);
        break;
    case FAULT_FULL_DISK:
        fill_disk(f);
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
    if (kind == FAULT_FULL_DISK)
        who = DISK;
    if (scene->health[who].faults)
        return;
    if ((kind == FAULT_CRASH_SERVER || kind == FAULT_CRASH_WITHIN) && world_chance(world, 3, 4))
        time /= 16; /* while leases still run */
    f = xmalloc(sizeof(*f));
    *f = (struct fault){.scene = scene, .kind = kind, .who = who};
    if (scene->health[who].well_from <= world->now)
        scene->health[who].sick_from = world->now;
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

/* Any; or the disk's alone, one after the other. */
static void draw_kinds(struct scene *scene)
{
    struct world *world = scene->world;
    uint64_t term = scene->host.term;
    scene->fault_kinds = (unsigned)(world_random(world, 0) & world_random(world, 0));
    scene->fault_kinds |= world_chance(world, 1, 4) ? (unsigned)world_random(world, 0) : 0;
    scene->fault_gap = term / 32 + world_random(world, term / 2);
    scene->faults_until = world->now + world_random(world, 30 * LOOP_SEC);
    if (scene->of_disk) {
        scene->fault_kinds =
            DISK_FAULTS & (unsigned)(world_random(world, 0) | world_random(world, 0));
        scene->fault_gap /= 8;
    }
}

void faults_begin(struct scene *scene)
{
    draw_kinds(scene);
    next(scene);
}

bool scene_well(const struct scene *scene, unsigned mount, uint64_t since)
{
    const struct health *a = &scene->health[mount], *b = &scene->health[SICK];
    return !a->faults && !b->faults && a->well_from <= since && b->well_from <= since;
}

static uint64_t trouble(const struct health *h, uint64_t at)
{
    return at >= h->sick_from && (h->faults || h->well_from > at) ? at - h->sick_from : 0;
}

uint64_t scene_trouble(const struct scene *scene, unsigned mount, uint64_t at)
{
    uint64_t a = trouble(&scene->health[mount], at), b = trouble(&scene->health[SICK], at);
    return a > b ? a : b;
}

bool scene_disk_well(const struct scene *scene, uint64_t since)
{
    const struct health *d = &scene->health[DISK];
    return !d->faults && d->well_from <= since;
}

unsigned scene_faults(const struct scene *scene)
{
    unsigned count = 0;
    for (unsigned i = 0; i < HEALTHS; i++)
        count += scene->health[i].count;
    return count;
}

bool scene_calm(const struct scene *scene)
{
    for (unsigned i = 0; i < HEALTHS; i++)
        if (scene->health[i].faults)
            return false;
    return scene->world->now >= scene->faults_until;
}
