/* SPDX-License-Identifier: Apache-2.0 */
/* The simulated world: true time, the order of events, and processes with clocks of their own. */
#ifndef TESTS_SIM_WORLD_H
#define TESTS_SIM_WORLD_H

#include "base/loop.h"
#include "net/stream.h"

struct process;
struct world_heap;
struct end;
struct listener;

/*
 * Everything that happens is an event of one process, or of nobody: applications, kernels and
 * faults. Whatever is drawn is drawn from the seed, so that a seed repeats exactly.
 */
struct world {
    uint64_t seed, random;
    uint64_t now; /* true time, ns */
    uint64_t digest, events_run, last_order;
    bool verbose;
    int mutation; /* for the command that repeats it */
    struct world_heap *heap;
    struct process *processes;
    struct listener *listeners;
};

/* A process sees its own clock: true time, at a rate of its own, from a beginning of its own. */
struct process {
    struct loop loop;
    struct network network;
    struct world *world;
    struct process *next;
    const char *name;
    int64_t drift;        /* parts in 10^9 that its clock is fast */
    uint64_t clock;       /* what it showed at true time 0 */
    uint64_t wall_offset; /* of its wall clock to true time */
    uint64_t way;         /* ns that a message takes to it or from it, at most */
    bool stopped;
    struct loop_event *held, **held_tail; /* came while it was stopped, in order */
    struct end *ends;                     /* its ends of connections */
    bool cut_in, cut_out;                 /* nothing comes to it, or from it, for now */
};

struct world *world_new(uint64_t seed, bool verbose);
/* Every process must have been freed. */
void world_free(struct world *world);
/* A number in [0, below). */
uint64_t world_random(struct world *world, uint64_t below);
/* True in `times` of `of` cases. */
bool world_chance(struct world *world, unsigned times, unsigned of);
/* Calls fn once in `delay` of true time, whatever becomes of any process. */
struct loop_event *world_after(struct world *world, uint64_t delay, loop_fn *fn, void *cookie);
void world_cancel(struct world *world, struct loop_event *event);
/* Runs the next event; false when there is none. */
bool world_step(struct world *world);

/* A line of the trace, when the world is verbose. p may be NULL. */
void world_trace(const struct world *world, const struct process *p, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The run is a failure: says so, with the command line that repeats it, and ends the program. */
_Noreturn void world_fail(const struct world *world, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

struct process *process_new(struct world *world, const char *name, int64_t drift);
/* It must have no events left. */
void process_free(struct process *p);
/* An event of p at a true time; held while p is stopped. */
struct loop_event *process_at(struct process *p, uint64_t at, loop_fn *fn, void *cookie);
/* Stops p as SIGSTOP does, or lets it go on. */
void process_stop(struct process *p, bool stop);
/* Runs what is left of a process that can no longer do anything to others. */
void process_drain(struct process *p);

#endif
