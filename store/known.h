/* SPDX-License-Identifier: Apache-2.0 */
/* Keys of plain leaves: what is in here need not be looked up before a SET. */
#ifndef STORE_KNOWN_H
#define STORE_KNOWN_H

#include "base/slice.h"

/*
 * A key that is in here has a value, and no mark of a directory: a SET of it changes its record
 * and nothing else. Most of the keys written lately are. A key that is not may be anything.
 *
 * Kept are 128-bit hashes under a seed, in part as the place: two keys are never taken for one, in
 * the sense in which two files of one checksum are the same file.
 */
struct known;

/* Takes about so many bytes. seed: not predictable from outside. */
struct known *known_new(size_t bytes, uint64_t seed);
void known_free(struct known *known);

/* Soon the key will be asked for: has its place brought near. */
void known_expect(const struct known *known, struct slice key);

bool known_has(const struct known *known, struct slice key);
void known_add(struct known *known, struct slice key);
void known_remove(struct known *known, struct slice key);

/* Forgets all. */
void known_clear(struct known *known);

#endif
