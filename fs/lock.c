/* SPDX-License-Identifier: Apache-2.0 */
/* FLOCK, SETLK, GETLK, and the end of locks when files are closed. */
#include "fs/lock.h"

#include <errno.h>
#include <inttypes.h>
#include <sys/file.h>
#include <unistd.h>

#define PATIENCE LOOP_SEC /* an interrupted wait gets its end from the server within this */

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

/* ---- The life of a request ---- */

static void ask_free(struct lock_ask *ask)
{
    struct fs *fs = ask->locks->fs;

    loop_cancel(fs->loop, ask->patience);
    loop_cancel(fs->loop, ask->watch);
    TAILQ_REMOVE(&ask->locks->asks, ask, all);
    if (ask->in) {
        ask->in->pins--;
        inode_release(fs, ask->in);
    }
    free(ask);
}

static void ask_reply(struct lock_ask *ask, int err)
{
    fuse_req_t req = ask->req;

    if (!req)
        return;
    loop_cancel(ask->locks->fs->loop, ask->patience);
    ask->patience = NULL;
    ask->req = NULL;
    fuse_req_interrupt_func(req, NULL, NULL);
    if (ask->kind == ASK_CLOSE)
        fs_flush_content(req, ask->in);
    else
        fuse_reply_err(req, err);
}

static void out_of_patience(void *cookie)
{
    struct lock_ask *ask = cookie;
    fuse_req_t req = ask->req;

    ask->patience = NULL;
    ask->req = NULL;
    fuse_req_interrupt_func(req, NULL, NULL);
    fuse_reply_err(req, EINTR);
}

static void interrupted(fuse_req_t req, void *cookie)
{
    struct lock_ask *ask = cookie;
    struct fs *fs = ask->locks->fs;

    (void)req;
    if (ask->call)
        lock_client_cancel(ask->locks->client, ask->call);
    if (!ask->patience)
        ask->patience = loop_timer(fs->loop, cache_connected(fs->cache) ? PATIENCE : 0,
                                   out_of_patience, ask);
}

/* A process that exits closes its files where no signal reaches it. */
static void watch_closing(void *cookie)
{
    struct lock_ask *ask = cookie;

    ask->watch = NULL;
    if (ask->req && op_caller_exiting(ask->req))
        ask_reply(ask, EINTR);
    else if (ask->req)
        ask->watch = loop_timer(ask->locks->fs->loop, PATIENCE, watch_closing, ask);
}

static struct lock_ask *ask_new(struct locks *l, fuse_req_t req, struct inode *in,
                                const struct lock_ask *like)
{
    struct lock_ask *ask = xmalloc(sizeof(*ask));

    *ask = *like;
    ask->locks = l;
    ask->req = req;
    ask->in = in;
    if (in)
        in->pins++;
    TAILQ_INSERT_TAIL(&l->asks, ask, all);
    if (req)
        fuse_req_interrupt_func(req, interrupted, ask);
    if (req && ask->kind == ASK_CLOSE)
        ask->watch = loop_timer(l->fs->loop, PATIENCE, watch_closing, ask);
    return ask;
}

/* ---- Asking the server ---- */

static struct call_lock_item item_of(const struct lock_ask *ask)
{
    return (struct call_lock_item){.name = key_slice(&ask->name),
                                   .exclusive = ask->mode == 1,
                                   .start = ask->start,
                                   .end = ask->end};
}

static bool is_whole(const struct lock_ask *ask)
{
    return ask->start == 0 && ask->end == 0;
}

static void unlock_done(void *cookie, int error)
{
    (void)error; /* with the session every lock is gone, too */
    ask_reply(cookie, 0);
    ask_free(cookie);
}

static void unlock(void *cookie)
{
    struct lock_ask *ask = cookie;
    struct call_lock_item item = item_of(ask);

    lock_client_unlock(ask->locks->client, ask->owner, &item, 1, unlock_done, ask);
}

static void lock(void *cookie);

static int lock_errno(int error)
{
    return error == ECP_EBUSY ? EAGAIN : error_errno(error);
}

