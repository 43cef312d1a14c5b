/* SPDX-License-Identifier: Apache-2.0 */
/* GETATTR, SETATTR, STATFS: what stat shows, and changing it. */
#include "fs/op.h"

#include <errno.h>

#include "base/name.h"

/* ---- getattr ---- */

static void getattr_local(struct op *op)
{
    attr_of_local(op->fs, op->in, &op->st);
    op_attr(op, &op->st, 0);
}

/* The way to .ecp leads through the root, also while the server is away. */
static void root_anyway(void *cookie)
{
    struct op *op = cookie;
    struct node node = {.changed = op->in->changed};

    op->watch = NULL;
    cache_cancel(op->fs->cache, op->call);
    op->call = NULL;
    attr_of_node(op->fs, op->in, &node, &op->st);
    op_attr(op, &op->st, 0);
}

static void getattr_done(void *cookie, int error, const struct node *node, uint64_t until)
{
    struct op *op = cookie;

    op->call = NULL;
    if (error && op->in == op->fs->root) {
        loop_cancel(op->fs->loop, op->watch);
        root_anyway(op);
    } else if (!error && op->in->gone && op->in->opens) {
        getattr_local(op);
    } else if (error || op->in->gone || !attr_matches(op->in, node)) {
        op_error(op, error ? error : ECP_ESTALE);
    } else {
        attr_of_node(op->fs, op->in, node, &op->st);
        op_attr(op, &op->st, until);
    }
}

static void getattr_ask(void *cookie, int error)
{
    struct op *op = cookie;
    struct inode *in = op->in;

    (void)error; /* it was its writer's; what is there now is asked for */
    if (in->gone) {
        in->opens ? getattr_local(op) : op_error(op, ECP_ESTALE);
        return;
    }
    op->call =
        cache_node(op->fs->cache, key_slice(&in->key), pages_max_value(in), getattr_done, op);
    if (in == op->fs->root)
        op->watch = loop_timer(op->fs->loop, cache_connected(op->fs->cache) ? LOOP_SEC : 0,
                               root_anyway, op);
}

/* fstat(2) does not tell which handle: the thread that wrote is taken for it. */
static bool own_look(const struct inode *in, fuse_req_t req, const struct fuse_file_info *fi)
{
    if (fi)
        return content_shown_to(in, fi->fh);
    return content_shown_to(in, in->writer) && in->writer != HANDLES &&
           fuse_req_ctx(req)->pid == in->writer_pid;
}

/* What the handle, or the thread, sees of what it wrote; or attributes known here alone. */
static bool attr_is_local(const struct inode *in, fuse_req_t req, const struct fuse_file_info *fi)
{
    return inode_is_local(in) || (in->gone && in->opens) ||
           (content_unsent(in) && own_look(in, req, fi));
}

/*
 * open(2) with O_EXCL asks for the attributes of what it has just made. It may be gone by then, but
 * ESTALE would let the kernel try again from the start and make it twice.
 */
static bool is_being_created(fuse_req_t req, struct inode *in)
{
    if (!in->creator || in->creator != fuse_req_ctx(req)->pid)
        return false;
    in->creator = 0;
    return true;
}

static void created_attr(fuse_req_t req, struct inode *in)
{
    struct node node = {.flags = NODE_VALUE, .stamp = in->created};
    struct stat st;

    attr_of_node(in->fs, in, &node, &st);
    reply_attr(req, in, &st, 0);
}

void fs_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct fs *fs = fuse_req_userdata(req);
    struct inode *in = inode_by_id(fs, ino);
    struct node node;
    struct stat st;
    uint64_t until;

    if (fi && in->lost && lock_is_lost(in, fi->fh)) {
        fuse_reply_err(req, EIO);
    } else if (is_being_created(req, in)) {
        created_attr(req, in);
    } else if (attr_is_local(in, req, fi)) {
        attr_of_local(fs, in, &st);
        reply_attr(req, in, &st, 0);
    } else if (content_unsent(in)) {
        op_flush(op_new(fs, req, in), in, getattr_ask);
    } else if (!in->gone &&
               cache_node_now(fs->cache, key_slice(&in->key), pages_max_value(in), &node, &until) &&
               attr_matches(in, &node)) {
        attr_of_node(fs, in, &node, &st);
        reply_attr(req, in, &st, until);
    } else {
        getattr_ask(op_new(fs, req, in), 0);
    }
}

/* ---- access ---- */

static void access_done(void *cookie, int error, const struct node *node, uint64_t until)
{
    struct op *op = cookie;

    (void)until;
    op->call = NULL;
    if (error || op->in->gone || !attr_matches(op->in, node))
        op_error(op, error ? error : ECP_ESTALE);
    else
        op_errno(op, (int)op->flags);
}

/* Only where the kernel does not look at modes by itself, hence for the owner. */
void fs_access(fuse_req_t req, fuse_ino_t ino, int mask)
{
    struct fs *fs = fuse_req_userdata(req);
    struct inode *in = inode_by_id(fs, ino);
    int err = (unsigned)mask & ~(attr_mode(in) >> 6) & 7u ? EACCES : 0;
    struct node node;
    struct op *op;
    uint64_t until;

    if (in->gone) {
        fuse_reply_err(req, ESTALE);
    } else if (inode_is_local(in) || content_unsent(in) || in == fs->root ||
               (cache_node_now(fs->cache, key_slice(&in->key), 0, &node, &until) &&
                attr_matches(in, &node))) {
        fuse_reply_err(req, err);
    } else {
        op = op_new(fs, req, in);
        op->flags = (unsigned)err;
        op->call = cache_node(fs->cache, key_slice(&in->key), 0, access_done, op);
    }
}

