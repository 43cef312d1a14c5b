/* SPDX-License-Identifier: Apache-2.0 */
/* The simulator: one process, a virtual clock and a network, everything decided by one seed. */
#ifndef TESTS_SIM_SIM_H
#define TESTS_SIM_SIM_H

#include "base/loop.h"
#include "net/stream.h"

struct sim;

struct sim *sim_new(uint64_t seed);
void sim_free(struct sim *sim);
struct loop *sim_loop(struct sim *sim);
struct network *sim_network(struct sim *sim);
/* A number in [0, below). */
uint64_t sim_random(struct sim *sim, uint64_t below);
/* Runs the next event; false when there is none. */
bool sim_step(struct sim *sim);
/* Events run so far and a digest of their times: equal for equal seeds. */
uint64_t sim_digest(const struct sim *sim);

#endif
