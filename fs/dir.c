/* SPDX-License-Identifier: Apache-2.0 */
/* OPENDIR, READDIR: a listing page by page, whatever its length. */
#include "fs/listing.h"

#include <errno.h>

static struct listing *listing_of(const struct fuse_file_info *fi)
{
    return (struct listing *)(uintptr_t)fi->fh;
}

/* ---- listings that the kernel keeps ---- */

/*
 * At the beginning of a listing the kernel compares the directory's time, which it asks for when it
 * may not keep it; so what it keeps is never older than what we would answer. In the middle it
 * cannot go on when another handle has filled its memory anew and the name where it was is gone. So
 * it keeps only what any program reads with a single call: musl's buffer, the smallest, has 2 KiB.
 */
#define KEPT_BYTES 2048u

static bool is_short(const struct page *page)
{
    size_t bytes = 0;

    /* About: a directory entry's fields, and a name of which half is escaped. */
    for (size_t i = 0; i < page->count && bytes <= KEPT_BYTES; i++)
        bytes += 32 + 2 * page->entries[i].sub.len;
    return page->to_end && bytes <= KEPT_BYTES;
}

/*
 * The kernel puts together what several handles read at a time, old and new; so one at a time has
 * its listing kept, and its own answers follow its look at the time.
 *
 * A listing tells of the nodes, too, and a kept one does not tell anew. So it is read again before
 * the kernel would have to ask for each of them. The root answers without the server, others never
 * do.
 */
static void opendir_keep(struct inode *in, struct listing *l, struct fuse_file_info *fi)
{
    struct fs *fs = in->fs;
    uint64_t now = loop_now(fs->loop), until;
    struct page page;

    l->kept =
        in->kind == INODE_DIR && in != fs->root && !fs->ending && !in->listing_kept &&
        cache_page_now(fs->cache, key_slice(&in->key), slice_of(NULL, 0), false, &page, &until) &&
        is_short(&page);
    in->listing_kept |= l->kept;
    fi->cache_readdir = l->kept;
    fi->keep_cache = !l->kept || (in->listed_epoch == fs->epoch && in->listed > now &&
                                  in->listed - now >= (until - now) / 4);
}

static void end_listing(struct inode *in, struct listing *l)
{
    if (l->kept)
        in->listing_kept = false;
    listing_free(l);
}

/* ---- opendir ---- */

static bool opendir_answer(fuse_req_t req, struct inode *in, struct fuse_file_info *fi)
{
    struct listing *l = xcalloc(1, sizeof(*l));

    fi->fh = (uint64_t)(uintptr_t)l;
    opendir_keep(in, l, fi);
    if (reply_opened(req, in, fi))
        return true;
    end_listing(in, l);
    return false;
}

static void opendir_done(void *cookie, int error, const struct node *node, uint64_t until)
{
    struct op *op = cookie;

    (void)until;
    op->call = NULL;
    if (error || !attr_matches(op->in, node)) {
        op_error(op, error ? error : ECP_ESTALE);
        return;
    }
    fuse_req_interrupt_func(op->req, NULL, NULL);
    opendir_answer(op->req, op->in, &op->fi);
    op_free(op);
}

void fs_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct fs *fs = fuse_req_userdata(req);
    struct inode *in = inode_by_id(fs, ino);
    struct node node;
    struct op *op;
    uint64_t until;

    if (in->gone) {
        fuse_reply_err(req, ESTALE);
    } else if (inode_is_local(in) || in == fs->root ||
               (cache_node_now(fs->cache, key_slice(&in->key), 0, &node, &until) &&
                attr_matches(in, &node))) {
        opendir_answer(req, in, fi);
    } else {
        op = op_new(fs, req, in);
        op->fi = *fi;
        op->call = cache_node(fs->cache, key_slice(&in->key), 0, opendir_done, op);
    }
}

/* ---- pages ---- */

static void readdir_step(struct op *op);

static void take_page(struct op *op, struct listing *l, const struct page *page, uint64_t until)
{
    bool beyond = false;

    l->until = until;
    if (l->first == 0)
        listing_add_locals(op->fs, op->in, l);
    for (size_t i = 0; i < page->count && !beyond; i++)
        beyond = !listing_add_entry(op->in, l, &page->entries[i]);
    l->to_end = page->to_end || beyond || page->count == 0;
    if (page->count > 0) {
        buf_clear(&l->last);
        buf_append_slice(&l->last, page->entries[page->count - 1].sub);
    }
}

static void page_done(void *cookie, int error, const struct page *page, uint64_t until)
{
    struct op *op = cookie;

    op->call = NULL;
    if (error) {
        op_error(op, error);
        return;
    }
    take_page(op, listing_of(&op->fi), page, until);
    readdir_step(op);
}

/* This and the fetch_* below: whether the page is there at once. */
static bool fetch(struct op *op, struct listing *l, struct slice from, bool after)
{
    struct slice parent = key_slice(&op->in->key);
    struct page page;
    uint64_t until;

    l->to_end = false;
    if (cache_page_now(op->fs->cache, parent, from, after, &page, &until)) {
        take_page(op, l, &page, until);
        return true;
    }
    op->call = cache_page(op->fs->cache, parent, from, after, page_done, op);
    return false;
}

