/* SPDX-License-Identifier: Apache-2.0 */
/* The names that a directory lists: of its nodes, and of what only this mount knows. */
#include "fs/listing.h"

#include "base/name.h"

#define TAKEN (100 * LOOP_MS) /* for who was told names, and waits for a processor */

void listing_reset(struct listing *l)
{
    l->count = 0;
    buf_clear(&l->names);
}

void listing_restart(struct listing *l)
{
    listing_reset(l);
    l->first = 0;
    while (l->mark_count)
        buf_free(&l->marks[--l->mark_count].from);
    while (l->local_count)
        buf_free(&l->local_names[--l->local_count]);
    for (size_t i = 0; i < 3; i++)
        buf_free(&l->more[i]);
}

void listing_free(struct listing *l)
{
    listing_restart(l);
    free(l->local_names);
    free(l->marks);
    free(l->items);
    buf_free(&l->names);
    buf_free(&l->last);
    free(l);
}

void listing_add(struct listing *l, struct slice name, bool dir, uint64_t ino)
{
    if (l->count == l->capacity) {
        l->capacity = l->capacity ? l->capacity * 2 : 64;
        l->items = xrealloc(l->items, l->capacity * sizeof(*l->items));
    }
    l->items[l->count++] = (struct item){
        .name_at = (uint32_t)l->names.len, .name_len = (uint16_t)name.len, .dir = dir, .ino = ino};
    buf_append_slice(&l->names, name);
    buf_append(&l->names, "", 1);
}

uint64_t listing_cookie(const struct listing *l, size_t i)
{
    return l->kept ? 1 + l->items[i].ino % INT32_MAX : l->first + i + 1;
}

uint64_t listing_find(const struct listing *l, uint64_t cookie)
{
    size_t i = l->count;

    while (i > 0 && listing_cookie(l, i - 1) != cookie)
        i--;
    return i ? l->first + i : 0;
}

bool listing_key(const struct inode *dir, const struct listing *l, const struct item *it,
                 struct key *key)
{
    if (it->level_len == 0)
        return false;
    *key = dir->key;
    memcpy(key->data + key->len, l->names.data + it->name_at + it->name_len + 1, it->level_len);
    key->len = (uint16_t)(key->len + it->level_len);
    return true;
}

static bool listed_before(struct listing *l, struct slice name)
{
    for (size_t i = 0; i < l->local_count; i++) {
        if (slice_equal(buf_slice(&l->local_names[i]), name))
            return true;
    }
    return false;
}

/* The name that an inode of this mount has in its directory; empty when it is not listed there. */
static size_t local_name(const struct inode *dir, const struct inode *in, char *out)
{
    uint8_t bytes[SUBSCRIPT_MAX_LEN];
    size_t covered, from = dir->kind == INODE_MORE ? dir->text.len : 0, len;
    struct slice sub = buf_slice(&in->text);
    bool continued;
    int n;

    if (in->kind == INODE_SCRATCH) {
        if (from > 0 || !slice_equal(key_slice(&in->key), key_slice(&dir->key)))
            return 0;
        memcpy(out, in->text.data, in->text.len);
        return in->text.len;
    }
    if (in->kind == INODE_MORE) {
        if (!slice_equal(key_slice(&in->key), key_slice(&dir->key)) || sub.len <= from ||
            !slice_has_prefix(sub, buf_slice(&dir->text)))
            return 0;
        return names_more(sub, from, out);
    }
    if (in->kind == INODE_VALUE && dir->kind == INODE_DIR &&
        slice_equal(key_slice(&in->key), key_slice(&dir->key)))
        return (size_t)(stpcpy(out, ".value") - out);
    if (in->kind != INODE_FILE ||
        !slice_equal(key_parent(key_slice(&in->key)), key_slice(&dir->key)))
        return 0;
    n = key_decode_level(key_last(key_slice(&in->key)), dir->key.len == 0, bytes);
    sub = slice_of(bytes, n < 0 ? 0 : (size_t)n);
    if (n < 0 || !slice_has_prefix(sub, buf_slice(&dir->text)) || !names_boundary(sub, from))
        return 0;
    len = name_encode(sub, from, out, &covered, &continued);
    return continued ? 0 : len;
}

