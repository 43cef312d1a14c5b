/* SPDX-License-Identifier: Apache-2.0 */
/* Replies to the kernel, and what it takes with them: references, timeouts. */
#include "fs/op.h"

#include <errno.h>

void reply_attr(fuse_req_t req, struct inode *in, const struct stat *st, uint64_t until)
{
    fuse_reply_attr(req, st, kernel_keeps(in, until));
}

/* The kernel took a reference only when the reply was taken. */
void reply_entry(fuse_req_t req, struct inode *in, const struct stat *st, uint64_t until)
{
    struct fuse_entry_param e = {.ino = in->id, .attr = *st};

    e.attr_timeout = kernel_keeps(in, until);
    e.entry_timeout = kernel_keeps_name(in, e.attr_timeout);
    inode_count_lookups(in, 1);
    if (fuse_reply_entry(req, &e) != 0) {
        inode_count_lookups(in, -1);
        inode_release(in->fs, in);
    }
}

bool reply_opened(fuse_req_t req, struct inode *in, const struct fuse_file_info *fi)
{
    bool taken;

    inode_count_opens(in, fi->fh, 1);
    taken = fuse_reply_open(req, fi) == 0;
    if (!taken)
        inode_count_opens(in, fi->fh, -1);
    return taken;
}

void reply_absent(fuse_req_t req, struct fs *fs)
{
    struct fuse_entry_param e = {.entry_timeout = fs->negative_timeout};

    if (fs->negative_timeout && !fs->ending)
        fuse_reply_entry(req, &e);
    else
        fuse_reply_err(req, ENOENT);
}

void reply_part(fuse_req_t req, struct slice all, uint64_t offset, size_t size)
{
    size_t at = offset < all.len ? offset : all.len;
    size_t n = all.len - at < size ? all.len - at : size;

    fuse_reply_buf(req, n ? (const char *)all.data + at : NULL, n);
}
