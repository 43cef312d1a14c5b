/* SPDX-License-Identifier: Apache-2.0 */
/* What the kernel is being told to take back: for kernel.c, which knows of what. */
#ifndef FS_KERNEL_RECALL_H
#define FS_KERNEL_RECALL_H

#include "fs/fs.h"

/*
 * A recall, of which some inodes may not yet have been told: the kernel does not know them, but
 * references were given out, so a reply may be on its way in.
 */
struct recall {
    LIST_ENTRY(recall) link; /* fs->recalls */
    struct fs *fs;
    uint64_t serial; /* 0: an own change */
    bool named;      /* a name may lead to what is not of that kind any more */
    bool held;       /* what is to go has handles, and answers as long as they are open */
    uint64_t delay;
    uint64_t settled; /* not done before; loop_now() */
    uint64_t told;    /* nor before what was told until then is taken; 0: nothing is waited for */
    struct loop_event *timer;
    struct {
        uint64_t id;
        uint64_t until; /* after which the kernel keeps nothing by itself */
    } * inodes;
    size_t count, cap;
};

/* Tells the kernel that the inode's attributes are no longer right. False: it cannot be told yet.
 */
bool kernel_recall_tell(struct recall *r, struct inode *in);
/* The same, noted when it cannot be told yet, and what else a change of the inode means. */
void kernel_recall_inode(struct recall *r, struct inode *in);
/* All inodes were named. Most recalls are over then; what is left of others lives on in a copy. */
void kernel_recall_end(struct recall *begun);
void kernel_recall_free_all(struct fs *fs);

/* kernel.c: all names are to be asked for again. False: the kernel cannot. */
bool kernel_epoch_begin(struct fs *fs);

#endif
