/* SPDX-License-Identifier: Apache-2.0 */
/* A stored record: u64 little-endian stamp, u8 flags, value bytes. */
#ifndef STORE_RECORD_H
#define STORE_RECORD_H

#include "base/model.h"

#define RECORD_HEAD 9 /* bytes before the value */

struct record {
    uint64_t stamp;
    uint8_t flags;      /* NODE_VALUE, NODE_DIR: at least one */
    struct slice value; /* borrowed from the bytes */
};

/* Decodes; ECP_ECORRUPT when the bytes cannot be a record. */
int record_parse(struct slice bytes, struct record *record);

/* Writes stamp and flags into head (RECORD_HEAD bytes). */
void record_head(uint8_t *head, uint64_t stamp, uint8_t flags);

/* u64, little-endian. */
void record_put_u64(uint8_t *at, uint64_t v);
uint64_t record_get_u64(const uint8_t *at);

#endif
