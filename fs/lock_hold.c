/* SPDX-License-Identifier: Apache-2.0 */
/* What processes hold through the mount's handles, what is sent before it goes, and its loss. */
#include "fs/lock.h"

#include <inttypes.h>

#include "base/log.h"

static int compare_holds(const struct lock_hold *a, const struct lock_hold *b)
{
    if (a->owner != b->owner)
        return a->owner < b->owner ? -1 : 1;
    if (a->handle != b->handle)
        return a->handle < b->handle ? -1 : 1;
    return (a->in->id > b->in->id) - (a->in->id < b->in->id);
}

RB_GENERATE(lock_holds, lock_hold, tree, compare_holds)

/* ---- Holds ---- */

struct lock_hold *lock_hold_find(struct locks *l, const struct inode *in, uint64_t owner,
                                 uint64_t handle)
{
    struct lock_hold key = {.in = (struct inode *)in, .owner = owner, .handle = handle};

    return RB_FIND(lock_holds, &l->holds, &key);
}

/* "host pid command". The process that it waits with stays: the server keeps what it is told first. */
static void describe(struct locks *l, struct lock_hold *hold, pid_t pid)
{
    struct lock_process_info info;

    lock_process_read(pid, &info);
    buf_clear(&hold->text);
    buf_printf(&hold->text, "%s %d %s", l->host, (int)pid, info.command);
    hold->pid = pid;
    hold->parent = info.parent;
    if (!hold->process)
        hold->process = lock_process_of(l, pid);
}

struct lock_hold *lock_hold_get(struct locks *l, struct inode *in, uint64_t owner, uint64_t handle,
                                struct slice name, pid_t pid)
{
    struct lock_hold *hold = lock_hold_find(l, in, owner, handle);

    if (!hold) {
        hold = xcalloc(1, sizeof(*hold));
        hold->in = in;
        hold->owner = owner;
        hold->handle = handle;
        hold->mode = LOCK_NONE;
        RB_INSERT(lock_holds, &l->holds, hold);
        LIST_INSERT_HEAD(&in->holds, hold, of_inode);
    }
    if (hold->mode == LOCK_NONE)
        key_copy(&hold->name, name);
    if (!hold->text.len || hold->pid != pid)
        describe(l, hold, pid);
    return hold;
}

void lock_hold_set(struct locks *l, struct lock_hold *hold, int mode)
{
    l->held += (size_t)((mode != LOCK_NONE) - (hold->mode != LOCK_NONE));
    hold->mode = mode;
}

bool lock_hold_set_all(struct locks *l, struct inode *in, uint64_t owner, int mode)
{
    struct lock_hold *hold;
    bool any = false;

    LIST_FOREACH (hold, &in->holds, of_inode)
        if (hold->owner == owner && hold->mode != LOCK_NONE) {
            lock_hold_set(l, hold, mode);
            any = true;
        }
    return any;
}

/* The first of the owner's, or NULL. */
static struct lock_hold *first_of(struct locks *l, uint64_t owner)
{
    struct inode none = {0};
    struct lock_hold key = {.in = &none, .owner = owner};
    struct lock_hold *hold = RB_NFIND(lock_holds, &l->holds, &key);

    return hold && hold->owner == owner ? hold : NULL;
}

static struct lock_hold *next_of(struct lock_hold *hold)
{
    struct lock_hold *next = RB_NEXT(lock_holds, NULL, hold);

    return next && next->owner == hold->owner ? next : NULL;
}

bool lock_hold_any(struct locks *l, uint64_t owner)
{
    struct lock_hold *hold = first_of(l, owner);

    while (hold && hold->mode == LOCK_NONE)
        hold = next_of(hold);
    return hold;
}

void lock_hold_free(struct locks *l, struct lock_hold *hold)
{
    lock_hold_set(l, hold, LOCK_NONE);
    hold->in->lost -= hold->lost;
    RB_REMOVE(lock_holds, &l->holds, hold);
    LIST_REMOVE(hold, of_inode);
    buf_free(&hold->text);
    free(hold);
}

/* ---- Before a lock goes, and before it comes ---- */

struct sending {
    size_t left;
    loop_fn *done;
    void *cookie;
};

/* A value that could not be stored is told to its writer, at close or fsync. */
static void sent(void *cookie, int error)
{
    struct sending *s = cookie;
    struct sending copy = *s;

    (void)error;
    if (--s->left)
        return;
    free(s);
    copy.done(copy.cookie);
}

void locks_send_written(struct fs *fs, loop_fn *done, void *cookie)
{
    struct inode **unsent = NULL, *in, *next;
    struct sending *s;
    size_t count = 0;

    for (in = LIST_FIRST(&fs->unsent); in; in = next) {
        next = LIST_NEXT(in, unsent);
        content_end(in);
        if (!content_unsent(in)) {
            LIST_REMOVE(in, unsent);
            in->is_unsent = false;
            continue;
        }
        unsent = xrealloc(unsent, (count + 1) * sizeof(*unsent));
        unsent[count++] = in;
        in->pins++;
    }
    if (!count) {
        done(cookie);
        return;
    }
    s = xmalloc(sizeof(*s));
    *s = (struct sending){count + 1, done, cookie};
    for (size_t i = 0; i < count; i++) {
        content_flush(fs, unsent[i], sent, s);
        unsent[i]->pins--;
        inode_release(fs, unsent[i]);
    }
    free(unsent);
    sent(s, 0);
}

/* ---- Loss ---- */

/* Whether what is written there may rest on the lock: it covers the node, or its holder wrote. */
static bool rests_on(const struct inode *in, const struct lock_hold *hold)
{
    return in == hold->in || in->writer_pid == hold->pid ||
           slice_has_prefix(key_slice(&in->key), key_slice(&hold->name));
}

/* The next holder may have read already: what was written under the lock must not come now. */
static void hold_lost(struct locks *l, struct lock_hold *hold)
{
    struct inode *in, *next;

    lock_hold_set(l, hold, LOCK_NONE);
    l->lost++;
    if (!hold->lost)
        hold->in->lost++;
    hold->lost = true;
    fuse_lowlevel_notify_inval_inode(l->fs->session, hold->in->id, -1, 0);
    for (in = LIST_FIRST(&l->fs->unsent); in; in = next) {
        next = LIST_NEXT(in, unsent);
        if (rests_on(in, hold))
            content_fence(l->fs, in);
    }
}

void locks_lost(void *cookie, uint64_t owner, bool all, struct slice name)
{
    struct locks *l = cookie;
    struct lock_hold *hold = first_of(l, owner);
    uint64_t before = l->lost;

    for (; hold; hold = next_of(hold))
        if (hold->mode != LOCK_NONE && (all || slice_equal(key_slice(&hold->name), name)))
            hold_lost(l, hold);
    if (l->lost > before)
        log_warning("%" PRIu64 " locks of an owner were lost: %s; the files that held them answer "
                    "EIO until they are closed",
                    l->lost - before,
                    all ? "the session has ended"
                        : "an administrator took one, or a server that was started anew did not "
                          "give it back");
}

bool lock_is_lost(const struct inode *in, uint64_t handle)
{
    const struct lock_hold *hold;

    LIST_FOREACH (hold, &in->holds, of_inode)
        if (hold->lost && hold->handle == handle)
            return true;
    return false;
}
