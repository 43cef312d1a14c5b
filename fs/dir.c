/* SPDX-License-Identifier: Apache-2.0 */
/* OPENDIR, READDIR: a listing page by page, whatever its length. */
#include "fs/fs.h"

#include <errno.h>

#include "base/name.h"

#define LIST_BUDGET (64u << 10) /* bytes of a page asked for */

struct item {
    uint32_t name_at;
    uint16_t name_len;
    bool dir;
    uint64_t ino;
};

/* Where a page began: enough to fetch it again when a reader seeks back. */
struct mark {
    uint64_t first;  /* cookie before its first item */
    struct buf from; /* level after which it was read */
};

/*
 * One open directory. Items are numbered from 1 as they are first listed; the number is the
 * cookie. Only the current page is held, so deleting while listing does not shift what follows in
 * it.
 */
struct listing {
    struct item *items;
    size_t count, capacity;
    struct buf names;
    uint64_t first; /* cookie before items[0] */
    bool to_end;
    struct buf last; /* last level of the page */
    struct mark *marks;
    size_t mark_count;
    struct buf *local_names; /* listed from this mount's own knowledge: not to be listed twice */
    size_t local_count;
    struct buf more[3]; /* continued components listed that may come again soon */
    size_t more_next;
};

static void list_reset(struct listing *l)
{
    l->count = 0;
    buf_clear(&l->names);
}

static void list_free(struct listing *l)
{
    for (size_t i = 0; i < l->mark_count; i++)
        buf_free(&l->marks[i].from);
    for (size_t i = 0; i < l->local_count; i++)
        buf_free(&l->local_names[i]);
    for (size_t i = 0; i < 3; i++)
        buf_free(&l->more[i]);
    free(l->local_names);
    free(l->marks);
    free(l->items);
    buf_free(&l->names);
    buf_free(&l->last);
    free(l);
}

static void add(struct listing *l, struct slice name, bool dir, uint64_t ino)
{
    if (l->count == l->capacity) {
        l->capacity = l->capacity ? l->capacity * 2 : 64;
        l->items = xrealloc(l->items, l->capacity * sizeof(*l->items));
    }
    l->items[l->count++] = (struct item){
        .name_at = (uint32_t)l->names.len, .name_len = (uint16_t)name.len, .dir = dir, .ino = ino};
    buf_append_slice(&l->names, name);
    buf_append(&l->names, "", 1);
}

static bool listed_before(struct listing *l, struct slice name)
{
    for (size_t i = 0; i < l->local_count; i++) {
        if (slice_equal(buf_slice(&l->local_names[i]), name))
            return true;
    }
    return false;
}

/* The name that an inode of this mount has in its directory; empty when it is not listed there. */
static size_t local_name(const struct inode *dir, const struct inode *in, char *out)
{
    uint8_t bytes[SUBSCRIPT_MAX_LEN];
    size_t covered, from = dir->kind == INODE_MORE ? dir->text.len : 0, len;
    struct slice sub = buf_slice(&in->text);
    bool continued;
    int n;

    if (in->kind == INODE_SCRATCH) {
        if (from > 0 || !slice_equal(key_slice(&in->key), key_slice(&dir->key)))
            return 0;
        memcpy(out, in->text.data, in->text.len);
        return in->text.len;
    }
    if (in->kind == INODE_MORE) {
        if (!slice_equal(key_slice(&in->key), key_slice(&dir->key)) || sub.len <= from ||
            !slice_has_prefix(sub, buf_slice(&dir->text)))
            return 0;
    } else {
        if (in->kind != INODE_FILE ||
            !slice_equal(key_parent(key_slice(&in->key)), key_slice(&dir->key)))
            return 0;
        n = key_decode_level(key_last(key_slice(&in->key)), dir->key.len == 0, bytes);
        sub = slice_of(bytes, n < 0 ? 0 : (size_t)n);
        if (n < 0 || (from && !slice_has_prefix(sub, buf_slice(&dir->text))))
            return 0;
    }
    len = name_encode(sub, from, out, &covered, &continued);
    if (in->kind == INODE_MORE) {
        /* What follows is not known: the whole rest is one component, and it is continued. */
        if (from + covered == sub.len && !continued && len < NAME_MAX_LEN)
            out[len++] = '%';
        return len;
    }
    return continued ? 0 : len;
}

