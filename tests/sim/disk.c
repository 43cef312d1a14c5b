/* SPDX-License-Identifier: Apache-2.0 */
/* The simulator's disk: each file as it is, as it is on the disk, and the changes between. */
#include "tests/sim/disk.h"

#include <stdlib.h>

#define SECTOR 512

struct change {
    struct change *next;
    bool resize;
    uint64_t offset; /* or the new size */
    struct buf bytes;
};

struct inode {
    struct inode *next;
    struct buf now, disk;
    struct change *changes, **tail;
};

struct name {
    char *path;
    struct inode *inode;
};

struct names {
    struct name *list;
    size_t count;
};

struct io_file {
    struct inode *inode;
};

struct io_lock {
    bool shared;
};

struct disk {
    struct io io;
    unsigned held; /* by readers */
    uint64_t seed;
    bool off;
    unsigned changes_left; /* until it is off; 0: it stays on */
    struct inode *inodes;
    struct names now, disk;
    unsigned write_in, sync_in;
    int write_error, sync_error;
    uint64_t limit;
};

static struct disk *disk_of(struct io *io)
{
    return (struct disk *)io;
}

static uint32_t random32(struct disk *d)
{
    d->seed = d->seed * UINT64_C(6364136223846793005) + 1442695040888963407;
    return (uint32_t)(d->seed >> 33);
}

/* ---- Names ---- */

static struct name *find(struct names *n, const char *path)
{
    for (size_t i = 0; i < n->count; i++)
        if (strcmp(n->list[i].path, path) == 0)
            return &n->list[i];
    return NULL;
}

static void link_name(struct names *n, const char *path, struct inode *inode)
{
    struct name *old = find(n, path);
    if (!old) {
        n->list = xrealloc(n->list, (n->count + 1) * sizeof(*n->list));
        old = &n->list[n->count++];
        old->path = xstrdup(path);
    }
    old->inode = inode;
}

static void unlink_name(struct names *n, struct name *name)
{
    free(name->path);
    size_t at = (size_t)(name - n->list);
    memmove(name, name + 1, (--n->count - at) * sizeof(*name));
}

static void clear_names(struct names *n)
{
    while (n->count)
        unlink_name(n, &n->list[n->count - 1]);
}

static void copy_names(struct names *to, const struct names *from)
{
    clear_names(to);
    for (size_t i = 0; i < from->count; i++)
        link_name(to, from->list[i].path, from->list[i].inode);
}

/* ---- Contents ---- */

static void resize(struct buf *b, uint64_t size)
{
    if (size > b->len) {
        buf_reserve(b, size - b->len);
        memset(b->data + b->len, 0, size - b->len);
    }
    b->len = size;
}

static void put_at(struct buf *b, uint64_t offset, const uint8_t *bytes, size_t len)
{
    if (offset + len > b->len)
        resize(b, offset + len);
    memcpy(b->data + offset, bytes, len);
}

static void copy(struct buf *to, const struct buf *from)
{
    buf_clear(to);
    buf_append_slice(to, buf_slice(from));
}

static void drop_changes(struct inode *i)
{
    while (i->changes) {
        struct change *next = i->changes->next;
        buf_free(&i->changes->bytes);
        free(i->changes);
        i->changes = next;
    }
    i->tail = &i->changes;
}

static struct change *add_change(struct inode *i, bool resizing, uint64_t offset)
{
    struct change *c = xcalloc(1, sizeof(*c));
    c->resize = resizing;
    c->offset = offset;
    *i->tail = c;
    i->tail = &c->next;
    return c;
}

static uint64_t used(struct disk *d)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < d->now.count; i++)
        sum += d->now.list[i].inode->now.len;
    return sum;
}

