/* SPDX-License-Identifier: Apache-2.0 */
/* What the names of a group can be, and what operations say of them or do to them. */
#ifndef TESTS_COHERENCE_SEARCH_H
#define TESTS_COHERENCE_SEARCH_H

#include "tests/coherence/check.h"

#define FILE_NONE 0u
#define FILE_DIR  UINT32_MAX

/* A name leads to nothing, to a directory, or to a file known by the value of its CREATE or
 * PUBLISH. */
struct names {
    uint32_t file[NAMES_MAX];
    uint32_t value[NAMES_MAX]; /* what is in it: 0 or a value */
};

enum step_kind {
    STEP_SEES,        /* name leads to what `seen` says */
    STEP_SEES_VALUE,  /* name is a file with this value */
    STEP_VALUE_THERE, /* some name is a file with this value */
    STEP_STALE,       /* name is not the file `value` */
    STEP_CHANGE,      /* event takes effect */
};

/* A part of an operation that happens at one moment. */
struct step {
    const struct event *event;
    enum step_kind kind;
    uint8_t name, seen;
    uint32_t value;
    uint64_t start, end;
};

/* At most this many steps for one event. */
#define STEPS_MAX (NAMES_MAX + 2)
/* Returns how many; the group's events are needed to know what was under way. */
size_t steps_of(const struct object *group, const struct event *event, struct step *steps);

/* Whether what a step that changes nothing says is true. */
bool step_holds(const struct step *step, const struct names *names);
/* The states a change can lead to; 0: it cannot happen now. */
#define OUTCOMES_MAX 3
unsigned step_apply(const struct step *step, const struct names *names,
                    struct names outcomes[OUTCOMES_MAX]);

#endif
