/* SPDX-License-Identifier: Apache-2.0 */
/* Growable byte buffer, little-endian writers and readers, and allocation that cannot fail. */
#include "base/buf.h"

#include <endian.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"

#define ALWAYS_INLINE inline __attribute__((always_inline))

#define SMALL 1024 /* bytes of what malloc has at hand */

void *xmalloc(size_t size)
{
    void *p = malloc(size ? size : 1);
    if (!p)
        log_fatal("out of memory (%zu bytes)", size);
    return p;
}

/* malloc has small pieces at hand, which calloc of glibc before 2.41 does not take. */
void *xcalloc(size_t count, size_t size)
{
    size_t bytes;
    if (!__builtin_mul_overflow(count, size, &bytes) && bytes <= SMALL)
        return memset(xmalloc(bytes), 0, bytes);
    void *p = calloc(count ? count : 1, size ? size : 1);
    if (!p)
        log_fatal("out of memory (%zu times %zu bytes)", count, size);
    return p;
}

void *xrealloc(void *p, size_t size)
{
    p = realloc(p, size ? size : 1);
    if (!p)
        log_fatal("out of memory (%zu bytes)", size);
    return p;
}

char *xstrdup(const char *s)
{
    return xmemdup(s, strlen(s) + 1);
}

void *xmemdup(const void *p, size_t len)
{
    void *copy = xmalloc(len);
    if (len)
        memcpy(copy, p, len);
    return copy;
}

char *xasprintf(const char *format, ...)
{
    char *text;
    va_list args;
    va_start(args, format);
    if (vasprintf(&text, format, args) < 0)
        log_fatal("out of memory (formatting text)");
    va_end(args);
    return text;
}

void buf_free(struct buf *b)
{
    free(b->data);
    *b = (struct buf){0};
}

void buf_grow(struct buf *b, size_t extra)
{
    if (extra > SIZE_MAX / 4 - b->len)
        log_fatal("buffer of %zu and %zu bytes", b->len, extra);
    size_t cap = b->cap ? b->cap : 64;
    while (cap < b->len + extra)
        cap *= 2;
    b->data = b->data ? xrealloc(b->data, cap) : xmalloc(cap);
    b->cap = cap;
}

void buf_append(struct buf *b, const void *data, size_t len)
{
    if (len == 0)
        return;
    buf_reserve(b, len);
    memcpy(b->data + b->len, data, len);
    b->len += len;
}

void buf_append_slice(struct buf *b, struct slice s)
{
    buf_append(b, s.data, s.len);
}

void buf_append_str(struct buf *b, const char *text)
{
    buf_append(b, text, strlen(text));
}

void buf_printf(struct buf *b, const char *format, ...)
{
    size_t room = 128;
    int len;
    for (;;) {
        va_list args;
        buf_reserve(b, room);
        va_start(args, format);
        len = vsnprintf((char *)b->data + b->len, room, format, args);
        va_end(args);
        if (len < 0)
            log_fatal("cannot format a text");
        if ((size_t)len < room)
            break;
        room = (size_t)len + 1;
    }
    b->len += (size_t)len;
}

void buf_consume(struct buf *b, size_t n)
{
    if (n > b->len)
        log_fatal("consuming %zu bytes of %zu", n, b->len);
    b->len -= n;
    if (b->len && n)
        memmove(b->data, b->data + n, b->len);
}

/* Inlined, so that each size is one instruction. */
static ALWAYS_INLINE void store_le(uint8_t *at, uint64_t v, size_t size)
{
    v = htole64(v);
    memcpy(at, &v, size);
}

static ALWAYS_INLINE void put_le(struct buf *b, uint64_t v, size_t size)
{
    buf_reserve(b, size);
    store_le(b->data + b->len, v, size);
    b->len += size;
}

void put_u8(struct buf *b, uint8_t v)
{
    put_le(b, v, 1);
}

void put_u16(struct buf *b, uint16_t v)
{
    put_le(b, v, 2);
}

void put_u32(struct buf *b, uint32_t v)
{
    put_le(b, v, 4);
}

void put_u64(struct buf *b, uint64_t v)
{
    put_le(b, v, 8);
}

void put_bytes16(struct buf *b, struct slice s)
{
    if (s.len > UINT16_MAX)
        log_fatal("%zu bytes do not fit a 16-bit length", s.len);
    put_u16(b, (uint16_t)s.len);
    buf_append_slice(b, s);
}

void put_bytes32(struct buf *b, struct slice s)
{
    if (s.len > UINT32_MAX)
        log_fatal("%zu bytes do not fit a 32-bit length", s.len);
    put_u32(b, (uint32_t)s.len);
    buf_append_slice(b, s);
}

void patch_u32(struct buf *b, size_t at, uint32_t v)
{
    if (b->len < 4 || at > b->len - 4)
        log_fatal("patching at %zu of %zu bytes", at, b->len);
    store_le(b->data + at, v, 4);
}

struct reader reader_of(struct slice s)
{
    static const uint8_t none[1];
    const uint8_t *start = s.data ? s.data : none;
    return (struct reader){.at = start, .end = start + s.len};
}

struct slice get_bytes(struct reader *r, size_t len)
{
    if (r->bad || len > (size_t)(r->end - r->at)) {
        r->bad = true;
        return slice_of(r->end, 0);
    }
    struct slice s = slice_of(r->at, len);
    r->at += len;
    return s;
}

static ALWAYS_INLINE uint64_t get_le(struct reader *r, size_t size)
{
    uint64_t v = 0;
    if (r->bad || size > (size_t)(r->end - r->at)) {
        r->bad = true;
        return 0;
    }
    memcpy(&v, r->at, size);
    r->at += size;
    return le64toh(v);
}

uint8_t get_u8(struct reader *r)
{
    return (uint8_t)get_le(r, 1);
}

uint16_t get_u16(struct reader *r)
{
    return (uint16_t)get_le(r, 2);
}

uint32_t get_u32(struct reader *r)
{
    return (uint32_t)get_le(r, 4);
}

uint64_t get_u64(struct reader *r)
{
    return get_le(r, 8);
}

struct slice get_bytes16(struct reader *r)
{
    return get_bytes(r, get_u16(r));
}

struct slice get_bytes32(struct reader *r)
{
    return get_bytes(r, get_u32(r));
}
