/* SPDX-License-Identifier: Apache-2.0 */
/* LOOKUP, FORGET, GETATTR, SETATTR: what a name is, and what stat shows of it. */
#include "fs/fs.h"

#include <errno.h>

#include "base/name.h"

static void lookup_done(void *cookie, int error, const struct node *node)
{
    struct op *op = cookie;
    struct fs *fs = op->fs;
    struct inode *in;

    op->call = NULL;
    if (error) {
        op_error(op, error);
        return;
    }
    if (op->kind == INODE_FILE && (node->flags & (NODE_DIR | NODE_CHILDREN)))
        op->kind = INODE_DIR;
    if (node->flags == 0 || (op->kind == INODE_VALUE && !(node->flags & NODE_VALUE))) {
        op_error(op, ECP_ENOENT);
        return;
    }
    in = inode_get(fs, op->kind, key_slice(&op->key), slice_of(NULL, 0));
    if (in->have || in->fresh)
        attr_of_local(fs, in, &op->st);
    else
        attr_of_node(fs, in, node, &op->st);
    op_entry(op, in, &op->st);
}

/* ---- the directory that holds the rest of long names: it exists when such a name does ---- */

static void more_ask(struct op *op, bool after);

static bool more_seen(struct op *op, const struct page *page, bool *beyond)
{
    uint8_t bytes[SUBSCRIPT_MAX_LEN];
    struct slice prefix = buf_slice(&op->text);

    for (size_t i = 0; i < page->count; i++) {
        int n = key_decode_level(page->entries[i].sub, op->key.len == 0, bytes);

        if (n < 0 || !slice_has_prefix(slice_of(bytes, (size_t)n), prefix)) {
            *beyond = true;
            return false;
        }
        if (names_boundary(slice_of(bytes, (size_t)n), prefix.len))
            return true;
    }
    return false;
}

static void more_done(void *cookie, int error, const struct page *pages, size_t count)
{
    struct op *op = cookie;
    bool beyond = false;

    op->call = NULL;
    if (!error && count > 0 && more_seen(op, &pages[0], &beyond)) {
        struct inode *in = inode_get(op->fs, INODE_MORE, key_slice(&op->key), buf_slice(&op->text));
        attr_of_local(op->fs, in, &op->st);
        op_entry(op, in, &op->st);
    } else if (error || count == 0 || beyond || pages[0].to_end || pages[0].count == 0) {
        op_error(op, error ? error : ECP_ENOENT);
    } else {
        struct slice last = pages[0].entries[pages[0].count - 1].sub;
        buf_clear(&op->bytes);
        buf_append_slice(&op->bytes, last);
        more_ask(op, true);
    }
}

static void more_ask(struct op *op, bool after)
{
    struct upstream_read args = {.parent = key_slice(&op->key), .after = after, .budget = 65536};

    args.from = buf_slice(&op->bytes);
    op->call = op->fs->up->ops->read(op->fs->up, &args, more_done, op);
}

static void more_lookup(struct op *op)
{
    struct key level = op->key;

    if (key_append(&level, buf_slice(&op->text)) != 0) {
        op_error(op, ECP_ENOENT);
        return;
    }
    buf_append_slice(&op->bytes, key_last(key_slice(&level)));
    more_ask(op, false);
}

/* What this mount holds itself: files not yet sent, scratch files, directories made for long names.
 */
static struct inode *find_local(struct fs *fs, enum inode_kind kind, struct slice key,
                                struct slice text)
{
    struct inode *in = inode_find(fs, kind, key, text);

    return in && in->is_local ? in : NULL;
}

void fs_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    struct fs *fs = fuse_req_userdata(req);
    struct inode *dir = inode_by_id(fs, parent), *in;
    struct op *op = op_new(fs, req, dir);
    int error = names_resolve(fs, dir, name, &op->kind, &op->key, &op->text);

    if (error) {
        op_error(op, error);
        return;
    }
    in = find_local(fs, op->kind, key_slice(&op->key), buf_slice(&op->text));
    if (in) {
        attr_of_local(fs, in, &op->st);
        op_entry(op, in, &op->st);
    } else if (op->kind == INODE_SCRATCH) {
        op_error(op, ECP_ENOENT);
    } else if (op->kind == INODE_MORE) {
        more_lookup(op);
    } else if (op->kind >= INODE_CONTROL) {
        in = inode_get(fs, op->kind, key_slice(&op->key), buf_slice(&op->text));
        attr_of_local(fs, in, &op->st);
        op_entry(op, in, &op->st);
    } else {
        op->call = fs->up->ops->node(fs->up, key_slice(&op->key), 0, lookup_done, op);
    }
}

static void forget_one(struct fs *fs, fuse_ino_t ino, uint64_t nlookup)
{
    struct inode *in = inode_by_id(fs, ino);

    if (!in || in == fs->root)
        return;
    inode_count_lookups(in, -(int64_t)(nlookup < in->nlookup ? nlookup : in->nlookup));
    inode_release(fs, in);
}

