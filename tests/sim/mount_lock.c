/* SPDX-License-Identifier: Apache-2.0 */
/* Locks of a mount's owners, kept by the session when they are done, and lost with it. */
#include "locks/lock_held.h"
#include "tests/sim/mount.h"

static struct client *client_of(void *cookie)
{
    return ((struct mount *)cookie)->client;
}

static void *up_lock(void *cookie, const struct call_lock_args *args, call_lock_fn *done,
                     void *done_cookie)
{
    return call_lock(client_of(cookie), args, done, done_cookie);
}

static void up_cancel(void *cookie, void *call)
{
    call_lock_cancel(call);
}

static void ignored(void *cookie, int error)
{
}

static void up_unlock(void *cookie, uint64_t owner, const struct call_lock_item *items,
                      size_t count, call_done_fn *done, void *done_cookie)
{
    call_unlock(client_of(cookie), owner, items, count, done ? done : ignored, done_cookie);
}

static void up_kept(void *cookie, uint64_t owner, struct slice name)
{
    client_lock_kept(client_of(cookie), owner, name);
}

static void up_pass(void *cookie, uint64_t from, struct slice name, bool delegable,
                    const struct call_lock_who *to)
{
    client_lock_pass(client_of(cookie), from, name, delegable, to);
}

/* What it wrote under the lock and is not yet sent must not go to a server that knows nothing of
 * the lock. */
static void stop_update(struct request *r)
{
    if (r->call)
        call_cancel(r->call);
    else if (r->cache_call)
        cache_cancel(r->mount->cache, r->cache_call);
    else
        return;
    r->call = NULL;
    r->cache_call = NULL;
    request_reply(r, ECP_EDISCONNECTED, 0);
}

static void up_lost(void *cookie, uint64_t owner, bool all, struct slice name)
{
    struct mount *m = cookie;
    world_trace(m->world, m->process, "lock of owner %u lost", (unsigned)owner);
    m->lost[owner] = true;
    for (struct request *r = m->requests; r; r = r->next)
        if (r->owner == owner && r->kind == REQUEST_UPDATE && !r->replied)
            stop_update(r);
}

static void held_drop(void *cookie, void *call)
{
    call_cancel(call);
}

static void held_failed(void *cookie, uint64_t owner, struct slice name)
{
    mount_lock_said(cookie, true, owner, name);
}

void mount_locks_new(struct mount *m)
{
    const struct lock_held_config config = {.below = {.lock = up_lock,
                                                      .cancel = up_cancel,
                                                      .unlock = up_unlock,
                                                      .kept = up_kept,
                                                      .pass = up_pass,
                                                      .lost = up_lost,
                                                      .cookie = m},
                                            .drop = held_drop,
                                            .failed = held_failed};
    m->held = lock_held_new(&config);
    const struct lock_upstream up = lock_held_upstream(m->held);
    m->locks = lock_client_new(&m->process->loop, &up);
    memset(m->lost, 0, sizeof(m->lost));
    m->registered = m->lost_early = false;
}

void mount_locks_free(struct mount *m)
{
    lock_client_free(m->locks);
    lock_held_free(m->held);
}

void mount_lock_said(void *cookie, bool lost, uint64_t owner, struct slice name)
{
    struct mount *m = cookie;
    if (lost)
        lock_held_lost(m->held, owner, name);
    lock_client_said(m->locks, lost, owner, name);
}

void mount_reclaim(void *cookie)
{
    struct mount *m = cookie;
    world_trace(m->world, m->process, "declares its locks");
    lock_client_give_back(m->locks);
    lock_held_reclaim(m->held);
}

void mount_session_lost(void *cookie)
{
    struct mount *m = cookie;
    world_trace(m->world, m->process, "session lost");
    if (m->registered) {
        m->lost_early = true;
        m->lost_at = m->world->now;
    }
    m->registered = false;
    m->sessions++;
    lock_held_session_lost(m->held);
    lock_client_lost(m->locks);
}

static void locked(void *cookie, int error, uint64_t stamp)
{
    request_reply(cookie, error, 0);
}

static void unlocked(void *cookie, int error)
{
    request_reply(cookie, error, 0);
}

void request_serve_lock(struct request *r)
{
    struct mount *m = r->mount;
    struct call_lock_item item = {.name = key_slice(&m->history->keys[NODE_COUNTER]),
                                  .exclusive = true};
    struct call_lock_args args = {.who = {.owner = r->owner, .text = slice_str("application")},
                                  .items = &item,
                                  .count = 1,
                                  .wait = true};
    if (r->kind == REQUEST_UNLOCK) {
        lock_client_unlock(m->locks, r->owner, &item, 1, unlocked, r);
        return;
    }
    m->lost[r->owner] = false;
    lock_client_lock(m->locks, &args, locked, r);
}
