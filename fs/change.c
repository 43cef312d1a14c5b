/* SPDX-License-Identifier: Apache-2.0 */
/* MKDIR, RMDIR, UNLINK, and what a namespace of globals has no place for. */
#include "fs/listing.h"

#include <errno.h>

#define NO_TEXT slice_of(NULL, 0)

/* ---- mkdir ---- */

static void mkdir_done(void *cookie, int error, uint64_t stamp)
{
    struct op *op = cookie;
    struct node node = {.flags = NODE_DIR, .stamp = stamp, .changed = stamp};
    struct inode *in;

    if (error) {
        op_error(op, error);
        return;
    }
    in = inode_get(op->fs, INODE_DIR, key_slice(&op->key), NO_TEXT);
    attr_of_node(op->fs, in, &node, &op->st);
    op_entry(op, in, &op->st, 0);
}

void fs_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
    struct fs *fs = fuse_req_userdata(req);
    struct op *op = op_new(fs, req, inode_by_id(fs, parent));
    int error = names_resolve_change(fs, op->in, name, &op->kind, &op->key, &op->text);

    (void)mode;
    if (!error && op->kind != INODE_FILE && op->kind != INODE_MORE) {
        op_error(op, ECP_EINVAL);
    } else if (error) {
        op_error(op, error);
    } else if (op->kind == INODE_MORE) {
        struct inode *in = inode_get(fs, INODE_MORE, key_slice(&op->key), buf_slice(&op->text));
        in->made = true;
        inode_set_local(fs, in, true);
        attr_of_local(fs, in, &op->st);
        op_entry(op, in, &op->st, 0);
    } else {
        struct update u = {
            .kind = UPDATE_MKDIR, .flags = UPDATE_IN_DIR, .key = key_slice(&op->key)};
        op_update(op, &u, mkdir_done);
    }
}

/* ---- rmdir ---- */

static void rmdir_applied(struct op *op)
{
    struct inode *in = inode_find(op->fs, INODE_DIR, key_slice(&op->key), NO_TEXT);

    if (in) {
        inode_set_gone(op->fs, in);
        inode_release(op->fs, in);
    }
}

/* The rest of long names is no node: it may go when nothing with that beginning is left. */
static void rmdir_more(struct op *op)
{
    struct inode *in = inode_find(op->fs, INODE_MORE, key_slice(&op->key), buf_slice(&op->text));

    if (op->error == ECP_ENOENT && in) {
        inode_set_gone(op->fs, in);
        inode_release(op->fs, in);
    }
    op_error(op, op->error == 0 ? ECP_ENOTEMPTY : op->error == ECP_ENOENT ? 0 : op->error);
}

void fs_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    struct fs *fs = fuse_req_userdata(req);
    struct op *op = op_new(fs, req, inode_by_id(fs, parent));
    int error = names_resolve(fs, op->in, name, &op->kind, &op->key, &op->text);
    struct update u = {.kind = UPDATE_RMDIR, .flags = UPDATE_KEEP_DIR};
    struct inode *in;

    if (!error && op->kind >= INODE_LOCK)
        error = ECP_EROFS;
    if (!error && op->kind != INODE_FILE && op->kind != INODE_MORE)
        error = ECP_ENOTDIR;
    if (error) {
        op_error(op, error);
        return;
    }
    in = inode_find(fs, op->kind == INODE_MORE ? INODE_MORE : INODE_DIR, key_slice(&op->key),
                    buf_slice(&op->text));
    if (in && listing_has_locals(fs, in)) {
        op_error(op, ECP_ENOTEMPTY);
    } else if (op->kind == INODE_MORE) {
        op->then = rmdir_more;
        lookup_more(op);
    } else {
        u.key = key_slice(&op->key);
        op->applied = rmdir_applied;
        op_update(op, &u, op_updated);
    }
}

/* ---- unlink ---- */

static void unlink_applied(struct op *op)
{
    struct inode *in = inode_find(op->fs, op->kind, key_slice(&op->key), NO_TEXT);

    if (in) {
        inode_set_gone(op->fs, in);
        inode_release(op->fs, in);
    }
}

static void unlink_send(void *cookie, int error)
{
    struct op *op = cookie;
    struct update u = {.kind = UPDATE_ZKILL, .cond = COND_PRESENT, .key = key_slice(&op->key)};

    (void)error; /* a file that could not be read is removed all the same */
    if (op->kind == INODE_FILE)
        u.flags = UPDATE_KEEP_DIR | UPDATE_IS_FILE;
    op->applied = unlink_applied;
    op_update(op, &u, op_updated);
}

void fs_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    struct fs *fs = fuse_req_userdata(req);
    struct op *op = op_new(fs, req, inode_by_id(fs, parent));
    int error = names_resolve(fs, op->in, name, &op->kind, &op->key, &op->text);
    struct inode *in;

    if (!error && op->kind >= INODE_LOCK)
        error = ECP_EROFS;
    if (error || op->kind == INODE_MORE) {
        op_error(op, error ? error : ECP_EISDIR);
        return;
    }
    in = inode_find(fs, op->kind, key_slice(&op->key), buf_slice(&op->text));
    if (op->kind == INODE_SCRATCH) {
        if (in) {
            inode_set_gone(fs, in);
            inode_release(fs, in);
        }
        op_error(op, in ? 0 : ECP_ENOENT);
        return;
    }
    op->mutation = true;
    op_keep_bytes(op, in, unlink_send);
}

/* ---- no place for these ---- */

void fs_symlink(fuse_req_t req, const char *link, fuse_ino_t parent, const char *name)
{
    (void)link;
    (void)parent;
    (void)name;
    fuse_reply_err(req, EPERM);
}

void fs_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t newparent, const char *newname)
{
    (void)ino;
    (void)newparent;
    (void)newname;
    fuse_reply_err(req, EPERM);
}
