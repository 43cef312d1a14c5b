/* SPDX-License-Identifier: Apache-2.0 */
/* Messages of updates: a batch with its sequence number, and the answer that it is applied. */
#include "net/msg.h"

#include <assert.h>
#include <endian.h>

#define UPDATE_MIN_SIZE 9  /* bytes: kind, cond, flags, key length, value length */
#define UPDATE_MAX_HEAD 17 /* the same with a stamp */

size_t msg_update_begin(struct buf *out, uint64_t sequence, uint64_t answered)
{
    size_t mark = out->len;
    put_u64(out, sequence);
    put_u64(out, answered);
    put_u32(out, 0);
    return mark;
}

void msg_put_update(struct buf *out, const struct update *u)
{
    assert(u->key.len <= UINT16_MAX && u->value.len <= UINT32_MAX);
    buf_reserve(out, UPDATE_MAX_HEAD + u->key.len + u->value.len);
    uint8_t *p = out->data + out->len;
    *p++ = u->kind;
    *p++ = u->cond;
    *p++ = u->flags;
    if (u->cond == COND_STAMP) {
        uint64_t stamp = htole64(u->stamp);
        memcpy(p, &stamp, 8);
        p += 8;
    }
    uint16_t key_len = htole16((uint16_t)u->key.len);
    memcpy(p, &key_len, 2);
    p += 2;
    if (u->key.len)
        memcpy(p, u->key.data, u->key.len);
    p += u->key.len;
    uint32_t value_len = htole32((uint32_t)u->value.len);
    memcpy(p, &value_len, 4);
    p += 4;
    if (u->value.len)
        memcpy(p, u->value.data, u->value.len);
    out->len = (size_t)(p + u->value.len - out->data);
}

void msg_update_end(struct buf *out, size_t mark, uint32_t count)
{
    patch_u32(out, mark + 16, count);
}

int msg_get_update(struct slice payload, struct msg_update *m)
{
    m->r = reader_of(payload);
    m->sequence = get_u64(&m->r);
    m->answered = get_u64(&m->r);
    m->count = get_u32(&m->r);
    m->increments = 0;
    if (m->r.bad || m->sequence == 0 || m->answered >= m->sequence || m->count == 0 || m->count > BATCH_MAX_OPS ||
        m->count > (size_t)(m->r.end - m->r.at) / UPDATE_MIN_SIZE)
        return ECP_EPROTO;
    return 0;
}

int msg_get_replay(struct slice payload, struct msg_replay *m)
{
    struct reader r = reader_of(payload);
    m->stamp = get_u64(&r);
    if (r.bad || !m->stamp)
        return ECP_EPROTO;
    return msg_get_update(slice_of(r.at, (size_t)(r.end - r.at)), &m->update);
}

/* The value as its kind demands. */
static int check_value(const struct update *u)
{
    switch (u->kind) {
    case UPDATE_SET:
    case UPDATE_APPEND:
    case UPDATE_INCREMENT:
        return u->value.len > VALUE_MAX_LEN ? ECP_EVALUELONG : 0;
    case UPDATE_MOVE:
        if (u->value.len > KEY_MAX_LEN)
            return ECP_EKEYLONG;
        return u->value.len && key_valid(u->value) ? 0 : ECP_EINVAL;
    default:
        return u->value.len ? ECP_EPROTO : 0;
    }
}

int msg_get_update_next(struct msg_update *m, struct update *u)
{
    struct reader *r = &m->r;
    u->kind = get_u8(r);
    u->cond = get_u8(r);
    u->flags = get_u8(r);
    u->stamp = u->cond == COND_STAMP ? get_u64(r) : 0;
    u->key = get_bytes16(r);
    u->value = get_bytes32(r);
    if (r->bad || u->kind == 0 || u->kind >= UPDATE_KIND_END || u->cond >= COND_END ||
        (u->flags & ~UPDATE_FLAGS_ALL))
        return ECP_EPROTO;
    if (u->key.len > KEY_MAX_LEN)
        return ECP_EKEYLONG;
    if ((u->key.len == 0 && u->kind != UPDATE_KILL) || !key_valid(u->key))
        return ECP_EINVAL;
    if (u->kind == UPDATE_INCREMENT && ++m->increments > BATCH_MAX_INCR)
        return ECP_ETOOBIG;
    return check_value(u);
}

void msg_put_applied(struct buf *out, uint64_t sequence, uint64_t stamp, const struct slice *values,
                     size_t count, const struct touch *touches, size_t touch_count)
{
    put_u64(out, sequence);
    put_u64(out, stamp);
    put_u32(out, (uint32_t)count);
    for (size_t i = 0; i < count; i++)
        put_bytes32(out, values[i]);
    put_u32(out, (uint32_t)touch_count);
    msg_put_touches(out, touches, touch_count);
}

int msg_get_applied(struct slice payload, struct msg_applied *m)
{
    m->r = reader_of(payload);
    m->sequence = get_u64(&m->r);
    m->stamp = get_u64(&m->r);
    m->count = get_u32(&m->r);
    if (m->r.bad || m->count > BATCH_MAX_OPS || m->count > (size_t)(m->r.end - m->r.at) / 4)
        return ECP_EPROTO;
    return 0;
}

int msg_get_applied_next(struct msg_applied *m, struct slice *value)
{
    *value = get_bytes32(&m->r);
    return m->r.bad || value->len > VALUE_MAX_LEN ? ECP_EPROTO : 0;
}

int msg_get_applied_touches(struct msg_applied *m, uint32_t *count)
{
    *count = get_u32(&m->r);
    return m->r.bad || *count > (size_t)(m->r.end - m->r.at) / MSG_TOUCH_MIN_SIZE ? ECP_EPROTO : 0;
}
