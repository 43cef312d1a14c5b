/* SPDX-License-Identifier: Apache-2.0 */
/* A name in a directory: which node, value, rest of a long name or scratch file it stands for. */
#include "fs/fs.h"

#include "base/name.h"

/* A continued component covers bytes that depend on whether what follows needs an escape: try both.
 */
size_t names_more(struct slice text, size_t at, char *out)
{
    static const char fillers[] = {'a', '\1'};
    struct buf full = {0};
    size_t len = 0;
    bool found = false;

    for (size_t i = 0; i < sizeof(fillers) && !found; i++) {
        uint8_t rest[2 * NAME_MAX_LEN];
        size_t from = 0, begin = 0, covered = 0;
        bool continued = true;

        buf_clear(&full);
        buf_append_slice(&full, text);
        memset(rest, fillers[i], sizeof(rest));
        buf_append(&full, rest, sizeof(rest));
        while (continued && from < text.len) {
            begin = from;
            len = name_encode(buf_slice(&full), from, out, &covered, &continued);
            from += covered;
        }
        found = continued && from == text.len && begin == at;
    }
    buf_free(&full);
    return found ? len : 0;
}

bool names_boundary(struct slice subscript, size_t at)
{
    char out[NAME_MAX_LEN];
    size_t from = 0, covered;
    bool continued = true;

    while (continued && from < at) {
        name_encode(subscript, from, out, &covered, &continued);
        from += covered;
    }
    return from == at && continued;
}

/* In the control directory, or that directory in the root. */
static int resolve_control(const struct inode *dir, const char *name, enum inode_kind *kind,
                           struct buf *text)
{
    *kind = dir->kind == INODE_CONTROL ? INODE_CONTROL_FILE : INODE_CONTROL;
    if (dir->kind == INODE_CONTROL) {
        if (!control_is_file(slice_str(name)))
            return ECP_ENOENT;
        buf_append_str(text, name);
    }
    return 0;
}

int names_resolve(struct fs *fs, const struct inode *dir, const char *name, enum inode_kind *kind,
                  struct key *key, struct buf *text)
{
    uint8_t bytes[NAME_MAX_LEN];
    struct slice component = slice_str(name);
    size_t from = dir->kind == INODE_MORE ? dir->text.len : 0;
    bool continued;
    int n, error = 0;

    buf_clear(text);
    *key = dir->key;
    if (component.len > NAME_MAX_LEN)
        return ECP_EKEYLONG;
    if (dir->kind == INODE_CONTROL || (dir == fs->root && strcmp(name, CONTROL_DIR) == 0))
        return resolve_control(dir, name, kind, text);
    if (dir->kind == INODE_LOCKS) {
        *kind = INODE_LOCKS_FILE;
        return locks_resolve(component, text);
    }
    if (dir == fs->root && strcmp(name, LOCKS_DIR) == 0) {
        *kind = INODE_LOCKS;
        return 0;
    }
    if (from == 0 && strcmp(name, LOCK_FILE) == 0) {
        *kind = INODE_LOCK;
        return 0;
    }
    if (from == 0 && strcmp(name, ".value") == 0 && dir->key.len > 0) {
        *kind = INODE_VALUE;
        return 0;
    }
    if (name[0] == '.') {
        if (from > 0 || dir->key.len == 0)
            return ECP_ENOENT;
        *kind = INODE_SCRATCH;
        buf_append_slice(text, component);
        return 0;
    }
    n = name_decode(component, from, bytes, &continued);
    if (n < 0)
        return ECP_ENOENT;
    buf_append_slice(text, buf_slice(&dir->text));
    buf_append(text, bytes, (size_t)n);
    if (continued) {
        char out[NAME_MAX_LEN];
        *kind = INODE_MORE;
        if (text->len > SUBSCRIPT_MAX_LEN)
            return ECP_EKEYLONG;
        return slice_equal(slice_of(out, names_more(buf_slice(text), from, out)), component)
                   ? 0
                   : ECP_ENOENT;
    }
    *kind = INODE_FILE;
    if (!names_boundary(buf_slice(text), from) || !name_canonical(buf_slice(text), from, component))
        error = ECP_ENOENT;
    if (!error)
        error = key_append(key, buf_slice(text));
    buf_clear(text);
    return error == ECP_EINVAL ? ECP_ENOENT : error;
}

int names_resolve_change(struct fs *fs, const struct inode *dir, const char *name,
                         enum inode_kind *kind, struct key *key, struct buf *text)
{
    int error = names_resolve(fs, dir, name, kind, key, text);

    if (dir->kind == INODE_CONTROL || dir->kind == INODE_LOCKS || (!error && *kind >= INODE_LOCK))
        return ECP_EROFS;
    return error == ECP_ENOENT ? ECP_EINVAL : error;
}
