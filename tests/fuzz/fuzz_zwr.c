/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzz target: ZWR lines that are accepted print, with both printers alike, and parse back. */
#include <stdlib.h>

#include "base/zwr.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
    if (!ok)
        abort();
}

static void check_record(const struct zwr_record *r, struct zwr_printer *p)
{
    struct zwr_record again = {0};
    struct buf a = {0};
    struct buf b = {0};
    size_t fault;
    check(zwr_print_line(&a, key_slice(&r->key), r->value) == 0);
    check(zwr_printer_line(p, &b, key_slice(&r->key), r->value) == 0);
    check(slice_equal(buf_slice(&a), buf_slice(&b)));
    a.len--;
    check(zwr_parse_line(buf_slice(&a), &again, &fault) == 0);
    check(slice_equal(key_slice(&r->key), key_slice(&again.key)));
    check(slice_equal(r->value, again.value));
    buf_free(&again.scratch);
    buf_free(&a);
    buf_free(&b);
}

/* All lines of the input go through one printer and one record, as in an import. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct zwr_record r = {0};
    struct zwr_printer p = {0};
    struct slice lines[3] = {{data, 0}, {data, 0}, {data, 0}};
    size_t count = 0;
    for (size_t at = 0; at < size;) {
        const uint8_t *end = memchr(data + at, '\n', size - at);
        size_t len = end ? (size_t)(end - data) - at : size - at;
        struct slice line = slice_of(data + at, len);
        size_t fault;
        int error = zwr_parse_line(line, &r, &fault);
        check(fault <= len);
        if (!error)
            check_record(&r, &p);
        if (count < 3)
            lines[count++] = line;
        at += len + 1;
    }
    int header;
    zwr_detect(lines[0], lines[1], lines[2], &header);
    check(header == 0 || header == 2);
    zwr_printer_free(&p);
    buf_free(&r.scratch);
    return 0;
}
