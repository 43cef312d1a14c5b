/* SPDX-License-Identifier: Apache-2.0 */
/* F_GETLK: whether a lock could be had, and if not, a lock that is in the way. */
#include "fs/lock.h"

#include <errno.h>
#include <stdio.h>

struct test {
    struct locks *locks;
    fuse_req_t req;
    struct key name;
    uint64_t owner, start, end;
    bool exclusive, cancelled;
    void *test; /* the calls under way */
    struct call *list;
    struct loop_event *patience;
};

static void reply(struct test *t, int error, const struct flock *lock)
{
    fuse_req_t req = t->req;

    loop_cancel(t->locks->fs->loop, t->patience);
    fuse_req_interrupt_func(req, NULL, NULL);
    free(t);
    lock ? fuse_reply_lock(req, lock) : fuse_reply_err(req, error_errno(error));
}

/* Of a process of this host; 0: of another. */
static pid_t pid_of(const struct test *t, struct slice text)
{
    char copy[256];
    int pid, used = 0;
    size_t host = strlen(t->locks->host);

    if (text.len >= sizeof(copy) || text.len <= host || memcmp(text.data, t->locks->host, host))
        return 0;
    memcpy(copy, text.data + host, text.len - host);
    copy[text.len - host] = '\0';
    return sscanf(copy, " %d %n", &pid, &used) == 1 && used ? pid : 0;
}

static bool in_the_way(const struct test *t, const struct call_lock_row *row)
{
    uint64_t end = t->end ? t->end : UINT64_MAX;

    if (row->waiting || (!row->exclusive && !t->exclusive) ||
        (row->owner == t->owner && lock_net_is_own(t->locks, row)))
        return false;
    return row->name.len > t->name.len || (row->start < end && t->start < row->end);
}

static void listed(void *cookie, int error, const struct call_locks *locks)
{
    struct test *t = cookie;
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET}; /* of an ancestor */
    const struct call_lock_row *row = NULL;

    for (size_t i = 0; !error && i < locks->count && !row; i++)
        if (in_the_way(t, &locks->rows[i]))
            row = &locks->rows[i];
    if (row) {
        lock.l_type = row->exclusive ? F_WRLCK : F_RDLCK;
        lock.l_pid = pid_of(t, row->text);
    }
    if (row && row->name.len == t->name.len) {
        lock.l_start = (off_t)row->start;
        lock.l_len = row->end == UINT64_MAX ? 0 : (off_t)(row->end - row->start);
    }
    reply(t, error, error ? NULL : &lock);
}

static void tested(void *cookie, int error, uint64_t stamp)
{
    struct test *t = cookie;
    struct flock none = {.l_type = F_UNLCK};

    (void)stamp;
    t->test = NULL;
    if (t->cancelled)
        free(t);
    else if (error == ECP_EBUSY)
        t->list = lock_net_list(t->locks, key_slice(&t->name), listed, t);
    else
        reply(t, error, error ? NULL : &none);
}

static void give_up(void *cookie)
{
    struct test *t = cookie;
    fuse_req_t req = t->req;

    t->patience = NULL;
    fuse_req_interrupt_func(req, NULL, NULL);
    fuse_reply_err(req, EINTR);
    t->cancelled = true;
    if (t->test)
        return; /* its end comes, and frees */
    lock_net_cancel(t->list);
    free(t);
}

static void interrupted(fuse_req_t req, void *cookie)
{
    struct test *t = cookie;

    (void)req;
    if (!t->patience)
        t->patience = loop_timer(t->locks->fs->loop, LOOP_SEC, give_up, t);
}

void lock_test(struct locks *l, fuse_req_t req, const struct call_lock_args *args)
{
    struct test *t = xcalloc(1, sizeof(*t));

    t->locks = l;
    t->req = req;
    key_copy(&t->name, args->items[0].name);
    t->owner = args->who.owner;
    t->start = args->items[0].start;
    t->end = args->items[0].end;
    t->exclusive = args->items[0].exclusive;
    t->test = lock_net.lock(l, args, tested, t);
    fuse_req_interrupt_func(req, interrupted, t);
}