/* ---- setattr ---- */

static int check_setattr(const struct fs *fs, const struct inode *in, const struct stat *attr,
                         int to_set)
{
    mode_t shown = (inode_is_dir(in) ? 0777u : 0666u) & ~fs->umask;

    if (in->kind >= INODE_CONTROL || in->kind == INODE_LOCKS)
        return EROFS;
    if (fs->quiet || in->kind == INODE_SCRATCH)
        return 0;
    if ((to_set & FUSE_SET_ATTR_MODE) && (attr->st_mode & 07777) != shown)
        return EPERM;
    if ((to_set & FUSE_SET_ATTR_UID) && attr->st_uid != fs->uid)
        return EPERM;
    if ((to_set & FUSE_SET_ATTR_GID) && attr->st_gid != fs->gid)
        return EPERM;
    return 0;
}

static void setattr_answer(struct op *op, int error)
{
    struct inode *in = op->in;

    if (error)
        op_error(op, error);
    else if (inode_is_local(in) || in->gone || (op->flags && content_shown_to(in, op->fi.fh)))
        getattr_local(op);
    else
        op_flush(op, in, getattr_ask);
}

static void touched(void *cookie, int error, uint64_t stamp)
{
    (void)stamp;
    setattr_answer(cookie, error);
}

/* Through a path nobody closes it: sent at once. */
static void resized_sent(void *cookie, int error)
{
    setattr_answer(cookie, error);
}

static void resized(void *cookie, int error)
{
    struct op *op = cookie;
    struct inode *in = op->in;

    if (!error && op->flags && lock_is_lost(in, op->fi.fh)) /* while it waited */
        error = ECP_EDISCONNECTED;
    if (!error) {
        content_by(in, op->flags ? op->fi.fh : HANDLES, op->req);
        error = content_resize(op->fs, in, op->offset);
    }
    if (error) {
        content_unload(in);
        op_error(op, error);
    } else if (!op->flags && !in->gone) {
        op_flush(op, in, resized_sent);
    } else {
        setattr_answer(op, 0);
    }
}

void fs_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
                struct fuse_file_info *fi)
{
    struct fs *fs = fuse_req_userdata(req);
    struct inode *in = inode_by_id(fs, ino);
    struct op *op = op_new(fs, req, in);
    int err = check_setattr(fs, in, attr, to_set);

    op->flags = fi != NULL; /* through a handle */
    if (fi)
        op->fi = *fi;
    op->offset = (uint64_t)attr->st_size;
    if (fi && in->lost && lock_is_lost(in, fi->fh))
        err = EIO;
    if (err) {
        op_errno(op, err);
    } else if ((to_set & FUSE_SET_ATTR_SIZE) && !in->gone && pages_refuse(in)) {
        op_errno(op, ESTALE);
    } else if (in->kind >= INODE_LOCK) {
        getattr_local(op);
    } else if (to_set & FUSE_SET_ATTR_SIZE) {
        if (op->offset == 0) {
            buf_clear(&in->tail);
            in->have = true;
        }
        if (fi)
            content_resume(in, fi->fh);
        op_load(op, in, resized);
    } else if ((to_set & FUSE_SET_ATTR_MTIME_NOW) && !in->gone && !content_pending(in) &&
               (in->kind == INODE_FILE || in->kind == INODE_VALUE)) {
        struct update u = {.kind = UPDATE_APPEND, .cond = COND_PRESENT, .key = key_slice(&in->key)};
        op_update(op, &u, touched);
    } else if (attr_is_local(in, req, fi)) {
        getattr_local(op);
    } else {
        setattr_answer(op, 0);
    }
}

/* ---- the whole file system ---- */

static void statfs_answer(struct op *op)
{
    const struct space *space = &op->fs->space;
    struct statvfs st = {.f_bsize = 4096, .f_frsize = 4096, .f_namemax = NAME_MAX_LEN};
    fuse_req_t req = op->req;

    st.f_blocks = space->total / 4096;
    st.f_bfree = st.f_bavail = space->free / 4096;
    st.f_files = space->nodes + space->free / 64;
    st.f_ffree = st.f_favail = space->free / 64;
    fuse_req_interrupt_func(req, NULL, NULL);
    fuse_reply_statfs(req, &st);
    op_free(op);
}

static void statfs_done(void *cookie, int error, const struct space *space)
{
    struct op *op = cookie;

    op->call = NULL;
    if (!error)
        op->fs->space = *space;
    statfs_answer(op);
}

/* umount(8) asks, also while the server is away: it gets what was known last. */
static void statfs_anyway(void *cookie)
{
    struct op *op = cookie;

    op->watch = NULL;
    cache_cancel(op->fs->cache, op->call);
    op->call = NULL;
    statfs_answer(op);
}

void fs_statfs(fuse_req_t req, fuse_ino_t ino)
{
    struct fs *fs = fuse_req_userdata(req);
    struct op *op = op_new(fs, req, inode_by_id(fs, ino));

    op->call = cache_space(fs->cache, statfs_done, op);
    op->watch = loop_timer(fs->loop, cache_connected(fs->cache) ? LOOP_SEC : 0, statfs_anyway, op);
}
