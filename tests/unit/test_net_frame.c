/* SPDX-License-Identifier: Apache-2.0 */
/* Frames: round trip, truncations, damage, limits. */
#include <criterion/criterion.h>

#include "net/frame.h"

static void make(struct buf *out, uint16_t type, uint64_t id, size_t len)
{
    size_t mark = frame_begin(out, type, id);
    for (size_t i = 0; i < len; i++)
        put_u8(out, (uint8_t)(i * 7));
    frame_end(out, mark);
}

Test(frame, round_trip)
{
    struct buf b = {0};
    struct frame f;
    size_t used, need, lens[] = {0, 1, 300, FRAME_MAX_PAYLOAD};
    for (int i = 0; i < 4; i++)
        make(&b, (uint16_t)(i + 1), UINT64_MAX - (uint64_t)i, lens[i]);
    for (int i = 0; i < 4; i++) {
        cr_assert_eq(frame_parse(buf_slice(&b), FRAME_MAX_PAYLOAD, &f, &used, &need), 0);
        cr_assert_eq(used, FRAME_HEADER_LEN + lens[i]);
        cr_assert(f.type == i + 1 && f.flags == 0 && f.id == UINT64_MAX - (uint64_t)i);
        cr_assert_eq(f.payload.len, lens[i]);
        cr_assert(lens[i] < 2 || f.payload.data[1] == 7);
        buf_consume(&b, used);
    }
    cr_assert_eq(b.len, 0);
    buf_free(&b);
}

Test(frame, truncations)
{
    struct buf b = {0};
    struct frame f;
    size_t used, need;
    make(&b, 3, 9, 100);
    for (size_t len = 0; len < b.len; len++) {
        cr_assert_eq(frame_parse(slice_of(b.data, len), 100, &f, &used, &need), 0);
        cr_assert_eq(used, 0);
        cr_assert_eq(need, len < FRAME_HEADER_LEN ? FRAME_HEADER_LEN : b.len);
    }
    buf_free(&b);
}

/* A flip in the length may ask for more bytes, but no flip is taken for a frame. */
Test(frame, damage)
{
    struct buf b = {0};
    struct frame f;
    size_t used, need;
    make(&b, 3, 9, 100);
    for (size_t bit = 0; bit < b.len * 8; bit++) {
        b.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        int e = frame_parse(buf_slice(&b), 100, &f, &used, &need);
        cr_assert(e == ECP_EPROTO, "bit %zu", bit);
        b.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    buf_free(&b);
}

Test(frame, limits)
{
    struct buf b = {0};
    struct frame f;
    size_t used, need;
    make(&b, 3, 9, 101);
    struct slice header = slice_of(b.data, FRAME_HEADER_LEN);
    cr_assert_eq(frame_parse(header, 100, &f, &used, &need), ECP_EPROTO);
    cr_assert_eq(frame_parse(header, 101, &f, &used, &need), 0);
    patch_u32(&b, 0, FRAME_MAX_PAYLOAD + 1);
    cr_assert_eq(frame_parse(header, SIZE_MAX, &f, &used, &need), ECP_EPROTO);
    buf_free(&b);
}
