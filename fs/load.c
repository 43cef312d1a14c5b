/* SPDX-License-Identifier: Apache-2.0 */
/* Fetches the whole content of a file, and gives up waits for content. */
#include "fs/fs.h"

struct load {
    LIST_ENTRY(load) link;   /* in->loads */
    struct cache_call *call; /* NULL while what is pending is sent first */
    struct fs *fs;
    struct inode *in;
    inode_done_fn *done;
    void *cookie;
};

static void load_end(struct load *l)
{
    LIST_REMOVE(l, link);
    l->in->pins--;
    inode_release(l->fs, l->in);
    free(l);
}

static void load_done(void *cookie, int error, const struct node *node, uint64_t until)
{
    struct load *l = cookie;
    struct inode *in = l->in;

    (void)until;
    if (!error && !(node->flags & NODE_VALUE))
        error = ECP_ESTALE;
    if (!error && !in->have) {
        in->stamp = node->stamp;
        buf_clear(&in->data);
        buf_append_slice(&in->data, node->value);
        if (l->fs->text)
            buf_append(&in->data, "\n", 1);
        buf_append_slice(&in->data, buf_slice(&in->tail));
        in->dirty = in->tail.len > 0;
        buf_clear(&in->tail);
        in->have = true;
    }
    l->done(l->cookie, error);
    load_end(l);
}

static void load_flushed(void *cookie, int error)
{
    struct load *l = cookie;
    struct node none = {0};

    if (error || l->in->have)
        load_done(l, error, l->in->have ? &(struct node){.flags = NODE_VALUE} : &none, 0);
    else
        l->call = cache_node(l->fs->cache, key_slice(&l->in->key), VALUE_MAX_LEN, load_done, l);
}

void content_load(struct fs *fs, struct inode *in, inode_done_fn *done, void *cookie)
{
    struct load *l;

    if (in->have || in->kind == INODE_SCRATCH || (in->fresh && !in->flushing)) {
        if (!in->have) {
            buf_append_slice(&in->data, buf_slice(&in->tail));
            buf_clear(&in->tail);
            in->have = true;
            in->dirty = true;
        }
        done(cookie, 0);
        return;
    }
    l = xcalloc(1, sizeof(*l));
    l->fs = fs;
    l->in = in;
    l->done = done;
    l->cookie = cookie;
    in->pins++;
    LIST_INSERT_HEAD(&in->loads, l, link);
    content_flush(fs, in, load_flushed, l);
}

static void unwait(struct inode *in, void *cookie)
{
    struct inode_waiter *w;

    STAILQ_FOREACH(w, &in->waiters, link)
    {
        if (w->cookie == cookie) {
            STAILQ_REMOVE(&in->waiters, w, inode_waiter, link);
            free(w);
            return;
        }
    }
}

void content_cancel(struct fs *fs, struct inode *in, void *cookie)
{
    struct load *l;

    LIST_FOREACH (l, &in->loads, link) {
        if (l->cookie == cookie) {
            if (l->call)
                cache_cancel(fs->cache, l->call);
            else
                unwait(in, l);
            load_end(l);
            return;
        }
    }
    unwait(in, cookie);
}
