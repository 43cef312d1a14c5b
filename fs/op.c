/* SPDX-License-Identifier: Apache-2.0 */
/* An operation under way: its one reply, and what an interrupt does to it. */
#include "fs/lock.h"
#include "fs/op.h"

#include <errno.h>
#include <stdio.h>

#define PATIENCE          LOOP_SEC       /* an interrupted read waits this long for its answer */
#define PATIENCE_MUTATION (5 * LOOP_SEC) /* an update that was sent: its outcome matters */

void op_free(struct op *op)
{
    struct fs *fs = op->fs;

    loop_cancel(fs->loop, op->patience);
    loop_cancel(fs->loop, op->watch);
    loop_cancel(fs->loop, op->settling);
    LIST_REMOVE(op, waiting);
    if (op->in) {
        op->in->pins--;
        inode_release(fs, op->in);
    }
    if (op->leaving) {
        op->leaving->pins--;
        if (--op->leaving->leaving == 0)
            content_unload(op->leaving);
        inode_release(fs, op->leaving);
    }
    if (op->other) {
        op->other->pins--;
        inode_release(fs, op->other);
    }
    buf_free(&op->text);
    buf_free(&op->bytes);
    free(op->to);
    free(op);
}

/* ---- waits for content ---- */

static void wait_for(struct op *op, struct inode *in, inode_done_fn *step)
{
    in->pins++;
    op->waits_for = in;
    op->step = step;
}

static void wait_over(struct op *op)
{
    struct inode *in = op->waits_for;

    op->waits_for = NULL;
    in->pins--;
    inode_release(op->fs, in);
}

static void waited(void *cookie, int error)
{
    struct op *op = cookie;

    wait_over(op);
    op->step(op, error);
}

void op_flush(struct op *op, struct inode *in, inode_done_fn *step)
{
    struct inode *current = inode_current(in);

    if (current)
        in = current;
    wait_for(op, in, step);
    content_flush(op->fs, in, waited, op);
}

void op_load(struct op *op, struct inode *in, inode_done_fn *step)
{
    wait_for(op, in, step);
    content_load(op->fs, in, waited, op);
}

void op_keep_bytes(struct op *op, struct inode *in, inode_done_fn *step)
{
    if (in && !op->leaving) {
        op->leaving = in;
        in->leaving++;
        in->pins++;
    }
    if (in && in->opens > 0 && !in->have)
        op_load(op, in, step);
    else if (in && in->flushing)
        op_flush(op, in, step);
    else
        step(op, 0);
}

/* ---- interrupts ---- */

/* A wait that is given up, and the process told err. */
static void give_up(struct op *op, int err)
{
    cache_cancel(op->fs->cache, op->call);
    op->call = NULL;
    if (op->list)
        lock_net_cancel(op->list);
    if (op->waits_for) {
        content_cancel(op->fs, op->waits_for, op);
        wait_over(op);
    }
    op_errno(op, err);
}

void op_time_out(struct op *op)
{
    give_up(op, EIO);
}

static void out_of_patience(void *cookie)
{
    struct op *op = cookie;

    op->patience = NULL;
    give_up(op, EINTR);
}

static void interrupted(fuse_req_t req, void *cookie)
{
    struct op *op = cookie;
    uint64_t wait = op->mutation ? PATIENCE_MUTATION : PATIENCE;

    (void)req;
    if (!cache_connected(op->fs->cache))
        wait = 0;
    if (!op->patience)
        op->patience = loop_timer(op->fs->loop, wait, out_of_patience, op);
}

/* Whether the thread that asked is on its way out (PF_EXITING). */
bool op_caller_exiting(fuse_req_t req)
{
    char path[32], line[512], *at;
    unsigned long flags = 0;
    FILE *f;

    snprintf(path, sizeof(path), "/proc/%d/stat", (int)fuse_req_ctx(req)->pid);
    f = fopen(path, "re");
    if (!f)
        return false;
    if (fgets(line, sizeof(line), f) && (at = strrchr(line, ')')))
        sscanf(at, ") %*c %*d %*d %*d %*d %*d %lu", &flags);
    fclose(f);
    return flags & 4;
}

/* One timer for all: most operations are over long before it. */
static void look_at_callers(void *cookie)
{
    struct fs *fs = cookie;
    struct op *op, *next;
    uint64_t now = loop_now(fs->loop);

    fs->callers_timer = NULL;
    for (op = LIST_FIRST(&fs->waiting); op; op = next) {
        next = LIST_NEXT(op, waiting);
        if (op->watched && now - op->begun >= PATIENCE && op_caller_exiting(op->req))
            give_up(op, EINTR);
        else if (op->watched)
            op_watch_caller(op);
    }
}

