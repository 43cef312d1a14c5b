/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of ecpfs share: the mount, its inodes, and operations under way. */
#ifndef FS_FS_H
#define FS_FS_H

#define FUSE_USE_VERSION 312
#include <fuse3/fuse_lowlevel.h>
#include <stdlib.h>
#include <sys/queue.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/loop.h"
#include "base/model.h"
#include "cache/cache.h"

/*
 * INODE_MORE is the directory that holds the rest of names longer than one component; INODE_SCRATCH
 * a file whose name begins with "." and that lives in this mount's memory until it is renamed to a
 * node's name; INODE_LOCK a directory's .lock, INODE_LOCKS the directory .locks and
 * INODE_LOCKS_FILE a reference in it; INODE_CONTROL the directory .ecp, INODE_CONTROL_FILE a file
 * in it.
 */
enum inode_kind {
    INODE_DIR,
    INODE_FILE,
    INODE_VALUE,
    INODE_MORE, /* from here on: no node, nobody is asked about it */
    INODE_SCRATCH,
    INODE_LOCK, /* from here on: cannot be made or removed */
    INODE_LOCKS,
    INODE_LOCKS_FILE,
    INODE_CONTROL,
    INODE_CONTROL_FILE
};

typedef void inode_done_fn(void *cookie, int error);

/* Waits until what was written up to its coming is applied. */
struct inode_waiter {
    STAILQ_ENTRY(inode_waiter) link;
    uint64_t writes; /* in->writes then */
    inode_done_fn *done;
    void *cookie;
};

/*
 * Known to the kernel (nlookup > 0), open, or holding something not yet sent; freed when none
 * holds. At most one inode that is not `gone` or `retired` has a given identity (kind, key, text).
 * A node that turns from file to directory gets another inode, the old one answers ESTALE.
 *
 * What is not yet sent is shown to the handle that wrote it and to nobody else.
 */
struct inode {
    struct fs *fs;
    uint64_t id; /* FUSE nodeid; never reused */
    enum inode_kind kind;
    struct key key;  /* the node; INODE_MORE, INODE_SCRATCH: the directory's node */
    struct buf text; /* INODE_MORE: subscript bytes before here; INODE_SCRATCH, control files: name;
                        INODE_LOCKS_FILE: the key of the reference */
    uint64_t nlookup; /* references the kernel holds */
    unsigned opens;   /* handles */
    bool opened;      /* had one ever */
    unsigned writers; /* of them, those open for writing */
    unsigned cached;  /* those that read through the kernel's page cache: at most one */
    unsigned pins;    /* operations that will come back to it */
    bool gone;        /* removed or replaced through this mount: out of the identity table */
    bool retired;     /* another inode stands for the same now: out of it, too */
    bool changing;    /* retired, and content may have changed since: the kernel keeps nothing */
    bool made;        /* INODE_MORE: made by mkdir here, exists although nothing is below */
    bool fresh;       /* created here, first value not yet sent */
    bool have;        /* data holds the whole content */
    bool dirty;       /* data differs from what was sent */
    bool flushing;
    uint64_t writes;       /* counts changes of data and tail, to see what came while flushing */
    uint64_t writer;       /* handle that wrote what is not yet sent; HANDLES when it was several */
    pid_t writer_pid;      /* the thread that did */
    int failed;            /* what was written could not be stored: for the next fsync or close */
    uint64_t written;      /* wall clock: mtime of content held here */
    uint64_t stamp;        /* of the record, as last known; 0: none */
    pid_t creator;         /* whose open(2) made it and may still look at it; 0: nobody's */
    uint64_t created;      /* stamp of that */
    uint64_t changed;      /* directories: the newest that was shown */
    uint64_t listed;       /* loop_now() until which the kernel knows all nodes of its listing */
    uint64_t listed_epoch; /* fs->epoch then */
    bool listing_kept;     /* by the kernel, as a handle reads it that is open */
    uint64_t until;   /* loop_now() up to which the kernel may serve attributes without asking */
    bool was_read;    /* since they were told: the kernel asks anew, for the time of access */
    bool unsure;      /* directories: others changed it since it was last seen to be one */
    uint64_t named;   /* the same for its name, if no epoch began since */
    uint64_t epoch;   /* fs->epoch when the name was given out */
    unsigned leaving; /* operations that remove or replace it: content is kept for handles */
    uint64_t left;    /* loop_now() when the last change to `changing` or `retired` was */
    pid_t refused;    /* thread that was last told ESTALE when it opened it */
    uint64_t moved;   /* loop_now() when content was last seen to change; 0: never looked at */
    struct buf shown; /* while cached: what the page cache is filled with, as the file shows it */
    uint64_t shown_stamp; /* of what is in the page cache, also later; 0: not known */
    struct buf data;      /* content as the file shows it */
    struct buf tail;      /* appended, not yet sent */
    size_t sending;       /* bytes of it that are under way */
    uint64_t whole;       /* handle that began the content anew and cannot read; 0: none */
    struct buf base; /* while it is not in data: what that wrote, and was sent before its end */
    TAILQ_ENTRY(inode) due_link;
    uint64_t due; /* loop_now() when it is sent by itself; 0: not in fs->due */
    STAILQ_HEAD(, inode_waiter) waiters; /* for what is pending to be sent */
    LIST_HEAD(, load) loads;             /* content being fetched */
    struct inode *next_id, *next_name;   /* hash chains */
    LIST_ENTRY(inode) local;             /* in fs->locals when fresh, scratch or made */
    bool is_local;
    LIST_ENTRY(inode) retired_link; /* in fs->retired */
    bool fenced;                    /* what is being sent must not be sent again */
    bool is_unsent;                 /* in fs->unsent */
    LIST_ENTRY(inode) unsent;
    LIST_HEAD(, lock_hold) holds; /* of handles */
    unsigned lost;                /* among them */
};

