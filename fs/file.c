/* SPDX-License-Identifier: Apache-2.0 */
/* OPEN, CREATE, READ, WRITE, FLUSH, FSYNC, RELEASE. */
#include "fs/fs.h"

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
    else if (in->kind == INODE_SCRATCH || ((fi->flags & O_TRUNC) && content_unsent(in)))
        open_finish(op, NULL, 0); /* what was written before is never seen */
    else if (in->leaving)
        op_load(op, in, open_left);
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

/* The directory must be there and the name free, although the value is sent only later. */
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
        content_touched(fs, in);
        inode_set_local(fs, in, true);
        create_answer(op, in, NULL);
    } else if (op->fi.flags & O_EXCL) {
        struct update u = {.kind = UPDATE_SET, .cond = COND_ABSENT, .key = key_slice(&op->key)};
        u.flags = op->kind == INODE_FILE ? UPDATE_IN_DIR : 0;
        if (op->kind == INODE_VALUE)
            u.cond = COND_NONE;
        op_update(op, &u, create_exclusive_done);
    } else {
        op->call = cache_node(fs->cache, key_slice(&op->key), 0, create_checked, op);
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

void fs_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
    struct fs *fs = fuse_req_userdata(req);
    struct inode *in = inode_by_id(fs, ino);
    struct node node;
    struct op *op;
    uint64_t until;

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
    struct op *op = op_new(fs, req, inode_by_id(fs, ino));

    (void)datasync;
    if (op->in->whole == fi->fh)
        content_end(op->in);
    op->mutation = true;
    op_watch_caller(op);
    op_flush(op, op->in, sync_flushed);
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
