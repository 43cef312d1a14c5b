/* SPDX-License-Identifier: Apache-2.0 */
/* Chunks cut into pieces, spare pieces by size, large pieces in a list of their own. */
#include "store/arena.h"

#include <stdlib.h>

#include "base/buf.h"

#define CHUNK_FIRST (4u << 10)
#define CHUNK_MAX   (1u << 20)

struct arena_chunk {
    struct arena_chunk *next;
    size_t pad;
    unsigned char bytes[];
};

struct arena_large {
    struct arena_large *next, **link;
    unsigned char bytes[];
};

size_t arena_size(size_t size)
{
    return (size + ARENA_CLASS - 1) / ARENA_CLASS * ARENA_CLASS;
}

static void *alloc_large(struct arena *a, size_t size)
{
    struct arena_large *l = xmalloc(sizeof(*l) + size);
    l->next = a->large;
    l->link = &a->large;
    if (l->next)
        l->next->link = &l->next;
    a->large = l;
    a->bytes += sizeof(*l) + size;
    return l->bytes;
}

static void add_chunk(struct arena *a)
{
    size_t size = a->next_chunk ? a->next_chunk : CHUNK_FIRST;
    struct arena_chunk *c = xmalloc(sizeof(*c) + size);
    c->next = a->chunks;
    a->chunks = c;
    a->at = c->bytes;
    a->end = c->bytes + size;
    a->bytes += sizeof(*c) + size;
    a->next_chunk = size < CHUNK_MAX ? size * 2 : size;
}

void *arena_alloc(struct arena *a, size_t size)
{
    size = arena_size(size ? size : 1);
    size_t class = size / ARENA_CLASS;
    if (class > ARENA_CLASSES)
        return alloc_large(a, size);
    void *piece = a->spare[class];
    if (piece) {
        memcpy(&a->spare[class], piece, sizeof(void *));
        return piece;
    }
    if ((size_t)(a->end - a->at) < size)
        add_chunk(a);
    piece = a->at;
    a->at += size;
    return piece;
}

void arena_release(struct arena *a, void *piece, size_t size)
{
    size = arena_size(size ? size : 1);
    size_t class = size / ARENA_CLASS;
    if (class <= ARENA_CLASSES) {
        memcpy(piece, &a->spare[class], sizeof(void *));
        a->spare[class] = piece;
        return;
    }
    struct arena_large *l = (void *)((unsigned char *)piece - offsetof(struct arena_large, bytes));
    *l->link = l->next;
    if (l->next)
        l->next->link = l->link;
    a->bytes -= sizeof(*l) + size;
    free(l);
}

void arena_free(struct arena *a)
{
    while (a->chunks) {
        struct arena_chunk *next = a->chunks->next;
        free(a->chunks);
        a->chunks = next;
    }
    while (a->large) {
        struct arena_large *next = a->large->next;
        free(a->large);
        a->large = next;
    }
    *a = (struct arena){0};
}
