/* SPDX-License-Identifier: Apache-2.0 */
/* Reads segments one after the other, tells a torn tail from damage, and cuts the tail off. */
#include "store/journal_read.h"

#include <stdlib.h>

#include "base/error.h"
#include "base/mutation.h"
#include "store/record.h"

#define SEGMENT_MAX (UINT64_C(1) << 31) /* bytes: more than any batch's record makes one have */

struct numbers {
    uint64_t *list;
    size_t count, cap;
};

static void add_number(void *cookie, const char *name)
{
    struct numbers *n = cookie;
    uint64_t number = journal_number(name);
    if (!number)
        return;
    if (n->count == n->cap) {
        n->cap = n->cap ? n->cap * 2 : 16;
        n->list = xrealloc(n->list, n->cap * sizeof(*n->list));
    }
    n->list[n->count++] = number;
}

static int number_order(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

int journal_segments(struct io *io, const char *directory, uint64_t **list, size_t *count)
{
    struct numbers n = {0};
    int error = io->ops->list(io, directory, add_number, &n);
    if (n.count)
        qsort(n.list, n.count, sizeof(*n.list), number_order);
    *list = n.list;
    *count = n.count;
    return error;
}

static char *segment_path(const struct journal_read *r, uint64_t segment)
{
    char name[JOURNAL_NAME_MAX];
    journal_name(name, segment);
    return xasprintf("%s/%s", r->directory, name);
}

static int load(const struct journal_read *r, uint64_t segment, struct buf *bytes, char **why)
{
    struct io_file *file;
    uint64_t size;
    char *path = segment_path(r, segment);
    int error = r->io->ops->open(r->io, path, false, &file, why);
    if (error)
        goto out;
    buf_clear(bytes);
    error = r->io->ops->size(r->io, file, &size);
    if (error == 0 && size > SEGMENT_MAX)
        error = ECP_ECORRUPT;
    if (error == 0) {
        buf_reserve(bytes, size);
        error = r->io->ops->read(r->io, file, 0, bytes->data, size);
        bytes->len = size;
    }
    if (error == 0 && r->sync)
        error = r->io->ops->sync(r->io, file);
    r->io->ops->close(r->io, file);
    if (error)
        *why = xasprintf("%s: cannot be read: %s", path, error_text(error));
out:
    free(path);
    return error;
}

static int damaged(const struct journal_read *r, uint64_t segment, uint64_t offset,
                   const char *what, char **why)
{
    char *path = segment_path(r, segment);
    *why = xasprintf("%s: damaged at offset %llu: %s", path, (unsigned long long)offset, what);
    free(path);
    return ECP_ECORRUPT;
}

/*
 * Whether a good record behind offset tells that the segment was on disk beyond it. Stamps rise:
 * that, and the length, rule out nearly every place without reading it all.
 */
static bool was_durable(const struct journal_read *r, struct slice bytes, uint64_t segment,
                        uint64_t offset)
{
    struct journal_record record;
    for (uint64_t at = offset + 8; at + JOURNAL_RECORD_HEAD <= bytes.len; at += 8) {
        struct journal_position p = {.segment = segment, .offset = at};
        const uint8_t *b = bytes.data + at;
        if (record_get_u64(b) == 0)
            continue;
        struct reader head = reader_of(slice_of(b + 8, 8));
        if (get_u32(&head) > bytes.len - at || (uint64_t)get_u32(&head) * 8 > at)
            continue;
        if (journal_record_get(slice_of(b, bytes.len - at), r->id, p, &record) &&
            record.durable > offset)
            return true;
    }
    return false;
}

static bool all_zero(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.data[i])
            return false;
    return true;
}

/* Reads one segment's records. Leaves r->end behind the last good one. */
static int read_segment(struct journal_read *r, struct slice bytes, uint64_t segment,
                        uint64_t offset, char **why)
{
    struct journal_record record;
    r->ended = r->torn = false;
    for (;;) {
        struct journal_position p = {.segment = segment, .offset = offset};
        r->end = p;
        while (MUTATION(MUTATION_TORN) && offset < bytes.len &&
               !journal_record_get(slice_of(bytes.data + offset, bytes.len - offset), r->id, p,
                                   &record))
            p.offset = offset += 8;
        if (offset > bytes.len ||
            !journal_record_get(slice_of(bytes.data + offset, bytes.len - offset), r->id, p,
                                &record))
            break;
        offset += record.size;
        if (record.stamp == 0) {
            r->ended = true;
            r->end.offset = offset;
            return 0;
        }
        int error = r->record ? r->record(r->cookie, &record, p) : 0;
        if (error == ECP_ECORRUPT)
            return damaged(r, segment, p.offset, "an operation that does not decode", why);
        if (error)
            return error;
        r->records++;
    }
    if (offset > bytes.len)
        return damaged(r, segment, bytes.len, "the file is shorter than what a checkpoint read",
                       why);
    if (was_durable(r, bytes, segment, offset))
        return damaged(r, segment, offset, "a bad record before good ones", why);
    r->torn = !all_zero(slice_of(bytes.data + offset, bytes.len - offset));
    return 0;
}

