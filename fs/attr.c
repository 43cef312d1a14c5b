/* SPDX-License-Identifier: Apache-2.0 */
/* What stat shows: attributes from a node of the other side, or from content held here. */
#include "fs/fs.h"

bool attr_matches(const struct inode *in, const struct node *node)
{
    bool dir = node->flags & (NODE_DIR | NODE_CHILDREN);

    switch (in->kind) {
    case INODE_DIR:
        return dir || in->key.len == 0;
    case INODE_FILE:
        return !dir && (node->flags & NODE_VALUE);
    case INODE_VALUE:
        return dir && (node->flags & NODE_VALUE);
    default:
        return false;
    }
}

uint64_t attr_size(const struct fs *fs, uint64_t value_len)
{
    return value_len + (fs->text ? 1 : 0);
}

static void set_time(struct fs *fs, struct stat *st, uint64_t stamp)
{
    if (stamp == 0)
        stamp = fs->started;
    st->st_mtim.tv_sec = (time_t)(stamp / LOOP_SEC);
    st->st_mtim.tv_nsec = (long)(stamp % LOOP_SEC);
    st->st_atim = st->st_ctim = st->st_mtim;
}

mode_t attr_mode(const struct inode *in)
{
    mode_t mode = (inode_is_dir(in) ? S_IFDIR | 0777u : S_IFREG | 0666u) & ~in->fs->umask;

    return in->kind >= INODE_CONTROL || in->kind == INODE_LOCKS ? mode & ~0222u : mode;
}

static void set_common(struct fs *fs, const struct inode *in, struct stat *st)
{
    memset(st, 0, sizeof(*st));
    st->st_ino = inode_number(in->kind, key_slice(&in->key), buf_slice(&in->text));
    st->st_mode = attr_mode(in);
    st->st_nlink = 1;
    st->st_uid = fs->uid;
    st->st_gid = fs->gid;
    st->st_blksize = 4096;
}

static void set_size(struct stat *st, uint64_t size)
{
    st->st_size = (off_t)size;
    st->st_blocks = (blkcnt_t)((size + 511) / 512);
}

void attr_of_node(struct fs *fs, struct inode *in, const struct node *node, struct stat *st)
{
    set_common(fs, in, st);
    pages_tell(in, node);
    if (inode_is_dir(in)) {
        in->unsure = false;
        /* Of two times that it was told, the newer is right. */
        if (node->changed > in->changed)
            in->changed = node->changed;
        set_time(fs, st, in->changed);
    } else {
        set_time(fs, st, node->stamp);
        set_size(st, attr_size(fs, node->value_len));
    }
}

void attr_of_local(struct fs *fs, const struct inode *in, struct stat *st)
{
    set_common(fs, in, st);
    set_time(fs, st, inode_is_dir(in) ? loop_wall(fs->loop) : in->written);
    if (in->gone)
        st->st_nlink = 0;
    if (!inode_is_dir(in))
        set_size(st, in->have ? in->data.len : in->tail.len);
}

void attr_listing_changed(struct fs *fs, struct slice dir)
{
    struct inode *in = inode_find(fs, INODE_DIR, dir, slice_of(NULL, 0));

    if (in && in->changed) {
        in->changed++;
        kernel_listing_changed(in);
    }
}
