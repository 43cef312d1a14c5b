/* SPDX-License-Identifier: Apache-2.0 */
/* Frames: header, checksum, payload. */
#include <assert.h>
#include <endian.h>
#include <xxhash.h>

#include "net/frame.h"

/* In the header. */
#define TYPE_AT  4
#define FLAGS_AT 6
#define ID_AT    8

#define SUMMED_LEN 16 /* header bytes that the checksum covers */

static uint64_t frame_sum(const uint8_t *frame, size_t payload_len)
{
    return XXH3_64bits_withSeed(frame + FRAME_HEADER_LEN, payload_len,
                                XXH3_64bits(frame, SUMMED_LEN));
}

size_t frame_begin(struct buf *out, uint16_t type, uint64_t id)
{
    size_t mark = out->len;
    buf_reserve(out, FRAME_HEADER_LEN);
    uint8_t *head = out->data + mark;
    memset(head, 0, FRAME_HEADER_LEN);
    type = htole16(type);
    id = htole64(id);
    memcpy(head + TYPE_AT, &type, sizeof(type));
    memcpy(head + ID_AT, &id, sizeof(id));
    out->len += FRAME_HEADER_LEN;
    return mark;
}

void frame_keep(struct buf *out, size_t mark)
{
    out->data[mark + FLAGS_AT] |= FRAME_KEPT;
}

void frame_end(struct buf *out, size_t mark)
{
    assert(out->len >= mark + FRAME_HEADER_LEN);
    size_t len = out->len - mark - FRAME_HEADER_LEN;
    assert(len <= FRAME_MAX_PAYLOAD);
    patch_u32(out, mark, (uint32_t)len);
    uint64_t sum = htole64(frame_sum(out->data + mark, len));
    memcpy(out->data + mark + SUMMED_LEN, &sum, sizeof(sum));
}

int frame_parse(struct slice bytes, size_t max_payload, struct frame *frame, size_t *used,
                size_t *need)
{
    *used = 0;
    *need = FRAME_HEADER_LEN;
    if (bytes.len < FRAME_HEADER_LEN)
        return 0;

    struct reader r = reader_of(bytes);
    size_t len = get_u32(&r);
    frame->type = get_u16(&r);
    frame->flags = get_u16(&r);
    frame->id = get_u64(&r);
    uint64_t sum = get_u64(&r);
    if (len > max_payload || len > FRAME_MAX_PAYLOAD || (frame->flags & ~FRAME_KEPT))
        return ECP_EPROTO;
    *need = FRAME_HEADER_LEN + len;
    if (bytes.len < *need)
        return 0;
    if (sum != frame_sum(bytes.data, len))
        return ECP_EPROTO;
    frame->payload = slice_of(bytes.data + FRAME_HEADER_LEN, len);
    *used = *need;
    return 0;
}
