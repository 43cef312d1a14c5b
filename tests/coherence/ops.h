/* SPDX-License-Identifier: Apache-2.0 */
/* The operations a recorder does on a mount, each with its record. */
#ifndef TESTS_COHERENCE_OPS_H
#define TESTS_COHERENCE_OPS_H

#include "tests/coherence/history.h"

#define REGISTERS_MAX 64

enum kinds { KIND_REGISTERS = 1, KIND_NAMES = 2, KIND_LOGS = 4 };

struct worker {
    struct recording log;
    const char *global; /* all is below it, in the working directory: a mount's root */
    unsigned kinds;     /* enum kinds */
    unsigned registers, groups, names;
    uint64_t began, log_turn; /* appenders go to the next log every log_turn ns */
    uint64_t random;
    uint32_t values;         /* written so far */
    int held[REGISTERS_MAX]; /* descriptors that stay open for reading; -1: none */
    bool gone;               /* the mount no longer answers: nothing more can be done */
};

/* Makes directories and registers. 0 or an errno. */
int ops_prepare(struct worker *w);
/* One random operation. */
void ops_one(struct worker *w);
/* Reads every object; keeps the bytes of logs in files log.N of dir, unless dir is NULL. */
void ops_final(struct worker *w, const char *dir);

#endif
