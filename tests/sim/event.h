/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of the simulated world: what world.c and process.c know of an event. */
#ifndef TESTS_SIM_EVENT_H
#define TESTS_SIM_EVENT_H

#include "tests/sim/world.h"

struct loop_event {
    struct loop_event *next; /* in its process's list, while held there */
    struct process *process; /* whose it is, or NULL */
    uint64_t at, order;      /* true time; among those of one instant */
    size_t index;            /* in the heap */
    bool held;
    loop_fn *fn;
    void *cookie;
};

struct loop_event *event_new(struct world *world, struct process *p, uint64_t at, loop_fn *fn,
                             void *cookie);
/* Into the heap, after those of the same time; and out of it. */
void event_push(struct world *world, struct loop_event *event);
void event_pull(struct world *world, struct loop_event *event);
/* The first of p's events, or NULL. */
struct loop_event *event_next(struct world *world, const struct process *p);
/* Frees and calls it. */
void event_run(struct world *world, struct loop_event *event);
/* Its process is stopped: it waits there. */
void event_hold(struct loop_event *event);

#endif
