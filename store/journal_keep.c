/* SPDX-License-Identifier: Apache-2.0 */
/* Which segments stay: by their sizes, or by the stamps of their first records. */
#include "store/journal_keep.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/loop.h"
#include "store/journal.h"
#include "store/record.h"

#define HOUR   (3600 * LOOP_SEC)
#define PLENTY 100000 /* of any unit */

bool journal_keep_parse(const char *text, struct journal_keep *keep)
{
    static const char sizes[] = "KMGT";
    char *end;
    *keep = (struct journal_keep){.all = strcmp(text, "all") == 0};
    if (keep->all || strcmp(text, "none") == 0)
        return true;
    if (!isdigit((unsigned char)text[0]))
        return false;
    errno = 0;
    uint64_t n = strtoull(text, &end, 10);
    if (errno || !n || n > PLENTY || !*end || end[1])
        return false;
    const char *size = strchr(sizes, toupper((unsigned char)*end));
    if (size)
        keep->bytes = n << 10 * (size - sizes + 1);
    else
        keep->time = *end == 'h' ? n * HOUR : *end == 'd' ? n * 24 * HOUR : 0;
    return keep->bytes || keep->time;
}

static struct io_file *open_segment(struct io *io, const char *directory, uint64_t number)
{
    char name[JOURNAL_NAME_MAX], *why = NULL;
    struct io_file *file;
    journal_name(name, number);
    char *path = xasprintf("%s/%s", directory, name);
    int error = io->ops->open(io, path, false, &file, &why);
    free(why);
    free(path);
    return error ? NULL : file;
}

/* The stamp of its first record; 0: it has none. */
static uint64_t first_stamp(struct io *io, const char *directory, uint64_t number)
{
    uint8_t record[24]; /* check, lengths, stamp */
    struct io_file *file = open_segment(io, directory, number);
    if (!file)
        return 0;
    int error = io->ops->read(io, file, JOURNAL_SEGMENT_HEAD, record, sizeof(record));
    io->ops->close(io, file);
    return error ? 0 : record_get_u64(record + 16);
}

static uint64_t size_of(struct io *io, const char *directory, uint64_t number)
{
    uint64_t size = 0;
    struct io_file *file = open_segment(io, directory, number);
    if (!file)
        return 0;
    if (io->ops->size(io, file, &size))
        size = 0;
    io->ops->close(io, file);
    return size;
}

/* A segment's records are not newer than the first one behind it, whichever segment has that: one
 * may have no record, or be gone by hand. */
static uint64_t kept_by_time(struct io *io, const char *directory, uint64_t from, uint64_t before,
                             uint64_t oldest)
{
    uint64_t kept = from;
    for (uint64_t n = from + 1; n <= before; n++) {
        uint64_t stamp = first_stamp(io, directory, n);
        if (stamp > oldest)
            break;
        if (stamp)
            kept = n;
    }
    return kept;
}

static uint64_t kept_by_size(struct io *io, const char *directory, uint64_t from, uint64_t before,
                             uint64_t bytes)
{
    uint64_t size = 0;
    while (before > from && (size += size_of(io, directory, before - 1)) <= bytes)
        before--;
    return before;
}

uint64_t journal_trim(struct io *io, const char *directory, const struct journal_keep *keep,
                      uint64_t from, uint64_t before, uint64_t newest)
{
    struct io_lock *lock;
    if (keep->all || from >= before || io->ops->hold(io, directory, true, &lock))
        return from;
    uint64_t kept = before;
    if (keep->time)
        kept = kept_by_time(io, directory, from, before,
                            newest > keep->time ? newest - keep->time : 0);
    else if (keep->bytes)
        kept = kept_by_size(io, directory, from, before, keep->bytes);
    journal_purge(io, directory, from, kept);
    io->ops->unlock(io, lock);
    return kept;
}
