/* SPDX-License-Identifier: Apache-2.0 */
/* Wires what locks ask for to the calls of a network session. */
#include "fs/lock.h"

static struct client *client_of(void *cookie)
{
    return ((struct locks *)cookie)->net;
}

static void *net_lock(void *cookie, const struct call_lock_args *args, call_lock_fn *done,
                      void *done_cookie)
{
    return call_lock(client_of(cookie), args, done, done_cookie);
}

static void net_cancel(void *cookie, void *call)
{
    (void)cookie;
    call_lock_cancel(call);
}

static void ignored(void *cookie, int error)
{
    (void)cookie;
    (void)error;
}

static void net_unlock(void *cookie, uint64_t owner, const struct call_lock_item *items,
                       size_t count, call_done_fn *done, void *done_cookie)
{
    call_unlock(client_of(cookie), owner, items, count, done ? done : ignored, done_cookie);
}

static void net_kept(void *cookie, uint64_t owner, struct slice name)
{
    client_lock_kept(client_of(cookie), owner, name);
}

static void net_pass(void *cookie, uint64_t from, struct slice name, bool delegable,
                     const struct call_lock_who *to)
{
    client_lock_pass(client_of(cookie), from, name, delegable, to);
}

static void net_drop(void *cookie, void *call)
{
    (void)cookie;
    call_cancel(call);
}

static void net_failed(void *cookie, uint64_t owner, struct slice name)
{
    locks_said(cookie, true, owner, name);
}

struct lock_held *lock_net_held(struct locks *locks)
{
    struct lock_held_config config = {.below = lock_net, .drop = net_drop, .failed = net_failed};

    config.below.cookie = locks;
    return lock_held_new(&config);
}

struct call *lock_net_list(struct locks *locks, struct slice under, call_locks_fn *done,
                           void *cookie)
{
    return call_lock_list(locks->net, under, 0, done, cookie);
}

bool lock_net_is_own(struct locks *locks, const struct call_lock_row *row)
{
    struct client_status status;

    client_status(locks->net, &status);
    return row->session == status.session;
}

void lock_net_cancel(struct call *call)
{
    call_cancel(call);
}

const struct lock_upstream lock_net = {
    .lock = net_lock,
    .cancel = net_cancel,
    .unlock = net_unlock,
    .kept = net_kept,
    .pass = net_pass,
    .lost = locks_lost,
};
