/* SPDX-License-Identifier: Apache-2.0 */
/* The simulator's engine: an ordered map in memory, with undo. */
#ifndef SIM_ENGINE_MEM_H
#define SIM_ENGINE_MEM_H

#include "store/engine.h"

/* A new empty engine; limit in bytes of keys, values and 64 per record. One thread only. */
struct engine *engine_mem_new(uint64_t limit);

#endif