/* What a crash leaves of one change. */
static void survive(struct disk *d, struct inode *i, const struct change *c)
{
    uint32_t fate = random32(d) % 3;
    if (fate == 0)
        return;
    if (c->resize) {
        resize(&i->disk, c->offset);
        return;
    }
    for (size_t at = 0; at < c->bytes.len;) {
        size_t n = SECTOR - (c->offset + at) % SECTOR;
        if (n > c->bytes.len - at)
            n = c->bytes.len - at;
        if (fate == 1 || random32(d) % 2)
            put_at(&i->disk, c->offset + at, c->bytes.data + at, n);
        at += n;
    }
}

void disk_power_off(struct disk *d, unsigned after)
{
    d->changes_left = after;
    d->off = after == 0;
}

bool disk_is_off(const struct disk *d)
{
    return d->off;
}

int disk_gate(void *cookie)
{
    struct disk *d = cookie;
    if (!d->off && d->changes_left && --d->changes_left == 0)
        d->off = true;
    return d->off ? ECP_EIO : 0;
}

void disk_power_on(struct disk *d)
{
    d->off = false;
    d->write_in = d->sync_in = d->changes_left = 0;
    for (struct inode *i = d->inodes; i; i = i->next) {
        for (struct change *c = i->changes; c; c = c->next)
            survive(d, i, c);
        drop_changes(i);
        copy(&i->now, &i->disk);
    }
    if (random32(d) % 2)
        copy_names(&d->now, &d->disk);
    else
        copy_names(&d->disk, &d->now);
}

void disk_settle(struct disk *d)
{
    for (struct inode *i = d->inodes; i; i = i->next) {
        drop_changes(i);
        copy(&i->disk, &i->now);
    }
    copy_names(&d->disk, &d->now);
}

/* ---- The seam ---- */

static int disk_open(struct io *io, const char *path, bool create, struct io_file **file,
                     char **why)
{
    struct disk *d = disk_of(io);
    struct name *n = find(&d->now, path);
    if (d->off || (!n && !create)) {
        *why = xasprintf("cannot open %s", path);
        return d->off ? ECP_EIO : ECP_ENOENT;
    }
    if (create) {
        struct inode *i = xcalloc(1, sizeof(*i));
        i->tail = &i->changes;
        i->next = d->inodes;
        d->inodes = i;
        link_name(&d->now, path, i);
        n = find(&d->now, path);
    }
    *file = xcalloc(1, sizeof(**file));
    (*file)->inode = n->inode;
    return 0;
}

static void disk_close(struct io *io, struct io_file *file)
{
    free(file);
}

/* All directories are one. */
static int disk_hold(struct io *io, const char *path, bool alone, struct io_lock **lock)
{
    struct disk *d = disk_of(io);
    if (d->off)
        return ECP_EIO;
    if (alone && d->held)
        return ECP_EBUSY;
    d->held += !alone;
    *lock = xcalloc(1, sizeof(**lock));
    (*lock)->shared = !alone;
    return 0;
}

static void disk_unlock(struct io *io, struct io_lock *lock)
{
    disk_of(io)->held -= lock->shared;
    free(lock);
}

static int disk_size(struct io *io, struct io_file *file, uint64_t *bytes)
{
    *bytes = file->inode->now.len;
    return disk_of(io)->off ? ECP_EIO : 0;
}

static int disk_read(struct io *io, struct io_file *file, uint64_t offset, void *to, size_t len)
{
    const struct buf *b = &file->inode->now;
    if (disk_of(io)->off || offset + len > b->len)
        return ECP_EIO;
    if (len)
        memcpy(to, b->data + offset, len);
    return 0;
}

static int disk_write(struct io *io, struct io_file *file, uint64_t offset, struct slice bytes)
{
    struct disk *d = disk_of(io);
    struct inode *i = file->inode;
    int error = 0;
    if (disk_gate(d))
        return ECP_EIO;
    if (d->write_in && --d->write_in == 0) {
        error = d->write_error;
        bytes.len /= 2;
    }
    if (d->limit && offset + bytes.len > i->now.len &&
        used(d) + offset + bytes.len - i->now.len > d->limit)
        return ECP_ENOSPC;
    put_at(&i->now, offset, bytes.data, bytes.len);
    buf_append_slice(&add_change(i, false, offset)->bytes, bytes);
    return error;
}

