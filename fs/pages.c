/* SPDX-License-Identifier: Apache-2.0 */
/* Files in the kernel's page cache: which handles use it, and what it is filled with. */
#include "fs/op.h"

#include <fcntl.h>

#define QUIET    (2 * LOOP_SEC)  /* without a change, before the page cache is used */
#define SETTLE   (100 * LOOP_MS) /* for looks by path that are under way */
#define FILL_MAX 16384           /* bytes */
#define AGAIN    LOOP_SEC        /* for who was refused to come again */

/* How a handle was opened, in its number. Pointers, as directories have them, have no such bits. */
#define HANDLE_PAGES  1u
#define HANDLE_WRITES 2u
#define HANDLE_STEP   4u

bool pages_write(int flags)
{
    return (flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC);
}

void pages_changed(struct inode *in)
{
    in->moved = loop_now(in->fs->loop);
}

void pages_seen(struct inode *in, uint64_t stamp)
{
    struct loop *loop = in->fs->loop;

    if (in->moved == 0) { /* of what was not known the stamp tells when it changed */
        uint64_t now = loop_now(loop), wall = loop_wall(loop);
        uint64_t age = wall > stamp ? wall - stamp : 0;
        in->moved = now > age ? now - age : 1;
    } else if (stamp != in->stamp) {
        pages_changed(in);
    }
    in->stamp = stamp;
}

bool pages_quiet(const struct inode *in)
{
    return loop_now(in->fs->loop) >= in->moved + QUIET;
}

uint32_t pages_max_value(const struct inode *in)
{
    return in->cached ? VALUE_MAX_LEN : 0;
}

/* Without the value pages are filled with what is asked for then. */
static void show(struct inode *in, const struct node *node)
{
    in->shown_stamp = node->value.len == node->value_len ? node->stamp : 0;
    buf_clear(&in->shown);
    if (in->shown_stamp == 0)
        return;
    buf_append_slice(&in->shown, node->value);
    if (in->fs->text)
        buf_append(&in->shown, "\n", 1);
}

/* ---- refusals ---- */

/*
 * Who is refused looks the name up again, once: what is found then must not be refused as well, so
 * nobody gets pages of it meanwhile.
 */
static void note_refused(struct inode *in)
{
    struct fs *fs = in->fs;
    struct refused *r = &fs->refused[fs->refused_next++ % REFUSED_MAX];

    r->number = inode_number(in->kind, key_slice(&in->key), buf_slice(&in->text));
    r->until = fs->refused_until = loop_now(fs->loop) + AGAIN;
}

static bool was_refused(const struct inode *in)
{
    const struct fs *fs = in->fs;
    uint64_t now = loop_now(fs->loop), number;

    if (now >= fs->refused_until)
        return false;
    number = inode_number(in->kind, key_slice(&in->key), buf_slice(&in->text));
    for (size_t i = 0; i < REFUSED_MAX; i++) {
        if (fs->refused[i].number == number && fs->refused[i].until > now)
            return true;
    }
    return false;
}

bool pages_refuse(struct inode *in)
{
    if (in->cached && !in->changing)
        kernel_retire(in, true);
    if (in->retired)
        note_refused(in);
    return in->retired;
}

/* Who opens what a descriptor in /proc leads to finds no other inode, and comes again. */
bool pages_refuse_reader(struct inode *in, pid_t who)
{
    if (in->cached == 0 || in->gone || in->refused == who)
        return false;
    if (!in->retired)
        kernel_retire(in, false);
    note_refused(in);
    in->refused = who;
    return true;
}

/* ---- handles ---- */

/*
 * The first handle on an inode need not ask for what is here already: its pages are filled at once.
 * No page of it exists yet, so there is none whose lock would have to be waited for.
 */
static bool fill(struct inode *in)
{
    struct fuse_bufvec bytes = FUSE_BUFVEC_INIT(in->shown.len);

    if (in->opened || in->shown.len == 0 || in->shown.len > FILL_MAX)
        return false;
    bytes.buf[0].mem = in->shown.data;
    return fuse_lowlevel_notify_store(in->fs->session, in->id, 0, &bytes, 0) == 0;
}

void pages_open(struct fs *fs, struct inode *in, const struct node *node, uint64_t until,
                struct fuse_file_info *fi)
{
    bool writes = pages_write(fi->flags);
    bool same = node && node->stamp == in->shown_stamp;
    bool cached = node && !writes && until > loop_now(fs->loop) && !fs->ending && !in->gone &&
                  !in->leaving && in->writers == 0 && !content_unsent(in) &&
                  node->value.len == node->value_len && pages_quiet(in) && in->opens == 0 &&
                  !in->retired && !inode_retired_lately(in) && !was_refused(in);

    fs->next_handle += HANDLE_STEP;
    fi->fh = fs->next_handle | (writes ? HANDLE_WRITES : 0) | (cached ? HANDLE_PAGES : 0);
    fi->noflush = !writes;
    fi->direct_io = !cached;
    if (cached)
        show(in, node);
    fi->keep_cache = cached && (same || fill(in));
}

bool pages_leave(struct inode *in)
{
    bool named = !in->retired;

    if (in->cached == 0 || in->changing || in->gone)
        return false;
    if (named)
        inode_retire(in->fs, in);
    in->changing = true;
    in->left = loop_now(in->fs->loop);
    return named;
}

uint64_t pages_settled(const struct inode *in)
{
    return in->cached && in->changing ? in->left + SETTLE : 0;
}

void pages_count(struct inode *in, uint64_t handle, int n)
{
    in->opened |= n > 0;
    in->writers += handle & HANDLE_WRITES ? (unsigned)n : 0;
    in->cached += handle & HANDLE_PAGES ? (unsigned)n : 0;
    if (in->cached == 0)
        buf_free(&in->shown);
}

bool pages_read(fuse_req_t req, struct inode *in, uint64_t handle, uint64_t offset, size_t size)
{
    if (!(handle & HANDLE_PAGES) || in->shown_stamp == 0)
        return false;
    reply_part(req, buf_slice(&in->shown), offset, size);
    return true;
}

void pages_tell(struct inode *in, const struct node *node)
{
    if (in->cached && node->stamp != in->shown_stamp)
        show(in, node);
    pages_seen(in, node->stamp);
}
