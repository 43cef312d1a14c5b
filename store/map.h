/* SPDX-License-Identifier: Apache-2.0 */
/* An ordered map in memory: a B+tree whose runs can be cut out, and put back, at once. */
#ifndef STORE_MAP_H
#define STORE_MAP_H

#include "base/slice.h"
#include "store/arena.h"

#define MAP_DEPTH 16

/* A record. It stays where it is until the arena goes, also when it is taken out. */
struct map_node {
    struct map_node *next, *prev; /* in order of keys */
    uint8_t *value;               /* the user's; NULL at first */
    uint32_t len, cap;
    uint16_t key_len;
    uint8_t key[];
};

struct map_branch;

/* A way from the root to a leaf; at: the child taken, in the leaf the first record >= the key. */
struct map_path {
    struct map_branch *branch[MAP_DEPTH];
    unsigned at[MAP_DEPTH];
    unsigned depth; /* levels; 0: not known */
};

struct map {
    struct arena *arena;
    struct map_branch *root;
    struct map_node *first, *last;
    struct map_path path; /* of the last map_find or map_put */
    /* Branches of an age below `keep` are another state's, which an undo may need: they are copied
     * before they are changed. */
    uint32_t age, keep;
};

/* What map_cut took out. */
struct map_cut {
    struct map_branch *root;
    struct map_node *first, *last;
    uint32_t keep;
};

static inline struct slice map_key(const struct map_node *n)
{
    return slice_of(n->key, n->key_len);
}

void map_init(struct map *map, struct arena *arena);

/* The first node >= key; NULL: none. */
struct map_node *map_seek(const struct map *map, struct slice key);

/* The last node < key (key.data NULL: the last of all); NULL: none. */
struct map_node *map_before(const struct map *map, struct slice key);

static inline struct map_node *map_first(const struct map *map)
{
    return map->first;
}

/* The node of that key, or NULL. A map_put of the same key after it is quick. */
struct map_node *map_find(struct map *map, struct slice key);

/* The node of that key; *fresh when it was made. */
struct map_node *map_put(struct map *map, struct slice key, bool *fresh);

#define MAP_AHEAD 16 /* keys that map_expect takes at most */

/*
 * Soon these keys will be looked for: has what the search reads brought near, for all of them at
 * once. Each step of one search waits for memory; steps of several searches wait together.
 */
void map_expect(const struct map *map, const struct slice *keys, size_t count);

/* Takes one node out. */
void map_remove(struct map *map, struct map_node *node);

/* Takes out all nodes whose keys begin with prefix. Returns whether there were any. */
bool map_cut(struct map *map, struct slice prefix, struct map_cut *cut);

/* Puts them back: only when everything done since has been undone. */
void map_uncut(struct map *map, const struct map_cut *cut);

/* No cut so far will be undone. */
void map_settle(struct map *map);

/* ---- map_branch.c: the tree's branches, which do not know of the records' list ---- */

#define MAP_FAN  64
#define MAP_NEAR 47

/*
 * A leaf's keys are its records; in other branches keys[i] is at most the lowest record below
 * kids[i], and above all those below kids[i - 1]. All keys begin with the `skip` bytes at prefix,
 * the first of which are here, too: looking elsewhere waits for memory. heads are the 8 bytes
 * after these, as numbers in the order of bytes.
 */
struct map_branch {
    uint32_t age;
    uint16_t count, skip;
    const uint8_t *prefix;
    bool leaf;
    uint8_t near[MAP_NEAR];
    uint64_t heads[MAP_FAN];
    struct map_node *keys[MAP_FAN];
    struct map_branch *kids[]; /* MAP_FAN, unless it is a leaf */
};

struct map_branch *branch_new(struct map *map, bool leaf);
struct map_branch *branch_copy(struct map *map, const struct map_branch *b);

/* The first key >= key (not below when `after`: > key); *inside: key begins with the prefix. */
unsigned branch_find(const struct map_branch *b, struct slice key, bool after, bool *inside);

/* Which child has, or would get, the key. */
unsigned branch_kid(const struct map_branch *b, struct slice key);

/* Where the search for key goes on, without looking at records: most often the same as branch_find
 * in a leaf, and branch_kid in others. */
unsigned branch_about(const struct map_branch *b, struct slice key);

/* Whether it is plain, without looking at records, that key does not belong at that place. */
bool branch_passes(const struct map_branch *b, unsigned at, struct slice key);

/* Puts a key, and kid unless it is a leaf, in the place `at`; there is room. */
void branch_insert(struct map_branch *b, unsigned at, struct map_node *key, struct map_branch *kid,
                   bool inside);
void branch_delete(struct map_branch *b, unsigned at);

/* A record comes below the first child: what stands for that child must not be above it. */
void branch_lower(struct map_branch *b, struct map_node *key);

/* Moves keys from `from` on to a new branch. */
struct map_branch *branch_split(struct map *map, struct map_branch *b, unsigned from);

/* A branch without the keys from prefix to end (end.data NULL: to the last); NULL when nothing is
 * left. b stays as it is. */
struct map_branch *branch_without(struct map *map, struct map_branch *b, struct slice prefix,
                                  struct slice end);

#endif
