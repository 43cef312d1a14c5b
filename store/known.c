/* SPDX-License-Identifier: Apache-2.0 */
/* A hash table of fixed size; what is new takes the place of something. */
#include "store/known.h"

#include <stdlib.h>
#include <xxhash.h>

#include "base/buf.h"

#define WAYS 8 /* as many as one fetch from memory brings */

struct place {
    uint64_t hashes[WAYS]; /* 0: nothing */
};

struct known {
    uint64_t seed;
    size_t mask;
    struct place *memory; /* as allocated */
    struct place *places; /* mask + 1, aligned */
};

struct known *known_new(size_t bytes, uint64_t seed)
{
    struct known *k = xcalloc(1, sizeof(*k));
    size_t count = 1;
    while (count * 2 * sizeof(struct place) <= bytes)
        count *= 2;
    k->seed = seed;
    k->mask = count - 1;
    k->memory = xcalloc(count + 1, sizeof(*k->memory));
    k->places = (struct place *)(((uintptr_t)k->memory + sizeof(struct place) - 1) /
                                 sizeof(struct place) * sizeof(struct place));
    return k;
}

void known_free(struct known *k)
{
    if (k)
        free(k->memory);
    free(k);
}

static struct place *place_of(const struct known *k, struct slice key, uint64_t *hash)
{
    XXH128_hash_t h = XXH3_128bits_withSeed(key.data, key.len, k->seed);
    *hash = h.low64 | (h.low64 == 0);
    return &k->places[h.high64 & k->mask];
}

/* Where the hash is; WAYS: nowhere. */
static unsigned way_of(const struct place *p, uint64_t hash)
{
    unsigned way = 0;
    while (way < WAYS && p->hashes[way] != hash)
        way++;
    return way;
}

void known_expect(const struct known *k, struct slice key)
{
    uint64_t hash;
    __builtin_prefetch(place_of(k, key, &hash));
}

bool known_has(const struct known *k, struct slice key)
{
    uint64_t hash;
    const struct place *p = place_of(k, key, &hash);
    return way_of(p, hash) < WAYS;
}

/* The oldest of its place gives way. */
void known_add(struct known *k, struct slice key)
{
    uint64_t hash;
    struct place *p = place_of(k, key, &hash);
    if (way_of(p, hash) < WAYS)
        return;
    memmove(p->hashes + 1, p->hashes, (WAYS - 1) * sizeof(hash));
    p->hashes[0] = hash;
}

void known_remove(struct known *k, struct slice key)
{
    uint64_t hash;
    struct place *p = place_of(k, key, &hash);
    unsigned way = way_of(p, hash);
    if (way < WAYS)
        p->hashes[way] = 0;
}

/* Under another seed nothing that is there has a meaning. */
void known_clear(struct known *k)
{
    k->seed++;
}
