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

static bool fetch_self(struct op *op, const struct node *self)
{
    struct listing *l = listing_of(&op->fi);
    struct key key;
    struct slice from = start_level(op->in, &key);

    if (self && (self->flags & NODE_VALUE))
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

/* ---- the answer ---- */

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

static void readdir_emit(struct op *op, struct listing *l)
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
        readdir_emit(op, l);
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
