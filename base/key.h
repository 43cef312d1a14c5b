/* SPDX-License-Identifier: Apache-2.0 */
/* Key bytes of a node: an encoding whose memcmp order is MUMPS order. See DESIGN, "Keys". */
#ifndef BASE_KEY_H
#define BASE_KEY_H

#include "base/slice.h"

#define KEY_MAX_LEN       511 /* bytes of a whole key: LMDB's limit, and IRIS's for a reference */
#define GLOBAL_NAME_MAX   31  /* bytes of a global's name */
#define SUBSCRIPT_MAX_LEN 507 /* bytes: what fits into a key beside the shortest global name */

/*
 * key      = "" (the root of the namespace)  or  name 0x00 subscript*
 * subscript= string:  0xFF byte* 0x00     with 0x00 -> 01 01 and 0x01 -> 01 02 inside
 *            zero:    0x80
 *            number:  one byte sign and exponent, pairs of digits each +1, 0x00;
 *                     negative ones complemented, ending in 0xFF
 * A node's key is a strict prefix of its descendants' keys and of no others; key_up_end() bounds
 * a subtree. The exponent byte of 0.d1d2.. x 10^e (e in [-42, 47]) is 0x81 + (e + 42), for
 * negative numbers 0x7E - (e + 42).
 */
struct key {
    uint16_t len;
    uint8_t data[KEY_MAX_LEN];
};

static inline struct slice key_slice(const struct key *k)
{
    return slice_of(k->data, k->len);
}

/* The root: a key of no bytes, the parent of every global. */
static inline void key_root(struct key *k)
{
    k->len = 0;
}

/* Starts a key with a global's name (no caret). ECP_EINVAL when it is not a valid name. */
int key_global(struct key *k, struct slice name);

/*
 * Appends a subscript given as M sees it (bytes; "5" and ".5" are numbers because canonical).
 * Appending to the root appends a global name. ECP_EINVAL when empty (or not a valid name),
 * ECP_EKEYLONG when the key would exceed KEY_MAX_LEN; k is unchanged then.
 */
int key_append(struct key *k, struct slice subscript);

/* Copies checked key bytes (at most KEY_MAX_LEN). */
void key_copy(struct key *k, struct slice bytes);

/* True when bytes are a well-formed key ("" included): what key_append can produce, nothing else.
 */
bool key_valid(struct slice bytes);

/* The same for bytes whose first `same` bytes are known to begin a well-formed key. */
bool key_valid_after(struct slice bytes, size_t same);

/* Number of levels: 0 root, 1 a global, 2 one subscript ... The key must be valid. */
unsigned key_depth(struct slice key);

/* Length of the key's first level at or after offset `at` (a level boundary); 0 at the end or when
 * malformed. */
size_t key_level_len(struct slice key, size_t at);

/* Key bytes of the parent (shorter prefix); the root's parent is the root. The key must be valid.
 */
struct slice key_parent(struct slice key);

/* Last level's bytes (what the parent lacks); empty for the root. */
struct slice key_last(struct slice key);

/* Length of the longest common prefix of two valid keys that is itself a key (ends at a level). */
size_t key_common(struct slice a, struct slice b);

/*
 * Decodes one level into the subscript's bytes as M sees them (for the first level: the name).
 * out must hold SUBSCRIPT_MAX_LEN bytes. Returns its length, or -1 when malformed.
 */
int key_decode_level(struct slice level, bool is_global, uint8_t *out);

/* True when the level is a number (not for a global's name). */
bool key_level_is_number(struct slice level);

/*
 * Turns the key of a node into the smallest key that is after its whole subtree, in place in a
 * buffer of at least KEY_MAX_LEN + 1 bytes; returns its length, 0 for the root (no bound).
 * Not a valid key: for comparing and seeking only (the last byte is incremented, with carry).
 */
size_t key_subtree_end(struct slice key, uint8_t *out);

/* True when text is a canonical number (DESIGN, "Data model"): at most 18 digits, exponent in [-42,
 * 47]. */
bool number_is_canonical(struct slice text);

/* True when name is a valid global name: a letter or %, then letters, digits, "."; at most 31. */
bool global_name_valid(struct slice name);

#endif
