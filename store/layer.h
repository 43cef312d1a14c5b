/* SPDX-License-Identifier: Apache-2.0 */
/* One layer of the overlay: records, records that are gone, and subtrees that are. */
#ifndef STORE_LAYER_H
#define STORE_LAYER_H

#include "base/buf.h"
#include "base/key.h"
#include "store/map.h"

#define LAYER_HEAD 9 /* bytes at a value's front that layer_append replaces */

/*
 * What a layer says hides what is below it. A record without value hides one record. A kill hides
 * every record below whose key begins with it, but none of the layer's own; no kill is the prefix
 * of another. weight: about the bytes that the records will need in the engine.
 */
struct layer {
    struct arena arena;
    struct map records, kills;
    uint64_t weight;
    struct layer_undo *undo;
    size_t undo_count, undo_cap;
};

struct layer *layer_new(void);
void layer_free(struct layer *layer);

static inline bool layer_empty(const struct layer *layer)
{
    return !map_first(&layer->records) && !map_first(&layer->kills);
}

static inline struct slice layer_value(const struct map_node *record)
{
    return slice_of(record->value, record->len);
}

/* The kill that hides key in the layers below, or NULL. */
struct map_node *layer_kill_over(const struct layer *layer, struct slice key);

/* Bytes a record needs in the engine, about. */
uint64_t layer_cost(size_t key_len, size_t value_len);

/* ---- Changes; each can be undone until layer_settle ---- */

void layer_put(struct layer *layer, struct slice key, struct slice head, struct slice body);
void layer_del(struct layer *layer, struct slice key);
void layer_kill(struct layer *layer, struct slice prefix);

/*
 * The record's value becomes head (LAYER_HEAD bytes), of the old value what is between head and
 * `at`, then tail. base: the value below when the layer has no record of its own.
 */
void layer_append(struct layer *layer, struct slice key, struct slice head, struct slice base,
                  size_t at, struct slice tail);

struct layer_mark {
    size_t undo;
    uint64_t weight;
};
struct layer_mark layer_mark(const struct layer *layer);
void layer_undo(struct layer *layer, struct layer_mark mark);
/* Nothing so far will be undone. */
void layer_settle(struct layer *layer);

#endif
