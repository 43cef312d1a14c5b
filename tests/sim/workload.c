/* SPDX-License-Identifier: Apache-2.0 */
/* Applications: random reads and updates of few nodes, and listings to their end. */
#include "tests/sim/workload.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"

#define CHAIN       16 /* messages of a mount that an update may have to wait for */
#define HOT_MAX     3
#define RECONNECTED (10 * LOOP_SEC) /* after a start all mounts know that they must begin anew */
#define LONG_VALUE  1500            /* bytes; more than comes along in a page */

struct thread {
    struct workload *w;
    unsigned mount;
    bool busy;
    struct request r;
    unsigned owner; /* of locks */
    bool locking;   /* the counter is being changed */
    uint64_t incarnation;
    struct update updates[BATCH_MAX];
    char values[BATCH_MAX][LONG_VALUE + 32];
    uint64_t began;
    unsigned faults;
};

struct workload {
    struct scene *scene;
    unsigned limit, begun, count;
    uint64_t pause;                   /* between two operations of a thread, at most */
    unsigned updates;                 /* in a hundred operations */
    unsigned shorter;                 /* of so many values one is long */
    unsigned locks;                   /* in a hundred operations */
    unsigned unconditional;           /* of so many updates one has a condition */
    uint8_t favourite;                /* kind of update */
    unsigned hot[HOT_MAX], hot_count; /* nodes that most operations are about, if any */
    struct thread threads[];
};

static void next(void *cookie);
static void done(void *cookie);

static uint64_t draw(struct thread *t, uint64_t below)
{
    return world_random(t->w->scene->world, below);
}

static unsigned any_but_counter(struct world *world)
{
    unsigned n = NODE_TOP + (unsigned)world_random(world, NODES - 2);
    return n < NODE_COUNTER ? n : n + 1;
}

static unsigned any_node(struct thread *t)
{
    struct workload *w = t->w;
    if (w->hot_count && draw(t, 8))
        return w->hot[draw(t, w->hot_count)];
    return any_but_counter(t->w->scene->world);
}

static struct slice any_key(struct thread *t)
{
    return key_slice(&t->w->scene->host.history.keys[any_node(t)]);
}

/* ---- Updates ---- */

static void set_value(struct thread *t, struct update *u, unsigned i)
{
    char *text = t->values[i];
    int n = snprintf(text, sizeof(t->values[i]), "m%u.%u.%u", t->mount, t->w->begun, i);
    size_t len = (size_t)n;
    if (draw(t, t->w->shorter) == 0) {
        memset(text + len, 'x', LONG_VALUE - len);
        len = LONG_VALUE;
    }
    text[len++] = ';';
    u->value = slice_of(text, len);
}

static const uint8_t kinds[] = {
    UPDATE_SET,    UPDATE_SET,       UPDATE_SET,   UPDATE_SET,   UPDATE_SET,   UPDATE_APPEND,
    UPDATE_APPEND, UPDATE_INCREMENT, UPDATE_KILL,  UPDATE_KILL,  UPDATE_ZKILL, UPDATE_ZKILL,
    UPDATE_MKDIR,  UPDATE_MKDIR,     UPDATE_RMDIR, UPDATE_RMDIR, UPDATE_MOVE,  UPDATE_MOVE};

static void make_update(struct thread *t, unsigned i)
{
    struct update *u = &t->updates[i];
    *u = (struct update){.kind = draw(t, 3) ? kinds[draw(t, sizeof(kinds))] : t->w->favourite,
                         .key = any_key(t)};
    if (draw(t, t->w->unconditional) == 0)
        u->cond = (uint8_t)draw(t, COND_END);
    if (draw(t, 4) == 0)
        u->flags = (uint8_t)draw(t, UPDATE_FLAGS_ALL + 1);
    if (u->kind != UPDATE_MOVE)
        u->flags &= (uint8_t)~UPDATE_VALUE_ONLY;
    if (u->cond == COND_STAMP && draw(t, 2))
        u->stamp = history_now(&t->w->scene->host.history, any_node(t))->stamp;
    if (u->kind == UPDATE_MOVE) {
        u->value = any_key(t);
        if (key_depth(u->key) < key_depth(u->value)) /* no node lies deeper than the deepest */
            u->flags |= UPDATE_VALUE_ONLY;
    } else if (u->kind == UPDATE_INCREMENT)
        u->value = slice_str("1");
    else if (u->kind == UPDATE_SET || u->kind == UPDATE_APPEND)
        set_value(t, u, i);
}