struct op; /* fs/op.h */

#define HANDLES UINT64_MAX

/* A file of which an OPEN was answered ESTALE. */
struct refused {
    uint64_t number, until; /* inode_number; loop_now() */
};
#define REFUSED_MAX 64

struct fs {
    struct loop *loop;
    struct upstream *up; /* of the cache */
    struct cache *cache;
    struct fuse_session *session;
    uint32_t uid, gid;
    uint32_t umask;
    uint32_t negative_timeout; /* s */
    bool text, quiet;
    bool has_epochs;            /* the kernel has FUSE_NOTIFY_INC_EPOCH */
    uint64_t epoch;             /* counts them */
    uint64_t named;             /* the oldest of which the kernel may have names */
    TAILQ_HEAD(, listing) told; /* names that it may not have taken yet, as they were told */
    uint64_t told_count;
    bool ending;        /* the kernel is to keep nothing any more */
    struct space space; /* as last known */
    uint64_t started;   /* wall clock, for nodes without a stamp */
    struct inode *root;
    struct inode **by_id, **by_name;
    size_t buckets, inodes;
    uint64_t next_id, next_handle;
    LIST_HEAD(, inode) locals;
    LIST_HEAD(, inode) retired;
    LIST_HEAD(, inode) unsent; /* all that are, and some that were */
    struct locks *locks;
    LIST_HEAD(, lock_text) lock_texts;
    LIST_HEAD(, recall) recalls;         /* that the kernel could not yet be told of as a whole */
    size_t own_recalls;                  /* among them, of changes made here */
    struct refused refused[REFUSED_MAX]; /* the last ones */
    unsigned refused_next;
    uint64_t refused_until;           /* of the last one */
    struct buf name, out;             /* for the length of a turn */
    LIST_HEAD(, op) waiting;          /* operations under way */
    uint64_t timeo;                   /* ns, of a soft mount; 0: hard */
    struct loop_event *soft_timer;    /* while there is no connection */
    struct loop_event *callers_timer; /* of op_watch_caller */
    TAILQ_HEAD(, inode) due;          /* to be sent by themselves, by time */
    struct loop_event *due_timer;
    bool failing;                          /* it is over: nobody waits for the server */
    uint64_t lookups, handles;             /* that the kernel holds: sums of nlookup and opens */
    uint64_t requests;                     /* taken from the device since the start */
    STAILQ_HEAD(, control_source) sources; /* of .ecp/stats */
};

