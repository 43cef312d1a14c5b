/* SPDX-License-Identifier: Apache-2.0 */
/* One run: a server, mounts, what befalls them. */
#ifndef TESTS_SIM_SCENE_H
#define TESTS_SIM_SCENE_H

#include "tests/sim/host.h"
#include "tests/sim/mount.h"

#define MOUNTS_MAX 4
/* Indexes of the server, and of its disk, in scene.health. */
#define SICK    MOUNTS_MAX
#define DISK    (MOUNTS_MAX + 1)
#define HEALTHS (MOUNTS_MAX + 2)

/* Whether a process has been troubled, so that what it does may take long. */
struct health {
    unsigned faults;    /* going on */
    unsigned count;     /* ever */
    uint64_t well_from; /* when none goes on */
    uint64_t sick_from; /* since when it has not been well for long */
};

struct scene {
    struct world *world;
    struct host host;
    struct mount mounts[MOUNTS_MAX];
    unsigned mount_count;
    struct health health[HEALTHS]; /* of mounts, then SICK and DISK */
    bool of_disk;         /* the run is about the disk: many updates, and no other faults */
    unsigned fault_kinds; /* a bit for each that occurs in this run */
    uint64_t fault_gap;   /* ns between two, on average */
    uint64_t faults_until;
    struct workload *workload;
};

/* ---- fault.c ---- */

/* Faults happen from now on, until scene->faults_until; each ends by itself. */
void faults_begin(struct scene *scene);
/* Whether the mount and the server have been well since then; the disk may have been full. */
bool scene_well(const struct scene *scene, unsigned mount, uint64_t since);
/* For how long one of them had been in trouble then, not long ago, without being well in between.
 */
uint64_t scene_trouble(const struct scene *scene, unsigned mount, uint64_t at);
/* Whether so has been the disk. */
bool scene_disk_well(const struct scene *scene, uint64_t since);
/* Faults that began so far, of all mounts. */
unsigned scene_faults(const struct scene *scene);
/* Whether no fault goes on and all processes are up. */
bool scene_calm(const struct scene *scene);

/* Runs one seed; returns a digest of all that happened. */
uint64_t scene_run(uint64_t seed, bool verbose);

#endif
