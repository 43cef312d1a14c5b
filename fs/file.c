/* SPDX-License-Identifier: Apache-2.0 */
/* READ, WRITE, FLUSH, FSYNC, RELEASE. */
#include "fs/op.h"

#include <errno.h>
#include <fcntl.h>

/* ---- read ---- */

/* The part of a file whose value is known. */
static void reply_value(fuse_req_t req, struct fs *fs, struct slice value, uint64_t offset,
                        size_t size)
{
    if (fs->text && offset <= value.len && offset + size > value.len) {
        buf_clear(&fs->out);
        buf_append_slice(&fs->out, slice_of(value.data + offset, value.len - offset));
        buf_append(&fs->out, "\n", 1);
        fuse_reply_buf(req, (const char *)fs->out.data, fs->out.len);
    } else {
        reply_part(req, value, offset, size);
    }
}

static void read_done(void *cookie, int error, const struct node *node, uint64_t until)
{
    struct op *op = cookie;

    (void)until;
    op->call = NULL;
    if (!error && !attr_matches(op->in, node))
        error = ECP_ESTALE;
    if (error) {
        op_error(op, error);
        return;
    }
    fuse_req_interrupt_func(op->req, NULL, NULL);
    reply_value(op->req, op->fs, node->value, op->offset, op->size);
    op_free(op);
}

static void read_ask(void *cookie, int error)
{
    struct op *op = cookie;
    struct inode *in = op->in;

    (void)error; /* it was its writer's; what is there now is asked for */
    if (content_shown_to(in, op->fi.fh)) {
        op_part(op, buf_slice(&in->data));
        return;
    }
    op->call = cache_node(op->fs->cache, key_slice(&in->key), VALUE_MAX_LEN, read_done, op);
}

/* The listing that the kernel keeps does not tell it of the file anew. */
static void note_read(struct inode *in)
{
    struct inode *dir;

    if (in->was_read || in->kind != INODE_FILE)
        return;
    in->was_read = true;
    dir = inode_find(in->fs, INODE_DIR, key_parent(key_slice(&in->key)), slice_of(NULL, 0));
    if (dir)
        dir->listed = 0;
}

void fs_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
    struct fs *fs = fuse_req_userdata(req);
    struct inode *in = inode_by_id(fs, ino);
    struct node node;
    struct op *op;
    uint64_t until;

    note_read(in);
    if (in->kind == INODE_CONTROL_FILE) {
        control_read(req, fi, size, off);
    } else if (in->lost && lock_is_lost(in, fi->fh)) {
        fuse_reply_err(req, EIO);
    } else if (in->kind >= INODE_LOCK) {
        locks_read(req, in, fi, size, off);
    } else if (in->gone || content_shown_to(in, fi->fh)) {
        reply_part(req, buf_slice(&in->data), (uint64_t)off, size);
    } else if (pages_read(req, in, fi->fh, (uint64_t)off, size)) {
        return;
    } else if (!content_unsent(in) &&
               cache_node_now(fs->cache, key_slice(&in->key), VALUE_MAX_LEN, &node, &until) &&
               attr_matches(in, &node)) {
        reply_value(req, fs, node.value, (uint64_t)off, size);
    } else {
        op = op_new(fs, req, in);
        op->fi = *fi;
        op->offset = (uint64_t)off;
        op->size = size;
        op_flush(op, in, read_ask);
    }
}

/* ---- write ---- */

/* The content is here. */
static int write_content(fuse_req_t req, struct inode *in, uint64_t handle, uint64_t offset,
                         struct slice bytes)
{
    int error;

    content_by(in, handle, req);
    error = content_write(in->fs, in, offset, bytes);
    if (error)
        content_unload(in);
    return error;
}

static void write_loaded(void *cookie, int error)
{
    struct op *op = cookie;
    struct slice bytes = buf_slice(&op->bytes);

    if (!error && lock_is_lost(op->in, op->fi.fh)) /* while it waited */
        error = ECP_EDISCONNECTED;
    if (error)
        content_unload(op->in);
    else
        error = write_content(op->req, op->in, op->fi.fh, op->offset, bytes);
    if (error)
        op_error(op, error);
    else
        op_written(op, bytes.len);
}

