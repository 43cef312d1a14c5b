/* SPDX-License-Identifier: Apache-2.0 */
/* The simulated network: streams between processes, delayed, cut in pieces, broken. */
#ifndef TESTS_SIM_NETWORK_H
#define TESTS_SIM_NETWORK_H

#include "tests/sim/world.h"

/* Of struct process.network. */
extern const struct network_ops sim_network_ops;

/* How a connection breaks; what was on its way comes in part, cut at any byte. */
enum net_break {
    BREAK_BOTH,      /* both ends are told */
    BREAK_THIS_TOLD, /* only this end is */
    BREAK_THAT_TOLD, /* only the other one is */
    BREAK_SILENT,    /* neither: bytes vanish from now on */
    BREAK_END
};

/* One of p's connections, or NULL. */
struct end *net_pick(struct process *p);
void net_break(struct end *end, enum net_break how);
/* What is sent to this end, or from it, comes so much later at least. */
void net_delay(struct end *end, uint64_t time, bool in, bool out);
/* Cuts p off, one way or both, or lets through again what waited. */
void net_partition(struct process *p, bool in, bool out);
/* All of p's connections break as its end breaks them, and what it does from now on reaches
 * nobody. */
void net_crash(struct process *p);

#endif
