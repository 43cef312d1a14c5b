/* SPDX-License-Identifier: Apache-2.0 */
/* FLOCK, SETLK, GETLK, and the end of locks when files are closed. */
#include <errno.h>
#include <sys/file.h>

#include "fs/lock_ask.h"

/* ---- What the kernel asks ---- */

/* The node, or of a directory's own files that of the directory. */
static int name_of(const struct inode *in, struct key *key)
{
    *key = in->key;
    switch (in->kind) {
    case INODE_FILE:
    case INODE_VALUE:
    case INODE_LOCK:
        return 0;
    case INODE_SCRATCH: /* the node that has its name, escaped */
        return key_append(key, buf_slice(&in->text));
    case INODE_LOCKS_FILE:
        key_copy(key, buf_slice(&in->text));
        return 0;
    default:
        return ECP_ELOCKFULL;
    }
}

/* 0, or an errno. */
static int prepare(struct lock_ask *ask, struct inode *in, const struct fuse_file_info *fi)
{
    struct lock_hold *hold;

    if (in->lost && lock_is_lost(in, fi->fh))
        return EIO;
    if (name_of(in, &ask->name))
        return ENOLCK;
    ask->locks = in->fs->locks;
    ask->in = in;
    ask->handle = fi->fh;
    LIST_FOREACH (hold, &in->holds, of_inode) /* the name that is locked, after a rename, too */
        if (hold->owner == ask->owner && hold->mode != LOCK_NONE)
            ask->name = hold->name;
    return 0;
}

void fs_flock(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi, int op)
{
    struct fs *fs = fuse_req_userdata(req);
    struct locks *l = fs->locks;
    struct inode *in = inode_by_id(fs, ino);
    struct lock_ask ask = {.owner = fi->fh,
                           .mode = op & LOCK_EX   ? 1
                                   : op & LOCK_SH ? 0
                                                  : LOCK_NONE,
                           .wait = !(op & LOCK_NB),
                           .flock = true,
                           .pid = fuse_req_ctx(req)->pid};
    int err = prepare(&ask, in, fi);
    struct lock_hold *hold = err ? NULL : lock_hold_find(l, in, ask.owner, ask.handle);
    int had = hold ? hold->mode : LOCK_NONE;

    if (err || ask.mode == had) {
        fuse_reply_err(req, err);
        return;
    }
    if (had != LOCK_NONE)
        lock_hold_set(l, hold, LOCK_NONE);
    if (ask.mode == LOCK_NONE) {
        ask.kind = ASK_UNLOCK;
        lock_ask_unlock(l, req, in, &ask);
        return;
    }
    if (had != LOCK_NONE) { /* as flock(2) says, one goes before the other comes */
        ask.kind = ASK_UNLOCK;
        lock_ask_unlock(l, NULL, NULL, &ask);
        ask.kind = ASK_LOCK;
    }
    lock_ask_lock(l, req, &ask);
}

static void set_range(struct lock_ask *ask, const struct flock *lock)
{
    ask->start = (uint64_t)lock->l_start;
    ask->end = lock->l_len ? ask->start + (uint64_t)lock->l_len : 0;
    ask->mode = lock->l_type == F_WRLCK ? 1 : lock->l_type == F_RDLCK ? 0 : LOCK_NONE;
}

void fs_setlk(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi, struct flock *lock,
              int sleep)
{
    struct fs *fs = fuse_req_userdata(req);
    struct inode *in = inode_by_id(fs, ino);
    struct lock_ask ask = {.owner = fi->lock_owner, .wait = sleep, .pid = lock->l_pid};
    int err = prepare(&ask, in, fi);
    bool any;

    set_range(&ask, lock);
    if (err) {
        fuse_reply_err(req, err);
    } else if (ask.mode == LOCK_NONE) {
        ask.kind = ASK_UNLOCK;
        any = lock_ask_is_whole(&ask) ? lock_hold_set_all(fs->locks, in, ask.owner, LOCK_NONE)
                                      : !LIST_EMPTY(&in->holds);
        any ? lock_ask_unlock(fs->locks, req, in, &ask) : (void)fuse_reply_err(req, 0);
    } else {
        lock_ask_lock(fs->locks, req, &ask);
    }
}

void fs_getlk(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi, struct flock *lock)
{
    struct fs *fs = fuse_req_userdata(req);
    struct inode *in = inode_by_id(fs, ino);
    struct lock_ask ask = {.owner = fi->lock_owner};
    struct call_lock_item item;
    struct call_lock_args args = {.who.owner = ask.owner, .items = &item, .count = 1, .test = true};
    int err = prepare(&ask, in, fi);

    set_range(&ask, lock);
    item = lock_ask_item(&ask);
    err ? (void)fuse_reply_err(req, err) : lock_test(fs->locks, req, &args);
}

/* ---- Closing ---- */

bool lock_flush(fuse_req_t req, struct inode *in, const struct fuse_file_info *fi)
{
    struct locks *l = in->fs->locks;
    struct lock_ask ask = {.kind = ASK_CLOSE, .owner = fi->lock_owner, .handle = fi->fh};
    struct lock_hold *hold, *next;
    bool any = false;

    for (hold = LIST_FIRST(&in->holds); hold; hold = next) {
        next = LIST_NEXT(hold, of_inode);
        if (hold->owner != ask.owner)
            continue;
        if (hold->mode != LOCK_NONE) {
            any = true;
            ask.name = hold->name;
        }
        if (!hold->lost)
            lock_hold_free(l, hold);
        else
            lock_hold_set(l, hold, LOCK_NONE);
    }
    if (any)
        lock_ask_unlock(l, req, in, &ask);
    return any;
}

void lock_release_handle(struct inode *in, uint64_t handle)
{
    struct locks *l = in->fs->locks;
    struct lock_hold *hold, *next;

    for (hold = LIST_FIRST(&in->holds); hold; hold = next) {
        struct lock_ask ask = {.kind = ASK_UNLOCK, .owner = hold->owner, .name = hold->name};
        bool held = hold->mode != LOCK_NONE;

        next = LIST_NEXT(hold, of_inode);
        if (hold->handle != handle)
            continue;
        lock_hold_free(l, hold);
        if (held) {
            lock_hold_set_all(l, in, ask.owner, LOCK_NONE);
            lock_ask_unlock(l, NULL, NULL, &ask);
        }
    }
}
