/* SPDX-License-Identifier: Apache-2.0 */
/* A run of one seed, from its drawing to the last read everywhere. */
#include "tests/sim/scene.h"

#include "base/mutation.h"
#include "tests/sim/workload.h"

#define ANSWER_TIME (60 * LOOP_SEC) /* that a call may take when all is well */
#define FILL_AFTER  (3 * LOOP_SEC)  /* room is found anew by then */
#define FILL_COUNT  64
#define FILL_VALUE  1600 /* bytes */

static const char *const names[] = {"mount-0", "mount-1", "mount-2", "mount-3"};

static int64_t any_drift(struct world *world)
{
    return (int64_t)world_random(world, 1000001) - 500000;
}

static void begin(struct scene *scene, uint64_t seed, bool verbose)
{
    struct world *world = world_new(seed, verbose);
    world->mutation = ecp_mutation;
    uint64_t term = 250 * LOOP_MS << world_random(world, 4);
    *scene = (struct scene){.world = world,
                            .mount_count = 2 + (unsigned)world_random(world, 3),
                            .of_disk = world_chance(world, 1, 3)};
    host_init(&scene->host, process_new(world, "server", any_drift(world)), term,
              scene->of_disk && world_chance(world, 1, 2));
    host_start(&scene->host);
    for (unsigned i = 0; i < scene->mount_count; i++) {
        struct mount *m = &scene->mounts[i];
        struct process *p = process_new(world, names[i], any_drift(world));
        p->way <<= world_chance(world, 1, 2) ? world_random(world, 6) : 0;
        mount_init(m, i, &scene->host, p, world_chance(world, 1, 6),
                   2048u << world_random(world, 4));
        mount_start(m);
    }
    faults_begin(scene);
}

static void run(struct scene *scene)
{
    struct world *world = scene->world;
    struct workload *w = scene->workload = workload_new(scene, 1 + (unsigned)world_random(world, 3),
                                                        100 + (unsigned)world_random(world, 400));
    uint64_t calm = 0;
    while (!workload_done(w) || !scene_calm(scene)) {
        if (workload_done(w) && scene->faults_until > world->now)
            scene->faults_until = world->now;
        calm = !scene_calm(scene) ? 0 : calm ? calm : world->now;
        if (!world_step(world))
            world_fail(world, "the simulation stopped with calls unanswered");
        if (calm)
            workload_check(w, calm, ANSWER_TIME);
    }
}

/* ---- The last reads: everybody sees what is ---- */

static void count_down(void *cookie)
{
    --*(unsigned *)cookie;
}

/* So much is written that room is needed: what was full is so no more. */
static void fill_up(struct scene *scene)
{
    static char text[FILL_VALUE];
    struct update u = {.kind = UPDATE_SET,
                       .key = key_slice(&scene->host.history.keys[NODE_TOP]),
                       .value = slice_of(text, sizeof(text))};
    uint64_t from = scene->world->now + FILL_AFTER;
    if (!scene->health[DISK].count)
        return;
    for (unsigned left, i = 0; i < FILL_COUNT || scene->world->now < from; i++) {
        struct request r = {
            .kind = REQUEST_UPDATE, .updates = &u, .count = 1, .done = count_down, .cookie = &left};
        bool late = scene->world->now >= from;
        left = 1;
        request_begin(&scene->mounts[0], &r);
        while (left && world_step(scene->world))
            ;
        if (r.error == ECP_ENOSPC && late)
            world_fail(scene->world, "an update is refused at the end though there is room");
    }
}

static void read_all(struct scene *scene, struct mount *m)
{
    struct history *h = &scene->host.history;
    struct request requests[2 * NODES] = {0};
    unsigned left = 0, count = 0, first;
    for (unsigned n = NODE_TOP; n < NODES; n++) {
        requests[count++] = (struct request){.kind = REQUEST_NODE, .node = n};
        if (history_children(n, &first))
            requests[count++] = (struct request){.kind = REQUEST_PAGE, .node = n};
    }
    for (unsigned n = 0; n < NODES; n++)
        h->known[n] = h->count - 1;
    for (unsigned i = 0; i < count; i++) {
        requests[i].done = count_down;
        requests[i].cookie = &left;
        left++;
        request_begin(m, &requests[i]);
    }
    uint64_t until = scene->world->now + ANSWER_TIME;
    while (left) {
        if (!world_step(scene->world) || scene->world->now > until)
            world_fail(scene->world, "%s does not answer the last reads", m->process->name);
    }
}

static uint64_t end(struct scene *scene)
{
    struct world *world = scene->world;
    for (unsigned i = 0; i < scene->mount_count; i++)
        mount_end(&scene->mounts[i], false);
    if (scene->host.up)
        host_shut_down(&scene->host);
    while (world_step(world))
        ;
    if (scene->host.up)
        world_fail(world, "the server did not end");
    host_start(&scene->host);
    host_shut_down(&scene->host);
    while (world_step(world))
        ;
    for (unsigned i = 0; i < scene->mount_count; i++)
        process_free(scene->mounts[i].process);
    process_free(scene->host.process);
    host_free(&scene->host);
    workload_free(scene->workload);
    uint64_t digest = world->digest;
    world_free(world);
    return digest;
}

uint64_t scene_run(uint64_t seed, bool verbose)
{
    struct scene scene;
    begin(&scene, seed, verbose);
    run(&scene);
    fill_up(&scene);
    for (unsigned i = 0; i < scene.mount_count; i++) {
        struct mount *m = &scene.mounts[i];
        read_all(&scene, m);
        history_check_told(&scene.host.history, m->number, m->incarnation, m->sessions);
    }
    return end(&scene);
}