void listing_add_locals(struct fs *fs, struct inode *dir, struct listing *l)
{
    struct inode *in;
    char name[NAME_MAX_LEN + 1];

    LIST_FOREACH (in, &fs->locals, local) {
        size_t len = local_name(dir, in, name);
        if (len == 0)
            continue;
        listing_add(l, slice_of(name, len), in->kind == INODE_MORE,
                    inode_number(in->kind, key_slice(&in->key), buf_slice(&in->text)));
        l->local_names = xrealloc(l->local_names, (l->local_count + 1) * sizeof(*l->local_names));
        l->local_names[l->local_count] = (struct buf){0};
        buf_append(&l->local_names[l->local_count++], name, len);
    }
}

bool listing_has_locals(struct fs *fs, const struct inode *dir)
{
    struct inode *in;
    char name[NAME_MAX_LEN + 1];

    LIST_FOREACH (in, &fs->locals, local) {
        if (local_name(dir, in, name))
            return true;
    }
    return false;
}

static bool more_before(struct listing *l, struct slice name)
{
    for (size_t i = 0; i < 3; i++) {
        if (slice_equal(buf_slice(&l->more[i]), name))
            return true;
    }
    buf_clear(&l->more[l->more_next]);
    buf_append_slice(&l->more[l->more_next], name);
    l->more_next = (l->more_next + 1) % 3;
    return false;
}

bool listing_add_entry(struct inode *dir, struct listing *l, const struct entry *e)
{
    uint8_t bytes[SUBSCRIPT_MAX_LEN];
    int n = key_decode_level(e->sub, dir->key.len == 0, bytes);
    size_t covered = 0, len, at = dir->kind == INODE_MORE ? dir->text.len : 0;
    struct slice sub = slice_of(bytes, n < 0 ? 0 : (size_t)n);
    char name[NAME_MAX_LEN];
    bool continued;
    struct key key = dir->key;

    if (n < 0)
        return true;
    if (at && !slice_has_prefix(sub, buf_slice(&dir->text)))
        return false;
    if (!names_boundary(sub, at))
        return true;
    len = name_encode(sub, at, name, &covered, &continued);
    if (listed_before(l, slice_of(name, len)))
        return true;
    if (continued) {
        if (!more_before(l, slice_of(name, len)))
            listing_add(
                l, slice_of(name, len), true,
                inode_number(INODE_MORE, key_slice(&dir->key), slice_of(bytes, at + covered)));
        return true;
    }
    if (key_append(&key, sub) != 0)
        return true;
    listing_add(l, slice_of(name, len), e->node.flags & (NODE_DIR | NODE_CHILDREN),
                inode_number(INODE_FILE, key_slice(&key), slice_of(NULL, 0)));
    l->items[l->count - 1].level_len = (uint16_t)e->sub.len;
    buf_append_slice(&l->names, e->sub);
    return true;
}

/* ---- names that are on their way into the kernel ---- */

void listing_told(struct fs *fs, const struct inode *dir, struct listing *l)
{
    l->told_of = dir;
    l->told_number = ++fs->told_count;
    l->told_at = loop_now(fs->loop);
    l->told_epoch = fs->epoch;
    TAILQ_INSERT_TAIL(&fs->told, l, told_link);
}

void listing_taken(struct fs *fs, struct listing *l)
{
    if (l->told_of)
        TAILQ_REMOVE(&fs->told, l, told_link);
    l->told_of = NULL;
}

static bool is_under_way(const struct fs *fs, const struct listing *l)
{
    return loop_now(fs->loop) < l->told_at + TAKEN;
}

uint64_t listing_last_told(const struct fs *fs, struct slice dir)
{
    const struct listing *l;
    uint64_t number = 0;

    TAILQ_FOREACH (l, &fs->told, told_link)
        if (slice_equal(key_slice(&l->told_of->key), dir) && is_under_way(fs, l))
            number = l->told_number;
    return number;
}

bool listing_is_under_way(const struct fs *fs, uint64_t number)
{
    const struct listing *l;

    TAILQ_FOREACH (l, &fs->told, told_link)
        if (l->told_number <= number && is_under_way(fs, l))
            return true;
    return false;
}

uint64_t listing_told_epoch(const struct fs *fs)
{
    const struct listing *l;
    uint64_t epoch = fs->epoch;

    TAILQ_FOREACH (l, &fs->told, told_link)
        if (l->told_epoch < epoch && is_under_way(fs, l))
            epoch = l->told_epoch;
    return epoch;
}
