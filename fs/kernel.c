/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the kernel keeps of inodes, and taking it back without ever waiting for a lock of the
 * kernel: attributes by inode. Names are found out through their inodes (ESTALE), pages through
 * mtime.
 */
#include "fs/listing.h"

#include <errno.h>
#include <limits.h>
#include <linux/fuse.h>
#include <unistd.h>

#define RETRY_MIN LOOP_MS
#define RETRY_MAX (50 * LOOP_MS)
#define SLACK     (50 * LOOP_MS) /* by which the kernel, which counts ticks, may be late */

/*
 * A recall of which some inodes could not yet be told: the kernel does not know them, but
 * references were given out, so a reply may be on its way in; or a READ is under way, whose answer
 * may cut the file's size in the kernel only as long as nothing is told meanwhile.
 */
struct recall {
    LIST_ENTRY(recall) link; /* fs->recalls */
    struct fs *fs;
    uint64_t serial; /* 0: an own change */
    bool named;      /* a name may lead to what is not of that kind any more */
    bool held;       /* what is to go has handles, and answers as long as they are open */
    uint64_t delay;
    uint64_t settled; /* not done before; loop_now() */
    uint64_t told;    /* nor before what was told until then is taken; 0: nothing is waited for */
    struct loop_event *timer;
    struct {
        uint64_t id;
        uint64_t until; /* after which the kernel keeps nothing by itself */
    } * inodes;
    size_t count, cap;
};

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
    return (double)(until - now) / (double)LOOP_SEC;
}

/* ---- names ---- */

/*
 * The kernel decides some things by what a name led to, without asking: ENOTDIR where a path leads
 * through a file, EISDIR and ENOTDIR for unlink and rmdir. So when others change what it has names
 * of, all names are to be asked for again: it counts that in an epoch, which takes no lock.
 */
#define NOTIFY_INC_EPOCH 8 /* since protocol 7.44; takes no arguments */

static bool epoch_begin(struct fs *fs)
{
    struct fuse_out_header head = {.len = sizeof(head), .error = NOTIFY_INC_EPOCH};

    fs->epoch++;
    fs->named = listing_told_epoch(fs);
    return write(fuse_session_fd(fs->session), &head, sizeof(head)) == (ssize_t)sizeof(head);
}

void kernel_begin(struct fs *fs)
{
    fs->has_epochs = epoch_begin(fs);
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

static bool is_named(const struct inode *in)
{
    return in->epoch >= in->fs->named && loop_now(in->fs->loop) <= in->named + SLACK;
}

bool kernel_has(const struct inode *in, uint64_t until)
{
    uint64_t now = loop_now(in->fs->loop);
    uint64_t half = now + (until > now ? (until - now) / 2 : 0);

    return half > now && in->nlookup && in->epoch == in->fs->epoch && in->named >= half &&
           in->until >= half;
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

/* ---- attributes ---- */

/* False: not yet. */
static bool tell(struct recall *r, struct inode *in)
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

static void recall_inode(struct recall *r, struct inode *in)
{
    bool told = tell(r, in);

    mind_told(r, in);
    r->held |= in->leaving > 0 && in->opens > 0;
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
        epoch_begin(fs);
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

/* Most are over when their inodes were told once; what is left of the others lives on. */
static void recall_end(struct recall *begun)
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
        if (in && loop_now(r->fs->loop) <= r->inodes[i].until && !tell(r, in))
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

/* ---- which inodes a touch is about ---- */

static void recall_entry(struct recall *r, struct slice key)
{
    static const enum inode_kind kinds[] = {INODE_DIR, INODE_FILE, INODE_VALUE};
    struct inode *old;

    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        struct inode *in = inode_find(r->fs, kinds[i], key, slice_of(NULL, 0));
        if (in)
            recall_inode(r, in);
    }
    LIST_FOREACH (old, &r->fs->retired, retired_link)
        if (!old->gone && slice_equal(key_slice(&old->key), key))
            recall_inode(r, old);
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
                recall_inode(r, in);
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
        epoch_begin(r.fs);
    recall_end(&r);
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
    recall_end(&r);
}

/* Recalls under way go on: the other side may still wait for their answers. */
static void lost(void *cookie)
{
    struct fs *fs = cookie;
    struct recall r = {.fs = fs};

    for (size_t i = 0; i < fs->buckets; i++) {
        for (struct inode *in = fs->by_id[i]; in; in = in->next_id) {
            tell(&r, in);
            r.named |= pages_leave(in);
        }
    }
    if (r.named)
        epoch_begin(fs);
}

void kernel_retire(struct inode *in, bool changing)
{
    struct fs *fs = in->fs;
    struct recall r = {.fs = fs};
    bool named = !in->retired;

    if (changing) {
        pages_changed(in);
        tell(&r, in);
        pages_leave(in);
    } else {
        inode_retire(fs, in);
    }
    if (named)
        epoch_begin(fs);
}

void kernel_held(struct fs *fs)
{
    epoch_begin(fs);
}

void kernel_listing_changed(struct inode *dir)
{
    struct recall r = {.fs = dir->fs};

    if (dir->fs->ending)
        return;
    recall_inode(&r, dir);
    recall_end(&r);
}

bool kernel_unsettled(const struct fs *fs)
{
    return fs->own_recalls > 0;
}

void kernel_end(struct fs *fs)
{
    fs->ending = true;
    lost(fs);
}

void kernel_free(struct fs *fs)
{
    struct recall *r;

    while ((r = LIST_FIRST(&fs->recalls)))
        recall_free(r);
    buf_free(&fs->name);
    buf_free(&fs->out);
}

const struct cache_events kernel_events = {.recall = recall, .lost = lost};
