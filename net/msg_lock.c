/* SPDX-License-Identifier: Apache-2.0 */
/* Messages of locks. */
#include "net/msg_lock.h"
#include "net/msg_internal.h"

enum item_flags { ITEM_EXCLUSIVE = 1, ITEM_COUNTED = 2, ITEM_RANGE = 4, ITEM_FLAGS_ALL = 7 };

static int at_end(const struct reader *r)
{
    return reader_at_end(r) ? 0 : ECP_EPROTO;
}

void msg_put_lock_item(struct buf *out, const struct msg_lock_item *item)
{
    bool range = item->start != 0 || item->end != UINT64_MAX;
    put_u8(out, (uint8_t)((item->exclusive ? ITEM_EXCLUSIVE : 0) |
                          (item->counted ? ITEM_COUNTED : 0) | (range ? ITEM_RANGE : 0)));
    put_bytes16(out, item->name);
    if (range) {
        put_u64(out, item->start);
        put_u64(out, item->end);
    }
}

int msg_get_lock_item(struct reader *r, struct msg_lock_item *item)
{
    uint8_t flags = get_u8(r);
    *item = (struct msg_lock_item){
        .exclusive = flags & ITEM_EXCLUSIVE, .counted = flags & ITEM_COUNTED, .end = UINT64_MAX};
    item->name = get_bytes16(r);
    if (flags & ITEM_RANGE) {
        item->start = get_u64(r);
        item->end = get_u64(r);
    }
    bool counted_range = item->counted && (flags & ITEM_RANGE);
    return r->bad || flags > ITEM_FLAGS_ALL || item->start >= item->end || counted_range ||
                   msg_check_key(item->name)
               ? ECP_EPROTO
               : 0;
}

static void put_who(struct buf *out, const struct msg_lock_who *who, uint8_t flags)
{
    flags &= (uint8_t) ~(MSG_LOCK_GROUPED | MSG_LOCK_PROCESS);
    flags |= (who->group ? MSG_LOCK_GROUPED : 0) | (who->process ? MSG_LOCK_PROCESS : 0);
    put_u8(out, flags);
    put_u64(out, who->owner);
    if (who->group)
        buf_append(out, who->group, MSG_LOCK_GROUP_LEN);
    if (who->process)
        put_u64(out, who->process);
    put_bytes16(out,
                slice_of(who->text.data,
                         who->text.len < MSG_LOCK_TEXT_MAX ? who->text.len : MSG_LOCK_TEXT_MAX));
}

static int get_who(struct reader *r, struct msg_lock_who *who, uint8_t *flags)
{
    *flags = get_u8(r);
    who->owner = get_u64(r);
    who->group = *flags & MSG_LOCK_GROUPED ? get_bytes(r, MSG_LOCK_GROUP_LEN).data : NULL;
    who->process = *flags & MSG_LOCK_PROCESS ? get_u64(r) : 0;
    who->text = get_bytes16(r);
    return r->bad || who->text.len > MSG_LOCK_TEXT_MAX ? ECP_EPROTO : 0;
}

static void put_items(struct buf *out, uint16_t count, const struct msg_lock_item *items)
{
    put_u16(out, count);
    for (uint16_t i = 0; i < count; i++)
        msg_put_lock_item(out, &items[i]);
}

void msg_put_lock(struct buf *out, const struct msg_lock *m, const struct msg_lock_item *items)
{
    put_who(out, &m->who, m->flags);
    put_items(out, m->count, items);
}

int msg_get_lock(struct slice payload, struct msg_lock *m)
{
    m->r = reader_of(payload);
    int error = get_who(&m->r, &m->who, &m->flags);
    m->count = get_u16(&m->r);
    return error || m->r.bad || m->count == 0 || m->count > MSG_LOCK_ITEMS_MAX ? ECP_EPROTO : 0;
}

void msg_put_locked(struct buf *out, uint64_t stamp)
{
    put_u64(out, stamp);
}

int msg_get_locked(struct slice payload, uint64_t *stamp)
{
    struct reader r = reader_of(payload);
    *stamp = get_u64(&r);
    return at_end(&r);
}

void msg_put_unlock(struct buf *out, const struct msg_unlock *m, const struct msg_lock_item *items)
{
    put_u64(out, m->owner);
    put_items(out, m->count, items);
}

