/* SPDX-License-Identifier: Apache-2.0 */
/* What applications do on mounts: each one thing at a time, at random. */
#ifndef TESTS_SIM_WORKLOAD_H
#define TESTS_SIM_WORKLOAD_H

#include "tests/sim/scene.h"

#define BATCH_MAX 4

struct workload;

/* Operations in all. Threads: on each mount. */
struct workload *workload_new(struct scene *scene, unsigned threads, unsigned operations);
/* Whether all operations have been done and answered. */
bool workload_done(const struct workload *w);
/* Fails when a call has had no answer for longer than bound, since then. */
void workload_check(const struct workload *w, uint64_t since, uint64_t bound);
void workload_free(struct workload *w);

#endif
