/* SPDX-License-Identifier: Apache-2.0 */
/* A request of the kernel about locks, from the call to its reply. */
#ifndef FS_LOCK_ASK_H
#define FS_LOCK_ASK_H

#include "fs/lock.h"
#include "fs/op.h"

enum ask_kind {
    ASK_LOCK,
    ASK_UNLOCK,
    ASK_CLOSE, /* of a descriptor: what else that means comes afterwards */
};

/*
 * A request under way: what was written is sent, then the server is asked. When its process was
 * told that it is over (req is NULL then) it goes on, so that nothing stays locked for nobody.
 */
struct lock_ask {
    TAILQ_ENTRY(lock_ask) all;
    struct locks *locks;
    struct inode *in; /* pinned; NULL when the handle is gone */
    fuse_req_t req;
    enum ask_kind kind;
    uint64_t owner, handle, start, end; /* end 0: none */
    struct key name;
    int mode;
    bool wait, flock;
    pid_t pid;
    struct lock_call *call;
    struct loop_event *patience, *watch;
};

/*
 * Both take what the request is about from `like`, and reply. lock: of like->in, which has such a
 * handle; in unlock in and req may be NULL, when nobody waits.
 */
void lock_ask_lock(struct locks *locks, fuse_req_t req, const struct lock_ask *like);
void lock_ask_unlock(struct locks *locks, fuse_req_t req, struct inode *in,
                     const struct lock_ask *like);
struct call_lock_item lock_ask_item(const struct lock_ask *ask);
bool lock_ask_is_whole(const struct lock_ask *ask);
/* Without waiting for the server; it goes on for nobody. */
void lock_ask_reply(struct lock_ask *ask, int err);
void lock_ask_free(struct lock_ask *ask);

#endif
