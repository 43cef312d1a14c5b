/* SPDX-License-Identifier: Apache-2.0 */
/* OPENDIR, READDIR: a listing page by page, whatever its length. */
#include "fs/listing.h"

#include <errno.h>

#define LIST_BUDGET (64u << 10) /* bytes of a page asked for */

static struct listing *listing_of(const struct fuse_file_info *fi)
{
    return (struct listing *)(uintptr_t)fi->fh;
}

static void opendir_answer(struct op *op)
{
    struct listing *l = xcalloc(1, sizeof(*l));

    op->fi.fh = (uint64_t)(uintptr_t)l;
    if (!op_opened(op))
        listing_free(l);
}

static void opendir_done(void *cookie, int error, const struct node *node)
{
    struct op *op = cookie;

    op->call = NULL;
    if (error || !attr_matches(op->in, node))
        op_error(op, error ? error : ECP_ESTALE);
    else
        opendir_answer(op);
}

void fs_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct fs *fs = fuse_req_userdata(req);
    struct op *op = op_new(fs, req, inode_by_id(fs, ino));

    op->fi = *fi;
    if (op->in->gone)
        op_error(op, ECP_ESTALE);
    else if (inode_is_local(op->in) || op->in == fs->root)
        opendir_answer(op);
    else
        op->call = fs->up->ops->node(fs->up, key_slice(&op->in->key), 0, opendir_done, op);
}

static void readdir_step(struct op *op);

static void readdir_emit(struct op *op, struct listing *l)
{
    size_t i = op->offset - l->first;

    buf_clear(&op->bytes);
    buf_reserve(&op->bytes, op->size);
    for (; i < l->count; i++) {
        const struct item *it = &l->items[i];
        struct stat st = {.st_ino = it->ino, .st_mode = it->dir ? S_IFDIR : S_IFREG};
        size_t n = fuse_add_direntry(
            op->req, (char *)op->bytes.data + op->bytes.len, op->size - op->bytes.len,
            (const char *)l->names.data + it->name_at, &st, (off_t)(l->first + i + 1));
        if (n > op->size - op->bytes.len)
            break;
        op->bytes.len += n;
    }
    op_bytes(op, buf_slice(&op->bytes));
}

static void page_done(void *cookie, int error, const struct page *pages, size_t count)
{
    struct op *op = cookie;
    struct listing *l = listing_of(&op->fi);
    const struct page *page = count ? &pages[0] : NULL;
    bool beyond = false;

    op->call = NULL;
    if (error || !page) {
        op_error(op, error ? error : ECP_EPROTO);
        return;
    }
    if (l->first == 0 && op->in->kind == INODE_DIR && op->in->key.len > 0 &&
        (page->self.flags & NODE_VALUE))
        listing_add(l, slice_str(".value"), false,
                    inode_number(INODE_VALUE, key_slice(&op->in->key), slice_of(NULL, 0)));
    if (l->first == 0)
        listing_add_locals(op->fs, op->in, l);
    for (size_t i = 0; i < page->count && !beyond; i++)
        beyond = !listing_add_entry(op->in, l, &page->entries[i]);
    l->to_end = page->to_end || beyond || page->count == 0;
    if (page->count > 0) {
        buf_clear(&l->last);
        buf_append_slice(&l->last, page->entries[page->count - 1].sub);
    }
    readdir_step(op);
}

static void fetch(struct op *op, struct listing *l, struct slice from, bool after)
{
    struct upstream_read args = {.parent = key_slice(&op->in->key), .from = from, .after = after};

    args.budget = LIST_BUDGET;
    l->to_end = false;
    op->call = op->fs->up->ops->read(op->fs->up, &args, page_done, op);
}

/* The level from which a listing of long names' rest begins; empty for a plain directory. */
static struct slice start_level(const struct inode *in, struct key *key)
{
    *key = in->key;
    if (in->kind != INODE_MORE || key_append(key, buf_slice(&in->text)) != 0)
        return slice_of(NULL, 0);
    return key_last(key_slice(key));
}

static void list_control(struct op *op, struct listing *l)
{
    listing_add(
        l, slice_str(CONTROL_STATS), false,
        inode_number(INODE_CONTROL_FILE, key_slice(&op->in->key), slice_str(CONTROL_STATS)));
    l->to_end = true;
    readdir_step(op);
}

static void fetch_first(struct op *op, struct listing *l)
{
    struct key key;
    struct slice from = start_level(op->in, &key);

    listing_reset(l);
    l->first = 0;
    l->mark_count = 0;
    for (size_t i = 0; i < l->local_count; i++)
        buf_free(&l->local_names[i]);
    l->local_count = 0;
    for (size_t i = 0; i < 3; i++)
        buf_clear(&l->more[i]);
    listing_add(l, slice_str("."), true,
                inode_number(op->in->kind, key_slice(&op->in->key), buf_slice(&op->in->text)));
    listing_add(l, slice_str(".."), true,
                inode_number(INODE_DIR, key_parent(key_slice(&op->in->key)), slice_of(NULL, 0)));
    if (op->in->kind == INODE_CONTROL)
        list_control(op, l);
    else
        fetch(op, l, from, false);
}

static void fetch_next(struct op *op, struct listing *l)
{
    struct mark m = {.first = l->first + l->count};

    buf_append_slice(&m.from, buf_slice(&l->last));
    if (l->mark_count == 0 || l->marks[l->mark_count - 1].first < m.first) {
        l->marks = xrealloc(l->marks, (l->mark_count + 1) * sizeof(*l->marks));
        l->marks[l->mark_count++] = m;
    } else {
        buf_free(&m.from);
    }
    l->first = m.first;
    listing_reset(l);
    fetch(op, l, buf_slice(&l->last), true);
}

/* Back to a page that was left: the last mark at or before the offset. */
static void fetch_mark(struct op *op, struct listing *l)
{
    size_t i = l->mark_count;

    while (i > 0 && l->marks[i - 1].first > op->offset)
        i--;
    if (i == 0) {
        fetch_first(op, l);
        return;
    }
    listing_reset(l);
    l->first = l->marks[i - 1].first;
    fetch(op, l, buf_slice(&l->marks[i - 1].from), true);
}

static void readdir_step(struct op *op)
{
    struct listing *l = listing_of(&op->fi);

    if (op->offset < l->first)
        fetch_mark(op, l);
    else if (op->offset < l->first + l->count || l->to_end)
        op->offset > l->first + l->count ? op_bytes(op, slice_of("", 0)) : readdir_emit(op, l);
    else
        fetch_next(op, l);
}

void fs_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
    struct fs *fs = fuse_req_userdata(req);
    struct op *op = op_new(fs, req, inode_by_id(fs, ino));

    op->fi = *fi;
    op->size = size;
    op->offset = (uint64_t)off;
    if (off == 0)
        fetch_first(op, listing_of(fi));
    else
        readdir_step(op);
}

void fs_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct fs *fs = fuse_req_userdata(req);
    struct inode *in = inode_by_id(fs, ino);

    listing_free(listing_of(fi));
    inode_count_opens(in, -1);
    fuse_reply_err(req, 0);
    inode_release(fs, in);
}

void fs_fsyncdir(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
    (void)ino;
    (void)datasync;
    (void)fi;
    fuse_reply_err(req, 0);
}
