/* SPDX-License-Identifier: Apache-2.0 */
/* Messages that ask: READ, NODE, ORDER, SCAN and VALUE. */
#include "net/msg.h"
#include "net/msg_internal.h"

bool msg_level_valid(size_t parent_len, struct slice level)
{
    if (level.len == 0 || parent_len + level.len > KEY_MAX_LEN)
        return false;
    if (parent_len == 0)
        return key_level_len(level, 0) == level.len && key_valid(level);
    /* The shortest global stands for the parent: it is never longer than the parent. */
    uint8_t key[2 + KEY_MAX_LEN];
    key[0] = 'A';
    key[1] = 0;
    memcpy(key + 2, level.data, level.len);
    struct slice whole = slice_of(key, 2 + level.len);
    return key_level_len(whole, 2) == level.len && key_valid(whole);
}

int msg_check_key(struct slice key)
{
    if (key.len > KEY_MAX_LEN)
        return ECP_EKEYLONG;
    return key_valid(key) ? 0 : ECP_EINVAL;
}

/* A parent's key and, unless empty, a level below it. */
static int check_below(struct slice parent, struct slice level)
{
    int error = msg_check_key(parent);
    if (error || level.len == 0)
        return error;
    if (parent.len + level.len > KEY_MAX_LEN)
        return ECP_EKEYLONG;
    return msg_level_valid(parent.len, level) ? 0 : ECP_EINVAL;
}

/* Form first, so that only well-formed requests are answered instead of cut off. */
static bool well_formed(const struct reader *r, unsigned flag, unsigned view)
{
    return reader_at_end(r) && flag <= 1 && view < VIEW_END;
}

void msg_put_read(struct buf *out, const struct msg_read *m)
{
    put_bytes16(out, m->parent);
    put_bytes16(out, m->from);
    put_u8(out, m->after);
    put_u8(out, m->view);
    put_u32(out, m->max_value);
    put_u32(out, m->budget);
    put_u32(out, m->readahead);
    put_u32(out, m->entries);
    put_u8(out, m->lease);
    put_u8(out, m->onward);
}

int msg_get_read(struct slice payload, struct msg_read *m)
{
    struct reader r = reader_of(payload);
    m->parent = get_bytes16(&r);
    m->from = get_bytes16(&r);
    uint8_t after = get_u8(&r);
    m->after = after;
    m->view = get_u8(&r);
    m->max_value = get_u32(&r);
    m->budget = get_u32(&r);
    m->readahead = get_u32(&r);
    m->entries = get_u32(&r);
    uint8_t lease = get_u8(&r), onward = get_u8(&r);
    m->lease = lease;
    m->onward = onward;
    if (!well_formed(&r, after | lease | onward, m->view))
        return ECP_EPROTO;
    return check_below(m->parent, m->from);
}

void msg_put_node(struct buf *out, const struct msg_node *m)
{
    put_bytes16(out, m->key);
    put_u8(out, m->view);
    put_u32(out, m->max_value);
}

int msg_get_node(struct slice payload, struct msg_node *m)
{
    struct reader r = reader_of(payload);
    m->key = get_bytes16(&r);
    m->view = get_u8(&r);
    m->max_value = get_u32(&r);
    return well_formed(&r, 0, m->view) ? msg_check_key(m->key) : ECP_EPROTO;
}

void msg_put_order(struct buf *out, const struct msg_order *m)
{
    put_bytes16(out, m->parent);
    put_bytes16(out, m->level);
    put_u8(out, m->backwards);
    put_u8(out, m->view);
    put_u32(out, m->max_value);
}

int msg_get_order(struct slice payload, struct msg_order *m)
{
    struct reader r = reader_of(payload);
    m->parent = get_bytes16(&r);
    m->level = get_bytes16(&r);
    uint8_t backwards = get_u8(&r);
    m->backwards = backwards;
    m->view = get_u8(&r);
    m->max_value = get_u32(&r);
    if (!well_formed(&r, backwards, m->view))
        return ECP_EPROTO;
    return check_below(m->parent, m->level);
}

void msg_put_scan(struct buf *out, const struct msg_scan *m)
{
    put_bytes16(out, m->top);
    put_bytes16(out, m->from);
    put_u8(out, m->backwards);
    put_u32(out, m->max_value);
    put_u32(out, m->max_nodes);
    put_u32(out, m->budget);
}

int msg_get_scan(struct slice payload, struct msg_scan *m)
{
    struct reader r = reader_of(payload);
    m->top = get_bytes16(&r);
    m->from = get_bytes16(&r);
    uint8_t backwards = get_u8(&r);
    m->backwards = backwards;
    m->max_value = get_u32(&r);
    m->max_nodes = get_u32(&r);
    m->budget = get_u32(&r);
    if (!well_formed(&r, backwards, 0))
        return ECP_EPROTO;
    int error = msg_check_key(m->top);
    return error ? error : msg_check_key(m->from);
}

void msg_put_value(struct buf *out, const struct msg_value *m)
{
    put_bytes16(out, m->key);
    put_u32(out, m->offset);
    put_u32(out, m->len);
}

int msg_get_value(struct slice payload, struct msg_value *m)
{
    struct reader r = reader_of(payload);
    m->key = get_bytes16(&r);
    m->offset = get_u32(&r);
    m->len = get_u32(&r);
    return well_formed(&r, 0, 0) ? msg_check_key(m->key) : ECP_EPROTO;
}
