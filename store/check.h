/* SPDX-License-Identifier: Apache-2.0 */
/* Checking a database that nobody uses: what its engine holds, and its journal. */
#ifndef STORE_CHECK_H
#define STORE_CHECK_H

#include "store/engine.h"
#include "store/io.h"
#include "store/journal_read.h"
#include "store/recovery.h"

struct store_check {
    struct io *io;
    const char *directory;
    struct engine *engine;
    void (*problem)(void *cookie, const char *text); /* called for each thing found wrong */
    void *cookie;
    /* What was found. */
    uint64_t problems;
    uint64_t records, bytes; /* of the engine's nodes */
    uint64_t newest;         /* stamp of a node */
    struct store_facts facts;
    struct journal_read journal; /* beyond the last checkpoint */
};

/* 0 also when there are problems; else an error that kept it from looking. Changes nothing. */
int store_check(struct store_check *check);

#endif
