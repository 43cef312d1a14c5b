/* SPDX-License-Identifier: Apache-2.0 */
/* Whether a history can be explained by operations that each took effect at one moment. */
#ifndef TESTS_COHERENCE_CHECK_H
#define TESTS_COHERENCE_CHECK_H

#include "tests/coherence/history.h"

/* The events of one object, by start. */
struct object {
    const struct event **events;
    size_t count;
    uint64_t origin;  /* printed times count from here */
    uint64_t longest; /* ns that an operation took; TIME_NEVER when one did not end */
};

/* The first event that may have been under way when this one began; those after the last that may
 * have been under way when it ended start later than its end. */
size_t object_around(const struct object *object, const struct event *event);

/*
 * Each prints what it finds, with the operations around it, and returns the number of violations
 * (the search in a group ends at the first).
 */
unsigned check_register(const struct object *object);
unsigned check_group(const struct object *object);
/* bytes: what the log holds in the end. */
unsigned check_log(const struct object *object, const uint8_t *bytes, size_t len);

/* All objects; logs are read from files log.N of dir. */
unsigned check_history(const struct history *history, const char *dir);

/* One sentence, and the operations of the object that overlap [from, to]. */
void violation(const struct object *object, uint64_t from, uint64_t to, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Whether the two were under way at the same moment. */
bool events_overlap(const struct event *a, const struct event *b);

#endif
