/* SPDX-License-Identifier: Apache-2.0 */
/* Backing a database up, also while ecpd serves it. */
#ifndef STORE_BACKUP_H
#define STORE_BACKUP_H

#include "store/backup_format.h"
#include "store/engine.h"
#include "store/io.h"

struct store_backup {
    struct io *io;
    const char *directory; /* of the journal */
    struct engine *engine; /* for reading */
    backup_write_fn *write;
    void (*progress)(void *cookie, const struct store_backup *backup); /* now and then, or NULL */
    void *cookie;                                                      /* of both */
    /* What is in it, and so far. */
    struct backup_begin begin;
    struct backup_end end;
    uint64_t bytes;
};

/*
 * Writes the backup: every batch that was durable when this was called, and no part of a batch. It
 * holds the directory meanwhile (store/io.h), so that checkpoints leave the journal; what it reads
 * of the journal is made durable before it is written. Returns 0 or an error, then with *why
 * (caller frees) a sentence or NULL.
 */
int store_backup(struct store_backup *backup, char **why);

#endif
