/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of the simulated disk: names and contents, as they are and as they are on the disk. */
#ifndef SIM_DISK_INT_H
#define SIM_DISK_INT_H

#include "tests/sim/disk.h"

struct change {
    struct change *next;
    bool resize;
    uint64_t offset; /* or the new size */
    struct buf bytes;
};

struct inode {
    struct inode *next;
    unsigned opened;
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
    void (*when_off)(void *cookie);
    void *when_off_cookie;
    unsigned write_in, sync_in;
    int write_error, sync_error;
    uint64_t limit;
};

extern const struct io_ops disk_ops;

struct name *name_find(struct names *names, const char *path);
void name_link(struct names *names, const char *path, struct inode *inode);
void name_unlink(struct names *names, struct name *name);
void names_copy(struct names *to, const struct names *from);

/* Longer by zeros, or shorter. */
void bytes_resize(struct buf *bytes, uint64_t size);
void bytes_put(struct buf *to, uint64_t offset, const uint8_t *bytes, size_t len);

/* Notes a change of what the file is now; the caller adds its bytes. */
struct change *inode_change(struct inode *inode, bool resizing, uint64_t offset);
/* The change is on the disk. */
void change_bring(struct inode *inode, const struct change *change);
void inode_forget(struct inode *inode);
/* Of its changes some are on the disk, some in part; there are none left. */
void inode_tear(struct disk *disk, struct inode *inode);
/* Frees what has no name any more, on the disk either, and is not open. */
void disk_collect(struct disk *disk);

#endif
