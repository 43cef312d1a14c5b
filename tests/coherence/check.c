/* SPDX-License-Identifier: Apache-2.0 */
/* Splits a history into objects, looks at errors, and prints what is wrong. */
#include "tests/coherence/check.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define AROUND 24 /* operations printed with a violation */

bool events_overlap(const struct event *a, const struct event *b)
{
    return a->start <= event_over(b) && b->start <= event_over(a);
}

size_t object_around(const struct object *object, const struct event *event)
{
    size_t low = 0, high = object->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (object->longest < event->start &&
            object->events[middle]->start < event->start - object->longest)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void violation(const struct object *object, uint64_t from, uint64_t to, const char *format, ...)
{
    va_list args;
    unsigned printed = 0;

    printf("VIOLATION, object %u: ", object->count ? object->events[0]->object : 0u);
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    putchar('\n');
    for (size_t i = 0; i < object->count && printed < AROUND; i++) {
        const struct event *e = object->events[i];
        if (e->start > to || (e->end ? e->end : TIME_NEVER) < from)
            continue;
        event_print(e, object->origin);
        printed++;
    }
    if (printed == AROUND)
        printf("  (and more)\n");
}

/* ---- errors ---- */

/* What an operation may answer besides success, when nothing is broken. */
static bool error_allowed(const struct event *e)
{
    switch (e->kind) {
    case EVENT_CREATE:
    case EVENT_MKDIR:
        return e->error == EEXIST;
    case EVENT_UNLINK:
    case EVENT_GET:
        return e->error == ENOENT || e->error == EISDIR;
    case EVENT_RMDIR:
        return e->error == ENOENT || e->error == ENOTDIR;
    case EVENT_PUBLISH:
        return e->error == EISDIR;
    case EVENT_RENAME:
        return e->error == ENOENT || e->error == EISDIR || e->error == ENOTDIR;
    default:
        return false;
    }
}

/* The node an operation had found was replaced before it was done: something must have changed. */
static bool stale_allowed(const struct object *object, const struct event *event)
{
    if (event->kind < EVENT_CREATE)
        return false;
    if (event->kind == EVENT_FILL)
        return true; /* the search knows */
    for (size_t i = object_around(object, event); i < object->count; i++) {
        const struct event *e = object->events[i];
        if (e->start > event->end)
            break;
        if (e != event && event_mutates(e) && events_overlap(e, event))
            return true;
    }
    return false;
}

static unsigned check_errors(const struct object *object)
{
    unsigned violations = 0;

    for (size_t i = 0; i < object->count; i++) {
        const struct event *e = object->events[i];
        if (!e->error || event_unknown(e) || error_allowed(e) ||
            (e->error == ESTALE && stale_allowed(object, e)))
            continue;
        if (violations++ < 5)
            violation(object, e->start, e->end, "an error that cannot be: %s", strerror(e->error));
    }
    return violations;
}

/* ---- objects ---- */

enum family { FAMILY_REGISTER, FAMILY_LOG, FAMILY_GROUP };

static unsigned family(const struct event *e)
{
    return e->kind <= EVENT_READ       ? FAMILY_REGISTER
           : e->kind <= EVENT_READ_LOG ? FAMILY_LOG
                                       : FAMILY_GROUP;
}

static int by_object(const void *a, const void *b)
{
    const struct event *x = *(const struct event *const *)a, *y = *(const struct event *const *)b;

    if (family(x) != family(y))
        return family(x) < family(y) ? -1 : 1;
    if (x->object != y->object)
        return x->object < y->object ? -1 : 1;
    return x->start < y->start ? -1 : x->start > y->start;
}

static unsigned check_log_file(const struct object *object, const char *dir)
{
    char path[4096];
    uint8_t *bytes = NULL;
    size_t len = 0, n;
    unsigned violations;
    FILE *file;

    snprintf(path, sizeof(path), "%s/log.%u", dir, object->events[0]->object);
    file = fopen(path, "r");
    if (!file) {
        printf("VIOLATION: %s: %s\n", path, strerror(errno));
        return 1;
    }
    do {
        bytes = realloc(bytes, len + 65536);
        if (!bytes)
            abort();
        n = fread(bytes + len, 1, 65536, file);
        len += n;
    } while (n);
    fclose(file);
    violations = check_log(object, bytes, len);
    free(bytes);
    return violations;
}

static uint64_t longest(const struct object *object)
{
    uint64_t most = 0;

    for (size_t i = 0; i < object->count; i++) {
        const struct event *e = object->events[i];
        uint64_t took = e->end ? e->end - e->start : TIME_NEVER;
        if (took > most)
            most = took;
    }
    return most;
}

static unsigned check_object(const struct object *object, const char *dir)
{
    unsigned violations = check_errors(object);

    switch (family(object->events[0])) {
    case FAMILY_REGISTER:
        return violations + check_register(object);
    case FAMILY_LOG:
        return violations + check_log_file(object, dir);
    default:
        return violations + check_group(object);
    }
}

unsigned check_history(const struct history *history, const char *dir)
{
    const struct event **events = calloc(history->count + 1, sizeof(*events));
    unsigned violations = 0;

    for (size_t i = 0; i < history->count; i++)
        events[i] = &history->events[i];
    qsort(events, history->count, sizeof(*events), by_object);
    for (size_t i = 0; i < history->count;) {
        struct object object = {.events = events + i, .origin = history->events[0].start};
        for (; i < history->count && family(events[i]) == family(object.events[0]) &&
               events[i]->object == object.events[0]->object;
             i++)
            object.count++;
        object.longest = longest(&object);
        violations += check_object(&object, dir);
    }
    free(events);
    return violations;
}
