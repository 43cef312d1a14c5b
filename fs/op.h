/* SPDX-License-Identifier: Apache-2.0 */
/* An operation under way: what it waits for, and its one reply. */
#ifndef FS_OP_H
#define FS_OP_H

#include "fs/fs.h"

struct call_locks; /* net/call.h */

/*
 * Made by every handler that cannot answer at once. Ends in exactly one op_* reply, which frees it.
 * in and other are pinned while it lives.
 */
struct op {
    LIST_ENTRY(op) waiting;
    uint64_t begun; /* loop_now */
    struct fs *fs;
    fuse_req_t req;
    struct cache_call *call;
    struct call *list; /* of locks, under way */
    void (*listed)(void *cookie, int error, const struct call_locks *locks);
    struct loop_event *patience, *watch, *settling;
    bool mutation; /* sent once, outcome matters: not given up lightly */
    bool watched;  /* op_watch_caller */
    struct inode *in, *other;
    struct inode *waits_for; /* its content; step follows */
    inode_done_fn *step;
    struct key key, *to; /* to: RENAME; its own */
    struct buf text;
    struct fuse_file_info fi;
    void (*then)(struct op *op); /* what comes after a step that several operations share */
    uint64_t offset;
    size_t size;
    unsigned flags;
    bool plus;             /* READDIRPLUS */
    bool seek;             /* READDIR: offset is the cookie of a name still to be found */
    struct inode *leaving; /* counted in its own */
    enum inode_kind kind, to_kind;
    struct buf bytes;
    struct stat st;
    struct update update;           /* while it waits to be sent; its slices point into this */
    void (*applied)(struct op *op); /* with the update's answer: before any look sees it */
    cache_update_fn *updated;       /* when its end may be told */
    int error;                      /* of what was done, for who tells its end */
    uint64_t stamp;
};
struct op *op_new(struct fs *fs, fuse_req_t req, struct inode *in);
/* content_flush (of the inode that stands for it now) and content_load, given up when the operation
 * is; step gets the operation. */
void op_flush(struct op *op, struct inode *in, inode_done_fn *step);
void op_load(struct op *op, struct inode *in, inode_done_fn *step);
/* Before in (may be NULL) goes: handles that are open keep the bytes. */
void op_keep_bytes(struct op *op, struct inode *in, inode_done_fn *step);
/* A process that exits closes its files where no signal reaches it: looks whether this one does. */
void op_watch_caller(struct op *op);
bool op_caller_exiting(fuse_req_t req);
/* It has waited for the server for long enough: EIO. */
void op_time_out(struct op *op);
void op_error(struct op *op, int error); /* enum ecp_error; 0 answers success */
void op_errno(struct op *op, int err);
/* until: loop_now() up to which the kernel may keep it; 0: not at all. */
void op_attr(struct op *op, const struct stat *st, uint64_t until);
void op_entry(struct op *op, struct inode *in, const struct stat *st, uint64_t until);
void op_created(struct op *op, struct inode *in, const struct stat *st);
/* A name that does not exist. */
void op_absent(struct op *op);
/* false: the kernel did not take it, there will be no release. */
bool op_opened(struct op *op);
void op_bytes(struct op *op, struct slice bytes);
void op_part(struct op *op, struct slice all); /* op->size bytes from op->offset */
void op_written(struct op *op, size_t len);
void op_free(struct op *op); /* after a reply sent by the handler itself */
/* The update's slices must live as long as the operation. */
void op_update(struct op *op, const struct update *update, cache_update_fn *done);
/* For its done: tells how it ended. */
void op_updated(void *cookie, int error, uint64_t stamp);
/* Whether an update under way removes, replaces or moves the node. */
bool op_takes_away(const struct fs *fs, struct slice key);
/* The same replies where no operation had to be made. */
void reply_attr(fuse_req_t req, struct inode *in, const struct stat *st, uint64_t until);
void reply_entry(fuse_req_t req, struct inode *in, const struct stat *st, uint64_t until);
bool reply_opened(fuse_req_t req, struct inode *in, const struct fuse_file_info *fi);
void reply_absent(fuse_req_t req, struct fs *fs);
/* size bytes of all from offset. */
void reply_part(fuse_req_t req, struct slice all, uint64_t offset, size_t size);

/* ---- lookup.c ---- */
/* Looks for a name that goes on beyond op->text. op->then follows; op->error: ECP_ENOENT, none. */
void lookup_more(struct op *op);

/* ---- handlers ---- */
void fs_lookup(fuse_req_t req, fuse_ino_t parent, const char *name);
void fs_forget(fuse_req_t req, fuse_ino_t ino, uint64_t nlookup);
void fs_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets);
void fs_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void fs_access(fuse_req_t req, fuse_ino_t ino, int mask);
void fs_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
                struct fuse_file_info *fi);
void fs_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode);
void fs_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name);
void fs_unlink(fuse_req_t req, fuse_ino_t parent, const char *name);
void fs_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t newparent,
               const char *newname, unsigned int flags);
void fs_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void fs_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
               struct fuse_file_info *fi);
void fs_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev);
void fs_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi);
void fs_write(fuse_req_t req, fuse_ino_t ino, const char *bytes, size_t size, off_t off,
              struct fuse_file_info *fi);
void fs_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void fs_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi);
void fs_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
/* What is left of a FLUSH when its owner's locks are gone. */
void fs_flush_content(fuse_req_t req, struct inode *in);
void fs_flock(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi, int op);
void fs_setlk(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi, struct flock *lock,
              int sleep);
void fs_getlk(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi, struct flock *lock);
void fs_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void fs_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi);
void fs_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
                    struct fuse_file_info *fi);
void fs_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void fs_fsyncdir(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi);
void fs_statfs(fuse_req_t req, fuse_ino_t ino);
void fs_symlink(fuse_req_t req, const char *link, fuse_ino_t parent, const char *name);
void fs_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t newparent, const char *newname);

#endif