/* ---- inode.c ---- */
void inode_table_init(struct fs *fs);
void inode_table_free(struct fs *fs);
struct inode *inode_by_id(struct fs *fs, fuse_ino_t id);
/* The live inode of an identity, or NULL. text: empty but for INODE_MORE and INODE_SCRATCH. */
struct inode *inode_find(struct fs *fs, enum inode_kind kind, struct slice key, struct slice text);
/* As inode_find, made when missing. */
struct inode *inode_get(struct fs *fs, enum inode_kind kind, struct slice key, struct slice text);
/* Frees the inode if nothing holds it any more. */
void inode_release(struct fs *fs, struct inode *in);
/* Takes it out of the identity table: what it stood for was removed or replaced. */
void inode_set_gone(struct fs *fs, struct inode *in);
/* Leaves it to the handles it has: from now on another inode stands for the same. */
void inode_retire(struct fs *fs, struct inode *in);
/* The one that stands for it now, which may be NULL when it is retired. */
struct inode *inode_current(const struct inode *in);
bool inode_retired_lately(const struct inode *in);
/* Gives it another identity (rename); an inode that has that identity already becomes gone. */
void inode_rekey(struct fs *fs, struct inode *in, enum inode_kind kind, struct slice key,
                 struct slice text);
/* After the subtree at from became the one at to: every inode below follows. */
void inode_move_tree(struct fs *fs, struct slice from, struct slice to);
void inode_set_local(struct fs *fs, struct inode *in, bool local);
uint64_t inode_number(enum inode_kind kind, struct slice key, struct slice text);
bool inode_is_dir(const struct inode *in);
/* Lives in this mount only: its attributes are known here. */
bool inode_is_local(const struct inode *in);
/* The kernel took or gave back references, a handle was opened (1) or released (-1). */
void inode_count_lookups(struct inode *in, int64_t n);
void inode_count_opens(struct inode *in, uint64_t handle, int n);

/* ---- attr.c: what stat shows ---- */
/* Whether the node, as the other side reports it, is what this inode stands for. */
bool attr_matches(const struct inode *in, const struct node *node);
/* Notes what of it matters later. */
void attr_of_node(struct fs *fs, struct inode *in, const struct node *node, struct stat *st);
/* Of content held here (have, fresh or gone). */
void attr_of_local(struct fs *fs, const struct inode *in, struct stat *st);
/* The listing changed in a way that only this mount shows. */
void attr_listing_changed(struct fs *fs, struct slice dir);
mode_t attr_mode(const struct inode *in);
uint64_t attr_size(const struct fs *fs, uint64_t value_len);

/* ---- pages.c: files in the kernel's page cache ---- */
/*
 * The kernel has one size of a file for all handles, and a read takes first the attributes, then
 * the page, then the size. So a handle of what was quiet for a while is cached if it is the only
 * one; its pages are filled with what the attributes told last are of; and with the first change,
 * or when a second handle is opened, the inode is left to it alone (retired): nobody else's
 * attributes or writes move the size.
 */
/* Whether a handle opened with these flags may change the content. */
bool pages_write(int flags);
/* Content was seen to change. */
void pages_changed(struct inode *in);
/* The node's stamp is this now. */
void pages_seen(struct inode *in, uint64_t stamp);
/* It did not change for a while. */
bool pages_quiet(const struct inode *in);
/* The max_value with which the inode's node is asked for to be told. */
uint32_t pages_max_value(const struct inode *in);
/* Chooses how a new handle reads. node: with its value, if that is known; in and node may be NULL:
 * not looked at. */
void pages_open(struct fs *fs, struct inode *in, const struct node *node, uint64_t until,
                struct fuse_file_info *fi);
