/* SPDX-License-Identifier: Apache-2.0 */
/* What handles wrote and was not yet sent: whole values as one SET, appended bytes as APPEND. */
#include "fs/fs.h"

#include "base/log.h"

bool content_pending(const struct inode *in)
{
    return !in->gone && in->kind != INODE_SCRATCH && (in->dirty || in->fresh || in->tail.len > 0);
}

struct slice content_value(const struct fs *fs, struct slice content)
{
    if (fs->text && content.len > 0 && content.data[content.len - 1] == '\n')
        content.len--;
    return content;
}

/* One round of sending: what was pending when it began. */
struct flush {
    struct fs *fs;
    struct inode *in;
    uint64_t writes;
    struct buf sent_tail;
};

static void flush_start(struct fs *fs, struct inode *in);

static void flush_wake(struct fs *fs, struct inode *in, int error)
{
    STAILQ_HEAD(, inode_waiter) ready = STAILQ_HEAD_INITIALIZER(ready);
    struct inode_waiter *w;

    STAILQ_CONCAT(&ready, &in->waiters);
    in->pins++;
    while ((w = STAILQ_FIRST(&ready))) {
        STAILQ_REMOVE_HEAD(&ready, link);
        w->done(w->cookie, error);
        free(w);
    }
    in->pins--;
    inode_release(fs, in);
}

/* What could not be stored is dropped: the writer is told, and reads show what the server has. */
static void flush_drop(struct fs *fs, struct inode *in)
{
    in->dirty = in->fresh = in->have = false;
    buf_free(&in->data);
    buf_free(&in->tail);
    inode_set_local(fs, in, false);
}

static void flush_done(void *cookie, int error, const struct upstream_applied *applied)
{
    struct flush *f = cookie;
    struct fs *fs = f->fs;
    struct inode *in = f->in;
    bool quiet = in->writes == f->writes;

    (void)applied;
    in->flushing = false;
    if (error) {
        if (STAILQ_EMPTY(&in->waiters))
            log_warning("a value written in the background could not be stored: %s",
                        error_text(error));
        flush_drop(fs, in);
    } else {
        in->fresh = false;
        inode_set_local(fs, in, false);
        if (f->sent_tail.len == 0 && quiet) {
            in->dirty = in->have = false;
            buf_free(&in->data);
        }
    }
    buf_free(&f->sent_tail);
    free(f);
    if (!error && content_pending(in)) {
        flush_start(fs, in);
        return;
    }
    flush_wake(fs, in, error);
}

static void flush_start(struct fs *fs, struct inode *in)
{
    struct flush *f = xcalloc(1, sizeof(*f));
    struct buf line = {0};
    struct update u = {.key = key_slice(&in->key)};

    loop_cancel(fs->loop, in->timer);
    in->timer = NULL;
    f->fs = fs;
    f->in = in;
    f->writes = in->writes;
    in->flushing = true;
    if (in->kind == INODE_FILE)
        u.flags = UPDATE_IN_DIR | UPDATE_IS_FILE;
    u.cond = in->fresh ? COND_NONE : COND_PRESENT;
    if (!in->have) {
        f->sent_tail = in->tail;
        in->tail = (struct buf){0};
        u.kind = UPDATE_APPEND;
        u.value = content_value(fs, buf_slice(&f->sent_tail));
        if (fs->text && !in->fresh) {
            buf_append(&line, "\n", 1);
            buf_append_slice(&line, u.value);
            u.value = buf_slice(&line);
        }
    } else {
        u.kind = UPDATE_SET;
        u.value = content_value(fs, buf_slice(&in->data));
    }
    fs->up->ops->update(fs->up, &u, 1, flush_done, f);
    buf_free(&line);
}

void content_flush(struct fs *fs, struct inode *in, inode_done_fn *done, void *cookie)
{
    struct inode_waiter *w;

    if (!content_pending(in) && !in->flushing) {
        done(cookie, 0);
        return;
    }
    w = xcalloc(1, sizeof(*w));
    w->done = done;
    w->cookie = cookie;
    STAILQ_INSERT_TAIL(&in->waiters, w, link);
    if (!in->flushing)
        flush_start(fs, in);
}

static void timer_fired(void *cookie)
{
    struct inode *in = cookie;

    in->timer = NULL;
    if (content_pending(in) && !in->flushing)
        flush_start(in->fs, in);
}

void content_touched(struct fs *fs, struct inode *in)
{
    in->writes++;
    if (!in->timer && !in->flushing && content_pending(in))
        in->timer = loop_timer(fs->loop, LOOP_SEC, timer_fired, in);
}

/* ---- changing ---- */

static int check_size(const struct fs *fs, uint64_t size)
{
    return size > VALUE_MAX_LEN + (fs->text ? 1u : 0u) ? ECP_EVALUELONG : 0;
}

int content_resize(struct fs *fs, struct inode *in, uint64_t size)
{
    int error = check_size(fs, size);

    if (error)
        return error;
    if (size > in->data.len) {
        size_t more = size - in->data.len;
        buf_reserve(&in->data, more);
        memset(in->data.data + in->data.len, 0, more);
    }
    in->data.len = size;
    in->have = in->dirty = true;
    content_touched(fs, in);
    return 0;
}

int content_write(struct fs *fs, struct inode *in, uint64_t offset, struct slice bytes)
{
    int error = check_size(fs, offset + bytes.len);

    if (error)
        return error;
    if (offset + bytes.len > in->data.len)
        content_resize(fs, in, offset + bytes.len);
    if (bytes.len)
        memcpy(in->data.data + offset, bytes.data, bytes.len);
    in->dirty = true;
    content_touched(fs, in);
    return 0;
}

int content_append(struct fs *fs, struct inode *in, struct slice bytes)
{
    if (in->have || in->kind == INODE_SCRATCH || in->gone) {
        in->have = true;
        return content_write(fs, in, in->data.len, bytes);
    }
    if (check_size(fs, in->tail.len + bytes.len))
        return ECP_EVALUELONG;
    buf_append_slice(&in->tail, bytes);
    content_touched(fs, in);
    return 0;
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

    if (error)
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
            if (content_pending(in) || in->flushing) {
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
