/* SPDX-License-Identifier: Apache-2.0 */
/* Recalls: telling the kernel that attributes are no longer right, until it has heard of each. */
#include "fs/kernel_recall.h"

#include <errno.h>

#include "fs/listing.h"

#define RETRY_MIN LOOP_MS
#define RETRY_MAX (50 * LOOP_MS)
#define SLACK     (50 * LOOP_MS) /* by which the kernel, which counts ticks, may be late */

static bool is_named(const struct inode *in)
{
    return in->epoch >= in->fs->named && loop_now(in->fs->loop) <= in->named + SLACK;
}

/*
 * A name that others change may be on its way into the kernel, past the epoch that is begun now.
 * (Own changes hold the directory, as does who reads it.)
 */
static void mind_told(struct recall *r, const struct inode *in)
{
    uint64_t told = 0;

    if (r->serial && !TAILQ_EMPTY(&in->fs->told) && in->key.len)
        told = listing_last_told(in->fs, key_parent(key_slice(&in->key)));
    if (told > r->told)
        r->told = told;
}

bool kernel_recall_tell(struct recall *r, struct inode *in)
{
    struct fs *fs = in->fs;

    r->named |= is_named(in);
    if (in->nlookup == 0 || loop_now(fs->loop) > in->until + SLACK)
        return true;
    if (fuse_lowlevel_notify_inval_inode(fs->session, in->id, -1, 0) == -ENOENT)
        return false;
    in->until = 0; /* an answer of before that is still on its way is not kept */
    return true;
}

void kernel_recall_inode(struct recall *r, struct inode *in)
{
    bool told = kernel_recall_tell(r, in);

    mind_told(r, in);
    r->held |= in->leaving > 0 && in->opens > 0;
    in->unsure |= r->serial != 0;
    pages_changed(in);
    if ((r->serial || in->retired) && pages_leave(in))
        r->named = true;
    if (pages_settled(in) > r->settled)
        r->settled = pages_settled(in);
    if (told)
        return;
    if (r->count == r->cap) {
        r->cap = r->cap ? 2 * r->cap : 8;
        r->inodes = xrealloc(r->inodes, r->cap * sizeof(*r->inodes));
    }
    r->inodes[r->count].id = in->id;
    r->inodes[r->count++].until = in->until + SLACK;
}

static void recall_free(struct recall *r)
{
    loop_cancel(r->fs->loop, r->timer);
    if (r->serial == 0)
        r->fs->own_recalls--;
    LIST_REMOVE(r, link);
    free(r->inodes);
    free(r);
}

static void recall_retry(void *cookie);

static bool recall_is_over(const struct recall *r)
{
    return r->count == 0 && (r->settled == 0 || loop_now(r->fs->loop) >= r->settled) &&
           !(r->told && listing_is_under_way(r->fs, r->told));
}

/* What was waited for has come about. */
static void recall_done(struct fs *fs, uint64_t serial, uint64_t told)
{
    if (told)
        kernel_epoch_begin(fs);
    if (serial)
        cache_recalled(fs->cache, serial);
}

static void recall_wait(struct recall *r)
{
    struct loop *loop = r->fs->loop;

    if (r->count || r->told) {
        r->timer = loop_timer(loop, r->delay, recall_retry, r);
        r->delay = 2 * r->delay < RETRY_MAX ? 2 * r->delay : RETRY_MAX;
    } else {
        uint64_t now = loop_now(loop);
        r->timer = loop_timer(loop, r->settled > now ? r->settled - now : 0, recall_retry, r);
    }
}

void kernel_recall_end(struct recall *begun)
{
    struct fs *fs = begun->fs;
    struct recall *r;

    if (recall_is_over(begun)) {
        free(begun->inodes);
        recall_done(fs, begun->serial, 0);
        return;
    }
    r = xmalloc(sizeof(*r));
    *r = *begun;
    r->delay = RETRY_MIN;
    LIST_INSERT_HEAD(&fs->recalls, r, link);
    if (r->serial == 0)
        fs->own_recalls++;
    recall_wait(r);
}

static void recall_retry(void *cookie)
{
    struct recall *r = cookie;
    size_t left = 0;

    r->timer = NULL;
    for (size_t i = 0; i < r->count; i++) {
        struct inode *in = inode_by_id(r->fs, r->inodes[i].id);
        if (in && loop_now(r->fs->loop) <= r->inodes[i].until && !kernel_recall_tell(r, in))
            r->inodes[left++] = r->inodes[i];
    }
    r->count = left;
    if (recall_is_over(r)) {
        struct fs *fs = r->fs;
        uint64_t serial = r->serial, told_before = r->told;
        recall_free(r);
        recall_done(fs, serial, told_before);
    } else {
        recall_wait(r);
    }
}

bool kernel_unsettled(const struct fs *fs)
{
    return fs->own_recalls > 0;
}

void kernel_recall_free_all(struct fs *fs)
{
    struct recall *r;

    while ((r = LIST_FIRST(&fs->recalls)))
        recall_free(r);
}
