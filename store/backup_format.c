/* SPDX-License-Identifier: Apache-2.0 */
/* Encoding and decoding of backups. */
#include "store/backup_format.h"

#include <inttypes.h>
#include <xxhash.h>

#include "base/error.h"
#include "store/record.h"

#define HEAD 16 /* kind, length, check */
#define STEP                                                                                       \
    (1u << 20) /* bytes taken at a time: a length is not believed before they have come            \
                */

/* ---- Writing ---- */

static int write_bytes(struct backup_writer *w, const void *data, size_t len)
{
    int error = len ? w->write(w->cookie, slice_of(data, len)) : 0;
    w->bytes += len;
    return error;
}

int backup_put(struct backup_writer *w, enum backup_kind kind, struct slice bytes)
{
    struct buf head = {0};
    uint8_t tail[8];
    put_u32(&head, kind);
    put_u32(&head, (uint32_t)bytes.len);
    put_u64(&head, XXH3_64bits_withSeed(head.data, head.len, w->check));
    w->check = XXH3_64bits_withSeed(bytes.data, bytes.len, record_get_u64(head.data + 8));
    record_put_u64(tail, w->check);
    int error = write_bytes(w, head.data, head.len);
    if (error == 0)
        error = write_bytes(w, bytes.data, bytes.len);
    if (error == 0)
        error = write_bytes(w, tail, sizeof(tail));
    buf_free(&head);
    return error;
}

int backup_put_begin(struct backup_writer *w, const struct backup_begin *begin)
{
    struct buf b = {0};
    put_u32(&b, BACKUP_VERSION);
    put_u64(&b, begin->id);
    put_u64(&b, begin->stamp);
    put_u64(&b, begin->position.segment);
    put_u64(&b, begin->position.offset);
    put_u64(&b, begin->expected);
    int error = write_bytes(w, BACKUP_MAGIC, strlen(BACKUP_MAGIC));
    if (error == 0)
        error = backup_put(w, BACKUP_BEGIN, buf_slice(&b));
    buf_free(&b);
    return error;
}

int backup_put_end(struct backup_writer *w, const struct backup_end *end)
{
    struct buf b = {0};
    put_u64(&b, end->nodes);
    put_u64(&b, end->records);
    put_u64(&b, end->stamp);
    put_u64(&b, end->position.segment);
    put_u64(&b, end->position.offset);
    int error = backup_put(w, BACKUP_END, buf_slice(&b));
    buf_free(&b);
    return error;
}

/* ---- Reading ---- */

static int refuse(const struct backup_reader *r, const char *what, char **why)
{
    *why = xasprintf("the backup is %s at byte %" PRIu64, what, r->bytes);
    return ECP_ECORRUPT;
}

static int cut_off(const struct backup_reader *r, char **why)
{
    *why = xasprintf("the backup is cut off at byte %" PRIu64 ": it has no end", r->bytes);
    return ECP_ECORRUPT;
}

static int read_bytes(struct backup_reader *r, void *to, size_t len, char **why)
{
    size_t got;
    int error = r->read(r->cookie, to, len, &got);
    if (error)
        return error;
    r->bytes += got;
    return got < len ? cut_off(r, why) : 0;
}

static int read_block(struct backup_reader *r, size_t len, char **why)
{
    int error = 0;
    buf_clear(&r->block);
    while (error == 0 && r->block.len < len) {
        size_t n = len - r->block.len < STEP ? len - r->block.len : STEP;
        buf_reserve(&r->block, n);
        error = read_bytes(r, r->block.data + r->block.len, n, why);
        r->block.len += n;
    }
    return error;
}

int backup_get(struct backup_reader *r, enum backup_kind *kind, char **why)
{
    uint8_t head[HEAD], tail[8];
    int error = read_bytes(r, head, sizeof(head), why);
    if (error)
        return error;
    struct reader fields = reader_of(slice_of(head, sizeof(head)));
    *kind = get_u32(&fields);
    size_t len = get_u32(&fields);
    uint64_t check = get_u64(&fields);
    if (check != XXH3_64bits_withSeed(head, 8, r->check))
        return refuse(r, "damaged", why);
    if ((error = read_block(r, len, why)) || (error = read_bytes(r, tail, sizeof(tail), why)))
        return error;
    r->check = XXH3_64bits_withSeed(r->block.data, len, check);
    return record_get_u64(tail) == r->check ? 0 : refuse(r, "damaged", why);
}

int backup_get_begin(struct backup_reader *r, struct backup_begin *begin, char **why)
{
    char magic[sizeof(BACKUP_MAGIC) - 1];
    enum backup_kind kind;
    int error = read_bytes(r, magic, sizeof(magic), why);
    if (error)
        return error;
    if (memcmp(magic, BACKUP_MAGIC, sizeof(magic)) != 0) {
        *why = xstrdup("this is not a backup: it does not begin with " BACKUP_MAGIC);
        return ECP_ECORRUPT;
    }
    if ((error = backup_get(r, &kind, why)))
        return error;
    struct reader b = reader_of(buf_slice(&r->block));
    uint32_t version = get_u32(&b);
    if (kind == BACKUP_BEGIN && !b.bad && version != BACKUP_VERSION) {
        *why = xasprintf("the backup has version %u, which this ecp does not know", version);
        return ECP_ECORRUPT;
    }
    begin->id = get_u64(&b);
    begin->stamp = get_u64(&b);
    begin->position.segment = get_u64(&b);
    begin->position.offset = get_u64(&b);
    begin->expected = get_u64(&b);
    return kind == BACKUP_BEGIN && reader_at_end(&b) ? 0 : refuse(r, "damaged", why);
}

int backup_get_end(struct backup_reader *r, struct backup_end *end, char **why)
{
    struct reader b = reader_of(buf_slice(&r->block));
    uint8_t more;
    size_t got;
    end->nodes = get_u64(&b);
    end->records = get_u64(&b);
    end->stamp = get_u64(&b);
    end->position.segment = get_u64(&b);
    end->position.offset = get_u64(&b);
    if (!reader_at_end(&b))
        return refuse(r, "damaged", why);
    int error = r->read(r->cookie, &more, 1, &got);
    return error == 0 && got ? refuse(r, "over, but goes on,", why) : error;
}