static void locked(struct lock_ask *ask)
{
    struct lock_hold *hold = lock_hold_get(ask->locks, ask->in, ask->owner, ask->handle,
                                           key_slice(&ask->name), ask->pid);

    lock_hold_set(ask->locks, hold, ask->mode);
    ask_reply(ask, 0);
}

/* In the queue of the next session; or in the room of locks that were kept for nobody. */
static bool is_worth_another_try(const struct lock_ask *ask, int error)
{
    if (!ask->req || ask->patience)
        return false;
    return (error == ECP_EDISCONNECTED && !lock_is_lost(ask->in, ask->handle)) ||
           (error == ECP_ELOCKFULL && lock_client_give_back(ask->locks->client));
}

static void lock_done(void *cookie, int error, uint64_t stamp)
{
    struct lock_ask *ask = cookie;

    (void)stamp;
    ask->call = NULL;
    if (is_worth_another_try(ask, error)) {
        lock(ask);
    } else if (!error && !ask->req) {
        unlock(ask);
    } else {
        if (error)
            ask_reply(ask, ask->patience ? EINTR : lock_errno(error));
        else
            locked(ask);
        ask_free(ask);
    }
}

/* flock(2) cannot tell of a deadlock: it waits, and the listing tells. */
static struct call_lock_args args_of(const struct lock_ask *ask, const struct call_lock_item *item)
{
    struct lock_hold *hold = lock_hold_get(ask->locks, ask->in, ask->owner, ask->handle,
                                           key_slice(&ask->name), ask->pid);

    return (struct call_lock_args){.who = {.owner = ask->owner,
                                           .process = hold->process,
                                           .text = buf_slice(&hold->text)},
                                   .items = item,
                                   .count = 1,
                                   .wait = ask->wait,
                                   .patient = ask->flock};
}

static void lock(void *cookie)
{
    struct lock_ask *ask = cookie;
    struct call_lock_item item = item_of(ask);
    struct call_lock_args args;

    if (!ask->req || ask->patience) { /* given up while what was written was sent */
        ask_reply(ask, EINTR);
        ask_free(ask);
        return;
    }
    args = args_of(ask, &item);
    ask->call = lock_client_lock(ask->locks->client, &args, lock_done, ask);
}

/* What needs nobody else: the session has kept the lock, or keeps it. */
static bool lock_now(struct locks *l, const struct lock_ask *ask)
{
    struct call_lock_item item = item_of(ask);
    struct call_lock_args args = args_of(ask, &item);

    return LIST_EMPTY(&l->fs->unsent) && lock_client_lock_now(l->client, &args);
}

static void start_lock(struct locks *l, fuse_req_t req, struct lock_ask *like)
{
    struct inode *in = like->in;
    struct lock_hold *hold;

    if (is_whole(like) && lock_now(l, like)) {
        hold = lock_hold_find(l, in, like->owner, like->handle);
        lock_hold_set(l, hold, like->mode);
        fuse_reply_err(req, 0);
        return;
    }
    locks_send_written(l->fs, lock, ask_new(l, req, in, like));
}

static void answer_unlock(fuse_req_t req, struct inode *in, const struct lock_ask *like)
{
    if (req && like->kind == ASK_CLOSE)
        fs_flush_content(req, in);
    else if (req)
        fuse_reply_err(req, 0);
}

static void start_unlock(struct locks *l, fuse_req_t req, struct inode *in,
                         const struct lock_ask *like)
{
    if (is_whole(like) && LIST_EMPTY(&l->fs->unsent) &&
        lock_client_unlock_now(l->client, like->owner, key_slice(&like->name))) {
        answer_unlock(req, in, like);
        return;
    }
    if (l->fs->failing) {
        answer_unlock(req, in, like);
        req = NULL;
    }
    locks_send_written(l->fs, unlock, ask_new(l, req, in, like));
}

/* ---- What the kernel asks ---- */

/* The node, or of a directory's own files that of the directory. */
static int name_of(const struct inode *in, struct key *key)
{
    *key = in->key;
    switch (in->kind) {
    case INODE_FILE:
    case INODE_VALUE:
    case INODE_LOCK:
        return 0;
    case INODE_SCRATCH: /* the node that has its name, escaped */
        return key_append(key, buf_slice(&in->text));
    case INODE_LOCKS_FILE:
        key_copy(key, buf_slice(&in->text));
        return 0;
    default:
        return ECP_ELOCKFULL;
    }
}

