/* SPDX-License-Identifier: Apache-2.0 */
/* Proof that the simulator sees: with each deliberate fault it must fail. */
#ifndef TESTS_SIM_MUTATIONS_H
#define TESTS_SIM_MUTATIONS_H

#include <stdint.h>

/* Runs the seeds with each fault, in a process of its own, until one fails. Prints a table; returns
 * how many faults were not found. */
int mutations_run(uint64_t from, uint64_t count, void (*run)(uint64_t seed));

#endif
