/* SPDX-License-Identifier: Apache-2.0 */
/* LOOKUP, FORGET: what a name is. */
#include "fs/op.h"

#include <errno.h>

/* NULL: the name is of nothing. Notes what of the node matters later. */
static struct inode *lookup_inode(struct fs *fs, enum inode_kind kind, struct slice key,
                                  const struct node *node, struct stat *st)
{
    struct inode *in;

    if (kind == INODE_FILE && (node->flags & (NODE_DIR | NODE_CHILDREN)))
        kind = INODE_DIR;
    if (node->flags == 0 || (kind == INODE_VALUE && !(node->flags & NODE_VALUE)))
        return NULL;
    in = inode_get(fs, kind, key, slice_of(NULL, 0));
    attr_of_node(fs, in, node, st);
    return in;
}

static void lookup_done(void *cookie, int error, const struct node *node, uint64_t until)
{
    struct op *op = cookie;
    struct inode *in;

    op->call = NULL;
    if (error) {
        op_error(op, error);
        return;
    }
    in = lookup_inode(op->fs, op->kind, key_slice(&op->key), node, &op->st);
    if (in)
        op_entry(op, in, &op->st, until);
    else
        op_absent(op);
}

static void lookup_ask(void *cookie, int error)
{
    struct op *op = cookie;

    (void)error; /* it was its writer's; what is there now is asked for */
    op->call = cache_node(op->fs->cache, key_slice(&op->key), 0, lookup_done, op);
}

/* ---- the directory that holds the rest of long names: it exists when such a name does ---- */

static void more_ask(struct op *op, bool after);

static void more_found(struct op *op, int error)
{
    op->error = error;
    op->then(op);
}

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

static void more_done(void *cookie, int error, const struct page *page, uint64_t until)
{
    struct op *op = cookie;
    bool beyond = false;

    (void)until;
    op->call = NULL;
    if (!error && more_seen(op, page, &beyond)) {
        more_found(op, 0);
    } else if (error || beyond || page->to_end || page->count == 0) {
        more_found(op, error ? error : ECP_ENOENT);
    } else {
        struct slice last = page->entries[page->count - 1].sub;
        buf_clear(&op->bytes);
        buf_append_slice(&op->bytes, last);
        more_ask(op, true);
    }
}

static void more_ask(struct op *op, bool after)
{
    op->call =
        cache_page(op->fs->cache, key_slice(&op->key), buf_slice(&op->bytes), after, more_done, op);
}

void lookup_more(struct op *op)
{
    struct key level = op->key;

    if (key_append(&level, buf_slice(&op->text)) != 0) {
        more_found(op, ECP_ENOENT);
        return;
    }
    buf_append_slice(&op->bytes, key_last(key_slice(&level)));
    more_ask(op, false);
}

static void more_entry(struct op *op)
{
    struct inode *in;

    if (op->error) {
        op_error(op, op->error);
        return;
    }
    in = inode_get(op->fs, INODE_MORE, key_slice(&op->key), buf_slice(&op->text));
    attr_of_local(op->fs, in, &op->st);
    op_entry(op, in, &op->st, 0);
}

/* What this mount holds itself: scratch files, directories made for long names. */
static struct inode *find_local(struct fs *fs, enum inode_kind kind, struct slice key,
                                struct slice text)
{
    struct inode *in = inode_find(fs, kind, key, text);

    return in && in->is_local ? in : NULL;
}

/* Not a node, or the rest of long names. */
static void lookup_local(fuse_req_t req, struct fs *fs, struct inode *dir, enum inode_kind kind,
                         const struct key *key)
{
    struct inode *in = find_local(fs, kind, key_slice(key), buf_slice(&fs->name));
    struct stat st;

    if (!in && kind >= INODE_LOCK)
        in = inode_get(fs, kind, key_slice(key), buf_slice(&fs->name));
    if (in) {
        attr_of_local(fs, in, &st);
        reply_entry(req, in, &st, 0);
    } else if (kind == INODE_MORE) {
        struct op *op = op_new(fs, req, dir);
        op->key = *key;
        buf_append_slice(&op->text, buf_slice(&fs->name));
        op->then = more_entry;
        lookup_more(op);
    } else {
        fuse_reply_err(req, ENOENT);
    }
}

void fs_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    struct fs *fs = fuse_req_userdata(req);
    struct inode *dir = inode_by_id(fs, parent), *in;
    enum inode_kind kind;
    struct key key;
    struct node node;
    struct stat st;
    struct op *op;
    uint64_t until;
    int error = names_resolve(fs, dir, name, &kind, &key, &fs->name);

    if (error) {
        fuse_reply_err(req, error_errno(error));
        return;
    }
    if (kind >= INODE_MORE) {
        lookup_local(req, fs, dir, kind, &key);
        return;
    }
    in = inode_find(fs, kind, key_slice(&key), slice_of(NULL, 0));
    if (!(in && content_unsent(in)) &&
        cache_node_now(fs->cache, key_slice(&key), 0, &node, &until)) {
        in = lookup_inode(fs, kind, key_slice(&key), &node, &st);
        in ? reply_entry(req, in, &st, until) : reply_absent(req, fs);
        return;
    }
    op = op_new(fs, req, dir);
    op->kind = kind;
    key_copy(&op->key, key_slice(&key));
    if (in)
        op_flush(op, in, lookup_ask);
    else
        lookup_ask(op, 0);
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