void op_watch_caller(struct op *op)
{
    struct fs *fs = op->fs;

    op->watched = true;
    if (!fs->callers_timer)
        fs->callers_timer = loop_timer(fs->loop, PATIENCE, look_at_callers, fs);
}

struct op *op_new(struct fs *fs, fuse_req_t req, struct inode *in)
{
    struct op *op = xcalloc(1, sizeof(*op));

    op->fs = fs;
    op->req = req;
    op->in = in;
    if (in)
        in->pins++;
    op->begun = loop_now(fs->loop);
    LIST_INSERT_HEAD(&fs->waiting, op, waiting);
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

void op_attr(struct op *op, const struct stat *st, uint64_t until)
{
    fuse_req_interrupt_func(op->req, NULL, NULL);
    reply_attr(op->req, op->in, st, until);
    op_free(op);
}

void op_entry(struct op *op, struct inode *in, const struct stat *st, uint64_t until)
{
    fuse_req_interrupt_func(op->req, NULL, NULL);
    in->pins++;
    reply_entry(op->req, in, st, until);
    op_free(op);
    in->pins--;
    inode_release(in->fs, in);
}

void op_absent(struct op *op)
{
    fuse_req_interrupt_func(op->req, NULL, NULL);
    reply_absent(op->req, op->fs);
    op_free(op);
}

void op_created(struct op *op, struct inode *in, const struct stat *st)
{
    struct fuse_entry_param e = {.ino = in->id, .attr = *st};

    fuse_req_interrupt_func(op->req, NULL, NULL);
    inode_count_lookups(in, 1);
    inode_count_opens(in, op->fi.fh, 1);
    if (fuse_reply_create(op->req, &e, &op->fi) != 0) {
        inode_count_lookups(in, -1);
        inode_count_opens(in, op->fi.fh, -1);
    }
    in->pins++;
    op_free(op);
    in->pins--;
    inode_release(in->fs, in);
}

bool op_opened(struct op *op)
{
    bool taken;

    fuse_req_interrupt_func(op->req, NULL, NULL);
    taken = reply_opened(op->req, op->in, &op->fi);
    op_free(op);
    return taken;
}

void op_bytes(struct op *op, struct slice bytes)
{
    fuse_req_interrupt_func(op->req, NULL, NULL);
    fuse_reply_buf(op->req, (const char *)bytes.data, bytes.len);
    op_free(op);
}

void op_part(struct op *op, struct slice all)
{
    fuse_req_interrupt_func(op->req, NULL, NULL);
    reply_part(op->req, all, op->offset, op->size);
    op_free(op);
}

void op_written(struct op *op, size_t len)
{
    fuse_req_interrupt_func(op->req, NULL, NULL);
    fuse_reply_write(op->req, len);
    op_free(op);
}

bool op_takes_away(const struct fs *fs, struct slice key)
{
    const struct op *op;

    LIST_FOREACH (op, &fs->waiting, waiting) {
        const struct update *u = &op->update;
        bool moves = op->updated && u->kind == UPDATE_MOVE && slice_has_prefix(key, u->key);
        bool ends = op->updated && op->leaving && slice_equal(key, key_slice(&op->leaving->key));
        if (moves || ends)
            return true;
    }
    return false;
}

/* ---- updates: neither sent nor told of before the kernel knows ---- */

static void update_settle(void *cookie)
{
    struct op *op = cookie;

    op->settling = NULL;
    if (kernel_unsettled(op->fs))
        op->settling = loop_timer(op->fs->loop, LOOP_MS, update_settle, op);
    else
        op->updated(op, op->error, op->stamp);
}

static void update_done(void *cookie, int error, uint64_t stamp)
{
    struct op *op = cookie;

    op->call = NULL;
    op->error = error;
    op->stamp = stamp;
    if (op->applied && !error)
        op->applied(op);
    update_settle(op);
}

static void update_send(void *cookie)
{
    struct op *op = cookie;

    op->settling = NULL;
    if (kernel_unsettled(op->fs))
        op->settling = loop_timer(op->fs->loop, LOOP_MS, update_send, op);
    else
        op->call = cache_update(op->fs->cache, &op->update, 1, update_done, op);
}

void op_updated(void *cookie, int error, uint64_t stamp)
{
    (void)stamp;
    op_error(cookie, error);
}

void op_update(struct op *op, const struct update *update, cache_update_fn *done)
{
    op->mutation = true;
    op->update = *update;
    op->updated = done;
    kernel_changing(op->fs, update);
    update_send(op);
}
