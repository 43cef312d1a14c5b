/* SPDX-License-Identifier: Apache-2.0 */
/* OPEN, CREATE, MKNOD. */
#include "fs/op.h"

#include <errno.h>
#include <fcntl.h>

/* ---- open ---- */

/* A handle for locking: every close is told of. */
static void open_lock(struct op *op)
{
    pages_open(op->fs, NULL, NULL, 0, &op->fi);
    op->fi.noflush = false;
    op_opened(op);
}

static void open_begin(fuse_req_t req, struct inode *in, const struct node *node, uint64_t until,
                       struct fuse_file_info *fi)
{
    pages_open(in->fs, in, node, until, fi);
    if (fi->flags & O_TRUNC) {
        buf_clear(&in->tail);
        in->have = true;
        content_by(in, fi->fh, req);
        content_resize(in->fs, in, 0);
        content_begin(in, fi->fh, fi->flags);
    }
}

static void open_finish(struct op *op, const struct node *node, uint64_t until)
{
    open_begin(op->req, op->in, node, until, &op->fi);
    op_opened(op);
}

static void open_ask(void *cookie, int error);

/*
 * Of what is being removed or replaced the bytes must be here, for the handle may read when it is
 * gone. But others may see it gone, or something else in its place, already, and then the handle
 * must not show them: how that ends is known soon.
 */
static void open_left_wait(void *cookie)
{
    struct op *op = cookie;

    op->settling = NULL;
    if (op->in->gone)
        op_error(op, ECP_ESTALE);
    else if (op->in->leaving)
        op->settling = loop_timer(op->fs->loop, LOOP_MS, open_left_wait, op);
    else
        op_flush(op, op->in, open_ask);
}

static void open_left_done(void *cookie, int error, const struct node *node, uint64_t until)
{
    struct op *op = cookie;
    struct inode *in = op->in;

    (void)until;
    op->call = NULL;
    if (!in->leaving)
        content_unload(in);
    if (error) {
        op_error(op, error);
    } else if (in->have && attr_matches(in, node) &&
               slice_equal(content_value(op->fs, buf_slice(&in->data)), node->value)) {
        if (in->opens == 0)
            kernel_held(op->fs);
        open_finish(op, NULL, 0);
    } else {
        open_left_wait(op);
    }
}

static void open_left(void *cookie, int error)
{
    struct op *op = cookie;

    if (error)
        op_error(op, ECP_ESTALE);
    else
        op->call =
            cache_node(op->fs->cache, key_slice(&op->in->key), VALUE_MAX_LEN, open_left_done, op);
}

static void open_done(void *cookie, int error, const struct node *node, uint64_t until)
{
    struct op *op = cookie;

    op->call = NULL;
    if (error || op->in->gone || !attr_matches(op->in, node)) {
        op_error(op, error ? error : ECP_ESTALE);
    } else if (op->in->leaving) {
        op_load(op, op->in, open_left);
    } else {
        pages_seen(op->in, node->stamp);
        open_finish(op, node, until);
    }
}

static void open_ask(void *cookie, int error)
{
    struct op *op = cookie;
    uint32_t max_value = pages_write(op->fi.flags) ? 0 : VALUE_MAX_LEN;

    (void)error; /* it was its writer's; what is there now is asked for */
    op->call = cache_node(op->fs->cache, key_slice(&op->in->key), max_value, open_done, op);
}

static bool open_now(fuse_req_t req, struct inode *in, struct fuse_file_info *fi)
{
    struct node node;
    uint64_t until;
    uint32_t max_value = pages_write(fi->flags) ? 0 : VALUE_MAX_LEN;

    if (content_unsent(in) || in->leaving ||
        !cache_node_now(in->fs->cache, key_slice(&in->key), max_value, &node, &until) ||
        !attr_matches(in, &node))
        return false;
    pages_seen(in, node.stamp);
    open_begin(req, in, &node, until, fi);
    reply_opened(req, in, fi);
    return true;
}

void fs_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct fs *fs = fuse_req_userdata(req);
    struct inode *in = inode_by_id(fs, ino);
    struct op *op;

    if (!in->gone && (pages_write(fi->flags) ? pages_refuse(in)
                                             : pages_refuse_reader(in, fuse_req_ctx(req)->pid))) {
        fuse_reply_err(req, ESTALE);
        return;
    }
    if (!in->gone && !inode_is_local(in) && open_now(req, in, fi))
        return;
    op = op_new(fs, req, in);
    op->fi = *fi;
    if (in->gone)
        op_error(op, ECP_ESTALE);
    else if (in->kind == INODE_CONTROL_FILE)
        control_open(op);
    else if (in->kind >= INODE_LOCK)
        open_lock(op);
    else if (in->leaving && content_unsent(in))
        open_left_wait(op);
    else if (in->leaving)
        op_load(op, in, open_left);
    else if (in->kind == INODE_SCRATCH || ((fi->flags & O_TRUNC) && content_unsent(in)))
        open_finish(op, NULL, 0); /* what was written before is never seen */
    else
        op_flush(op, in, open_ask);
}

/* ---- create ---- */

