/* SPDX-License-Identifier: Apache-2.0 */
/* RENAME: nodes with all below them, values, scratch files that become nodes. */
#include "fs/listing.h"

#include <errno.h>
#include <stdio.h> /* RENAME_NOREPLACE */

#define NO_TEXT slice_of(NULL, 0)

/*
 * op->key/op->kind: the source as named (INODE_FILE: node of any kind); op->to/op->to_kind: the
 * destination. op->other: the destination's directory. Its name, for a scratch file, is in
 * op->bytes.
 */
static void rename_applied(struct op *op)
{
    struct fs *fs = op->fs;
    struct inode *there = inode_find(fs, op->to_kind, key_slice(op->to), NO_TEXT);
    struct inode *in = inode_find(fs, op->kind, key_slice(&op->key), buf_slice(&op->text));

    if (there && there != in) {
        inode_set_gone(fs, there);
        inode_release(fs, there);
    }
    there = inode_find(fs, INODE_DIR, key_slice(op->to), NO_TEXT);
    if (there && op->to_kind == INODE_FILE &&
        !slice_equal(key_slice(&op->key), key_slice(op->to))) {
        inode_set_gone(fs, there);
        inode_release(fs, there);
    }
    if (op->kind == INODE_FILE && op->to_kind == INODE_FILE) {
        inode_move_tree(fs, key_slice(&op->key), key_slice(op->to));
    } else if (in) {
        inode_set_local(fs, in, false);
        inode_rekey(fs, in, op->to_kind, key_slice(op->to), NO_TEXT);
        if (op->kind == INODE_SCRATCH) {
            in->have = in->dirty = false;
            in->writer = 0;
            in->stamp = op->stamp;
            buf_free(&in->data);
        }
    }
}

static void rename_send(void *cookie, int error)
{
    struct op *op = cookie;
    struct update u = {.kind = UPDATE_MOVE, .key = key_slice(&op->key), .value = key_slice(op->to)};

    (void)error; /* what is replaced and could not be read is replaced all the same */
    u.flags = UPDATE_KEEP_DIR | (op->to_kind == INODE_FILE ? UPDATE_IN_DIR : 0);
    if (op->kind == INODE_VALUE || op->to_kind == INODE_VALUE)
        u.flags |= UPDATE_VALUE_ONLY;
    if (op->kind == INODE_VALUE)
        u.flags &= ~UPDATE_KEEP_DIR;
    if (op->kind == INODE_SCRATCH) {
        struct inode *in =
            inode_find(op->fs, INODE_SCRATCH, key_slice(&op->key), buf_slice(&op->text));
        if (!in) {
            op_error(op, ECP_ENOENT);
            return;
        }
        u.kind = UPDATE_SET;
        u.key = key_slice(op->to);
        buf_clear(&op->bytes);
        buf_append_slice(&op->bytes, content_value(op->fs, buf_slice(&in->data)));
        u.value = buf_slice(&op->bytes);
        u.flags = op->to_kind == INODE_FILE ? UPDATE_IN_DIR | UPDATE_IS_FILE : 0;
    }
    if (op->flags & RENAME_NOREPLACE)
        u.cond = COND_ABSENT;
    op->applied = rename_applied;
    op_update(op, &u, op_updated);
}

static void rename_keep(void *cookie, int error)
{
    struct op *op = cookie;

    if (error)
        op_error(op, error);
    else
        op_keep_bytes(op, inode_find(op->fs, op->to_kind, key_slice(op->to), NO_TEXT), rename_send);
}

static void rename_scratch(struct op *op)
{
    struct inode *in = inode_find(op->fs, INODE_SCRATCH, key_slice(&op->key), buf_slice(&op->text));

    if (!in || op->kind != INODE_SCRATCH) {
        op_error(op, op->kind == INODE_SCRATCH ? ECP_ENOENT : ECP_EINVAL);
        return;
    }
    inode_set_local(op->fs, in, false);
    inode_rekey(op->fs, in, INODE_SCRATCH, key_slice(op->to), buf_slice(&op->bytes));
    inode_set_local(op->fs, in, true);
    op_error(op, 0);
}

/* A directory that is empty as far as the server knows. */
static bool replaces_locals(const struct op *op)
{
    struct inode *there = inode_find(op->fs, INODE_DIR, key_slice(op->to), NO_TEXT);

    return op->to_kind == INODE_FILE && there && listing_has_locals(op->fs, there);
}

void fs_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t newparent,
               const char *newname, unsigned int flags)
{
    struct fs *fs = fuse_req_userdata(req);
    struct op *op = op_new(fs, req, inode_by_id(fs, parent));
    struct inode *in;
    int error;

    op->to = xcalloc(1, sizeof(*op->to));
    op->other = inode_by_id(fs, newparent);
    op->other->pins++;
    op->flags = flags;
    error = names_resolve(fs, op->in, name, &op->kind, &op->key, &op->text);
    if (!error && op->kind >= INODE_LOCK)
        error = ECP_EROFS;
    if (!error)
        error = names_resolve_change(fs, op->other, newname, &op->to_kind, op->to, &op->bytes);
    if (error) {
        op_error(op, error);
    } else if (flags & ~(unsigned)RENAME_NOREPLACE) {
        op_errno(op, EINVAL);
    } else if (op->kind == INODE_MORE || op->to_kind == INODE_MORE) {
        op_errno(op, EXDEV); /* many nodes whose names only begin alike: mv copies */
    } else if (op->to_kind == INODE_SCRATCH) {
        rename_scratch(op);
    } else if (replaces_locals(op)) {
        op_error(op, ECP_ENOTEMPTY);
    } else {
        in = inode_find(fs, op->kind, key_slice(&op->key), buf_slice(&op->text));
        op->mutation = true;
        if (in && in->kind != INODE_SCRATCH)
            op_flush(op, in, rename_keep);
        else
            rename_keep(op, 0);
    }
}
