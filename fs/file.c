/* SPDX-License-Identifier: Apache-2.0 */
/* OPEN, CREATE, READ, WRITE, FLUSH, FSYNC, RELEASE. */
#include "fs/fs.h"

#include <errno.h>
#include <fcntl.h>

/* ---- open ---- */

static void open_finish(struct op *op)
{
    struct inode *in = op->in;

    if (op->fi.flags & O_TRUNC) {
        buf_clear(&in->tail);
        in->have = true;
        content_resize(op->fs, in, 0);
    }
    op->fi.noflush = (op->fi.flags & O_ACCMODE) == O_RDONLY;
    op->fi.direct_io = (op->fi.flags & O_APPEND) != 0;
    op_opened(op);
}

static void open_done(void *cookie, int error, const struct node *node)
{
    struct op *op = cookie;

    op->call = NULL;
    if (error)
        op_error(op, error);
    else if (!op->in->fresh && !op->in->have && !attr_matches(op->in, node))
        op_error(op, ECP_ESTALE);
    else
        open_finish(op);
}

void fs_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct fs *fs = fuse_req_userdata(req);
    struct inode *in = inode_by_id(fs, ino);
    struct op *op = op_new(fs, req, in);

    op->fi = *fi;
    if (in->gone)
        op_error(op, ECP_ESTALE);
    else if (in->kind == INODE_CONTROL_FILE)
        control_open(op);
    else if (in->kind == INODE_SCRATCH || in->fresh)
        open_finish(op);
    else
        op->call = fs->up->ops->node(fs->up, key_slice(&in->key), 0, open_done, op);
}

/* ---- create ---- */

/* node: as the server has it; NULL when the content is here. */
static void create_answer(struct op *op, struct inode *in, const struct node *node)
{
    if (node && !in->have && !in->fresh)
        attr_of_node(op->fs, in, node, &op->st);
    else
        attr_of_local(op->fs, in, &op->st);
    op->fi.direct_io = (op->fi.flags & O_APPEND) != 0;
    op->then ? op->then(op) : op_created(op, in, &op->st);
}

static void create_exclusive_done(void *cookie, int error, const struct upstream_applied *applied)
{
    struct op *op = cookie;

    (void)applied;
    op->call = NULL;
    if (error) {
        op_error(op, error);
        return;
    }
    create_answer(op, inode_get(op->fs, op->kind, key_slice(&op->key), slice_of(NULL, 0)), NULL);
}

/* The directory must be there and the name free, although the value is sent only later. */
static void create_checked(void *cookie, int error, const struct node *node)
{
    struct op *op = cookie;
    struct inode *in;

    op->call = NULL;
    if (!error && op->kind == INODE_FILE && (node->flags & (NODE_DIR | NODE_CHILDREN)))
        error = ECP_EISDIR;
    if (error) {
        op_error(op, error);
        return;
    }
    in = inode_get(op->fs, op->kind, key_slice(&op->key), slice_of(NULL, 0));
    if ((node->flags & NODE_VALUE) && !(op->fi.flags & O_TRUNC)) {
        create_answer(op, in, node); /* another was faster */
        return;
    }
    in->fresh = true;
    inode_set_local(op->fs, in, true);
    if (op->fi.flags & O_TRUNC || !(op->fi.flags & O_APPEND))
        content_resize(op->fs, in, 0);
    content_touched(op->fs, in);
    create_answer(op, in, NULL);
}

static void create(struct op *op, const char *name)
{
    struct fs *fs = op->fs;
    int error = names_resolve_change(fs, op->in, name, &op->kind, &op->key, &op->text);

    if (!error && op->kind == INODE_MORE) {
        op_error(op, ECP_EINVAL);
    } else if (error) {
        op_error(op, error);
    } else if (op->kind == INODE_SCRATCH) {
        struct inode *in = inode_get(fs, INODE_SCRATCH, key_slice(&op->key), buf_slice(&op->text));
        in->have = true;
        inode_set_local(fs, in, true);
        create_answer(op, in, NULL);
    } else if (op->fi.flags & O_EXCL) {
        struct update u = {.kind = UPDATE_SET, .cond = COND_ABSENT, .key = key_slice(&op->key)};
        u.flags = op->kind == INODE_FILE ? UPDATE_IN_DIR : 0;
        if (op->kind == INODE_VALUE)
            u.cond = COND_NONE;
        op_update(op, &u, create_exclusive_done);
    } else {
        op->call = fs->up->ops->node(fs->up, key_slice(&op->key), 0, create_checked, op);
    }
}

