/* SPDX-License-Identifier: Apache-2.0 */
/* Encoding of stored records. */
#include "store/record.h"

#include <endian.h>

#include "base/error.h"

void record_put_u64(uint8_t *at, uint64_t v)
{
    v = htole64(v);
    memcpy(at, &v, sizeof(v));
}

uint64_t record_get_u64(const uint8_t *at)
{
    uint64_t v;
    memcpy(&v, at, sizeof(v));
    return le64toh(v);
}

int record_parse(struct slice bytes, struct record *record)
{
    if (bytes.len < RECORD_HEAD || bytes.len - RECORD_HEAD > VALUE_MAX_LEN)
        return ECP_ECORRUPT;
    record->stamp = record_get_u64(bytes.data);
    record->flags = bytes.data[8];
    record->value = slice_of(bytes.data + RECORD_HEAD, bytes.len - RECORD_HEAD);
    if (!record->flags || record->flags & ~(NODE_VALUE | NODE_DIR))
        return ECP_ECORRUPT;
    if (!(record->flags & NODE_VALUE) && record->value.len)
        return ECP_ECORRUPT;
    return 0;
}

void record_head(uint8_t *head, uint64_t stamp, uint8_t flags)
{
    record_put_u64(head, stamp);
    head[8] = flags;
}