int msg_get_unlock(struct slice payload, struct msg_unlock *m)
{
    m->r = reader_of(payload);
    m->owner = get_u64(&m->r);
    m->count = get_u16(&m->r);
    return m->r.bad || m->count > MSG_LOCK_ITEMS_MAX ? ECP_EPROTO : 0;
}

void msg_put_lock_cancel(struct buf *out, uint64_t id)
{
    put_u64(out, id);
}

int msg_get_lock_cancel(struct slice payload, uint64_t *id)
{
    struct reader r = reader_of(payload);
    *id = get_u64(&r);
    return at_end(&r);
}

void msg_put_lock_name(struct buf *out, const struct msg_lock_name *m)
{
    put_u64(out, m->owner);
    put_bytes16(out, m->name);
}

int msg_get_lock_name(struct slice payload, struct msg_lock_name *m)
{
    struct reader r = reader_of(payload);
    m->owner = get_u64(&r);
    m->name = get_bytes16(&r);
    return at_end(&r) || msg_check_key(m->name) ? ECP_EPROTO : 0;
}

void msg_put_lock_pass(struct buf *out, const struct msg_lock_pass *m)
{
    put_u64(out, m->from);
    put_bytes16(out, m->name);
    put_who(out, &m->to, m->flags);
}

int msg_get_lock_pass(struct slice payload, struct msg_lock_pass *m)
{
    struct reader r = reader_of(payload);
    m->from = get_u64(&r);
    m->name = get_bytes16(&r);
    int error = get_who(&r, &m->to, &m->flags);
    return error || at_end(&r) || msg_check_key(m->name) ||
                   (m->flags & ~(MSG_LOCK_DELEGABLE | MSG_LOCK_GROUPED | MSG_LOCK_PROCESS))
               ? ECP_EPROTO
               : 0;
}

void msg_put_lock_list(struct buf *out, const struct msg_lock_list *m)
{
    put_bytes16(out, m->under);
    put_u32(out, m->max);
}

int msg_get_lock_list(struct slice payload, struct msg_lock_list *m)
{
    struct reader r = reader_of(payload);
    m->under = get_bytes16(&r);
    m->max = get_u32(&r);
    return at_end(&r) || msg_check_key(m->under) ? ECP_EPROTO : 0;
}

void msg_put_lock_row(struct buf *out, const struct msg_lock_row *row)
{
    put_u8(out, row->flags);
    put_bytes16(out, row->name);
    put_u64(out, row->session);
    put_u64(out, row->owner);
    put_bytes16(out, row->text);
    put_u64(out, row->since);
    put_u32(out, row->count);
    put_u64(out, row->start);
    put_u64(out, row->end);
}

int msg_get_lock_row(struct reader *r, struct msg_lock_row *row)
{
    if (reader_at_end(r))
        return ECP_ENOENT;
    row->flags = get_u8(r);
    row->name = get_bytes16(r);
    row->session = get_u64(r);
    row->owner = get_u64(r);
    row->text = get_bytes16(r);
    row->since = get_u64(r);
    row->count = get_u32(r);
    row->start = get_u64(r);
    row->end = get_u64(r);
    return r->bad || row->flags > MSG_LOCK_ROW_ALL || row->text.len > MSG_LOCK_TEXT_MAX ||
                   msg_check_key(row->name)
               ? ECP_EPROTO
               : 0;
}

void msg_put_lock_force(struct buf *out, struct slice name, bool below)
{
    put_bytes16(out, name);
    put_u8(out, below);
}

int msg_get_lock_force(struct slice payload, struct slice *name, bool *below)
{
    struct reader r = reader_of(payload);
    *name = get_bytes16(&r);
    uint8_t flag = get_u8(&r);
    *below = flag;
    return at_end(&r) || flag > 1 || msg_check_key(*name) ? ECP_EPROTO : 0;
}

void msg_put_lock_forced(struct buf *out, uint32_t count)
{
    put_u32(out, count);
}

int msg_get_lock_forced(struct slice payload, uint32_t *count)
{
    struct reader r = reader_of(payload);
    *count = get_u32(&r);
    return at_end(&r);
}