/* 0, or an errno. */
static int prepare(struct lock_ask *ask, struct inode *in, const struct fuse_file_info *fi)
{
    struct lock_hold *hold;

    if (in->lost && lock_is_lost(in, fi->fh))
        return EIO;
    if (name_of(in, &ask->name))
        return ENOLCK;
    ask->locks = in->fs->locks;
    ask->in = in;
    ask->handle = fi->fh;
    LIST_FOREACH (hold, &in->holds, of_inode) /* the name that is locked, after a rename, too */
        if (hold->owner == ask->owner && hold->mode != LOCK_NONE)
            ask->name = hold->name;
    return 0;
}

void fs_flock(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi, int op)
{
    struct fs *fs = fuse_req_userdata(req);
    struct locks *l = fs->locks;
    struct inode *in = inode_by_id(fs, ino);
    struct lock_ask ask = {.owner = fi->fh,
                           .mode = op & LOCK_EX   ? 1
                                   : op & LOCK_SH ? 0
                                                  : LOCK_NONE,
                           .wait = !(op & LOCK_NB),
                           .flock = true,
                           .pid = fuse_req_ctx(req)->pid};
    int err = prepare(&ask, in, fi);
    struct lock_hold *hold = err ? NULL : lock_hold_find(l, in, ask.owner, ask.handle);
    int had = hold ? hold->mode : LOCK_NONE;

    if (err || ask.mode == had) {
        fuse_reply_err(req, err);
        return;
    }
    if (had != LOCK_NONE)
        lock_hold_set(l, hold, LOCK_NONE);
    if (ask.mode == LOCK_NONE) {
        ask.kind = ASK_UNLOCK;
        start_unlock(l, req, in, &ask);
        return;
    }
    if (had != LOCK_NONE) { /* as flock(2) says, one goes before the other comes */
        ask.kind = ASK_UNLOCK;
        start_unlock(l, NULL, NULL, &ask);
        ask.kind = ASK_LOCK;
    }
    start_lock(l, req, &ask);
}

static void set_range(struct lock_ask *ask, const struct flock *lock)
{
    ask->start = (uint64_t)lock->l_start;
    ask->end = lock->l_len ? ask->start + (uint64_t)lock->l_len : 0;
    ask->mode = lock->l_type == F_WRLCK ? 1 : lock->l_type == F_RDLCK ? 0 : LOCK_NONE;
}

void fs_setlk(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi, struct flock *lock,
              int sleep)
{
    struct fs *fs = fuse_req_userdata(req);
    struct inode *in = inode_by_id(fs, ino);
    struct lock_ask ask = {.owner = fi->lock_owner, .wait = sleep, .pid = lock->l_pid};
    int err = prepare(&ask, in, fi);
    bool any;

    set_range(&ask, lock);
    if (err) {
        fuse_reply_err(req, err);
    } else if (ask.mode == LOCK_NONE) {
        ask.kind = ASK_UNLOCK;
        any = is_whole(&ask) ? lock_hold_set_all(fs->locks, in, ask.owner, LOCK_NONE)
                             : !LIST_EMPTY(&in->holds);
        any ? start_unlock(fs->locks, req, in, &ask) : (void)fuse_reply_err(req, 0);
    } else {
        start_lock(fs->locks, req, &ask);
    }
}

void fs_getlk(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi, struct flock *lock)
{
    struct fs *fs = fuse_req_userdata(req);
    struct inode *in = inode_by_id(fs, ino);
    struct lock_ask ask = {.owner = fi->lock_owner};
    struct call_lock_item item;
    struct call_lock_args args = {
        .who.owner = ask.owner, .items = &item, .count = 1, .test = true};
    int err = prepare(&ask, in, fi);

    set_range(&ask, lock);
    item = item_of(&ask);
    err ? (void)fuse_reply_err(req, err) : lock_test(fs->locks, req, &args);
}

/* ---- Closing ---- */

