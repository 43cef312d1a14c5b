/* SPDX-License-Identifier: Apache-2.0 */
/* A backup's bytes: one stream of blocks, each checked, in a chain from the first to the last. */
#ifndef STORE_BACKUP_FORMAT_H
#define STORE_BACKUP_FORMAT_H

#include "base/buf.h"
#include "store/journal_format.h"

/*
 * 8 bytes of magic, "ecpback1"; then blocks, each of
 *
 *   u32 kind, u32 length
 *   u64 check    XXH3-64 of these 8 bytes, seeded with the check that came before (0: none did)
 *   the bytes
 *   u64 check    XXH3-64 of the bytes, seeded with the check before them
 *
 * so no block can be changed, left out, moved, or taken from elsewhere. In this order:
 *
 *   BACKUP_BEGIN    u32 version (1), u64 id of the database, u64 stamp, u64 segment and u64 offset
 *                   of the checkpoint that it began with, u64 records about to come
 *   BACKUP_NODES    u16 key, u32 record bytes (store/record.h); keys rise through all blocks
 *   BACKUP_JOURNAL  u64 stamp, u64 session, u64 sequence, u32 operations (store/journal_format.h):
 *                   what was journaled from that position on. Nodes may be as of any moment since
 *                   then; with the operations done again they are as of the last one
 *   BACKUP_END      u64 nodes, u64 journal records, u64 newest stamp, u64 segment and u64 offset of
 *                   where the journal goes on
 *
 * There are any number of BACKUP_NODES and BACKUP_JOURNAL, and nothing behind BACKUP_END. All
 * integers are little-endian.
 */
#define BACKUP_MAGIC   "ecpback1"
#define BACKUP_VERSION 1

enum backup_kind { BACKUP_BEGIN = 1, BACKUP_NODES, BACKUP_JOURNAL, BACKUP_END };

struct backup_begin {
    uint64_t id, stamp;
    struct journal_position position;
    uint64_t expected; /* nodes */
};

struct backup_end {
    uint64_t nodes, records, stamp;
    struct journal_position position;
};

/* ---- Writing ---- */

typedef int backup_write_fn(void *cookie, struct slice bytes);

struct backup_writer {
    backup_write_fn *write;
    void *cookie;
    uint64_t bytes; /* written */
    uint64_t check; /* of the last block */
};

/* They write a block (the first one the magic before it); 0 or write's error. */
int backup_put_begin(struct backup_writer *w, const struct backup_begin *begin);
int backup_put(struct backup_writer *w, enum backup_kind kind, struct slice bytes);
int backup_put_end(struct backup_writer *w, const struct backup_end *end);

/* ---- Reading ---- */

/* Reads len bytes; fewer, *got, at the end only. */
typedef int backup_read_fn(void *cookie, void *to, size_t len, size_t *got);

struct backup_reader {
    backup_read_fn *read;
    void *cookie;
    uint64_t bytes; /* read */
    uint64_t check;
    struct buf block; /* the last one's bytes; buf_free at the end */
};

/*
 * The first block; the next one, in reader->block; and what the last one says, after which nothing
 * follows. ECP_ECORRUPT and *why (caller frees), which names the place, when the stream is cut off,
 * damaged or no backup; else read's error.
 */
int backup_get_begin(struct backup_reader *r, struct backup_begin *begin, char **why);
int backup_get(struct backup_reader *r, enum backup_kind *kind, char **why);
int backup_get_end(struct backup_reader *r, struct backup_end *end, char **why);

#endif
