/* SPDX-License-Identifier: Apache-2.0 */
/* Memory that is given back all at once. */
#ifndef STORE_ARENA_H
#define STORE_ARENA_H

#include <stddef.h>

#define ARENA_CLASS   16 /* bytes; sizes are rounded up to it */
#define ARENA_CLASSES 64 /* larger pieces are malloc's */

/* Zero-initialise; arena_free releases everything that came from it. */
struct arena {
    struct arena_chunk *chunks;
    struct arena_large *large;
    unsigned char *at, *end;
    void *spare[ARENA_CLASSES + 1]; /* pieces given back, by size */
    size_t next_chunk;
    size_t bytes; /* held from the system */
};

/* A piece of memory aligned to 16 bytes; never NULL. */
void *arena_alloc(struct arena *arena, size_t size);

/* Bytes that a piece asked for with size really has. */
size_t arena_size(size_t size);

/* Gives one piece back for reuse; size as given to arena_alloc, or what arena_size made of it. */
void arena_release(struct arena *arena, void *piece, size_t size);

void arena_free(struct arena *arena);

#endif
