/* SPDX-License-Identifier: Apache-2.0 */
/* Making a database of a backup, and bringing it forward with a journal. */
#ifndef STORE_RESTORE_H
#define STORE_RESTORE_H

#include "store/backup_format.h"
#include "store/engine.h"
#include "store/io.h"

struct store_restore {
    struct engine *engine; /* empty; NULL: the backup is only verified */
    uint64_t id;           /* of the new database, random, not 0 */
    backup_read_fn *read;
    void (*progress)(void *cookie, const struct store_restore *restore); /* now and then, or NULL */
    void *cookie;                                                        /* of both */
    struct io *io;                                                       /* for the journal */
    const char *journal; /* directory of one to go on with behind the backup, or NULL */
    uint64_t until;      /* stamp: records of the journal up to it; UINT64_MAX: all */
    /* What the backup holds, and what was done. */
    struct backup_begin begin;
    struct backup_end end;
    uint64_t nodes, bytes; /* read */
    uint64_t replayed;     /* records of that journal */
    uint64_t stamp;        /* of the newest update that the database now has */
    bool passed;           /* the journal has records behind `until` */
};

/*
 * Fills the engine, which cannot be opened as a database before the end. Returns 0 or an error,
 * then with *why (caller frees) a sentence or NULL: ECP_ECORRUPT for a backup or journal that is
 * damaged, ECP_EINVAL for a journal or a time that does not fit the backup. After an error the
 * engine is of no use.
 */
int store_restore(struct store_restore *restore, char **why);

#endif