/* When there is room again, updates succeed again, by themselves. */
static void check_room(struct thread *t)
{
    struct scene *scene = t->w->scene;
    if (t->r.error == ECP_ENOSPC && scene_well(scene, t->mount, t->began) &&
        scene_disk_well(scene, t->began))
        world_fail(scene->world, "%s: an update is refused though there is room",
                   scene->mounts[t->mount].process->name);
}

/*
 * What becomes of a call is known, unless its session is lost: with the server, or when it was in
 * trouble for so long that it owed an answer to an invalidation for a lease term.
 */
static void check_outcome(struct thread *t)
{
    struct scene *scene = t->w->scene;
    const struct host *host = &scene->host;
    if (t->r.error == ECP_EDISCONNECTED && host->started + RECONNECTED < t->began &&
        !(t->r.owner && scene->mounts[t->mount].lost[t->r.owner]) &&
        host->recovery >= 2 * host->term &&
        scene_trouble(scene, t->mount, scene->world->now) < host->term / 2)
        world_fail(scene->world, "%s: a session was lost without reason",
                   scene->mounts[t->mount].process->name);
}

/* A session that the store knows on disk outlives crashes of the server. */
static void check_session(struct scene *scene, unsigned mount)
{
    struct mount *m = &scene->mounts[mount];
    const struct host *host = &scene->host;
    if (m->lost_early && host->recovery >= 2 * host->term &&
        scene_trouble(scene, mount, m->lost_at) < host->term / 2)
        world_fail(scene->world, "%s: a session was lost, at %.6f, though the server knew it",
                   m->process->name, (double)m->lost_at / LOOP_SEC);
    m->lost_early = false;
}

/* After a start what sessions were told of is waited for, for as long as they may come back, and
 * until there is room for it. */
static bool waits_for_replay(const struct thread *t)
{
    const struct host *host = &t->w->scene->host;
    return host->crashed && !host_acknowledges_durable(host) &&
           (t->began <= host->started + host->recovery * 101 / 100 ||
            !scene_disk_well(t->w->scene, t->began));
}

/*
 * No call is held while the disk is full. No update is held for longer than leases run, unless its
 * mount or the server was in trouble. Each fault of another mount may let one more lease run out.
 * Updates of the same nodes wait for each other, and so for messages of each.
 */
static void check_time(struct thread *t)
{
    struct scene *scene = t->w->scene;
    uint64_t took = scene->world->now - t->began;
    uint64_t bound =
        (2 + scene_faults(scene) - t->faults) * scene->host.term * 21 / 20 + LOOP_SEC / 4;
    for (unsigned i = 0; i < scene->mount_count; i++)
        bound += CHAIN * scene->mounts[i].process->way;
    if (took > bound && !waits_for_replay(t) && scene_well(scene, t->mount, t->began))
        world_fail(scene->world, "%s: a call took %.3f s, though nothing was wrong with it",
                   scene->mounts[t->mount].process->name, (double)took / LOOP_SEC);
}

/* ---- Operations ---- */

static void begin(struct thread *t)
{
    struct scene *scene = t->w->scene;
    unsigned first;
    t->w->begun++;
    t->busy = true;
    t->began = scene->world->now;
    t->faults = scene_faults(scene);
    t->r = (struct request){.kind = REQUEST_NODE, .node = any_node(t), .done = done, .cookie = t};
    if (draw(t, 100) < t->w->locks) {
        t->locking = true;
        t->incarnation = scene->mounts[t->mount].incarnation;
        t->r.kind = REQUEST_LOCK;
        t->r.node = NODE_COUNTER;
        t->r.owner = t->owner;
    } else if (draw(t, 100) < t->w->updates) {
        t->r.kind = REQUEST_UPDATE;
        t->r.updates = t->updates;
        t->r.count = draw(t, 3) ? 1 : 1 + draw(t, BATCH_MAX);
        for (unsigned i = 0; i < t->r.count; i++)
            make_update(t, i);
    } else if (draw(t, 3) == 0) {
        t->r.kind = REQUEST_PAGE;
        t->r.node = (unsigned)draw(t, NODE_FIRST + SPREAD);
        if (t->r.node == NODE_COUNTER)
            t->r.node = NODE_TOP;
        t->r.from = draw(t, 3) ? 0 : (unsigned)draw(t, history_children(t->r.node, &first));
    } else if (draw(t, 4) == 0) {
        t->r.kind = REQUEST_SYNC;
    } else if (draw(t, 3) == 0) {
        t->r.kind = REQUEST_VALUE;
    }
    request_begin(&scene->mounts[t->mount], &t->r);
}

static void next(void *cookie)
{
    struct thread *t = cookie;
    struct scene *scene = t->w->scene;
    if (t->w->begun >= t->w->limit)
        return;
    if (scene->mounts[t->mount].up)
        begin(t);
    else
        world_after(scene->world, 20 * LOOP_MS, next, t);
}