/* The level from which a listing of long names' rest begins; empty for a plain directory. */
static struct slice start_level(const struct inode *in, struct key *key)
{
    *key = in->key;
    if (in->kind != INODE_MORE || key_append(key, buf_slice(&in->text)) != 0)
        return slice_of(NULL, 0);
    return key_last(key_slice(key));
}

static bool list_control(struct op *op, struct listing *l)
{
    for (size_t i = 0; control_files[i]; i++) {
        struct slice name = slice_str(control_files[i]);
        listing_add(l, name, false,
                    inode_number(INODE_CONTROL_FILE, key_slice(&op->in->key), name));
    }
    l->to_end = true;
    return true;
}

/* Not yet sent, or sent and not yet answered: listed with what this mount alone knows. */
static bool has_local_value(const struct inode *dir)
{
    struct inode *value = inode_find(dir->fs, INODE_VALUE, key_slice(&dir->key), slice_of(NULL, 0));

    return value && value->is_local;
}

static bool fetch_self(struct op *op, const struct node *self)
{
    struct listing *l = listing_of(&op->fi);
    struct key key;
    struct slice from = start_level(op->in, &key);

    if (self && (self->flags & NODE_VALUE) && !has_local_value(op->in))
        listing_add(l, slice_str(".value"), false,
                    inode_number(INODE_VALUE, key_slice(&op->in->key), slice_of(NULL, 0)));
    return fetch(op, l, from, false);
}

static void self_done(void *cookie, int error, const struct node *node, uint64_t until)
{
    struct op *op = cookie;

    (void)until;
    op->call = NULL;
    if (error)
        op_error(op, error);
    else if (fetch_self(op, node))
        readdir_step(op);
}

static bool fetch_first(struct op *op, struct listing *l)
{
    struct slice key = key_slice(&op->in->key);
    struct node node;
    uint64_t until;

    listing_restart(l);
    listing_add(l, slice_str("."), true,
                inode_number(op->in->kind, key_slice(&op->in->key), buf_slice(&op->in->text)));
    listing_add(l, slice_str(".."), true,
                inode_number(INODE_DIR, key_parent(key_slice(&op->in->key)), slice_of(NULL, 0)));
    if (op->in->kind == INODE_CONTROL)
        return list_control(op, l);
    if (op->in->kind == INODE_LOCKS) {
        op->then = readdir_step;
        locks_list(op);
        return false;
    }
    if (op->in->kind == INODE_MORE || key.len == 0)
        return fetch_self(op, NULL);
    if (cache_node_now(op->fs->cache, key, 0, &node, &until))
        return fetch_self(op, &node);
    op->call = cache_node(op->fs->cache, key, 0, self_done, op);
    return false;
}

static bool fetch_next(struct op *op, struct listing *l)
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
    return fetch(op, l, buf_slice(&l->last), true);
}

/* Back to a page that was left: the last mark at or before the offset. */
static bool fetch_mark(struct op *op, struct listing *l)
{
    size_t i = l->mark_count;

    while (i > 0 && l->marks[i - 1].first > op->offset)
        i--;
    if (i == 0)
        return fetch_first(op, l);
    listing_reset(l);
    l->first = l->marks[i - 1].first;
    return fetch(op, l, buf_slice(&l->marks[i - 1].from), true);
}

static void readdir_step(struct op *op)
{
    struct listing *l = listing_of(&op->fi);
    bool there = true;

    if (op->seek) {
        op->offset = listing_find(l, op->offset);
        op->seek = false;
        there = op->offset > 0; /* else it was read to its end, and the last name is gone */
        if (!there)
            op_bytes(op, slice_of("", 0));
    }
    while (there && (op->offset < l->first || (op->offset >= l->first + l->count && !l->to_end)))
        there = op->offset < l->first ? fetch_mark(op, l) : fetch_next(op, l);
    if (there && op->offset > l->first + l->count)
        op_bytes(op, slice_of("", 0));
    else if (there)
        listing_answer(op, l);
}

static void readdir_start(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
                          struct fuse_file_info *fi, bool plus)
{
    struct fs *fs = fuse_req_userdata(req);
    struct op *op = op_new(fs, req, inode_by_id(fs, ino));
    struct listing *l = listing_of(fi);

    op->fi = *fi;
    op->size = size;
    op->offset = (uint64_t)off;
    op->plus = plus;
    listing_taken(fs, l);
    op->seek = l->kept && off > 0;
    if ((off > 0 && !(op->seek && listing_find(l, (uint64_t)off) == 0)) || fetch_first(op, l))
        readdir_step(op);
}

void fs_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
    readdir_start(req, ino, size, off, fi, false);
}

void fs_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
                    struct fuse_file_info *fi)
{
    readdir_start(req, ino, size, off, fi, true);
}

void fs_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct fs *fs = fuse_req_userdata(req);
    struct inode *in = inode_by_id(fs, ino);

    listing_taken(fs, listing_of(fi));
    end_listing(in, listing_of(fi));
    inode_count_opens(in, fi->fh, -1);
    fuse_reply_err(req, 0);
    inode_release(fs, in);
}

void fs_fsyncdir(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
    fs_fsync(req, ino, datasync, fi);
}