static bool has_records(const struct journal_read *r, struct slice bytes, uint64_t segment)
{
    struct journal_record record;
    struct journal_position p = {.segment = segment, .offset = JOURNAL_SEGMENT_HEAD};
    if (bytes.len < p.offset)
        return false;
    struct slice rest = slice_of(bytes.data + p.offset, bytes.len - p.offset);
    return journal_record_get(rest, r->id, p, &record) ||
           was_durable(r, bytes, segment, JOURNAL_SEGMENT_HEAD - 8) || !all_zero(rest);
}

/*
 * Reads a segment that is in bytes. What was written while it was loaded can be there without what
 * was written before it: loaded again, the bad place is good, or is damage.
 */
static int read_loaded(struct journal_read *r, struct buf *bytes, uint64_t segment, uint64_t from,
                       char **why)
{
    int error = read_segment(r, buf_slice(bytes), segment, from, why);
    for (bool again = false; error == ECP_ECORRUPT && r->live && (!again || r->end.offset > from);
         again = true) {
        from = r->end.offset;
        free(*why);
        *why = NULL;
        if ((error = load(r, segment, bytes, why)) == 0)
            error = read_segment(r, buf_slice(bytes), segment, from, why);
    }
    return error;
}

/* A segment that had no end has one by now, when the next one has records. */
static int read_rest(struct journal_read *r, struct buf *bytes, struct journal_position end,
                     char **why)
{
    int error = r->live ? load(r, end.segment, bytes, why) : 0;
    if (error == 0 && r->live)
        error = read_loaded(r, bytes, end.segment, end.offset, why);
    if (error)
        return error;
    return r->live && r->ended
               ? 0
               : damaged(r, end.segment, end.offset, "a bad record before good ones", why);
}

static int check_head(struct journal_read *r, struct slice bytes, uint64_t segment, char **why)
{
    if (r->id == 0 && bytes.len >= JOURNAL_SEGMENT_HEAD)
        r->id = record_get_u64(bytes.data + 16);
    return journal_segment_check(bytes, r->id, segment)
               ? 0
               : damaged(r, segment, 0, "not a segment of this database's journal", why);
}

/* Reads the segments list[0..count-1], which are those from r->from on. */
static int read_list(struct journal_read *r, const uint64_t *list, size_t count, struct buf *bytes,
                     char **why)
{
    struct journal_position end = r->end;
    bool ended = true, torn = false;
    for (size_t i = 0; i < count; i++) {
        int error = load(r, list[i], bytes, why);
        if (error == ECP_ENOENT && r->live && i > 0) {
            free(*why); /* made ahead, and removed at the end */
            *why = NULL;
            break;
        }
        if (error == 0)
            error = check_head(r, buf_slice(bytes), list[i], why);
        if (error)
            return error;
        if (!ended) {
            if (!has_records(r, buf_slice(bytes), list[i]))
                continue;
            if ((error = read_rest(r, bytes, end, why)) || (error = load(r, list[i], bytes, why)))
                return error;
        }
        if (i > 0 && list[i] != list[i - 1] + 1)
            return damaged(r, list[i - 1] + 1, 0, "the file is missing", why);
        uint64_t from = r->from.segment == list[i] ? r->from.offset : JOURNAL_SEGMENT_HEAD;
        if ((error = read_loaded(r, bytes, list[i], from, why)))
            return error;
        end = r->end;
        ended = r->ended;
        torn = r->torn;
    }
    r->end = end;
    r->ended = ended;
    r->torn = torn;
    return 0;
}