void fs_write(fuse_req_t req, fuse_ino_t ino, const char *bytes, size_t size, off_t off,
              struct fuse_file_info *fi)
{
    struct fs *fs = fuse_req_userdata(req);
    struct inode *in = inode_by_id(fs, ino);
    struct op *op;
    int error;

    if (in->lost && lock_is_lost(in, fi->fh)) {
        fuse_reply_err(req, EIO);
        return;
    }
    if (in->kind >= INODE_LOCK) { /* a lock file holds nothing */
        fuse_reply_write(req, size);
        return;
    }
    if (fi->flags & O_APPEND) {
        content_by(in, fi->fh, req);
        error = content_append(fs, in, slice_of(bytes, size));
        error ? fuse_reply_err(req, error_errno(error)) : fuse_reply_write(req, size);
        return;
    }
    content_resume(in, fi->fh);
    if (in->gone || in->have) {
        error = write_content(req, in, fi->fh, (uint64_t)off, slice_of(bytes, size));
        error ? fuse_reply_err(req, error_errno(error)) : fuse_reply_write(req, size);
        return;
    }
    op = op_new(fs, req, in);
    op->fi = *fi;
    op->offset = (uint64_t)off;
    buf_append(&op->bytes, bytes, size);
    op_load(op, in, write_loaded);
}

/* ---- flush, fsync, release ---- */

/* Also what could not be stored in the background is told, once. */
static void flushed(void *cookie, int error)
{
    struct op *op = cookie;

    if (!error)
        error = op->in->failed;
    op->in->failed = 0;
    op_error(op, error);
}

void fs_flush_content(fuse_req_t req, struct inode *in)
{
    struct fs *fs = in->fs;
    struct op *op;

    if (!content_unsent(in) && !in->failed) {
        fuse_reply_err(req, 0);
        return;
    }
    op = op_new(fs, req, in);
    op->mutation = true;
    op_watch_caller(op);
    op_flush(op, in, flushed);
}

void fs_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct inode *in = inode_by_id(fuse_req_userdata(req), ino);

    /* A child that ends closes its copy, too; it is not the one that writes. */
    if (in->whole == fi->fh && in->writer_pid == fuse_req_ctx(req)->pid)
        content_end(in);
    if (LIST_EMPTY(&in->holds) || !lock_flush(req, in, fi))
        fs_flush_content(req, in);
}

static void synced(void *cookie, int error)
{
    struct op *op = cookie;

    op->call = NULL;
    op_error(op, error);
}

static void sync_flushed(void *cookie, int error)
{
    struct op *op = cookie;

    if (!error)
        error = op->in->failed;
    op->in->failed = 0;
    if (error)
        op_error(op, error);
    else
        op->call = cache_sync(op->fs->cache, synced, op);
}

/* What was written is sent, and on the server's disk. */
void fs_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
    struct fs *fs = fuse_req_userdata(req);
    struct inode *in = inode_by_id(fs, ino);
    struct op *op;

    (void)datasync;
    if (in->lost && lock_is_lost(in, fi->fh)) {
        fuse_reply_err(req, EIO);
        return;
    }
    if (in->whole == fi->fh)
        content_end(in);
    op = op_new(fs, req, in);
    op->mutation = true;
    op_watch_caller(op);
    op_flush(op, in, sync_flushed);
}

void fs_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct fs *fs = fuse_req_userdata(req);
    struct inode *in = inode_by_id(fs, ino);

    if (in->kind == INODE_CONTROL_FILE)
        control_release(fi);
    else if (in->kind == INODE_LOCKS_FILE)
        locks_read_end(fs, fi->fh);
    if (!LIST_EMPTY(&in->holds))
        lock_release_handle(in, fi->fh);
    inode_count_opens(in, fi->fh, -1);
    in->creator = 0;
    if (in->whole == fi->fh)
        content_end(in);
    fuse_reply_err(req, 0);
    inode_release(fs, in);
}
