/* SPDX-License-Identifier: Apache-2.0 */
/* Reading the journal: for recovery, for checking, for showing. */
#ifndef STORE_JOURNAL_READ_H
#define STORE_JOURNAL_READ_H

#include "store/io.h"
#include "store/journal_format.h"

/* Called for each good record, in order; an error other than 0 stops there and is returned. */
typedef int journal_read_fn(void *cookie, const struct journal_record *record,
                            struct journal_position position);

struct journal_read {
    struct io *io;
    const char *directory;
    uint64_t id;                  /* of the database; 0: taken from the first segment's header */
    struct journal_position from; /* segment 0: from the first segment there is */
    bool may_lack;                /* there need be no segment at all */
    bool live;                    /* somebody may be writing it; the directory is held (io.h) */
    bool sync;                    /* what is read is made to last, before it is shown */
    journal_read_fn *record;
    void *cookie;
    /* What was found. */
    struct journal_position end;          /* behind the last good record */
    bool ended;                           /* there the segment's end is marked */
    bool torn;                            /* there something incomplete lies, written last */
    uint64_t segments, records;           /* read */
    uint64_t first_segment, last_segment; /* that there are; 0: none */
};

/*
 * Reads all records from `from` on. A record that is incomplete, and behind which nothing shows
 * that it had been on disk, ends the journal. Returns ECP_ECORRUPT when anything before is damaged,
 * or other errors; *why (caller frees) then names file and offset.
 */
int journal_read(struct journal_read *read, char **why);

/*
 * Makes the journal end where journal_read found its end, on disk: cuts off what is torn, marks the
 * end, removes later segments (they hold nothing).
 */
int journal_repair(const struct journal_read *read, char **why);

/* Numbers of the segments in a directory, rising; caller frees *list. */
int journal_segments(struct io *io, const char *directory, uint64_t **list, size_t *count);

#endif
