/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of the history: what its files share. */
#ifndef SIM_HISTORY_INT_H
#define SIM_HISTORY_INT_H

#include "tests/sim/history.h"

/* A state more, empty. */
void history_add(struct history *h);
/* All nodes as txn has them, into s, which is empty. */
void history_read(const struct history *h, struct engine_txn *txn, struct state *s);
/* The crash that took this commit back, or NULL. */
const struct lost *history_lost(const struct history *h, size_t at);
/* The state that this one, which is not 0, was made from. */
size_t history_before(const struct history *h, size_t at);
/* Whether it is what was found after a crash, and no commit. */
bool history_is_copy(const struct history *h, size_t at);
/* Whether a read that began then may see the node as it was at this commit. */
bool history_may_see(const struct history *h, const struct moment *began, unsigned node, size_t at);
/* A commit was made with this stamp: maybe what a crash took back. */
void history_again(struct history *h, uint64_t stamp);
/* Somebody knows this version of the node. */
void history_learn(struct history *h, unsigned node, size_t at);

#endif
