/* SPDX-License-Identifier: Apache-2.0 */
/* Writing a layer of the overlay to the engine beneath it. */
#ifndef STORE_CHECKPOINT_H
#define STORE_CHECKPOINT_H

#include "store/layer.h"
#include "store/recovery.h"

/*
 * Writes the layer, then the facts, in transactions of at most `piece` records. Any thread, while
 * nobody changes the layer. After a failure, or a crash, some of it is there: what the layer says,
 * or a later one, must be written again before the base alone is right.
 */
int checkpoint_write(struct engine *base, const struct layer *layer,
                     const struct store_facts *facts, uint32_t piece);

#endif
