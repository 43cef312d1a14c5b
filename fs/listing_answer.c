/* SPDX-License-Identifier: Apache-2.0 */
/* The answer to READDIR and READDIRPLUS: names, and what the kernel is told of their nodes. */
#include "fs/listing.h"

static void note_known(struct listing *l, const struct inode *in)
{
    uint64_t until = in->named < in->until ? in->named : in->until;

    l->known++;
    if (until < l->known_until)
        l->known_until = until;
}

/* Of a directory that was read the kernel has no valid time of access, and asks who walks on. */
static bool is_known_there(struct op *op, struct listing *l, const struct item *it,
                           struct slice key)
{
    struct inode *in = it->dir ? NULL : inode_find(op->fs, INODE_FILE, key, slice_of(NULL, 0));
    bool known = in && kernel_has(in, l->until);

    if (known)
        note_known(l, in);
    return known;
}

/*
 * Of an entry whose node is known at this moment, the kernel gets attributes and a reference,
 * unless it has them: then an entry costs half as much.
 */
static struct inode *plus_entry(struct op *op, struct listing *l, const struct item *it,
                                struct fuse_entry_param *e)
{
    struct key key;
    struct node node;
    struct inode *in;
    uint64_t until;

    if (!listing_key(op->in, l, it, &key) || is_known_there(op, l, it, key_slice(&key)) ||
        !cache_node_now(op->fs->cache, key_slice(&key), 0, &node, &until) || node.flags == 0)
        return NULL;
    in = inode_get(op->fs, node.flags & (NODE_DIR | NODE_CHILDREN) ? INODE_DIR : INODE_FILE,
                   key_slice(&key), slice_of(NULL, 0));
    attr_of_node(op->fs, in, &node, &e->attr);
    e->attr_timeout = kernel_keeps(in, until);
    e->entry_timeout = kernel_keeps_name(in, e->attr_timeout);
    if (e->attr_timeout > 0) {
        e->ino = in->id;
        note_known(l, in);
        return in;
    }
    inode_release(op->fs, in);
    return NULL;
}

/* Length of the entry, or 0 when there is no room for it. */
static size_t emit(struct op *op, struct listing *l, size_t i, char *at, size_t room)
{
    const struct item *it = &l->items[i];
    const char *name = (const char *)l->names.data + it->name_at;
    struct fuse_entry_param e = {
        .attr = {.st_ino = it->ino, .st_mode = it->dir ? S_IFDIR : S_IFREG}};
    off_t next = (off_t)listing_cookie(l, i);
    struct inode *in;
    size_t n;

    if (!op->plus) {
        n = fuse_add_direntry(op->req, at, room, name, &e.attr, next);
        return n > room ? 0 : n;
    }
    if (fuse_add_direntry_plus(op->req, NULL, 0, name, NULL, 0) > room)
        return 0;
    in = plus_entry(op, l, it, &e);
    if (in) {
        inode_count_lookups(in, 1);
        buf_append(&op->text, &in, sizeof(in));
    }
    return fuse_add_direntry_plus(op->req, at, room, name, &e, next);
}

/* The kernel took the references only when the reply was taken. */
static void unref_entries(struct op *op)
{
    struct inode *in;

    for (size_t at = 0; at < op->text.len; at += sizeof(in)) {
        memcpy(&in, op->text.data + at, sizeof(in));
        inode_count_lookups(in, -1);
        inode_release(op->fs, in);
    }
}

/* How long the kernel knows the nodes, if one answer had them all. */
static void note_listed(struct op *op, struct listing *l, size_t sent)
{
    size_t nodes = 0;

    for (size_t i = 0; i < l->count; i++)
        nodes += l->items[i].level_len > 0;
    op->in->listed = l->to_end && sent == l->count && l->known == nodes ? l->known_until : 0;
    op->in->listed_epoch = op->fs->epoch;
}

void listing_answer(struct op *op, struct listing *l)
{
    struct buf *out = &op->fs->out;
    size_t n = 1, sent = 0;

    buf_clear(out);
    buf_reserve(out, op->size);
    l->known = 0;
    l->known_until = UINT64_MAX;
    for (size_t i = op->offset - l->first; i < l->count && n; i++) {
        n = emit(op, l, i, (char *)out->data + out->len, op->size - out->len);
        out->len += n;
        sent += n > 0;
    }
    if (op->plus && op->offset == 0)
        note_listed(op, l, sent);
    fuse_req_interrupt_func(op->req, NULL, NULL);
    if (fuse_reply_buf(op->req, (const char *)out->data, out->len) != 0)
        unref_entries(op);
    else if (op->text.len)
        listing_told(op->fs, op->in, l);
    op_free(op);
}
