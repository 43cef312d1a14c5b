/* SPDX-License-Identifier: Apache-2.0 */
/* The directory .ecp in the root: unlisted, read-only files about the mount itself. */
#include "fs/op.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>

struct control_source {
    STAILQ_ENTRY(control_source) link;
    const char *file;
    control_fn *lines;
    void *cookie;
};

const char *const control_files[] = {CONTROL_STATS, CONTROL_STATUS, NULL};

static void own_figures(void *cookie, struct buf *out)
{
    const struct fs *fs = cookie;

    buf_printf(out, "inodes %zu\n", fs->inodes);
    buf_printf(out, "lookups %" PRIu64 "\n", fs->lookups);
    buf_printf(out, "handles %" PRIu64 "\n", fs->handles);
    buf_printf(out, "requests %" PRIu64 "\n", fs->requests);
}

void control_init(struct fs *fs)
{
    STAILQ_INIT(&fs->sources);
    control_add(fs, CONTROL_STATS, own_figures, fs);
}

void control_free(struct fs *fs)
{
    struct control_source *s;

    while ((s = STAILQ_FIRST(&fs->sources))) {
        STAILQ_REMOVE_HEAD(&fs->sources, link);
        free(s);
    }
}

void control_add(struct fs *fs, const char *file, control_fn *lines, void *cookie)
{
    struct control_source *s = xcalloc(1, sizeof(*s));

    s->file = file;
    s->lines = lines;
    s->cookie = cookie;
    STAILQ_INSERT_TAIL(&fs->sources, s, link);
}

bool control_is_file(struct slice name)
{
    for (size_t i = 0; control_files[i]; i++) {
        if (slice_equal(name, slice_str(control_files[i])))
            return true;
    }
    return false;
}

void control_open(struct op *op)
{
    struct buf *content;
    struct control_source *s;

    if ((op->fi.flags & O_ACCMODE) != O_RDONLY) {
        op_errno(op, EROFS);
        return;
    }
    content = xcalloc(1, sizeof(*content));
    STAILQ_FOREACH(s, &op->fs->sources, link)
    {
        if (slice_equal(buf_slice(&op->in->text), slice_str(s->file)))
            s->lines(s->cookie, content);
    }
    op->fi.fh = (uint64_t)(uintptr_t)content;
    op->fi.direct_io = op->fi.noflush = true;
    if (!op_opened(op)) {
        buf_free(content);
        free(content);
    }
}

static struct buf *content_of(const struct fuse_file_info *fi)
{
    return (struct buf *)(uintptr_t)fi->fh;
}

void control_read(fuse_req_t req, const struct fuse_file_info *fi, size_t size, off_t offset)
{
    reply_part(req, buf_slice(content_of(fi)), (uint64_t)offset, size);
}

void control_release(struct fuse_file_info *fi)
{
    buf_free(content_of(fi));
    free(content_of(fi));
}
