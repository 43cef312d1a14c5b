/* SPDX-License-Identifier: Apache-2.0 */
/* Sends what was written: whole values as one SET, appended bytes as APPEND. */
#include "fs/op.h"

#include <xxhash.h>

#include "base/log.h"
#include "base/ref.h"

#define AWAY_RETRY (10 * LOOP_MS) /* while an update is under way that may take a whole lease */

/* One round of sending: what was pending when it began. */
struct flush {
    struct fs *fs;
    struct inode *in;
    uint64_t writes;
    bool append, again; /* again: sent before, and the connection was lost */
    uint64_t len, hash; /* of the value of a SET */
    uint64_t stamp;     /* of the record before; after it was applied: its own */
    int error;
};

static void flush_start(struct fs *fs, struct inode *in, bool again);

/* ---- what nobody waits for is sent a second after it was written ---- */

void content_not_due(struct inode *in)
{
    if (in->due)
        TAILQ_REMOVE(&in->fs->due, in, due_link);
    in->due = 0;
}

static void send_due(void *cookie)
{
    struct fs *fs = cookie;
    uint64_t now = loop_now(fs->loop);
    struct inode *in;

    fs->due_timer = NULL;
    while ((in = TAILQ_FIRST(&fs->due)) && in->due <= now) {
        content_not_due(in);
        if (content_pending(in) && !in->flushing)
            flush_start(fs, in, false);
    }
    if (in)
        fs->due_timer = loop_timer(fs->loop, in->due - now, send_due, fs);
}

/* One timer for all: most are closed, and so sent, long before it. */
static void flush_later(struct inode *in)
{
    struct fs *fs = in->fs;

    if (in->due || in->flushing || !content_pending(in))
        return;
    in->due = loop_now(fs->loop) + LOOP_SEC;
    TAILQ_INSERT_TAIL(&fs->due, in, due_link);
    if (!fs->due_timer)
        fs->due_timer = loop_timer(fs->loop, LOOP_SEC, send_due, fs);
}

/* ---- sending ---- */

/* Wakes those that wait for no more than was sent. */
static void flush_wake(struct fs *fs, struct inode *in, uint64_t writes, int error)
{
    STAILQ_HEAD(, inode_waiter) ready = STAILQ_HEAD_INITIALIZER(ready);
    struct inode_waiter *w;

    while ((w = STAILQ_FIRST(&in->waiters)) && (error || w->writes <= writes)) {
        STAILQ_REMOVE_HEAD(&in->waiters, link);
        STAILQ_INSERT_TAIL(&ready, w, link);
    }
    in->pins++;
    while ((w = STAILQ_FIRST(&ready))) {
        STAILQ_REMOVE_HEAD(&ready, link);
        w->done(w->cookie, error);
        free(w);
    }
    in->pins--;
    inode_release(fs, in);
}

static void log_lost(const struct inode *in, const char *why)
{
    struct buf ref = {0};

    if (ref_print(&ref, key_slice(&in->key)) == 0)
        log_warning("%.*s: %zu bytes that were written are lost: %s", (int)ref.len,
                    (const char *)ref.data, content_unsent_bytes(in), why);
    buf_free(&ref);
}

/* A writer that waits is told why; but of a server that is away it only hears EIO. */
static bool is_away(int error)
{
    return error == ECP_EUNREACHABLE || error == ECP_EDISCONNECTED;
}

/* What could not be stored is dropped: the writer is told, and reads show what the server has. */
static void drop(struct inode *in, int error)
{
    if (STAILQ_EMPTY(&in->waiters) || is_away(error))
        log_lost(in, error_text(error));
    in->dirty = in->fresh = in->have = false;
    in->writer = 0;
    buf_free(&in->data);
    buf_free(&in->tail);
    content_end(in);
    inode_set_local(in->fs, in, false);
    if (in->opens)
        in->failed = error;
}