static void add_locals(struct fs *fs, struct inode *dir, struct listing *l)
{
    struct inode *in;
    char name[NAME_MAX_LEN + 1];

    LIST_FOREACH(in, &fs->locals, local)
    {
        size_t len = local_name(dir, in, name);
        if (len == 0)
            continue;
        add(l, slice_of(name, len), in->kind == INODE_MORE,
            inode_number(in->kind, key_slice(&in->key), buf_slice(&in->text)));
        l->local_names = xrealloc(l->local_names, (l->local_count + 1) * sizeof(*l->local_names));
        l->local_names[l->local_count] = (struct buf){0};
        buf_append(&l->local_names[l->local_count++], name, len);
    }
}

static bool more_before(struct listing *l, struct slice name)
{
    for (size_t i = 0; i < 3; i++) {
        if (slice_equal(buf_slice(&l->more[i]), name))
            return true;
    }
    buf_clear(&l->more[l->more_next]);
    buf_append_slice(&l->more[l->more_next], name);
    l->more_next = (l->more_next + 1) % 3;
    return false;
}

/* false: the entry lies beyond the names that begin as this directory says. */
static bool add_entry(struct inode *dir, struct listing *l, const struct entry *e)
{
    uint8_t bytes[SUBSCRIPT_MAX_LEN];
    int n = key_decode_level(e->sub, dir->key.len == 0, bytes);
    size_t from = 0, covered = 0, len, at = dir->kind == INODE_MORE ? dir->text.len : 0;
    struct slice sub = slice_of(bytes, n < 0 ? 0 : (size_t)n);
    char name[NAME_MAX_LEN];
    bool continued = true;
    struct key key = dir->key;

    if (n < 0)
        return true;
    if (at && !slice_has_prefix(sub, buf_slice(&dir->text)))
        return false;
    while (continued && from < at) {
        name_encode(sub, from, name, &covered, &continued);
        from += covered;
    }
    if (from != at || (at && !continued))
        return true;
    len = name_encode(sub, at, name, &covered, &continued);
    if (listed_before(l, slice_of(name, len)))
        return true;
    if (continued) {
        if (!more_before(l, slice_of(name, len)))
            add(l, slice_of(name, len), true,
                inode_number(INODE_MORE, key_slice(&dir->key), slice_of(bytes, at + covered)));
        return true;
    }
    if (key_append(&key, sub) == 0)
        add(l, slice_of(name, len), e->node.flags & (NODE_DIR | NODE_CHILDREN),
            inode_number(INODE_FILE, key_slice(&key), slice_of(NULL, 0)));
    return true;
}

/* ---- the requests ---- */

static struct listing *listing_of(const struct fuse_file_info *fi)
{
    return (struct listing *)(uintptr_t)fi->fh;
}

static void opendir_answer(struct op *op)
{
    struct listing *l = xcalloc(1, sizeof(*l));

    op->fi.fh = (uint64_t)(uintptr_t)l;
    op_opened(op);
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
    else if (op->in->kind == INODE_MORE || op->in == fs->root)
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
        add(l, slice_str(".value"), false,
            inode_number(INODE_VALUE, key_slice(&op->in->key), slice_of(NULL, 0)));
    if (l->first == 0)
        add_locals(op->fs, op->in, l);
    for (size_t i = 0; i < page->count && !beyond; i++)
        beyond = !add_entry(op->in, l, &page->entries[i]);
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

static void fetch_first(struct op *op, struct listing *l)
{
    struct key key;
    struct slice from = start_level(op->in, &key);

    list_reset(l);
    l->first = 0;
    l->mark_count = 0;
    for (size_t i = 0; i < l->local_count; i++)
        buf_free(&l->local_names[i]);
    l->local_count = 0;
    for (size_t i = 0; i < 3; i++)
        buf_clear(&l->more[i]);
    add(l, slice_str("."), true,
        inode_number(op->in->kind, key_slice(&op->in->key), buf_slice(&op->in->text)));
    add(l, slice_str(".."), true,
        inode_number(INODE_DIR, key_parent(key_slice(&op->in->key)), slice_of(NULL, 0)));
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
    list_reset(l);
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
    list_reset(l);
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

    list_free(listing_of(fi));
    in->opens--;
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