static int disk_truncate(struct io *io, struct io_file *file, uint64_t bytes)
{
    struct disk *d = disk_of(io);
    struct inode *i = file->inode;
    if (disk_gate(d))
        return ECP_EIO;
    if (d->limit && bytes > i->now.len && used(d) + bytes - i->now.len > d->limit)
        return ECP_ENOSPC;
    resize(&i->now, bytes);
    add_change(i, true, bytes);
    return 0;
}

static int disk_sync(struct io *io, struct io_file *file)
{
    struct disk *d = disk_of(io);
    if (disk_gate(d))
        return ECP_EIO;
    if (d->sync_in && --d->sync_in == 0)
        return d->sync_error;
    drop_changes(file->inode);
    copy(&file->inode->disk, &file->inode->now);
    return 0;
}

static int disk_rename(struct io *io, const char *from, const char *to)
{
    struct disk *d = disk_of(io);
    struct name *n = find(&d->now, from);
    if (disk_gate(d) || !n)
        return d->off ? ECP_EIO : ECP_ENOENT;
    struct inode *i = n->inode;
    unlink_name(&d->now, n);
    link_name(&d->now, to, i);
    return 0;
}

static int disk_remove(struct io *io, const char *path)
{
    struct disk *d = disk_of(io);
    struct name *n = find(&d->now, path);
    if (disk_gate(d) || !n)
        return d->off ? ECP_EIO : ECP_ENOENT;
    unlink_name(&d->now, n);
    return 0;
}

static int disk_sync_directory(struct io *io, const char *path)
{
    struct disk *d = disk_of(io);
    if (disk_gate(d))
        return ECP_EIO;
    copy_names(&d->disk, &d->now);
    return 0;
}

static int disk_list(struct io *io, const char *path, void (*each)(void *cookie, const char *name),
                     void *cookie)
{
    struct disk *d = disk_of(io);
    size_t len = strlen(path);
    for (size_t i = 0; i < d->now.count && !d->off; i++) {
        const char *p = d->now.list[i].path;
        if (strncmp(p, path, len) == 0 && p[len] == '/')
            each(cookie, p + len + 1);
    }
    return d->off ? ECP_EIO : 0;
}

static const struct io_ops ops = {
    .hold = disk_hold,
    .unlock = disk_unlock,
    .open = disk_open,
    .close = disk_close,
    .size = disk_size,
    .read = disk_read,
    .write = disk_write,
    .preallocate = disk_truncate,
    .truncate = disk_truncate,
    .sync = disk_sync,
    .rename = disk_rename,
    .remove = disk_remove,
    .sync_directory = disk_sync_directory,
    .list = disk_list,
};

struct disk *disk_new(uint64_t seed)
{
    struct disk *d = xcalloc(1, sizeof(*d));
    d->io.ops = &ops;
    d->seed = seed;
    return d;
}

void disk_free(struct disk *d)
{
    while (d->inodes) {
        struct inode *i = d->inodes;
        d->inodes = i->next;
        drop_changes(i);
        buf_free(&i->now);
        buf_free(&i->disk);
        free(i);
    }
    clear_names(&d->now);
    clear_names(&d->disk);
    free(d->now.list);
    free(d->disk.list);
    free(d);
}

struct io *disk_io(struct disk *d)
{
    return &d->io;
}

void disk_fail_write(struct disk *d, unsigned nth, int error)
{
    d->write_in = nth;
    d->write_error = error;
}

void disk_fail_sync(struct disk *d, unsigned nth, int error)
{
    d->sync_in = nth;
    d->sync_error = error;
}

void disk_limit(struct disk *d, uint64_t bytes)
{
    d->limit = bytes;
}

struct buf *disk_file(struct disk *d, const char *path)
{
    struct name *n = find(&d->now, path);
    return n ? &n->inode->now : NULL;
}

const char *disk_path(struct disk *d, size_t n)
{
    return n < d->now.count ? d->now.list[n].path : NULL;
}
