/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the kernel keeps of inodes, and which of it is taken back, without ever waiting for a lock
 * of the kernel: attributes by inode. Names are found out through their inodes (ESTALE), pages
 * through mtime.
 */
#include "fs/kernel_recall.h"

#include <limits.h>
#include <linux/fuse.h>
#include <unistd.h>

#include "fs/listing.h"

double kernel_keeps(struct inode *in, uint64_t until)
{
    uint64_t now;

    if (until == 0 || in->fs->ending || content_unsent(in) || in->gone || in->lost)
        return 0;
    now = loop_now(in->fs->loop);
    if (until <= now || in->changing)
        return 0;
    if (until > in->until)
        in->until = until;
    in->was_read = false;
    return (double)(until - now) / (double)LOOP_SEC;
}

/* ---- names ---- */

/*
 * The kernel decides some things by what a name led to, without asking: ENOTDIR where a path leads
 * through a file, EISDIR and ENOTDIR for unlink and rmdir. So when others change what it has names
 * of, all names are to be asked for again: it counts that in an epoch, which takes no lock.
 */
#define NOTIFY_INC_EPOCH 8 /* since protocol 7.44; takes no arguments */

bool kernel_epoch_begin(struct fs *fs)
{
    struct fuse_out_header head = {.len = sizeof(head), .error = NOTIFY_INC_EPOCH};

    fs->epoch++;
    fs->named = listing_told_epoch(fs);
    return write(fuse_session_fd(fs->session), &head, sizeof(head)) == (ssize_t)sizeof(head);
}

void kernel_begin(struct fs *fs)
{
    fs->has_epochs = kernel_epoch_begin(fs);
}

double kernel_keeps_name(struct inode *in, double keeps)
{
    if (in->kind == INODE_VALUE)
        return keeps;
    if (!in->fs->has_epochs)
        return 0;
    in->named = in->until;
    in->epoch = in->fs->epoch;
    return keeps;
}

bool kernel_has(const struct inode *in, uint64_t until)
{
    uint64_t now = loop_now(in->fs->loop);
    uint64_t half = now + (until > now ? (until - now) / 2 : 0);

    return half > now && in->nlookup && !in->was_read && in->epoch == in->fs->epoch &&
           in->named >= half && in->until >= half;
}

/* ---- which inodes a touch is about ---- */

static void recall_entry(struct recall *r, struct slice key)
{
    static const enum inode_kind kinds[] = {INODE_DIR, INODE_FILE, INODE_VALUE};
    struct inode *old;

    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        struct inode *in = inode_find(r->fs, kinds[i], key, slice_of(NULL, 0));
        if (in)
            kernel_recall_inode(r, in);
    }
    LIST_FOREACH (old, &r->fs->retired, retired_link)
        if (!old->gone && slice_equal(key_slice(&old->key), key))
            kernel_recall_inode(r, old);
}

static bool touched(const struct inode *in, const struct touch *touches, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (touches[i].kind != TOUCH_ENTRY && touch_hits_node(&touches[i], key_slice(&in->key)))
            return true;
    }
    return false;
}

/*
 * What the kernel knows below a node it knows by way of its directory: without one a leaf is moved,
 * or nothing, and there is no need to look at every inode.
 */
static bool has_below(struct fs *fs, const struct touch *touch)
{
    return touch->key.len == 0 || inode_find(fs, INODE_DIR, touch->key, slice_of(NULL, 0));
}

static void recall_below(struct recall *r, const struct touch *touches, size_t count)
{
    struct fs *fs = r->fs;
    bool below = false;

    for (size_t i = 0; i < count; i++) {
        if (touches[i].kind == TOUCH_SUBTREE)
            recall_entry(r, touches[i].key);
        below |= touches[i].kind != TOUCH_ENTRY && has_below(fs, &touches[i]);
    }
    if (!below)
        return;
    for (size_t i = 0; i < fs->buckets; i++) {
        for (struct inode *in = fs->by_id[i]; in; in = in->next_id) {
            if (!in->gone && !inode_is_local(in) && touched(in, touches, count))
                kernel_recall_inode(r, in);
        }
    }
}

static void recall(void *cookie, uint64_t serial, const struct touch *touches, size_t count)
{
    struct recall r = {.fs = cookie, .serial = serial};
    bool below = false;

    for (size_t i = 0; i < count; i++) {
        if (touches[i].kind == TOUCH_ENTRY)
            recall_entry(&r, touches[i].key);
        else
            below = true;
    }
    if (below)
        recall_below(&r, touches, count);
    /* Own changes: until the caller is told, the old name leads to what still answers. */
    if (r.named && (serial || below || r.held))
        kernel_epoch_begin(r.fs);
    kernel_recall_end(&r);
}

/* ---- own changes ---- */

static void recall_upwards(struct recall *r, struct slice key, unsigned levels)
{
    recall_entry(r, key);
    while (levels-- && key.len) {
        key = key_parent(key);
        recall_entry(r, key);
    }
}

void kernel_changing(struct fs *fs, const struct update *u)
{
    struct recall r = {.fs = fs};
    bool inside = u->kind == UPDATE_SET || u->kind == UPDATE_APPEND;
    unsigned levels = inside && u->cond == COND_PRESENT              ? 0
                      : u->flags & (UPDATE_IN_DIR | UPDATE_KEEP_DIR) ? 2
                                                                     : UINT_MAX;

    recall_upwards(&r, u->key, u->kind == UPDATE_MOVE ? UINT_MAX : levels);
    if (u->kind == UPDATE_MOVE) {
        struct touch touches[] = {{TOUCH_SUBTREE, u->key}, {TOUCH_SUBTREE, u->value}};
        recall_upwards(&r, u->value, UINT_MAX);
        recall_below(&r, touches, 2);
    }
    kernel_recall_end(&r);
}

/* Recalls under way go on: the other side may still wait for their answers. */
static void lost(void *cookie)
{
    struct fs *fs = cookie;
    struct recall r = {.fs = fs};

    for (size_t i = 0; i < fs->buckets; i++) {
        for (struct inode *in = fs->by_id[i]; in; in = in->next_id) {
            kernel_recall_tell(&r, in);
            in->unsure = true;
            r.named |= pages_leave(in);
        }
    }
    if (r.named)
        kernel_epoch_begin(fs);
}

void kernel_retire(struct inode *in, bool changing)
{
    struct fs *fs = in->fs;
    struct recall r = {.fs = fs};
    bool named = !in->retired;

    if (changing) {
        pages_changed(in);
        kernel_recall_tell(&r, in);
        pages_leave(in);
    } else {
        inode_retire(fs, in);
    }
    if (named)
        kernel_epoch_begin(fs);
}

void kernel_held(struct fs *fs)
{
    kernel_epoch_begin(fs);
}

void kernel_listing_changed(struct inode *dir)
{
    struct recall r = {.fs = dir->fs};

    if (dir->fs->ending)
        return;
    kernel_recall_inode(&r, dir);
    kernel_recall_end(&r);
}

void kernel_end(struct fs *fs)
{
    fs->ending = true;
    lost(fs);
}

void kernel_free(struct fs *fs)
{
    kernel_recall_free_all(fs);
    buf_free(&fs->name);
    buf_free(&fs->out);
}

const struct cache_events kernel_events = {.recall = recall, .lost = lost};
