/* SPDX-License-Identifier: Apache-2.0 */
/* The journal's bytes: segments, records, operations. */
#ifndef STORE_JOURNAL_FORMAT_H
#define STORE_JOURNAL_FORMAT_H

#include "base/buf.h"

/*
 * A segment is a file journal-NNNNNNNNNN: 32 bytes of header (magic, u64 number, u64 id of the
 * database, u64 check), then records, each aligned to 8 bytes:
 *
 *   u64 check      XXH3-64 of the rest, zeros at its end included, seeded with database, segment
 * and offset u32 length     bytes of the operations u32 durable    in units of 8 bytes: how far the
 * segment was on disk when this was made u64 stamp, u64 session, u64 sequence operations, then zero
 * bytes up to the next multiple of 8
 *
 * A record of stamp 0 and length 0 ends its segment: everything goes on in the next one. What lies
 * behind the last record is zero. Operations are effects, not requests: doing them again, from any
 * earlier point on, leads to the same state. All integers are little-endian.
 *
 *   JOURNAL_PUT     u16 key, u32 value: record bytes (store/record.h)
 *   JOURNAL_DEL     u16 key
 *   JOURNAL_KILL    u16 key: it and everything below
 *   JOURNAL_APPEND  u16 key, 9 bytes of record head, u32 length of record before, u32 added bytes
 *   JOURNAL_NOTES   u16 0, u32 bytes: about sessions (store/ledger.h), of no node
 */
#define JOURNAL_SEGMENT_HEAD 32
#define JOURNAL_RECORD_HEAD  40
#define JOURNAL_NAME_MAX     32
#define JOURNAL_TEMPORARY    "journal.new" /* a segment while it is made */

enum journal_op_kind {
    JOURNAL_PUT = 1,
    JOURNAL_DEL,
    JOURNAL_KILL,
    JOURNAL_APPEND,
    JOURNAL_NOTES
};

struct journal_op {
    uint8_t kind;
    struct slice key;
    struct slice value; /* PUT: record bytes; APPEND: what is added; NOTES */
    struct slice head;  /* APPEND */
    uint32_t at;        /* APPEND */
};

/* Where something is, or where reading goes on. */
struct journal_position {
    uint64_t segment, offset;
};

struct journal_record {
    uint64_t stamp, session, sequence;
    uint64_t durable; /* bytes */
    struct slice ops;
    size_t size; /* bytes of the whole record */
};

/* "journal-0000000001" into name (JOURNAL_NAME_MAX bytes). */
void journal_name(char *name, uint64_t segment);
/* The number in such a name; 0: it is none. */
uint64_t journal_number(const char *name);

/* The header of a segment (JOURNAL_SEGMENT_HEAD bytes). */
void journal_segment_head(uint8_t *head, uint64_t id, uint64_t segment);
/* Whether bytes begin with the header of that segment. */
bool journal_segment_check(struct slice bytes, uint64_t id, uint64_t segment);

/* Bytes of a record with so many bytes of operations. */
size_t journal_record_size(size_t ops);
/* Appends a record; position is where it will stand. */
void journal_record_put(struct buf *out, uint64_t id, struct journal_position position,
                        const struct journal_record *record);
/* Reads the record at bytes; false: there is no good one. */
bool journal_record_get(struct slice bytes, uint64_t id, struct journal_position position,
                        struct journal_record *record);

/* Operations. */
void journal_op_put(struct buf *ops, struct slice key, struct slice head, struct slice body);
void journal_op_key(struct buf *ops, enum journal_op_kind kind, struct slice key);
void journal_op_append(struct buf *ops, struct slice key, struct slice head, size_t at,
                       struct slice tail);
void journal_op_notes(struct buf *ops, struct slice notes);
/* The next one; 0, or ECP_ECORRUPT. */
int journal_op_get(struct reader *r, struct journal_op *op);

#endif
