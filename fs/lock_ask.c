/* SPDX-License-Identifier: Apache-2.0 */
/* Requests about locks under way: sending what was written, asking the server, answering. */
#include "fs/lock_ask.h"

#include <errno.h>

#define PATIENCE LOOP_SEC /* an interrupted wait gets its end from the server within this */

/* ---- The life of a request ---- */

void lock_ask_free(struct lock_ask *ask)
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

void lock_ask_reply(struct lock_ask *ask, int err)
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
        ask->patience =
            loop_timer(fs->loop, cache_connected(fs->cache) ? PATIENCE : 0, out_of_patience, ask);
}

/* A process that exits closes its files where no signal reaches it. */
static void watch_closing(void *cookie)
{
    struct lock_ask *ask = cookie;

    ask->watch = NULL;
    if (ask->req && op_caller_exiting(ask->req))
        lock_ask_reply(ask, EINTR);
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

struct call_lock_item lock_ask_item(const struct lock_ask *ask)
{
    return (struct call_lock_item){.name = key_slice(&ask->name),
                                   .exclusive = ask->mode == 1,
                                   .start = ask->start,
                                   .end = ask->end};
}

bool lock_ask_is_whole(const struct lock_ask *ask)
{
    return ask->start == 0 && ask->end == 0;
}

static void unlock_done(void *cookie, int error)
{
    (void)error; /* with the session every lock is gone, too */
    lock_ask_reply(cookie, 0);
    lock_ask_free(cookie);
}

/* Then it unlocks all that it has: so who has had ranges is forgotten. A kernel's number for an
 * owner comes back, and that one's locks are to be kept like those of others. */
static bool owner_is_done(const struct lock_ask *ask)
{
    const struct lock_ask *other;

    TAILQ_FOREACH (other, &ask->locks->asks, all)
        if (other != ask && other->owner == ask->owner)
            return false;
    return !lock_hold_any(ask->locks, ask->owner);
}

static void unlock(void *cookie)
{
    struct lock_ask *ask = cookie;
    struct call_lock_item item = lock_ask_item(ask);

    lock_client_unlock(ask->locks->client, ask->owner, &item, owner_is_done(ask) ? 0 : 1,
                       unlock_done, ask);
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
    lock_ask_reply(ask, 0);
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
            lock_ask_reply(ask, ask->patience ? EINTR : lock_errno(error));
        else
            locked(ask);
        lock_ask_free(ask);
    }
}

/* flock(2) cannot tell of a deadlock: it waits, and the listing tells. */
static struct call_lock_args args_of(const struct lock_ask *ask, const struct call_lock_item *item)
{
    struct lock_hold *hold = lock_hold_get(ask->locks, ask->in, ask->owner, ask->handle,
                                           key_slice(&ask->name), ask->pid);

    return (struct call_lock_args){
        .who = {.owner = ask->owner, .process = hold->process, .text = buf_slice(&hold->text)},
        .items = item,
        .count = 1,
        .wait = ask->wait,
        .patient = ask->flock};
}

static void lock(void *cookie)
{
    struct lock_ask *ask = cookie;
    struct call_lock_item item = lock_ask_item(ask);
    struct call_lock_args args;

    if (!ask->req || ask->patience) { /* given up while what was written was sent */
        lock_ask_reply(ask, EINTR);
        lock_ask_free(ask);
        return;
    }
    args = args_of(ask, &item);
    ask->call = lock_client_lock(ask->locks->client, &args, lock_done, ask);
}

/* What needs nobody else: the session has kept the lock, or keeps it. */
static bool lock_now(struct locks *l, const struct lock_ask *ask)
{
    struct call_lock_item item = lock_ask_item(ask);
    struct call_lock_args args = args_of(ask, &item);

    return LIST_EMPTY(&l->fs->unsent) && lock_client_lock_now(l->client, &args);
}

void lock_ask_lock(struct locks *l, fuse_req_t req, const struct lock_ask *like)
{
    struct inode *in = like->in;
    struct lock_hold *hold;

    if (lock_ask_is_whole(like) && lock_now(l, like)) {
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

void lock_ask_unlock(struct locks *l, fuse_req_t req, struct inode *in, const struct lock_ask *like)
{
    if (lock_ask_is_whole(like) && LIST_EMPTY(&l->fs->unsent) &&
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
