/* SPDX-License-Identifier: Apache-2.0 */
/* Checking a database, also while ecpd serves it: what its engine holds, and its journal. */
#ifndef STORE_CHECK_H
#define STORE_CHECK_H

#include "base/key.h"
#include "store/engine.h"
#include "store/io.h"
#include "store/journal_read.h"
#include "store/recovery.h"

struct store_check {
    struct io *io;
    const char *directory;
    struct engine *engine;                           /* for reading */
    void (*problem)(void *cookie, const char *text); /* called for each thing found wrong */
    void *cookie;
    char *why; /* of an error: a sentence, which the caller frees, or NULL */
    /* What was found. */
    uint64_t problems;
    uint64_t records, bytes; /* of the engine's nodes */
    uint64_t marks;          /* those that are marks of directories, without a value */
    uint64_t newest;         /* stamp of a node */
    struct key newest_key;   /* that node */
    struct store_facts facts;
    struct journal_read journal; /* beyond the last checkpoint */
    struct journal_read kept;    /* before it */
    uint64_t stamp;              /* newest of checkpoint and journal */
};

/*
 * Each node decodes, in its place; each record of the journal does, and follows the one before; the
 * checkpoint stands at a record's end; no node is newer than the journal. 0 also when there are
 * problems; else an error that kept it from looking. Changes nothing, and holds the directory
 * meanwhile (store/io.h).
 */
int store_check(struct store_check *check);

#endif
