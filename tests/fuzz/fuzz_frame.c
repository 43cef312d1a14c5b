/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes frame_parse: arbitrary bytes that come in pieces, and a frame made of them. */
#include <stdlib.h>

#include "net/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Copied to its exact size, so that a read past the end is seen. */
static int parse(const uint8_t *data, size_t len, struct frame *frame, size_t *used, size_t *need)
{
    uint8_t *copy = xmalloc(len ? len : 1);
    if (len)
        memcpy(copy, data, len);
    int e = frame_parse(slice_of(copy, len), 1 << 16, frame, used, need);
    if (!e && *used > len)
        abort();
    if (!e && !*used && *need <= len)
        abort();
    free(copy);
    return e;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct frame frame;
    size_t used, need, step = size ? data[0] + 1u : 1, start = 0;

    for (size_t end = 0; end <= size; end += step) {
        if (parse(data + start, end - start, &frame, &used, &need) != 0)
            break;
        start += used;
    }
    struct buf out = {0};
    size_t mark = frame_begin(&out, 7, size);
    buf_append(&out, data, size > 65536 ? 65536 : size);
    frame_end(&out, mark);
    if (parse(out.data, out.len, &frame, &used, &need) != 0 || used != out.len)
        abort();
    buf_free(&out);
    return 0;
}
