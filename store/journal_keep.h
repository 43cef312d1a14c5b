/* SPDX-License-Identifier: Apache-2.0 */
/* How much of the journal stays behind a checkpoint, for backups to be brought forward with. */
#ifndef STORE_JOURNAL_KEEP_H
#define STORE_JOURNAL_KEEP_H

#include "store/io.h"

/* Zero-initialised: nothing. */
struct journal_keep {
    bool all;
    uint64_t bytes; /* the newest files, as many as have no more than so many */
    uint64_t time;  /* ns: files with a record that is at most so much older than the newest one */
};

#define JOURNAL_KEEP_FORMS "none, all, a size (10G) or a time (36h, 7d), at most 100000 of a unit"

/* Reads one of these forms; false: text is none. */
bool journal_keep_parse(const char *text, struct journal_keep *keep);

/*
 * Removes those of the segments from..before-1 that need not stay, `newest` being the database's
 * newest stamp; none while anybody else holds the directory (store/io.h). Returns the oldest that
 * may be left. Any thread.
 */
uint64_t journal_trim(struct io *io, const char *directory, const struct journal_keep *keep,
                      uint64_t from, uint64_t before, uint64_t newest);

#endif
