/* SPDX-License-Identifier: Apache-2.0 */
/* MOVE: a subtree, or a value alone, to another key, as rename(2) says. */
#include "store/apply.h"

#include <stdlib.h>

/* A subtree in memory: per record u16 length of the key's rest, u32 length, record bytes. */
struct cargo {
    struct buf bytes;
    size_t nodes;
};

static int collect(struct apply *a, struct slice src, size_t dst_len, struct cargo *cargo)
{
    struct slice found, bytes;
    size_t values = 0;
    int error = a->ops->seek(a->cursor, src, &found, &bytes);
    for (; error == 0 && slice_has_prefix(found, src);
         error = a->ops->next(a->cursor, &found, &bytes)) {
        if (found.len - src.len + dst_len > KEY_MAX_LEN)
            return ECP_EKEYLONG;
        if (bytes.len < RECORD_HEAD)
            return ECP_ECORRUPT;
        values += bytes.len - RECORD_HEAD;
        if (++cargo->nodes > MOVE_MAX_NODES || values > MOVE_MAX_BYTES)
            return ECP_ETOOBIG;
        put_bytes16(&cargo->bytes, slice_of(found.data + src.len, found.len - src.len));
        put_bytes32(&cargo->bytes, bytes);
    }
    return error == ECP_ENOENT ? 0 : error;
}

static int unload(struct apply *a, struct slice dst, const struct cargo *cargo)
{
    struct reader r = reader_of(buf_slice(&cargo->bytes));
    struct record record;
    struct key key;
    key_copy(&key, dst);
    while (!reader_at_end(&r)) {
        struct slice rest = get_bytes16(&r);
        int error = record_parse(get_bytes32(&r), &record);
        if (error)
            return error;
        if (rest.len)
            memcpy(key.data + dst.len, rest.data, rest.len);
        key.len = (uint16_t)(dst.len + rest.len);
        error = apply_write(a, key_slice(&key), 0, record.flags, rest.len ? record.stamp : a->stamp,
                            record.value);
        if (error)
            return error;
    }
    return 0;
}

static int carry(struct apply *a, const struct update *u, const struct view_node *dst)
{
    struct cargo cargo = {0};
    bool removed;
    int error = collect(a, u->key, u->value.len, &cargo);
    if (error == 0 && dst->flags)
        error = apply_kill(a, u->value, &removed);
    if (error == 0)
        error = apply_kill(a, u->key, &removed);
    if (error == 0)
        error = unload(a, u->value, &cargo);
    buf_free(&cargo.bytes);
    return error;
}

static int move_value(struct apply *a, const struct update *u, const struct view_node *src,
                      const struct view_node *dst)
{
    struct buf value = {0};
    int error;
    if (src->value.len)
        buf_append_slice(&value, src->value);
    if (src->flags & NODE_DIR)
        error = apply_write(a, u->key, src->flags, NODE_DIR, a->stamp, slice_of(NULL, 0));
    else
        error = apply_remove(a, u->key, src);
    if (error == 0)
        error = apply_write(a, u->value, dst->flags, dst->flags | NODE_VALUE, a->stamp,
                            buf_slice(&value));
    buf_free(&value);
    return error;
}

/* What rename(2) says about the kinds of source and destination. */
static int kinds(const struct view_node *src, const struct view_node *dst)
{
    bool src_dir = src->flags & (NODE_CHILDREN | NODE_DIR);
    bool dst_dir = dst->flags & (NODE_CHILDREN | NODE_DIR);
    if (!dst->flags)
        return 0;
    if (src_dir && !dst_dir)
        return ECP_ENOTDIR;
    if (!src_dir && dst_dir)
        return ECP_EISDIR;
    if (dst_dir && dst->flags & (NODE_CHILDREN | NODE_VALUE))
        return ECP_ENOTEMPTY;
    return 0;
}

int apply_move(struct apply *a, const struct update *u, const struct view_node *src)
{
    struct view_node dst;
    bool value_only = u->flags & UPDATE_VALUE_ONLY;
    bool same = slice_equal(u->key, u->value);
    if (!value_only && !same && slice_has_prefix(u->value, u->key))
        return ECP_EINVAL;
    if (!src->flags || (value_only && !(src->flags & NODE_VALUE)))
        return ECP_ENOENT;
    int error = apply_lookup(a, u->value, &dst);
    if (error || (error = apply_conditions(u, src, &dst)) || same)
        return error;
    if (!value_only && (error = kinds(src, &dst)))
        return error;
    error = value_only ? move_value(a, u, src, &dst) : carry(a, u, &dst);
    if (error == 0 && u->flags & UPDATE_KEEP_DIR)
        error = apply_keep_parent(a, u->key);
    return error;
}
