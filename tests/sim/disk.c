/* SPDX-License-Identifier: Apache-2.0 */
/* The simulator's disk: each file as it is, as it is on the disk, and the changes between. */
#include "tests/sim/disk_int.h"

#include <stdlib.h>

#define SECTOR 512

static uint32_t random32(struct disk *d)
{
    d->seed = d->seed * UINT64_C(6364136223846793005) + 1442695040888963407;
    return (uint32_t)(d->seed >> 33);
}

/* ---- Names ---- */

struct name *name_find(struct names *n, const char *path)
{
    for (size_t i = 0; i < n->count; i++)
        if (strcmp(n->list[i].path, path) == 0)
            return &n->list[i];
    return NULL;
}

void name_link(struct names *n, const char *path, struct inode *inode)
{
    struct name *old = name_find(n, path);
    if (!old) {
        n->list = xrealloc(n->list, (n->count + 1) * sizeof(*n->list));
        old = &n->list[n->count++];
        old->path = xstrdup(path);
    }
    old->inode = inode;
}

void name_unlink(struct names *n, struct name *name)
{
    free(name->path);
    size_t at = (size_t)(name - n->list);
    memmove(name, name + 1, (--n->count - at) * sizeof(*name));
}

static bool has_inode(const struct names *n, const struct inode *inode)
{
    for (size_t i = 0; i < n->count; i++)
        if (n->list[i].inode == inode)
            return true;
    return false;
}

static void clear_names(struct names *n)
{
    while (n->count)
        name_unlink(n, &n->list[n->count - 1]);
}

void names_copy(struct names *to, const struct names *from)
{
    clear_names(to);
    for (size_t i = 0; i < from->count; i++)
        name_link(to, from->list[i].path, from->list[i].inode);
}

/* ---- Contents ---- */

void bytes_resize(struct buf *b, uint64_t size)
{
    if (size > b->len) {
        buf_reserve(b, size - b->len);
        memset(b->data + b->len, 0, size - b->len);
    }
    b->len = size;
}

void bytes_put(struct buf *b, uint64_t offset, const uint8_t *bytes, size_t len)
{
    if (offset + len > b->len)
        bytes_resize(b, offset + len);
    memcpy(b->data + offset, bytes, len);
}

static void copy(struct buf *to, const struct buf *from)
{
    buf_clear(to);
    buf_append_slice(to, buf_slice(from));
}

void inode_forget(struct inode *i)
{
    while (i->changes) {
        struct change *next = i->changes->next;
        buf_free(&i->changes->bytes);
        free(i->changes);
        i->changes = next;
    }
    i->tail = &i->changes;
}

static void inode_free(struct inode *i)
{
    inode_forget(i);
    buf_free(&i->now);
    buf_free(&i->disk);
    free(i);
}

struct change *inode_change(struct inode *i, bool resizing, uint64_t offset)
{
    struct change *c = xcalloc(1, sizeof(*c));
    c->resize = resizing;
    c->offset = offset;
    *i->tail = c;
    i->tail = &c->next;
    return c;
}

uint64_t disk_used(const struct disk *d)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < d->now.count; i++)
        sum += d->now.list[i].inode->now.len;
    return sum;
}

void change_bring(struct inode *i, const struct change *c)
{
    if (c->resize)
        bytes_resize(&i->disk, c->offset);
    else
        bytes_put(&i->disk, c->offset, c->bytes.data, c->bytes.len);
}

/* What a crash leaves of one change. */
static void survive(struct disk *d, struct inode *i, const struct change *c)
{
    uint32_t fate = random32(d) % 3;
    if (fate == 0)
        return;
    if (fate == 1 || c->resize) {
        change_bring(i, c);
        return;
    }
    for (size_t at = 0; at < c->bytes.len;) {
        size_t n = SECTOR - (c->offset + at) % SECTOR;
        if (n > c->bytes.len - at)
            n = c->bytes.len - at;
        if (random32(d) % 2)
            bytes_put(&i->disk, c->offset + at, c->bytes.data + at, n);
        at += n;
    }
}

void inode_tear(struct disk *d, struct inode *i)
{
    for (struct change *c = i->changes; c; c = c->next)
        survive(d, i, c);
    inode_forget(i);
}

/* What has no name any more, on disk either, and is not open. */
void disk_collect(struct disk *d)
{
    for (struct inode *i, **at = &d->inodes; (i = *at);) {
        if (i->opened || has_inode(&d->now, i) || has_inode(&d->disk, i)) {
            at = &i->next;
            continue;
        }
        *at = i->next;
        inode_free(i);
    }
}

void disk_power_off(struct disk *d, unsigned after)
{
    d->changes_left = after;
    d->off = after == 0;
}

void disk_stay_on(struct disk *d)
{
    d->changes_left = 0;
}

void disk_when_off(struct disk *d, void (*fn)(void *cookie), void *cookie)
{
    d->when_off = fn;
    d->when_off_cookie = cookie;
}

bool disk_is_off(const struct disk *d)
{
    return d->off;
}

int disk_gate(void *cookie)
{
    struct disk *d = cookie;
    if (!d->off && d->changes_left && --d->changes_left == 0) {
        d->off = true;
        if (d->when_off)
            d->when_off(d->when_off_cookie);
    }
    return d->off ? ECP_EIO : 0;
}

void disk_go_on(struct disk *d)
{
    d->off = false;
    d->write_in = d->sync_in = d->changes_left = 0;
    disk_collect(d);
}

void disk_power_on(struct disk *d)
{
    for (struct inode *i = d->inodes; i; i = i->next) {
        inode_tear(d, i);
        copy(&i->now, &i->disk);
    }
    if (random32(d) % 2)
        names_copy(&d->now, &d->disk);
    else
        names_copy(&d->disk, &d->now);
    disk_go_on(d);
}

void disk_settle(struct disk *d)
{
    for (struct inode *i = d->inodes; i; i = i->next) {
        inode_forget(i);
        copy(&i->disk, &i->now);
    }
    names_copy(&d->disk, &d->now);
}

struct disk *disk_new(uint64_t seed)
{
    struct disk *d = xcalloc(1, sizeof(*d));
    d->io.ops = &disk_ops;
    d->seed = seed;
    return d;
}

void disk_free(struct disk *d)
{
    while (d->inodes) {
        struct inode *i = d->inodes;
        d->inodes = i->next;
        inode_free(i);
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
    struct name *n = name_find(&d->now, path);
    return n ? &n->inode->now : NULL;
}

const char *disk_path(struct disk *d, size_t n)
{
    return n < d->now.count ? d->now.list[n].path : NULL;
}
