/* SPDX-License-Identifier: Apache-2.0 */
/* Ranges of keys in which a cursor of the overlay found nothing: where it need not look again. */
#ifndef STORE_GAP_H
#define STORE_GAP_H

#include "store/map.h"

/*
 * From `from` on, up to but not including `to` (empty: to the end of all), no record is to be seen.
 * Deleting keeps that true, as does moving what is hidden from one layer to another; a record that
 * comes cuts the range in two. Ranges do not touch each other.
 */
struct gap {
    struct slice from, to;
};

/* The range that has key; it is good until the next change. */
bool gap_at(const struct map *gaps, struct slice key, struct gap *gap);

/* Adds a range, as one with all that it touches. It takes memory of the map's arena for good. */
void gap_add(struct map *gaps, struct gap gap);

/* A record comes at key. */
void gap_cut(struct map *gaps, struct slice key);

#endif