int journal_read(struct journal_read *r, char **why)
{
    struct buf bytes = {0};
    uint64_t *list;
    size_t count, first = 0;
    int error = journal_segments(r->io, r->directory, &list, &count);
    if (error)
        *why = xasprintf("%s: cannot be listed: %s", r->directory, error_text(error));
    while (first < count && list[first] < r->from.segment)
        first++;
    r->end = r->from;
    r->ended = true;
    if (error == 0 && r->from.segment && (first < count || !r->may_lack) &&
        (first == count || list[first] != r->from.segment))
        error = damaged(r, r->from.segment, 0, "the file is missing", why);
    if (error == 0)
        error = read_list(r, count ? list + first : NULL, count - first, &bytes, why);
    r->segments = count - first;
    r->first_segment = count ? list[0] : 0;
    r->last_segment = count ? list[count - 1] : 0;
    buf_free(&bytes);
    free(list);
    return error;
}

static uint64_t first_offset(const struct journal_read *r, uint64_t segment)
{
    return segment == r->from.segment ? r->from.offset : JOURNAL_SEGMENT_HEAD;
}

/*
 * Writes what lies before `end` again, and the mark that ends the segment; what is behind it goes
 * then, so that a full disk has the room.
 */
static int rewrite(const struct journal_read *r, struct io_file *file, struct journal_position end,
                   bool mark)
{
    struct buf bytes = {0};
    const struct io_ops *ops = r->io->ops;
    uint64_t from = MUTATION(MUTATION_UNSETTLED) ? end.offset : first_offset(r, end.segment);
    buf_reserve(&bytes, end.offset - from);
    bytes.len = end.offset - from;
    int error = ops->read(r->io, file, from, bytes.data, bytes.len);
    if (error == 0 && mark)
        journal_record_put(&bytes, r->id, end, &(struct journal_record){0});
    if (error == 0)
        error = ops->write(r->io, file, from, buf_slice(&bytes));
    if (error == 0)
        error = ops->sync(r->io, file);
    if (error == 0 && mark)
        error = ops->truncate(r->io, file, from + bytes.len);
    buf_free(&bytes);
    return error;
}

static int settle(const struct journal_read *r, uint64_t segment, char **why)
{
    struct io_file *file;
    struct journal_position end = r->end;
    const struct io_ops *ops = r->io->ops;
    char *path = segment_path(r, segment);
    int error = ops->open(r->io, path, false, &file, why);
    if (error)
        goto out;
    end.segment = segment;
    if (segment != r->end.segment)
        error = ops->size(r->io, file, &end.offset);
    if (error == 0)
        error = rewrite(r, file, end, segment == r->end.segment && !r->ended);
    if (error)
        *why = xasprintf("%s: its end cannot be written: %s", path, error_text(error));
    ops->close(r->io, file);
out:
    free(path);
    return error;
}

/*
 * What was read may never have reached the disk: after a failed sync it is read back from memory,
 * but no later sync brings it. So what was written last is written again: it is in the last
 * segment, or it ends the one before. Each is synced before anything is written to the next.
 */
static int settle_end(const struct journal_read *r, char **why)
{
    uint64_t last = r->end.segment;
    int error = 0;
    if (!r->segments || (r->ended && MUTATION(MUTATION_UNSETTLED)))
        return 0;
    if (last > r->from.segment && r->end.offset == JOURNAL_SEGMENT_HEAD)
        error = settle(r, last - 1, why);
    return error ? error : settle(r, last, why);
}

static int sync_names(const struct journal_read *r, char **why)
{
    if (r->io->ops->sync_directory(r->io, r->directory) == 0)
        return 0;
    *why = xasprintf("%s: cannot be synced", r->directory);
    return ECP_EIO;
}

static int remove_segment(const struct journal_read *r, uint64_t n, char **why)
{
    char *path = segment_path(r, n);
    int error = r->io->ops->remove(r->io, path);
    if (error && error != ECP_ENOENT)
        *why = xasprintf("%s: cannot be removed: %s", path, error_text(error));
    free(path);
    return error == ECP_ENOENT ? 0 : error;
}

/* The last segment goes first: a crash must not leave a gap, which would be damage. */
int journal_repair(const struct journal_read *r, char **why)
{
    int error = settle_end(r, why);
    for (uint64_t n = r->last_segment; error == 0 && n > r->end.segment; n--) {
        error = remove_segment(r, n, why);
        if (error == 0 && n > r->end.segment + 1)
            error = sync_names(r, why);
    }
    char *temporary = xasprintf("%s/" JOURNAL_TEMPORARY, r->directory);
    r->io->ops->remove(r->io, temporary);
    free(temporary);
    return error ? error : sync_names(r, why);
}
