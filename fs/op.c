/* SPDX-License-Identifier: Apache-2.0 */
/* An operation under way: its one reply, and what an interrupt does to it. */
#include "fs/fs.h"

#include <errno.h>

#define PATIENCE          LOOP_SEC       /* an interrupted read waits this long for its answer */
#define PATIENCE_MUTATION (5 * LOOP_SEC) /* an update that was sent: its outcome matters */

void op_free(struct op *op)
{
    struct fs *fs = op->fs;

    loop_cancel(fs->loop, op->patience);
    fs->ops--;
    if (op->in) {
        op->in->pins--;
        inode_release(fs, op->in);
    }
    if (op->other) {
        op->other->pins--;
        inode_release(fs, op->other);
    }
    buf_free(&op->text);
    buf_free(&op->bytes);
    free(op);
}

/* A wait that is given up: the process was hit by a signal and nothing came. */
static void give_up(void *cookie)
{
    struct op *op = cookie;

    op->patience = NULL;
    if (!op->call)
        return;
    op->fs->up->ops->cancel(op->fs->up, op->call);
    op->call = NULL;
    op_errno(op, EINTR);
}

static void interrupted(fuse_req_t req, void *cookie)
{
    struct op *op = cookie;
    uint64_t wait = op->mutation ? PATIENCE_MUTATION : PATIENCE;

    (void)req;
    if (!op->fs->up->ops->connected(op->fs->up))
        wait = 0;
    if (!op->patience)
        op->patience = loop_timer(op->fs->loop, wait, give_up, op);
}

struct op *op_new(struct fs *fs, fuse_req_t req, struct inode *in)
{
    struct op *op = xcalloc(1, sizeof(*op));

    op->fs = fs;
    op->req = req;
    op->in = in;
    if (in)
        in->pins++;
    fs->ops++;
    fuse_req_interrupt_func(req, interrupted, op);
    return op;
}

void op_errno(struct op *op, int err)
{
    fuse_req_t req = op->req;

    fuse_req_interrupt_func(req, NULL, NULL);
    op_free(op);
    fuse_reply_err(req, err);
}

void op_error(struct op *op, int error)
{
    op_errno(op, error ? error_errno(error) : 0);
}

void op_attr(struct op *op, const struct stat *st)
{
    fuse_req_interrupt_func(op->req, NULL, NULL);
    fuse_reply_attr(op->req, st, 0);
    op_free(op);
}

static struct fuse_entry_param entry_of(const struct inode *in, const struct stat *st)
{
    return (struct fuse_entry_param){.ino = in->id, .attr = *st};
}

/* The kernel took a reference only when the reply was taken. */
void op_entry(struct op *op, struct inode *in, const struct stat *st)
{
    struct fuse_entry_param e = entry_of(in, st);

    fuse_req_interrupt_func(op->req, NULL, NULL);
    in->nlookup++;
    if (fuse_reply_entry(op->req, &e) != 0)
        in->nlookup--;
    in->pins++;
    op_free(op);
    in->pins--;
    inode_release(in->fs, in);
}

void op_created(struct op *op, struct inode *in, const struct stat *st)
{
    struct fuse_entry_param e = entry_of(in, st);

    fuse_req_interrupt_func(op->req, NULL, NULL);
    in->nlookup++;
    in->opens++;
    if (fuse_reply_create(op->req, &e, &op->fi) != 0) {
        in->nlookup--;
        in->opens--;
    }
    in->pins++;
    op_free(op);
    in->pins--;
    inode_release(in->fs, in);
}

void op_opened(struct op *op)
{
    fuse_req_interrupt_func(op->req, NULL, NULL);
    op->in->opens++;
    if (fuse_reply_open(op->req, &op->fi) != 0)
        op->in->opens--;
    op_free(op);
}

void op_bytes(struct op *op, struct slice bytes)
{
    fuse_req_interrupt_func(op->req, NULL, NULL);
    fuse_reply_buf(op->req, (const char *)bytes.data, bytes.len);
    op_free(op);
}

void op_written(struct op *op, size_t len)
{
    fuse_req_interrupt_func(op->req, NULL, NULL);
    fuse_reply_write(op->req, len);
    op_free(op);
}

void op_update(struct op *op, struct update *update, upstream_update_fn *done)
{
    op->mutation = true;
    op->call = op->fs->up->ops->update(op->fs->up, update, 1, done, op);
}
