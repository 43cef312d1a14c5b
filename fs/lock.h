/* SPDX-License-Identifier: Apache-2.0 */
/* Locks of processes on files of the mount, which the server brokers. */
#ifndef FS_LOCK_H
#define FS_LOCK_H

#include <bsd/sys/tree.h>

#include "fs/fs.h"
#include "locks/lock_client.h"
#include "locks/lock_held.h"

#define LOCK_NONE (-1) /* no mode; else whether it is exclusive */

/*
 * What one owner has locked through one handle: to be given back when that is closed. A flock's
 * owner is the handle; else it is the kernel's number for a table of descriptors (POSIX) or an open
 * file (OFD). Both kinds are of the same locks.
 */
struct lock_hold {
    RB_ENTRY(lock_hold) tree;
    LIST_ENTRY(lock_hold) of_inode;
    struct inode *in;
    uint64_t owner, handle;
    struct key name; /* as it was locked; the inode may have been renamed since */
    int mode;        /* LOCK_NONE: nothing; of ranges the last */
    bool lost;       /* the handle answers EIO until it is closed */
    pid_t pid, parent;
    struct buf text;  /* of that process, for listings */
    uint64_t process; /* whose owners wait together */
};
RB_HEAD(lock_holds, lock_hold);

/* The mount's locks. net: for lock_net.c. */
struct locks {
    struct fs *fs;
    struct client *net;
    struct lock_client *client;
    struct lock_held *at_server; /* what the client's calls have got */
    struct lock_holds holds;
    TAILQ_HEAD(, lock_ask) asks; /* requests of the kernel that have no answer yet */
    size_t held;
    uint64_t lost;
    char host[65];
};

/* ---- lock_session.c ---- */
struct locks *locks_new(struct fs *fs, struct client *net);
/* After the client: nothing comes from it any more. */
void locks_free(struct locks *locks);
/* client_config.lock, client_config.reclaim, and the end of the session. */
void locks_said(struct locks *locks, bool lost, uint64_t owner, struct slice name);
void locks_reclaim(struct locks *locks);
void locks_disconnected(struct locks *locks);
/* Nobody waits for the server any more: EIO, but unlocking and closing succeed and go on. */
void locks_time_out(struct locks *locks);

/* ---- lock_hold.c ---- */
struct lock_hold *lock_hold_find(struct locks *locks, const struct inode *in, uint64_t owner,
                                 uint64_t handle);
/* The same, made when missing: a lock of pid on that name. */
struct lock_hold *lock_hold_get(struct locks *locks, struct inode *in, uint64_t owner,
                                uint64_t handle, struct slice name, pid_t pid);
void lock_hold_set(struct locks *locks, struct lock_hold *hold, int mode);
/* Of all that the owner has of the inode. False: there was none. */
bool lock_hold_set_all(struct locks *locks, struct inode *in, uint64_t owner, int mode);
/* Whether the owner has a lock on any inode. */
bool lock_hold_any(struct locks *locks, uint64_t owner);
void lock_hold_free(struct locks *locks, struct lock_hold *hold);
/* For lock_upstream. */
void locks_lost(void *cookie, uint64_t owner, bool all, struct slice name);
/* Calls done when all that was written through the mount until now is applied; at once when nothing
 * is left to be sent. */
void locks_send_written(struct fs *fs, loop_fn *done, void *cookie);
RB_PROTOTYPE(lock_holds, lock_hold, tree, )

/* ---- lock_process.c ---- */
struct lock_process_info {
    char command[64];
    pid_t parent;
};
/* "?" and 0 when it is gone, or of another pid namespace. */
void lock_process_read(pid_t pid, struct lock_process_info *info);
/*
 * The number under which the server knows what waits when this process, or thread, waits: its own,
 * or that of a holder that waits for it to end.
 */
uint64_t lock_process_of(struct locks *locks, pid_t pid);

/* ---- lock_test.c ---- */
/* F_GETLK; replies. who.owner's own locks do not count. */
void lock_test(struct locks *locks, fuse_req_t req, const struct call_lock_args *args);

/* ---- lock_net.c: the calls of the network session; cookie: struct locks ---- */
extern const struct lock_upstream lock_net;
struct lock_held *lock_net_held(struct locks *locks);
struct call *lock_net_list(struct locks *locks, struct slice under, call_locks_fn *done,
                           void *cookie);
void lock_net_cancel(struct call *call);
/* Whether a row of the list is of this mount's session. */
bool lock_net_is_own(struct locks *locks, const struct call_lock_row *row);

#endif
