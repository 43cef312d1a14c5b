/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzz target: names of subscripts come back; paths that are accepted print as themselves. */
#include <stdlib.h>

#include "base/name.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
    if (!ok)
        abort();
}

static void check_key(const struct key *k, struct buf *path)
{
    struct key again;
    buf_clear(path);
    check(name_path_print(path, key_slice(k)) == 0);
    check(name_path_parse(buf_slice(path), &again) == 0);
    check(slice_equal(key_slice(k), key_slice(&again)));
}

/* Appends the path with its slashes as name_path_print has them. */
static void normalise(struct slice path, struct buf *out)
{
    for (size_t i = 0; i < path.len; i++) {
        bool last = i + 1 == path.len;
        if (path.data[i] != '/' || (out->len > 0 && !last && path.data[i + 1] != '/'))
            buf_append(out, path.data + i, 1);
    }
    while (out->len > 0 && out->data[out->len - 1] == '/')
        out->len--;
    if (out->len > 7 && memcmp(out->data + out->len - 7, "/.value", 7) == 0)
        out->len -= 7;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct key k;
    struct buf path = {0};
    struct buf clean = {0};
    if (name_path_parse(slice_of(data, size), &k) == 0) {
        check_key(&k, &path);
        normalise(slice_of(data, size), &clean);
        check(slice_equal(buf_slice(&path), buf_slice(&clean)));
    }
    key_global(&k, slice_str("A"));
    if (key_append(&k, slice_of(data, size)) == 0)
        check_key(&k, &path);
    buf_free(&path);
    buf_free(&clean);
    return 0;
}
