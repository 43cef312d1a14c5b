/* SPDX-License-Identifier: Apache-2.0 */
/* Growable byte buffer, and little-endian writers and bounds-checked readers over bytes. */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include "base/slice.h"

/*
 * Zero-initialise (struct buf b = {0}) and free with buf_free. Running out of memory is an own
 * fault and stops the process loudly: buffers are bounded by their users.
 */
struct buf {
    uint8_t *data;
    size_t len;
    size_t cap;
};

void buf_free(struct buf *b); /* releases, leaves it empty and usable */
void buf_grow(struct buf *b, size_t extra);
static inline void buf_reserve(struct buf *b, size_t extra) /* room for extra bytes after len */
{
    if (extra > b->cap - b->len)
        buf_grow(b, extra);
}
void buf_append(struct buf *b, const void *data, size_t len);
void buf_append_slice(struct buf *b, struct slice s);
void buf_append_str(struct buf *b, const char *text);
void buf_printf(struct buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
void buf_consume(struct buf *b, size_t n); /* drop n bytes at the front; n <= len */
static inline void buf_clear(struct buf *b)
{
    b->len = 0;
}
static inline struct slice buf_slice(const struct buf *b)
{
    return slice_of(b->data, b->len);
}

/* Little-endian writers. */
void put_u8(struct buf *b, uint8_t v);
void put_u16(struct buf *b, uint16_t v);
void put_u32(struct buf *b, uint32_t v);
void put_u64(struct buf *b, uint64_t v);
void put_bytes16(struct buf *b, struct slice s);      /* u16 length, bytes; len <= 65535 */
void put_bytes32(struct buf *b, struct slice s);      /* u32 length, bytes */
void patch_u32(struct buf *b, size_t at, uint32_t v); /* overwrite 4 bytes already written */

/*
 * Reader over bytes that may be malformed. The first read past the end sets `bad` and from then
 * on every read yields zero or an empty slice, so a decoder checks `bad` once at its end.
 */
struct reader {
    const uint8_t *at;
    const uint8_t *end;
    bool bad;
};

struct reader reader_of(struct slice s);
uint8_t get_u8(struct reader *r);
uint16_t get_u16(struct reader *r);
uint32_t get_u32(struct reader *r);
uint64_t get_u64(struct reader *r);
struct slice get_bytes(struct reader *r, size_t len); /* borrowed from the input */
struct slice get_bytes16(struct reader *r);
struct slice get_bytes32(struct reader *r);
static inline bool reader_at_end(const struct reader *r)
{
    return !r->bad && r->at == r->end;
}

/* malloc family that stops the process loudly instead of returning NULL. */
void *xmalloc(size_t size);
void *xcalloc(size_t count, size_t size);
void *xrealloc(void *p, size_t size);
char *xstrdup(const char *s);
void *xmemdup(const void *p, size_t len);
char *xasprintf(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