/* node: as the server has it; NULL when the content is here. */
static void create_answer(struct op *op, struct inode *in, const struct node *node)
{
    if (node)
        attr_of_node(op->fs, in, node, &op->st);
    else
        attr_of_local(op->fs, in, &op->st);
    op->then ? op->then(op) : op_created(op, in, &op->st);
}

/* For a handle that may write. */
static struct inode *create_inode(struct op *op)
{
    struct inode *in = inode_find(op->fs, op->kind, key_slice(&op->key), slice_of(NULL, 0));

    if (in && in->cached)
        kernel_retire(in, true);
    return inode_get(op->fs, op->kind, key_slice(&op->key), slice_of(NULL, 0));
}

static void create_exclusive_done(void *cookie, int error, uint64_t stamp)
{
    struct op *op = cookie;
    struct node node = {.flags = NODE_VALUE, .stamp = stamp};
    struct inode *in;

    if (error) {
        op_error(op, error);
        return;
    }
    in = create_inode(op);
    in->creator = op->then ? 0 : fuse_req_ctx(op->req)->pid;
    in->created = stamp;
    if (!in->writer)
        content_begin(in, op->fi.fh, op->fi.flags);
    create_answer(op, in, &node);
}

/* The name must be free, although the value is sent only later. */
static void create_checked(void *cookie, int error, const struct node *node, uint64_t until)
{
    struct op *op = cookie;
    struct inode *in;

    (void)until;
    op->call = NULL;
    if (!error && op->kind == INODE_FILE && (node->flags & (NODE_DIR | NODE_CHILDREN)))
        error = ECP_EISDIR;
    if (error) {
        op_error(op, error);
        return;
    }
    in = create_inode(op);
    if ((node->flags & NODE_VALUE) && !(op->fi.flags & O_TRUNC)) {
        create_answer(op, in, node); /* another was faster */
        return;
    }
    in->stamp = node->stamp;
    in->fresh = true;
    inode_set_local(op->fs, in, true);
    content_by(in, op->fi.fh, op->req);
    if (op->fi.flags & O_TRUNC || !(op->fi.flags & O_APPEND))
        content_resize(op->fs, in, 0);
    content_touched(op->fs, in);
    content_begin(in, op->fi.fh, op->fi.flags);
    create_answer(op, in, NULL);
}

/* The server is told later, or never: in a directory that is there. */
static void create_here(struct op *op)
{
    struct fs *fs = op->fs;
    struct inode *in;

    if (op->kind != INODE_SCRATCH) {
        op->call = cache_node(fs->cache, key_slice(&op->key), 0, create_checked, op);
        return;
    }
    in = inode_get(fs, INODE_SCRATCH, key_slice(&op->key), buf_slice(&op->text));
    in->have = true;
    content_touched(fs, in);
    inode_set_local(fs, in, true);
    create_answer(op, in, NULL);
}

static void create_directory_seen(void *cookie, int error, const struct node *node, uint64_t until)
{
    struct op *op = cookie;

    (void)until;
    op->call = NULL;
    if (!error && !(node->flags & (NODE_DIR | NODE_CHILDREN)))
        error = ECP_ENOENT;
    if (error) {
        op_error(op, error);
    } else {
        op->in->unsure = false;
        create_here(op);
    }
}

static void create(struct op *op, const char *name)
{
    struct fs *fs = op->fs;
    struct slice dir = key_slice(&op->in->key);
    int error = names_resolve_change(fs, op->in, name, &op->kind, &op->key, &op->text);

    if (!error && op->kind == INODE_MORE) {
        op_error(op, ECP_EINVAL);
    } else if (error) {
        op_error(op, error);
    } else if (op->kind != INODE_SCRATCH && (op->fi.flags & O_EXCL)) {
        struct update u = {.kind = UPDATE_SET, .cond = COND_ABSENT, .key = key_slice(&op->key)};
        u.flags = op->kind == INODE_FILE ? UPDATE_IN_DIR : 0;
        if (op->kind == INODE_VALUE)
            u.cond = COND_NONE;
        op_update(op, &u, create_exclusive_done);
    } else if (op->in->unsure && dir.len) {
        op->call = cache_node(fs->cache, dir, 0, create_directory_seen, op);
    } else {
        create_here(op);
    }
}

void fs_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
               struct fuse_file_info *fi)
{
    struct fs *fs = fuse_req_userdata(req);
    struct op *op = op_new(fs, req, inode_by_id(fs, parent));

    (void)mode;
    op->fi = *fi;
    pages_open(fs, NULL, NULL, 0, &op->fi);
    create(op, name);
}

static void mknod_answer(struct op *op)
{
    op_entry(op, inode_find(op->fs, op->kind, key_slice(&op->key), buf_slice(&op->text)), &op->st,
             0);
}

void fs_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev)
{
    struct fs *fs = fuse_req_userdata(req);
    struct op *op;

    (void)rdev;
    if (!S_ISREG(mode)) {
        fuse_reply_err(req, EPERM);
        return;
    }
    op = op_new(fs, req, inode_by_id(fs, parent));
    op->fi.flags = O_EXCL;
    op->then = mknod_answer;
    create(op, name);
}
