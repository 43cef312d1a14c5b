/* SPDX-License-Identifier: Apache-2.0 */
/* What handles write, until it is sent; who may see it. */
#include "fs/fs.h"

#include <fcntl.h>

bool content_pending(const struct inode *in)
{
    return !in->gone && in->kind != INODE_SCRATCH && (in->dirty || in->fresh || in->tail.len > 0);
}

bool content_unsent(const struct inode *in)
{
    in = inode_current(in);
    return in && (in->flushing || content_pending(in));
}

size_t content_unsent_bytes(const struct inode *in)
{
    return content_unsent(in) ? in->data.len + in->tail.len + in->sending : 0;
}

bool content_shown_to(const struct inode *in, uint64_t handle)
{
    return in->have && (in->writer == handle || in->gone || in->kind == INODE_SCRATCH);
}

struct slice content_value(const struct fs *fs, struct slice content)
{
    if (fs->text && content.len > 0 && content.data[content.len - 1] == '\n')
        content.len--;
    return content;
}

void content_end(struct inode *in)
{
    in->whole = 0;
    buf_free(&in->base);
}

void content_begin(struct inode *in, uint64_t handle, int flags)
{
    content_end(in);
    if ((flags & (O_ACCMODE | O_APPEND)) == O_WRONLY)
        in->whole = handle;
}

void content_resume(struct inode *in, uint64_t handle)
{
    if (in->whole != handle || in->have || in->gone)
        return;
    buf_free(&in->data);
    in->data = in->base;
    in->base = (struct buf){0};
    in->have = true;
}

void content_by(struct inode *in, uint64_t handle, fuse_req_t req)
{
    if (in->whole != handle)
        content_end(in);
    if (in->writer != handle)
        in->writer = content_unsent(in) && in->writer ? HANDLES : handle;
    in->writer_pid = fuse_req_ctx(req)->pid;
}

void content_unload(struct inode *in)
{
    if (content_unsent(in) || in->gone || in->kind == INODE_SCRATCH)
        return;
    in->have = false;
    in->writer = 0;
    buf_free(&in->data);
    content_end(in);
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