void fs_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
               struct fuse_file_info *fi)
{
    struct fs *fs = fuse_req_userdata(req);
    struct op *op = op_new(fs, req, inode_by_id(fs, parent));

    (void)mode;
    op->fi = *fi;
    create(op, name);
}

static void mknod_answer(struct op *op)
{
    op_entry(op, inode_find(op->fs, op->kind, key_slice(&op->key), buf_slice(&op->text)), &op->st);
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

/* ---- read ---- */

static void read_done(void *cookie, int error, const struct node *node)
{
    struct op *op = cookie;

    op->call = NULL;
    if (!error && !(node->flags & NODE_VALUE))
        error = ECP_ESTALE;
    if (error) {
        op_error(op, error);
    } else if (op->fs->text && op->offset + op->size > node->value_len &&
               op->offset <= node->value_len) {
        buf_append_slice(&op->bytes, node->value);
        buf_append(&op->bytes, "\n", 1);
        op_bytes(op, buf_slice(&op->bytes));
    } else {
        op_bytes(op, node->value);
    }
}

static void read_ask(void *cookie, int error)
{
    struct op *op = cookie;

    if (error)
        op_error(op, error);
    else if (op->in->have || op->in->gone)
        op_part(op, buf_slice(&op->in->data));
    else if (op->offset > VALUE_MAX_LEN)
        op_bytes(op, slice_of("", 0));
    else
        op->call = op->fs->up->ops->value(op->fs->up, key_slice(&op->in->key), (uint32_t)op->offset,
                                          (uint32_t)op->size, read_done, op);
}

void fs_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
    struct fs *fs = fuse_req_userdata(req);
    struct op *op = op_new(fs, req, inode_by_id(fs, ino));

    op->fi = *fi;
    op->offset = (uint64_t)off;
    op->size = size;
    if (op->in->kind == INODE_CONTROL_FILE)
        control_read(op);
    else if (op->in->tail.len > 0 || (op->in->flushing && !op->in->have))
        op_flush(op, op->in, read_ask);
    else
        read_ask(op, 0);
}

/* ---- write ---- */

static void write_loaded(void *cookie, int error)
{
    struct op *op = cookie;
    size_t len = op->bytes.len;

    if (!error)
        error = content_write(op->fs, op->in, op->offset, buf_slice(&op->bytes));
    if (error)
        op_error(op, error);
    else
        op_written(op, len);
}

void fs_write(fuse_req_t req, fuse_ino_t ino, const char *bytes, size_t size, off_t off,
              struct fuse_file_info *fi)
{
    struct fs *fs = fuse_req_userdata(req);
    struct op *op = op_new(fs, req, inode_by_id(fs, ino));
    int error;

    if (fi->flags & O_APPEND) {
        error = content_append(fs, op->in, slice_of(bytes, size));
        if (error)
            op_error(op, error);
        else
            op_written(op, size);
        return;
    }
    op->offset = (uint64_t)off;
    buf_append(&op->bytes, bytes, size);
    if (op->in->gone)
        write_loaded(op, 0);
    else
        op_load(op, op->in, write_loaded);
}

/* ---- flush, fsync, release ---- */

static void flushed(void *cookie, int error)
{
    op_error(cookie, error);
}

static void flush(fuse_req_t req, fuse_ino_t ino)
{
    struct fs *fs = fuse_req_userdata(req);
    struct op *op = op_new(fs, req, inode_by_id(fs, ino));

    op->mutation = true;
    op_watch_caller(op);
    op_flush(op, op->in, flushed);
}

void fs_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    (void)fi;
    flush(req, ino);
}

void fs_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
    (void)datasync;
    (void)fi;
    flush(req, ino);
}

void fs_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct fs *fs = fuse_req_userdata(req);
    struct inode *in = inode_by_id(fs, ino);

    if (in->kind == INODE_CONTROL_FILE)
        control_release(fi);
    inode_count_opens(in, -1);
    fuse_reply_err(req, 0);
    inode_release(fs, in);
}