/* Content may change: leaves the inode to a handle that is cached. True: names led there. */
bool pages_leave(struct inode *in);
/* loop_now() before which no change may be seen, for looks by path that met the inode before it was
 * left to its handle are still under way; 0: there are none. */
uint64_t pages_settled(const struct inode *in);
/* Nobody writes here, but at what a new look-up of the name finds: answer ESTALE. */
bool pages_refuse(struct inode *in);
/* The same for a handle that reads. */
bool pages_refuse_reader(struct inode *in, pid_t who);
/* The kernel has a handle more or less. */
void pages_count(struct inode *in, uint64_t handle, int n);
/* Answers a READ that fills pages; false: it is to be asked for. Never waits: pages are locked. */
bool pages_read(fuse_req_t req, struct inode *in, uint64_t handle, uint64_t offset, size_t size);
/* The node's attributes are told now: pages are filled with what they are of. */
void pages_tell(struct inode *in, const struct node *node);

/* ---- content.c: what is written and not yet sent ---- */
/* Calls done when all that was written is applied; at once (still from the loop's turn) when
 * nothing is pending. */
void content_flush(struct fs *fs, struct inode *in, inode_done_fn *done, void *cookie);
/* Calls done when data holds the whole content (tail included). */
void content_load(struct fs *fs, struct inode *in, inode_done_fn *done, void *cookie);
/* Neither calls done(cookie) any more. */
void content_cancel(struct fs *fs, struct inode *in, void *cookie);
bool content_pending(const struct inode *in);
/* Something is written that is not yet applied; and how much is known to be. */
bool content_unsent(const struct inode *in);
size_t content_unsent_bytes(const struct inode *in);
/* Data is here and the handle that looks wrote it: it sees that. */
bool content_shown_to(const struct inode *in, uint64_t handle);
/* What is not yet sent, or is on its way now, must not come after what another lock's holder does:
 * it is dropped, or not sent again, and its writer is told EIO. */
void content_fence(struct fs *fs, struct inode *in);
/* Content changed: it will be sent within a second. */
void content_touched(struct fs *fs, struct inode *in);
/* Not any more by itself. */
void content_not_due(struct inode *in);
/* The handle writes now; the thread of the request is noted with it. */
void content_by(struct inode *in, uint64_t handle, fuse_req_t req);
int content_resize(struct fs *fs, struct inode *in, uint64_t size);
int content_write(struct fs *fs, struct inode *in, uint64_t offset, struct slice bytes);
int content_append(struct fs *fs, struct inode *in, struct slice bytes);
/* Data that was fetched to be changed, and was not. */
void content_unload(struct inode *in);
/*
 * A handle that truncates, or makes, a file and only writes gives it its whole value. What others
 * write after a part of that was sent early, because somebody looked, is not mixed into it.
 */
void content_begin(struct inode *in, uint64_t handle, int flags);
/* It writes on. */
void content_resume(struct inode *in, uint64_t handle);
/* Who wrote closes or syncs it, or a lock goes: what is written then goes into what is there. */
void content_end(struct inode *in);
/* The value that the content stands for (-o text drops one newline). */
struct slice content_value(const struct fs *fs, struct slice content);
/* Sends everything, of all inodes; calls done once. */
void content_flush_all(struct fs *fs, loop_fn *done, void *cookie);

/* ---- kernel.c: what the kernel keeps, and taking it back ---- */
extern const struct cache_events kernel_events; /* cookie: the fs */
/* Seconds for which the kernel may keep what is told now; in->until is noted. */
double kernel_keeps(struct inode *in, uint64_t until);
/* The same for a name that leads to it, right after kernel_keeps. */
double kernel_keeps_name(struct inode *in, double keeps);
/* Whether it has name and attributes for at least half of the time until then. */
bool kernel_has(const struct inode *in, uint64_t until);
/* The session begins. */
void kernel_begin(struct fs *fs);
/*
 * Before an update is sent: from then on others may see it, and the kernel must not serve what was
 * before. It may be sent, and its end be told, when kernel_unsettled is false.
 */