void fs_forget(fuse_req_t req, fuse_ino_t ino, uint64_t nlookup)
{
    forget_one(fuse_req_userdata(req), ino, nlookup);
    fuse_reply_none(req);
}

void fs_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
    for (size_t i = 0; i < count; i++)
        forget_one(fuse_req_userdata(req), forgets[i].ino, forgets[i].nlookup);
    fuse_reply_none(req);
}

/* ---- attributes ---- */

static void getattr_done(void *cookie, int error, const struct node *node)
{
    struct op *op = cookie;

    op->call = NULL;
    if (error) {
        op_error(op, error);
    } else if (op->in->have || op->in->fresh || op->in->gone) {
        attr_of_local(op->fs, op->in, &op->st);
        op_attr(op, &op->st);
    } else if (!attr_matches(op->in, node)) {
        op_error(op, ECP_ESTALE);
    } else {
        attr_of_node(op->fs, op->in, node, &op->st);
        op_attr(op, &op->st);
    }
}

static void getattr_ask(void *cookie, int error)
{
    struct op *op = cookie;
    struct inode *in = op->in;

    if (error)
        op_error(op, error);
    else if (in->gone && !in->opens)
        op_error(op, ECP_ESTALE);
    else if (in->gone || in->have || in->fresh || inode_is_local(in))
        getattr_done(op, 0, NULL);
    else
        op->call = op->fs->up->ops->node(op->fs->up, key_slice(&in->key), 0, getattr_done, op);
}

void fs_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct fs *fs = fuse_req_userdata(req);
    struct inode *in = inode_by_id(fs, ino);
    struct op *op = op_new(fs, req, in);

    (void)fi;
    if (inode_is_local(in)) {
        attr_of_local(fs, in, &op->st);
        op_attr(op, &op->st);
    } else if (in->tail.len > 0 || (in->flushing && !in->have)) {
        op_flush(op, in, getattr_ask);
    } else {
        getattr_ask(op, 0);
    }
}

static int check_setattr(const struct fs *fs, const struct inode *in, const struct stat *attr,
                         int to_set)
{
    mode_t shown = (inode_is_dir(in) ? 0777u : 0666u) & ~fs->umask;

    if (in->kind >= INODE_CONTROL)
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

static void touched(void *cookie, int error, const struct upstream_applied *applied)
{
    struct op *op = cookie;

    (void)applied;
    op->call = NULL;
    getattr_ask(op, error);
}

static void resized(void *cookie, int error)
{
    struct op *op = cookie;

    if (!error)
        error = content_resize(op->fs, op->in, op->offset);
    if (!error && op->in->opens == 0)
        op_flush(op, op->in, getattr_ask);
    else
        getattr_ask(op, error);
}

void fs_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
                struct fuse_file_info *fi)
{
    struct fs *fs = fuse_req_userdata(req);
    struct inode *in = inode_by_id(fs, ino);
    struct op *op = op_new(fs, req, in);
    int err = check_setattr(fs, in, attr, to_set);

    (void)fi;
    op->offset = (uint64_t)attr->st_size;
    if (err) {
        op_errno(op, err);
    } else if (to_set & FUSE_SET_ATTR_SIZE) {
        if (op->offset == 0) {
            buf_clear(&in->tail);
            in->have = true;
        }
        op_load(op, in, resized);
    } else if ((to_set & FUSE_SET_ATTR_MTIME_NOW) && !in->gone && !content_pending(in) &&
               (in->kind == INODE_FILE || in->kind == INODE_VALUE)) {
        struct update u = {.kind = UPDATE_APPEND, .cond = COND_PRESENT, .key = key_slice(&in->key)};
        op_update(op, &u, touched);
    } else {
        getattr_ask(op, 0);
    }
}

/* ---- the whole file system ---- */

static void statfs_done(void *cookie, int error, const struct space *space)
{
    struct op *op = cookie;
    struct statvfs st = {.f_bsize = 4096, .f_frsize = 4096, .f_namemax = NAME_MAX_LEN};
    fuse_req_t req = op->req;

    op->call = NULL;
    if (error) {
        op_error(op, error);
        return;
    }
    st.f_blocks = space->total / 4096;
    st.f_bfree = st.f_bavail = space->free / 4096;
    st.f_files = space->nodes + space->free / 64;
    st.f_ffree = st.f_favail = space->free / 64;
    fuse_req_interrupt_func(req, NULL, NULL);
    fuse_reply_statfs(req, &st);
    op->req = NULL;
    op_free(op);
}

void fs_statfs(fuse_req_t req, fuse_ino_t ino)
{
    struct fs *fs = fuse_req_userdata(req);
    struct op *op = op_new(fs, req, inode_by_id(fs, ino));

    op->call = fs->up->ops->space(fs->up, statfs_done, op);
}
