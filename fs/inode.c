/* SPDX-License-Identifier: Apache-2.0 */
/* The inodes of a mount: found by FUSE nodeid and by what they stand for. */
#include "fs/fs.h"

#include <xxhash.h>

static uint64_t identity_hash(enum inode_kind kind, struct slice key, struct slice text)
{
    uint64_t h = XXH3_64bits_withSeed(key.data, key.len, kind);
    return text.len ? XXH3_64bits_withSeed(text.data, text.len, h) : h;
}

uint64_t inode_number(enum inode_kind kind, struct slice key, struct slice text)
{
    uint64_t n = identity_hash(kind == INODE_DIR ? INODE_FILE : kind, key, text);
    return key.len == 0 && kind == INODE_DIR ? 1 : n < 16 ? n + 16 : n;
}

bool inode_is_dir(const struct inode *in)
{
    return in->kind == INODE_DIR || in->kind == INODE_MORE ||
           in->kind == INODE_LOCKS || in->kind == INODE_CONTROL;
}

bool inode_is_local(const struct inode *in)
{
    return in->kind >= INODE_MORE;
}

void inode_count_lookups(struct inode *in, int64_t n)
{
    in->nlookup += (uint64_t)n;
    in->fs->lookups += (uint64_t)n;
}

void inode_count_opens(struct inode *in, uint64_t handle, int n)
{
    pages_count(in, handle, n);
    in->opens += (unsigned)n;
    in->fs->handles += (uint64_t)(int64_t)n;
}

static struct inode **id_slot(struct fs *fs, uint64_t id)
{
    return &fs->by_id[id & (fs->buckets - 1)];
}

static struct inode **name_slot(struct fs *fs, const struct inode *in)
{
    return &fs->by_name[identity_hash(in->kind, key_slice(&in->key), buf_slice(&in->text)) &
                        (fs->buckets - 1)];
}

static void link_id(struct fs *fs, struct inode *in)
{
    struct inode **slot = id_slot(fs, in->id);
    in->next_id = *slot;
    *slot = in;
}

static void link_name(struct fs *fs, struct inode *in)
{
    struct inode **slot = name_slot(fs, in);
    in->next_name = *slot;
    *slot = in;
}

/* By what it stands for. */
static bool is_found(const struct inode *in)
{
    return !in->gone && !in->retired;
}

static void unlink_name(struct fs *fs, struct inode *in)
{
    struct inode **p = name_slot(fs, in);
    while (*p != in)
        p = &(*p)->next_name;
    *p = in->next_name;
}

static void grow(struct fs *fs)
{
    struct inode **old = fs->by_id;
    size_t n = fs->buckets;

    free(fs->by_name);
    fs->buckets = n * 2;
    fs->by_id = xcalloc(fs->buckets, sizeof(*fs->by_id));
    fs->by_name = xcalloc(fs->buckets, sizeof(*fs->by_name));
    for (size_t i = 0; i < n; i++) {
        for (struct inode *in = old[i], *next; in; in = next) {
            next = in->next_id;
            link_id(fs, in);
            if (is_found(in))
                link_name(fs, in);
        }
    }
    free(old);
}

static struct inode *inode_new(struct fs *fs, enum inode_kind kind, struct slice key,
                               struct slice text)
{
    struct inode *in = xcalloc(1, sizeof(*in));

    if (fs->inodes >= fs->buckets)
        grow(fs);
    in->fs = fs;
    in->id = fs->next_id++;
    in->kind = kind;
    key_copy(&in->key, key);
    buf_append_slice(&in->text, text);
    STAILQ_INIT(&in->waiters);
    LIST_INIT(&in->holds);
    link_id(fs, in);
    link_name(fs, in);
    fs->inodes++;
    return in;
}

void inode_table_init(struct fs *fs)
{
    fs->buckets = 1024;
    fs->by_id = xcalloc(fs->buckets, sizeof(*fs->by_id));
    fs->by_name = xcalloc(fs->buckets, sizeof(*fs->by_name));
    fs->next_id = FUSE_ROOT_ID;
    LIST_INIT(&fs->locals);
    LIST_INIT(&fs->unsent);
    TAILQ_INIT(&fs->due);
    TAILQ_INIT(&fs->told);
    LIST_INIT(&fs->lock_texts);
    LIST_INIT(&fs->recalls);
    LIST_INIT(&fs->retired);
    fs->root = inode_new(fs, INODE_DIR, slice_of(NULL, 0), slice_of(NULL, 0));
    inode_count_lookups(fs->root, 1);
}

static void inode_free(struct fs *fs, struct inode *in)
{
    struct inode **p = id_slot(fs, in->id);

    while (*p != in)
        p = &(*p)->next_id;
    *p = in->next_id;
    if (is_found(in))
        unlink_name(fs, in);
    if (in->retired)
        LIST_REMOVE(in, retired_link);
    inode_set_local(fs, in, false);
    if (in->is_unsent)
        LIST_REMOVE(in, unsent);
    content_not_due(in);
    buf_free(&in->text);
    buf_free(&in->data);
    buf_free(&in->tail);
    buf_free(&in->base);
    buf_free(&in->shown);
    free(in);
    fs->inodes--;
}

void inode_table_free(struct fs *fs)
{
    for (size_t i = 0; i < fs->buckets; i++) {
        while (fs->by_id[i])
            inode_free(fs, fs->by_id[i]);
    }
    free(fs->by_id);
    free(fs->by_name);
}