bool lock_flush(fuse_req_t req, struct inode *in, const struct fuse_file_info *fi)
{
    struct locks *l = in->fs->locks;
    struct lock_ask ask = {.kind = ASK_CLOSE, .owner = fi->lock_owner, .handle = fi->fh};
    struct lock_hold *hold, *next;
    bool any = false;

    for (hold = LIST_FIRST(&in->holds); hold; hold = next) {
        next = LIST_NEXT(hold, of_inode);
        if (hold->owner != ask.owner)
            continue;
        if (hold->mode != LOCK_NONE) {
            any = true;
            ask.name = hold->name;
        }
        if (!hold->lost)
            lock_hold_free(l, hold);
        else
            lock_hold_set(l, hold, LOCK_NONE);
    }
    if (any)
        start_unlock(l, req, in, &ask);
    return any;
}

void lock_release_handle(struct inode *in, uint64_t handle)
{
    struct locks *l = in->fs->locks;
    struct lock_hold *hold, *next;

    for (hold = LIST_FIRST(&in->holds); hold; hold = next) {
        struct lock_ask ask = {.kind = ASK_UNLOCK, .owner = hold->owner, .name = hold->name};
        bool held = hold->mode != LOCK_NONE;

        next = LIST_NEXT(hold, of_inode);
        if (hold->handle != handle)
            continue;
        lock_hold_free(l, hold);
        if (held) {
            lock_hold_set_all(l, in, ask.owner, LOCK_NONE);
            start_unlock(l, NULL, NULL, &ask);
        }
    }
}

/* ---- The mount's locks ---- */

void locks_said(struct locks *l, bool lost, uint64_t owner, struct slice name)
{
    if (lost)
        lock_held_lost(l->at_server, owner, name);
    lock_client_said(l->client, lost, owner, name);
}

/* What is kept for nobody is not wanted from the new server. */
void locks_reclaim(struct locks *l)
{
    lock_client_give_back(l->client);
    lock_held_reclaim(l->at_server);
}

void locks_disconnected(struct locks *l)
{
    lock_held_session_lost(l->at_server);
    lock_client_lost(l->client);
}

void locks_time_out(struct locks *l)
{
    struct lock_ask *ask;

    TAILQ_FOREACH (ask, &l->asks, all) {
        if (ask->call)
            lock_client_cancel(l->client, ask->call);
        ask_reply(ask, ask->kind == ASK_LOCK ? EIO : 0);
    }
}

static void lines(void *cookie, struct buf *out)
{
    const struct locks *l = cookie;
    const struct lock_client_stats *s = lock_client_stats(l->client);
    const struct lock_ask *ask;
    size_t waiting = 0;

    TAILQ_FOREACH (ask, &l->asks, all)
        waiting += ask->call != NULL;
    buf_printf(out,
               "locks_held %zu\nlocks_waiting %zu\nlocks_delegated %zu\nlocks_local %" PRIu64
               "\nlocks_passed %" PRIu64 "\nlocks_asked %" PRIu64 "\nlocks_recalled %" PRIu64
               "\nlocks_lost %" PRIu64 "\n",
               l->held, waiting, s->idle, s->local, s->passed, s->asked, s->recalled, l->lost);
}

struct locks *locks_new(struct fs *fs, struct client *net)
{
    struct locks *l = xcalloc(1, sizeof(*l));
    struct lock_upstream up;

    l->fs = fs;
    l->net = net;
    RB_INIT(&l->holds);
    TAILQ_INIT(&l->asks);
    gethostname(l->host, sizeof(l->host) - 1);
    l->at_server = lock_net_held(l);
    up = lock_held_upstream(l->at_server);
    l->client = lock_client_new(fs->loop, &up);
    control_add(fs, CONTROL_STATS, lines, l);
    return l;
}

void locks_free(struct locks *l)
{
    struct lock_ask *ask;
    struct lock_hold *hold;

    while ((ask = TAILQ_FIRST(&l->asks)))
        ask_free(ask);
    while ((hold = RB_ROOT(&l->holds)))
        lock_hold_free(l, hold);
    lock_client_free(l->client);
    lock_held_free(l->at_server);
    free(l);
}
