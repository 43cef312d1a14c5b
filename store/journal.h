/* SPDX-License-Identifier: Apache-2.0 */
/* Writing the journal: records are appended on the loop, a worker writes and syncs them. */
#ifndef STORE_JOURNAL_H
#define STORE_JOURNAL_H

#include "base/loop.h"
#include "store/io.h"
#include "store/journal_format.h"

enum durability {
    DURABILITY_COMMIT,   /* as soon as possible: while one sync runs, the next group gathers */
    DURABILITY_INTERVAL, /* synced every so often */
    DURABILITY_NONE,     /* written within milliseconds, and synced only when asked */
};

struct journal_config {
    struct io *io;
    const char *directory; /* copied */
    uint64_t id;           /* of the database */
    uint64_t segment_size; /* bytes */
    enum durability durability;
    uint64_t interval; /* ns */
};

struct journal;

/*
 * Begins with the segment `first`, made when something is to be written. moved is called whenever
 * journal_durable or journal_error has changed.
 */
struct journal *journal_new(struct loop *loop, const struct journal_config *config, uint64_t first,
                            loop_fn *moved, void *cookie);

/* Only when nothing is under way (journal_idle). */
void journal_free(struct journal *j);
bool journal_idle(const struct journal *j);

/* Whether a record with so many bytes of operations can be appended at once. */
bool journal_fits(const struct journal *j, size_t ops);

/*
 * Makes room for such a record: done(cookie, error) comes later, once. Room that has been made is
 * room on disk: what is appended there can be written. One call at a time.
 */
typedef void journal_room_fn(void *cookie, int error);
void journal_make_room(struct journal *j, size_t ops, journal_room_fn *done, void *cookie);

/* Appends (it fits). stamp, session, sequence and ops of record are used. */
void journal_append(struct journal *j, const struct journal_record *record);

/* Begins to write what was appended, as the policy says; sync: and to sync it. */
void journal_write(struct journal *j, bool sync);

/* Bytes appended since the beginning, and how many of them are durable. */
uint64_t journal_appended(const struct journal *j);
uint64_t journal_durable(const struct journal *j);

/* An error that ended the journal: nothing more becomes durable. 0: none. */
int journal_error(const struct journal *j);

/* The number of the segment after the last one made. */
uint64_t journal_next_segment(const struct journal *j);

/* Ends the segment: nothing is appended any more. Where another journal goes on. */
struct journal_position journal_seal(struct journal *j);

/* Whether the segment of journal_end has been made. */
bool journal_begun(const struct journal *j);

/* Where the next record will stand. */
struct journal_position journal_end(const struct journal *j);

/*
 * Removes the segments from..before-1, those that exist. Any thread. Losing them is never wrong
 * when a checkpoint says so; keeping one is harmless.
 */
void journal_purge(struct io *io, const char *directory, uint64_t from, uint64_t before);

#endif
