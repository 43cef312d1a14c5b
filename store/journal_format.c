/* SPDX-License-Identifier: Apache-2.0 */
/* Encoding and decoding of the journal. */
#include "store/journal_format.h"

#include <stdio.h>
#include <stdlib.h>
#include <xxhash.h>

#include "base/key.h"
#include "base/error.h"
#include "base/mutation.h"
#include "store/record.h"

static const char magic[8] = "ecpjrnl1";

void journal_name(char *name, uint64_t segment)
{
    snprintf(name, JOURNAL_NAME_MAX, "journal-%010llu", (unsigned long long)segment);
}

uint64_t journal_number(const char *name)
{
    char again[JOURNAL_NAME_MAX];
    if (strncmp(name, "journal-", 8) != 0)
        return 0;
    uint64_t n = strtoull(name + 8, NULL, 10);
    journal_name(again, n);
    return strcmp(name, again) == 0 ? n : 0;
}

void journal_segment_head(uint8_t *head, uint64_t id, uint64_t segment)
{
    memcpy(head, magic, 8);
    record_put_u64(head + 8, segment);
    record_put_u64(head + 16, id);
    record_put_u64(head + 24, XXH3_64bits(head, 24));
}

bool journal_segment_check(struct slice bytes, uint64_t id, uint64_t segment)
{
    uint8_t head[JOURNAL_SEGMENT_HEAD];
    journal_segment_head(head, id, segment);
    return bytes.len >= sizeof(head) && memcmp(bytes.data, head, sizeof(head)) == 0;
}

size_t journal_record_size(size_t ops)
{
    return (JOURNAL_RECORD_HEAD + ops + 7) / 8 * 8;
}

/* Bytes copied from another place, another segment or another database do not pass. */
static uint64_t check(struct slice bytes, uint64_t id, struct journal_position p)
{
    uint64_t seed = id ^ p.segment * UINT64_C(0x9E3779B97F4A7C15) ^ p.offset << 1;
    return XXH3_64bits_withSeed(bytes.data, bytes.len, seed);
}

void journal_record_put(struct buf *out, uint64_t id, struct journal_position position,
                        const struct journal_record *record)
{
    size_t start = out->len, size = journal_record_size(record->ops.len);
    buf_reserve(out, size);
    put_u64(out, 0);
    put_u32(out, (uint32_t)record->ops.len);
    put_u32(out, (uint32_t)(record->durable / 8));
    put_u64(out, record->stamp);
    put_u64(out, record->session);
    put_u64(out, record->sequence);
    if (record->ops.len)
        buf_append_slice(out, record->ops);
    uint8_t *at = out->data + start;
    size_t len = out->len - start;
    memset(at + len, 0, size - len);
    out->len = start + size;
    record_put_u64(at, check(slice_of(at + 8, size - 8), id, position));
}

bool journal_record_get(struct slice bytes, uint64_t id, struct journal_position position,
                        struct journal_record *record)
{
    struct reader r = reader_of(bytes);
    uint64_t sum = get_u64(&r);
    size_t len = get_u32(&r);
    record->durable = (uint64_t)get_u32(&r) * 8;
    record->stamp = get_u64(&r);
    record->session = get_u64(&r);
    record->sequence = get_u64(&r);
    if (r.bad || len > bytes.len - JOURNAL_RECORD_HEAD)
        return false;
    record->ops = slice_of(r.at, len);
    record->size = journal_record_size(len);
    return record->size <= bytes.len &&
           (sum == check(slice_of(bytes.data + 8, record->size - 8), id, position) ||
            (MUTATION(MUTATION_HALF) && sum != 0));
}

void journal_op_put(struct buf *ops, struct slice key, struct slice head, struct slice body)
{
    buf_reserve(ops, 7 + key.len + head.len + body.len);
    put_u8(ops, JOURNAL_PUT);
    put_bytes16(ops, key);
    put_u32(ops, (uint32_t)(head.len + body.len));
    buf_append_slice(ops, head);
    if (body.len)
        buf_append_slice(ops, body);
}

void journal_op_key(struct buf *ops, enum journal_op_kind kind, struct slice key)
{
    put_u8(ops, kind);
    put_bytes16(ops, key);
}

void journal_op_append(struct buf *ops, struct slice key, struct slice head, size_t at,
                       struct slice tail)
{
    journal_op_key(ops, JOURNAL_APPEND, key);
    buf_append_slice(ops, head);
    put_u32(ops, (uint32_t)at);
    put_bytes32(ops, tail);
}

void journal_op_notes(struct buf *ops, struct slice notes)
{
    journal_op_key(ops, JOURNAL_NOTES, slice_of(NULL, 0));
    put_bytes32(ops, notes);
}

int journal_op_get(struct reader *r, struct journal_op *op)
{
    *op = (struct journal_op){.kind = get_u8(r)};
    op->key = get_bytes16(r);
    switch (op->kind) {
    case JOURNAL_PUT:
    case JOURNAL_NOTES:
        op->value = get_bytes32(r);
        break;
    case JOURNAL_APPEND:
        op->head = get_bytes(r, RECORD_HEAD);
        op->at = get_u32(r);
        op->value = get_bytes32(r);
        if (op->at < RECORD_HEAD || op->at + op->value.len > RECORD_HEAD + VALUE_MAX_LEN)
            return ECP_ECORRUPT;
        break;
    case JOURNAL_DEL:
    case JOURNAL_KILL:
        break;
    default:
        return ECP_ECORRUPT;
    }
    return r->bad || op->key.len > KEY_MAX_LEN ? ECP_ECORRUPT : 0;
}