static void count(struct thread *t, uint64_t after)
{
    int n = snprintf(t->values[0], sizeof(t->values[0]), COUNTER_FORMAT, t->mount, t->w->begun,
                     (unsigned long long)after);
    t->updates[0] = (struct update){.kind = UPDATE_SET,
                                    .key = key_slice(&t->w->scene->host.history.keys[NODE_COUNTER]),
                                    .value = slice_of(t->values[0], (size_t)n)};
    t->r.updates = t->updates;
    t->r.count = 1;
}

/* Lock, read, write what tells which version was read, unlock. False: the last step was done. */
static bool lock_step(struct thread *t)
{
    struct request last = t->r;
    struct mount *m = &t->w->scene->mounts[t->mount];
    t->locking = last.kind != REQUEST_UNLOCK && t->incarnation == m->incarnation &&
                 !(last.kind == REQUEST_LOCK && last.error);
    if (!t->locking)
        return false;
    t->began = t->w->scene->world->now;
    t->faults = scene_faults(t->w->scene);
    t->r = (struct request){.node = NODE_COUNTER, .owner = t->owner, .done = done, .cookie = t};
    if (last.kind == REQUEST_LOCK) {
        t->r.kind = REQUEST_VALUE;
    } else if (last.kind == REQUEST_VALUE && !last.error) {
        t->r.kind = REQUEST_UPDATE;
        count(t, last.seen[0].stamp);
    } else {
        t->r.kind = REQUEST_UNLOCK;
    }
    request_begin(m, &t->r);
    return true;
}

static void done(void *cookie)
{
    struct thread *t = cookie;
    struct scene *scene = t->w->scene;
    if (t->r.kind == REQUEST_PAGE && !t->r.error && !t->r.to_end) {
        t->r = (struct request){
            .kind = REQUEST_PAGE, .node = t->r.node, .from = t->r.to, .done = done, .cookie = t};
        request_begin(&scene->mounts[t->mount], &t->r);
        return;
    }
    if (!t->r.error && t->r.kind < REQUEST_LOCK)
        check_time(t);
    check_room(t);
    check_outcome(t);
    check_session(scene, t->mount);
    if (t->locking && lock_step(t))
        return;
    t->busy = false;
    world_after(scene->world, draw(t, 4) ? draw(t, t->w->pause) : 0, next, t);
}

struct workload *workload_new(struct scene *scene, unsigned threads, unsigned operations)
{
    static const unsigned shares[] = {10, 30, 60}, shorter[] = {12, 6, 2}, locks[] = {0, 3, 20, 70};
    unsigned count = threads * scene->mount_count;
    struct workload *w = xcalloc(1, sizeof(*w) + count * sizeof(w->threads[0]));
    w->scene = scene;
    w->limit = operations;
    w->count = count;
    w->pause = LOOP_MS << world_random(scene->world, scene->of_disk ? 5 : 9);
    w->updates = scene->of_disk ? 90 : shares[world_random(scene->world, 3)];
    w->locks = locks[world_random(scene->world, 4)];
    w->shorter = shorter[world_random(scene->world, 3)];
    w->favourite = kinds[world_random(scene->world, sizeof(kinds))];
    w->unconditional = 1u << world_random(scene->world, 4);
    w->hot_count = (unsigned)world_random(scene->world, HOT_MAX + 1);
    for (unsigned i = 0; i < w->hot_count; i++)
        w->hot[i] = any_but_counter(scene->world);
    for (unsigned i = 0; i < count; i++) {
        w->threads[i].w = w;
        w->threads[i].mount = i % scene->mount_count;
        w->threads[i].owner = 1 + i / scene->mount_count;
        world_after(scene->world, 1 + world_random(scene->world, w->pause), next, &w->threads[i]);
    }
    return w;
}

bool workload_done(const struct workload *w)
{
    for (unsigned i = 0; i < w->count; i++)
        if (w->threads[i].busy)
            return false;
    return w->begun >= w->limit;
}

void workload_check(const struct workload *w, uint64_t since, uint64_t bound)
{
    const struct world *world = w->scene->world;
    for (unsigned i = 0; i < w->count; i++) {
        const struct thread *t = &w->threads[i];
        if (t->busy && world->now > since + bound && world->now > t->r.began.time + bound)
            world_fail(world, "%s has no answer to call %d of %s begun at %.6f",
                       w->scene->mounts[t->mount].process->name, (int)t->r.kind,
                       node_name(t->r.node), (double)t->r.began.time / LOOP_SEC);
    }
}

void workload_free(struct workload *w)
{
    free(w);
}
