/* SPDX-License-Identifier: Apache-2.0 */
/* The simulated disk as the store's file I/O. */
#include <stdlib.h>

#include "tests/sim/disk_int.h"

static struct disk *disk_of(struct io *io)
{
    return (struct disk *)io;
}

static int disk_open(struct io *io, const char *path, bool create, struct io_file **file,
                     char **why)
{
    struct disk *d = disk_of(io);
    struct name *n = name_find(&d->now, path);
    if (d->off || (!n && !create)) {
        *why = xasprintf("cannot open %s", path);
        return d->off ? ECP_EIO : ECP_ENOENT;
    }
    if (create) {
        struct inode *i = xcalloc(1, sizeof(*i));
        i->tail = &i->changes;
        i->next = d->inodes;
        d->inodes = i;
        name_link(&d->now, path, i);
        n = name_find(&d->now, path);
    }
    *file = xcalloc(1, sizeof(**file));
    (*file)->inode = n->inode;
    n->inode->opened++;
    return 0;
}

static void disk_close(struct io *io, struct io_file *file)
{
    file->inode->opened--;
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
        disk_used(d) + offset + bytes.len - i->now.len > d->limit)
        return ECP_ENOSPC;
    bytes_put(&i->now, offset, bytes.data, bytes.len);
    buf_append_slice(&inode_change(i, false, offset)->bytes, bytes);
    return error;
}

static int disk_truncate(struct io *io, struct io_file *file, uint64_t bytes)
{
    struct disk *d = disk_of(io);
    struct inode *i = file->inode;
    if (disk_gate(d))
        return ECP_EIO;
    if (d->limit && bytes > i->now.len && disk_used(d) + bytes - i->now.len > d->limit)
        return ECP_ENOSPC;
    bytes_resize(&i->now, bytes);
    inode_change(i, true, bytes);
    return 0;
}

static int disk_sync(struct io *io, struct io_file *file)
{
    struct disk *d = disk_of(io);
    if (disk_gate(d))
        return ECP_EIO;
    if (d->sync_in && --d->sync_in == 0) {
        inode_tear(d, file->inode);
        return d->sync_error;
    }
    for (const struct change *c = file->inode->changes; c; c = c->next)
        change_bring(file->inode, c);
    inode_forget(file->inode);
    return 0;
}

static int disk_rename(struct io *io, const char *from, const char *to)
{
    struct disk *d = disk_of(io);
    struct name *n = name_find(&d->now, from);
    if (disk_gate(d) || !n)
        return d->off ? ECP_EIO : ECP_ENOENT;
    struct inode *i = n->inode;
    name_unlink(&d->now, n);
    name_link(&d->now, to, i);
    return 0;
}

static int disk_remove(struct io *io, const char *path)
{
    struct disk *d = disk_of(io);
    struct name *n = name_find(&d->now, path);
    if (disk_gate(d) || !n)
        return d->off ? ECP_EIO : ECP_ENOENT;
    name_unlink(&d->now, n);
    return 0;
}

static int disk_sync_directory(struct io *io, const char *path)
{
    struct disk *d = disk_of(io);
    if (disk_gate(d))
        return ECP_EIO;
    names_copy(&d->disk, &d->now);
    disk_collect(d);
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

const struct io_ops disk_ops = {
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
