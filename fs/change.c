/* SPDX-License-Identifier: Apache-2.0 */
/* MKDIR, RMDIR, UNLINK, and what a namespace of globals has no place for. */
#include "fs/fs.h"

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

static bool has_local(struct fs *fs, struct slice key)
{
    struct inode *in;

    LIST_FOREACH (in, &fs->locals, local) {
        bool inside = in->kind == INODE_FILE
                          ? slice_equal(key_parent(key_slice(&in->key)), key)
                          : in->kind != INODE_VALUE && slice_equal(key_slice(&in->key), key);
        if (inside)
            return true;
    }
    return false;
}

static void rmdir_applied(struct op *op)
{
    struct inode *in = inode_find(op->fs, INODE_DIR, key_slice(&op->key), NO_TEXT);

    if (in) {
        inode_set_gone(op->fs, in);
        inode_release(op->fs, in);
    }
}

static void rmdir_done(void *cookie, int error, uint64_t stamp)
{
    (void)stamp;
    op_error(cookie, error);
}

/* The rest of long names is no node: it may go when nothing with that beginning is left. */
static void rmdir_more(struct op *op, struct inode *in)
{
    if (in) {
        inode_set_gone(op->fs, in);
        inode_release(op->fs, in);
    }
    op_error(op, 0);
}

static void rmdir_more_read(void *cookie, int error, const struct page *page, uint64_t until)
{
    struct op *op = cookie;
    struct inode *in = inode_find(op->fs, INODE_MORE, key_slice(&op->key), buf_slice(&op->text));
    uint8_t bytes[SUBSCRIPT_MAX_LEN];

    (void)until;
    op->call = NULL;
    if (error) {
        op_error(op, error);
        return;
    }
    for (size_t i = 0; i < page->count; i++) {
        int n = key_decode_level(page->entries[i].sub, op->key.len == 0, bytes);
        if (n >= 0 && (size_t)n > op->text.len + 3 &&
            slice_has_prefix(slice_of(bytes, (size_t)n), buf_slice(&op->text))) {
            op_error(op, ECP_ENOTEMPTY);
            return;
        }
    }
    rmdir_more(op, in);
}

void fs_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    struct fs *fs = fuse_req_userdata(req);
    struct op *op = op_new(fs, req, inode_by_id(fs, parent));
    int error = names_resolve(fs, op->in, name, &op->kind, &op->key, &op->text);
    struct update u = {.kind = UPDATE_RMDIR, .flags = UPDATE_KEEP_DIR};

    if (!error && op->kind >= INODE_LOCK)
        error = ECP_EROFS;
    if (error) {
        op_error(op, error);
    } else if (op->kind == INODE_MORE) {
        struct key level = op->key;
        struct slice from = {0};
        if (key_append(&level, buf_slice(&op->text)) == 0)
            from = key_last(key_slice(&level));
        op->call = cache_page(fs->cache, key_slice(&op->key), from, false, rmdir_more_read, op);
    } else if (op->kind != INODE_FILE) {
        op_error(op, ECP_ENOTDIR);
    } else if (has_local(fs, key_slice(&op->key))) {
        op_error(op, ECP_ENOTEMPTY);
    } else {
        u.key = key_slice(&op->key);
        op->applied = rmdir_applied;
        op_update(op, &u, rmdir_done);
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

static void unlink_done(void *cookie, int error, uint64_t stamp)
{
    struct op *op = cookie;
    struct inode *in = inode_find(op->fs, op->kind, key_slice(&op->key), NO_TEXT);

    (void)stamp;
    if (error == ECP_ENOENT && in && in->fresh) {
        unlink_applied(op);
        error = 0;
    } else if (error && in) {
        content_unload(in);
    }
    op_error(op, error);
}

static void unlink_send(void *cookie, int error)
{
    struct op *op = cookie;
    struct update u = {.kind = UPDATE_ZKILL, .cond = COND_PRESENT, .key = key_slice(&op->key)};

    (void)error; /* a file that could not be read is removed all the same */
    if (op->kind == INODE_FILE)
        u.flags = UPDATE_KEEP_DIR | UPDATE_IS_FILE;
    op->applied = unlink_applied;
    op_update(op, &u, unlink_done);
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