struct inode *inode_by_id(struct fs *fs, fuse_ino_t id)
{
    struct inode *in = *id_slot(fs, id);

    while (in && in->id != id)
        in = in->next_id;
    return in;
}

struct inode *inode_find(struct fs *fs, enum inode_kind kind, struct slice key, struct slice text)
{
    uint64_t h = identity_hash(kind, key, text);
    struct inode *in = fs->by_name[h & (fs->buckets - 1)];

    while (in && !(in->kind == kind && slice_equal(key_slice(&in->key), key) &&
                   slice_equal(buf_slice(&in->text), text)))
        in = in->next_name;
    return in;
}

struct inode *inode_get(struct fs *fs, enum inode_kind kind, struct slice key, struct slice text)
{
    struct inode *in = inode_find(fs, kind, key, text);
    return in ? in : inode_new(fs, kind, key, text);
}

void inode_release(struct fs *fs, struct inode *in)
{
    if (in->nlookup || in->opens || in->pins || in->flushing || in == fs->root)
        return;
    if (!in->gone && (in->kind == INODE_SCRATCH || in->made || content_pending(in)))
        return;
    inode_free(fs, in);
}

void inode_set_local(struct fs *fs, struct inode *in, bool local)
{
    if (local != in->is_local)
        attr_listing_changed(fs, in->kind == INODE_FILE ? key_parent(key_slice(&in->key))
                                                        : key_slice(&in->key));
    if (local && !in->is_local)
        LIST_INSERT_HEAD(&fs->locals, in, local);
    else if (!local && in->is_local)
        LIST_REMOVE(in, local);
    in->is_local = local;
}

static bool same_identity(const struct inode *a, const struct inode *b)
{
    return a->kind == b->kind && slice_equal(key_slice(&a->key), key_slice(&b->key)) &&
           slice_equal(buf_slice(&a->text), buf_slice(&b->text));
}

void inode_retire(struct fs *fs, struct inode *in)
{
    unlink_name(fs, in);
    in->retired = true;
    LIST_INSERT_HEAD(&fs->retired, in, retired_link);
}

struct inode *inode_current(const struct inode *in)
{
    return in->retired ? inode_find(in->fs, in->kind, key_slice(&in->key), buf_slice(&in->text))
                       : (struct inode *)in;
}

bool inode_retired_lately(const struct inode *in)
{
    struct inode *old;

    LIST_FOREACH (old, &in->fs->retired, retired_link) {
        if (same_identity(old, in) && !pages_quiet(old))
            return true;
    }
    return false;
}

/* Handles on what it was before keep the bytes, too. */
static void retired_gone(struct fs *fs, const struct inode *in)
{
    struct inode *old;

    LIST_FOREACH (old, &fs->retired, retired_link) {
        if (old == in || old->gone || !same_identity(old, in) || !(in->have || old->cached))
            continue;
        buf_append_slice(&old->data, buf_slice(in->have ? &in->data : &old->shown));
        old->have = old->gone = true;
    }
}

void inode_set_gone(struct fs *fs, struct inode *in)
{
    if (in->gone)
        return;
    if (is_found(in))
        unlink_name(fs, in);
    retired_gone(fs, in);
    in->gone = true;
    in->made = false;
    inode_set_local(fs, in, false);
}

void inode_rekey(struct fs *fs, struct inode *in, enum inode_kind kind, struct slice key,
                 struct slice text)
{
    struct inode *there = in->retired ? NULL : inode_find(fs, kind, key, text);

    if (there == in || in->gone)
        return;
    if (there) {
        inode_set_gone(fs, there);
        inode_release(fs, there);
    }
    if (is_found(in))
        unlink_name(fs, in);
    in->kind = kind;
    key_copy(&in->key, key);
    buf_clear(&in->text);
    buf_append_slice(&in->text, text);
    if (is_found(in))
        link_name(fs, in);
}

void inode_move_tree(struct fs *fs, struct slice from, struct slice to)
{
    struct inode **moved = NULL;
    size_t count = 0;

    struct inode *leaf = inode_find(fs, INODE_FILE, from, slice_of(NULL, 0));
    bool alone = leaf && LIST_EMPTY(&fs->retired) &&
                 !inode_find(fs, INODE_DIR, from, slice_of(NULL, 0));

    if (alone) {
        moved = xmalloc(sizeof(*moved));
        moved[count++] = leaf;
        leaf->pins++;
    }
    for (size_t i = 0; i < fs->buckets && !alone; i++) {
        for (struct inode *in = fs->by_id[i]; in; in = in->next_id) {
            if (in->gone || !slice_has_prefix(key_slice(&in->key), from))
                continue;
            moved = xrealloc(moved, (count + 1) * sizeof(*moved));
            moved[count++] = in;
            in->pins++;
        }
    }
    for (size_t i = 0; i < count; i++) {
        struct inode *in = moved[i];
        struct key key = {0};
        struct slice old = key_slice(&in->key);

        key.len = (uint16_t)(to.len + old.len - from.len);
        if (to.len)
            memcpy(key.data, to.data, to.len);
        memcpy(key.data + to.len, old.data + from.len, old.len - from.len);
        struct buf text = {0};
        buf_append_slice(&text, buf_slice(&in->text));
        inode_rekey(fs, in, in->kind, key_slice(&key), buf_slice(&text));
        buf_free(&text);
    }
    for (size_t i = 0; i < count; i++) {
        moved[i]->pins--;
        inode_release(fs, moved[i]);
    }
    free(moved);
}