void content_fence(struct fs *fs, struct inode *in)
{
    content_end(in);
    in->fenced = in->flushing;
    if (!in->flushing && content_pending(in)) {
        drop(in, ECP_EDISCONNECTED);
        in->pins++;
        flush_wake(fs, in, UINT64_MAX, ECP_EDISCONNECTED);
        in->pins--;
        inode_release(fs, in);
    }
}

static void flush_kept(struct flush *f)
{
    struct inode *in = f->in;

    in->fresh = false;
    in->stamp = f->stamp;
    inode_set_local(f->fs, in, false);
    if (in->writes != f->writes)
        return;
    in->writer = 0;
    if (!f->append)
        in->dirty = false;
    if (!f->append && !in->leaving && !in->gone) {
        in->have = false;
        if (in->whole) {
            buf_free(&in->base);
            in->base = in->data;
            in->data = (struct buf){0};
        }
        buf_free(&in->data);
    }
}

/* Whoever is told that it is applied must not find the kernel with what was before. */
static void flush_end(void *cookie)
{
    struct flush *f = cookie;
    struct fs *fs = f->fs;
    struct inode *in = f->in;
    uint64_t writes = f->writes;
    int error = f->error;

    if (kernel_unsettled(fs)) {
        loop_timer(fs->loop, LOOP_MS, flush_end, f);
        return;
    }
    if (error)
        drop(in, error);
    in->flushing = in->fenced = false;
    in->sending = 0;
    if (!error)
        flush_kept(f);
    free(f);
    in->pins++;
    flush_wake(fs, in, content_pending(in) ? writes : UINT64_MAX, error);
    if (!STAILQ_EMPTY(&in->waiters) && !in->flushing)
        flush_start(fs, in, false);
    else
        flush_later(in);
    in->pins--;
    inode_release(fs, in);
}

/*
 * The connection was lost with a SET under way. It was applied if the value is that now; it was
 * not, and may be sent again, if the record is the one known before. Else others wrote: which of
 * both came first cannot be told.
 */
static void flush_looked(void *cookie, int error, const struct node *node, uint64_t until)
{
    struct flush *f = cookie;

    (void)until;
    if (!error && (node->flags & NODE_VALUE) && node->value_len == f->len &&
        XXH3_64bits(node->value.data, node->value.len) == f->hash) {
        f->error = 0;
        f->stamp = node->stamp;
    } else if (!error && node->stamp == f->stamp && (f->stamp || f->in->fresh)) {
        struct fs *fs = f->fs;
        struct inode *in = f->in;
        free(f);
        flush_start(fs, in, true);
        return;
    }
    flush_end(f);
}

static void flush_done(void *cookie, int error, uint64_t stamp)
{
    struct flush *f = cookie;
    bool look = error == ECP_EDISCONNECTED || (error == ECP_ESTALE && f->again);

    f->error = error == ECP_ESTALE && f->again ? ECP_EDISCONNECTED : error;
    if (look && !f->append && !f->in->fenced) {
        cache_node(f->fs->cache, key_slice(&f->in->key), VALUE_MAX_LEN, flush_looked, f);
        return;
    }
    if (!error)
        f->stamp = stamp;
    flush_end(f);
}

/* What is to be sent, as it is now. line: room for what -o text adds before appended lines. */
static struct update flush_update(struct flush *f, struct buf *tail, struct buf *line)
{
    struct inode *in = f->in;
    struct update u = {.key = key_slice(&in->key), .stamp = in->stamp};

    u.flags = in->kind == INODE_FILE ? UPDATE_IN_DIR | UPDATE_IS_FILE : 0;
    u.cond = f->again ? COND_STAMP : in->fresh ? COND_NONE : COND_PRESENT;
    if (in->have) {
        u.kind = UPDATE_SET;
        u.value = content_value(f->fs, buf_slice(&in->data));
        return u;
    }
    *tail = in->tail;
    in->tail = (struct buf){0};
    u.kind = UPDATE_APPEND;
    u.value = content_value(f->fs, buf_slice(tail));
    if (f->fs->text && !in->fresh) {
        buf_append(line, "\n", 1);
        buf_append_slice(line, u.value);
        u.value = buf_slice(line);
    }
    return u;
}

