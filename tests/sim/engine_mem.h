/* SPDX-License-Identifier: Apache-2.0 */
/* The simulator's engine: an ordered map in memory, with undo. */
#ifndef SIM_ENGINE_MEM_H
#define SIM_ENGINE_MEM_H

#include "store/engine.h"

/* A new empty engine; limit in bytes of keys, values and 64 per record. One thread only. */
struct engine *engine_mem_new(uint64_t limit);

/* It outlives being closed, as a disk does the process, until engine_mem_free. */
void engine_mem_keep(struct engine *engine);
void engine_mem_free(struct engine *engine);

/* Each commit asks gate first: an error of its fails the commit, and nothing changes. */
void engine_mem_gate(struct engine *engine, int (*gate)(void *cookie), void *cookie);

#endif
