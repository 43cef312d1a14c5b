/* SPDX-License-Identifier: Apache-2.0 */
/* The simulator's engine: an ordered map in memory, with undo. */
#ifndef SIM_ENGINE_MEM_H
#define SIM_ENGINE_MEM_H

#include "base/loop.h"
#include "store/engine.h"

/* A new empty engine; limit in bytes of keys, values and 64 per record. One thread only. */
struct engine *engine_mem_new(uint64_t limit);

/*
 * It outlives being closed, as a disk does the process, until engine_mem_free; and calls committed
 * whenever a write transaction has been committed.
 */
void engine_mem_keep(struct engine *engine, loop_fn *committed, void *cookie);
void engine_mem_free(struct engine *engine);
/* While cut, no write transaction can begin: whoever had it open has crashed. */
void engine_mem_cut(struct engine *engine, bool cut);

#endif