void kernel_changing(struct fs *fs, const struct update *u);
/* Whether changes made here are still to be told to the kernel. */
bool kernel_unsettled(const struct fs *fs);
/* A directory's listing changed in a way that only this mount shows. */
void kernel_listing_changed(struct inode *dir);
/* inode_retire, and the kernel looks its name up again. changing: content is about to change. */
void kernel_retire(struct inode *in, bool changing);
/* The first handle on what is about to go: that answers then, so names are to be asked for. */
void kernel_held(struct fs *fs);
/* From now on the kernel keeps nothing. Before the end of the session. */
void kernel_end(struct fs *fs);
void kernel_free(struct fs *fs);

/* ---- names.c: a name in a directory ---- */
/*
 * What `name` in directory `dir` stands for, without asking anyone: kind, key and text of an inode.
 * A node's kind is INODE_FILE until looked up. 0, or ECP_ENOENT when no node can have that name,
 * ECP_EKEYLONG.
 */
int names_resolve(struct fs *fs, const struct inode *dir, const char *name, enum inode_kind *kind,
                  struct key *key, struct buf *text);

/* The same for what is to be made, removed or renamed: names that no node can have are ECP_EINVAL,
 * what is read-only here is ECP_EROFS. */
int names_resolve_change(struct fs *fs, const struct inode *dir, const char *name,
                         enum inode_kind *kind, struct key *key, struct buf *text);

/*
 * The continued component that ends where the bytes `text` of some longer subscript end and begins
 * at offset `at`. out: NAME_MAX_LEN bytes. Returns its length; 0 when no name is cut like that.
 */
size_t names_more(struct slice text, size_t at, char *out);
/* Whether a component of this subscript's name begins at offset `at`. */
bool names_boundary(struct slice subscript, size_t at);

/* ---- control.c: the directory .ecp ---- */
#define CONTROL_DIR    ".ecp"
#define CONTROL_STATS  "stats"            /* lines of `name number` */
#define CONTROL_STATUS "status"           /* lines of `name value` */
extern const char *const control_files[]; /* ends in NULL */

typedef void control_fn(void *cookie, struct buf *out);

void control_init(struct fs *fs);
void control_free(struct fs *fs);
/* lines(cookie, out) appends its lines each time the file is opened. */
void control_add(struct fs *fs, const char *file, control_fn *lines, void *cookie);
bool control_is_file(struct slice name);
void control_open(struct op *op);
void control_read(fuse_req_t req, const struct fuse_file_info *fi, size_t size, off_t offset);
void control_release(struct fuse_file_info *fi);

/* ---- soft.c: mounts that do not wait for ever ---- */
/* The connection is there, or is not: also when nothing has changed. */
void soft_connected(struct fs *fs, bool connected);

/* ---- lock.c, lock_hold.c: locks of processes; lock.h has the rest ---- */
/* A descriptor is closed. True: its owner had locks, which end, and fs_flush_content follows. */
bool lock_flush(fuse_req_t req, struct inode *in, const struct fuse_file_info *fi);
void lock_release_handle(struct inode *in, uint64_t handle);
/* The handle has had a lock and lost it: nothing can be done with it any more but closing it. */
bool lock_is_lost(const struct inode *in, uint64_t handle);

/* ---- locks_dir.c: the directory .locks ---- */
#define LOCK_FILE ".lock"
#define LOCKS_DIR ".locks"

/* The key of the reference that a name in the directory is; ECP_ENOENT. */
int locks_resolve(struct slice component, struct buf *text);
/* Fills an empty listing; op->then follows. */
void locks_list(struct op *op);
void locks_read(fuse_req_t req, struct inode *in, const struct fuse_file_info *fi, size_t size,
                off_t offset);
void locks_read_end(struct fs *fs, uint64_t handle);

/* ---- ops.c ---- */
extern const struct fuse_lowlevel_ops fs_ops;

#endif
