/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzz target: bytes as a key decode and encode back to themselves or are refused. */
#include <stdlib.h>

#include "base/key.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
    if (!ok)
        abort();
}

static bool rebuild(struct slice bytes, struct key *k)
{
    key_root(k);
    for (size_t at = 0, len; at < bytes.len; at += len) {
        uint8_t out[SUBSCRIPT_MAX_LEN];
        len = key_level_len(bytes, at);
        int n = len ? key_decode_level(slice_of(bytes.data + at, len), at == 0, out) : -1;
        if (n < 0 || key_append(k, slice_of(out, (size_t)n)))
            return false;
    }
    return slice_equal(key_slice(k), bytes);
}

static void check_subscript(struct slice sub)
{
    struct key k;
    uint8_t out[SUBSCRIPT_MAX_LEN];
    key_global(&k, slice_str("A"));
    if (key_append(&k, sub))
        return;
    check(key_valid(key_slice(&k)));
    int n = key_decode_level(key_last(key_slice(&k)), false, out);
    check(n >= 0 && slice_equal(slice_of(out, (size_t)n), sub));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct key k;
    uint8_t end[KEY_MAX_LEN + 1];
    struct slice bytes = slice_of(data, size);
    bool valid = key_valid(bytes);
    check(valid == (size <= KEY_MAX_LEN && rebuild(bytes, &k)));
    if (valid) {
        size_t len = key_subtree_end(bytes, end);
        check(size == 0 || slice_compare(bytes, slice_of(end, len)) < 0);
        check(key_common(bytes, key_parent(bytes)) == key_parent(bytes).len);
    }
    check_subscript(bytes);
    return 0;
}
