/* SPDX-License-Identifier: Apache-2.0 */
/* Messages of leases: touches, and leases given back. */
#include "net/msg.h"
#include "net/msg_internal.h"

void msg_put_touches(struct buf *out, const struct touch *touches, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        put_u8(out, touches[i].kind);
        put_bytes16(out, touches[i].key);
    }
}

int msg_get_touch(struct reader *r, struct touch *touch)
{
    if (reader_at_end(r))
        return ECP_ENOENT;
    touch->kind = get_u8(r);
    touch->key = get_bytes16(r);
    return r->bad || touch->kind >= TOUCH_KIND_END || msg_check_key(touch->key) ? ECP_EPROTO : 0;
}

void msg_put_release(struct buf *out, const uint64_t *leases, size_t count)
{
    for (size_t i = 0; i < count; i++)
        put_u64(out, leases[i]);
}

int msg_get_release(struct reader *r, uint64_t *lease)
{
    if (reader_at_end(r))
        return ECP_ENOENT;
    *lease = get_u64(r);
    return r->bad || *lease == 0 ? ECP_EPROTO : 0;
}