/* Not before the kernel knows, for from then on others may see it; nor behind an own update after
 * which it would not be found there any more. */
static void flush_send(void *cookie)
{
    struct flush *f = cookie;
    struct inode *in = f->in;
    struct buf line = {0}, tail = {0};
    struct update u;

    if (op_takes_away(f->fs, key_slice(&in->key))) {
        loop_timer(f->fs->loop, AWAY_RETRY, flush_send, f);
        return;
    }
    if (kernel_unsettled(f->fs)) {
        loop_timer(f->fs->loop, LOOP_MS, flush_send, f);
        return;
    }
    f->writes = in->writes;
    if (in->gone) {
        flush_end(f);
        return;
    }
    f->stamp = in->stamp;
    u = flush_update(f, &tail, &line);
    f->append = u.kind == UPDATE_APPEND;
    in->sending = tail.len;
    f->len = u.value.len;
    f->hash = XXH3_64bits(u.value.data, u.value.len);
    cache_update(f->fs->cache, &u, 1, flush_done, f);
    buf_free(&line);
    buf_free(&tail);
}

static void flush_start(struct fs *fs, struct inode *in, bool again)
{
    struct flush *f = xcalloc(1, sizeof(*f));
    struct update u = {.kind = UPDATE_SET, .key = key_slice(&in->key)};

    content_not_due(in);
    f->fs = fs;
    f->in = in;
    f->again = again;
    in->flushing = true;
    u.cond = in->fresh ? COND_NONE : COND_PRESENT;
    u.flags = in->kind == INODE_FILE ? UPDATE_IN_DIR : 0;
    kernel_changing(fs, &u);
    flush_send(f);
}

void content_flush(struct fs *fs, struct inode *in, inode_done_fn *done, void *cookie)
{
    struct inode_waiter *w;

    if (in->retired || !content_unsent(in)) {
        done(cookie, 0);
        return;
    }
    w = xcalloc(1, sizeof(*w));
    w->writes = in->writes;
    w->done = done;
    w->cookie = cookie;
    STAILQ_INSERT_TAIL(&in->waiters, w, link);
    if (!in->flushing)
        flush_start(fs, in, false);
}

void content_touched(struct fs *fs, struct inode *in)
{
    uint64_t now = loop_wall(fs->loop);

    in->writes++;
    in->creator = 0;
    pages_changed(in);
    if (!in->is_unsent)
        LIST_INSERT_HEAD(&fs->unsent, in, unsent);
    in->is_unsent = true;
    in->written = now > in->written ? now : in->written + 1;
    flush_later(in);
}

/* ---- the end ---- */

struct flush_all {
    size_t left;
    loop_fn *done;
    void *cookie;
};

static void one_flushed(void *cookie, int error)
{
    struct flush_all *all = cookie;

    if (error && !is_away(error))
        log_error("a value could not be stored before unmounting: %s", error_text(error));
    if (--all->left == 0) {
        all->done(all->cookie);
        free(all);
    }
}

void content_flush_all(struct fs *fs, loop_fn *done, void *cookie)
{
    struct flush_all *all = xcalloc(1, sizeof(*all));
    struct inode **pending = NULL;
    size_t count = 0;

    all->left = 1;
    all->done = done;
    all->cookie = cookie;
    for (size_t i = 0; i < fs->buckets; i++) {
        for (struct inode *in = fs->by_id[i]; in; in = in->next_id) {
            if (content_unsent(in)) {
                pending = xrealloc(pending, (count + 1) * sizeof(*pending));
                pending[count++] = in;
            }
        }
    }
    all->left += count;
    for (size_t i = 0; i < count; i++)
        content_flush(fs, pending[i], one_flushed, all);
    free(pending);
    one_flushed(all, 0);
}
