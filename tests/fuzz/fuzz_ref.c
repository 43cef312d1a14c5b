/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzz target: references and string expressions print and parse back. */
#include <stdlib.h>

#include "base/number.h"
#include "base/ref.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
    if (!ok)
        abort();
}

static void check_reference(struct slice text, struct buf *out)
{
    struct key k;
    struct key again;
    size_t used;
    int error = ref_parse(text, &k, &used);
    check(used <= text.len);
    if (error)
        return;
    check(key_valid(key_slice(&k)));
    buf_clear(out);
    check(ref_print(out, key_slice(&k)) == 0);
    check(ref_parse_all(buf_slice(out), &again) == 0);
    check(slice_equal(key_slice(&k), key_slice(&again)));
}

static void check_string(struct slice value, struct buf *out)
{
    struct buf back = {0};
    size_t used;
    buf_clear(out);
    zwr_put_string(out, value);
    check(zwr_parse_string(buf_slice(out), &back, &used) == 0);
    check(used == out->len && slice_equal(buf_slice(&back), value));
    int error = zwr_parse_string(value, &back, &used);
    check(used <= value.len && (error || used > 0));
    buf_free(&back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf out = {0};
    char sum[NUMBER_TEXT_MAX];
    size_t len;
    struct slice all = slice_of(data, size);
    check_reference(all, &out);
    check_string(all, &out);
    if (number_add(slice_of(data, size / 2), slice_of(data + size / 2, size - size / 2), sum,
                   &len) == 0)
        check(number_is_canonical(slice_of(sum, len)));
    buf_free(&out);
    return 0;
}
