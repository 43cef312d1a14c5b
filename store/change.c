/* SPDX-License-Identifier: Apache-2.0 */
/* Listings that a record's coming, going or changing shows in, and their stamps. */
#include <stdlib.h>
#include <xxhash.h>

#include "store/apply.h"

uint32_t change_slot(struct slice key)
{
    return (uint32_t)(XXH3_64bits(key.len ? key.data : (const uint8_t *)"", key.len) %
                      CHANGE_SLOTS);
}

void change_listing(struct apply *a, struct slice directory)
{
    struct changes *c = a->changes;
    uint32_t slot = change_slot(directory);
    if (c->count && c->list[c->count - 1].slot == slot) {
        c->list[c->count - 1].stamp = a->stamp;
        return;
    }
    if (c->count == c->cap) {
        c->cap = c->cap ? c->cap * 2 : 256;
        c->list = xrealloc(c->list, c->cap * sizeof(*c->list));
    }
    c->list[c->count++] = (struct change){.slot = slot, .stamp = a->stamp};
}

/* How far a neighbour proves the key's ancestors to be there, and to have children. */
struct shared {
    size_t len;
    bool parent; /* the ancestor of that length has another descendant */
};

static int share(struct shared *s, struct slice key, struct slice other, struct slice bytes)
{
    struct record record;
    int error = record_parse(bytes, &record);
    if (error || !(record.flags & NODE_VALUE))
        return error;
    size_t n = key_common(key, other);
    if (n > s->len)
        *s = (struct shared){.len = n, .parent = other.len > n};
    else if (n == s->len)
        s->parent |= other.len > n;
    return 0;
}

static int neighbours(struct apply *a, struct slice key, struct shared *s)
{
    struct slice found, bytes;
    int error = apply_cursor(a);
    if (error)
        return error;
    error = a->ops->seek(a->cursor, key, &found, &bytes);
    if (error == 0 && slice_equal(found, key))
        error = a->ops->next(a->cursor, &found, &bytes);
    if (error == 0)
        error = share(s, key, found, bytes);
    if (error && error != ECP_ENOENT)
        return error;
    error = view_before(a->ops, a->cursor, key, &found, &bytes);
    if (error == 0)
        error = share(s, key, found, bytes);
    return error == ECP_ENOENT ? 0 : error;
}

int change_listings(struct apply *a, struct slice key)
{
    struct shared s = {0};
    size_t parent = key_parent(key).len;
    if (a->has_last) {
        size_t n = key_common(key, key_slice(&a->last));
        if (n >= parent && a->last.len > n) {
            change_listing(a, slice_of(key.data, parent));
            return 0;
        }
    }
    int error = neighbours(a, key, &s);
    if (error)
        return error;
    size_t at = s.len;
    if (s.len && (s.len == key.len || !s.parent))
        at = key_parent(slice_of(key.data, s.len)).len;
    do {
        change_listing(a, slice_of(key.data, at));
        at += key_level_len(key, at);
    } while (at < key.len);
    return 0;
}
