/* SPDX-License-Identifier: Apache-2.0 */
/* Logs: every line that was acknowledged is there once, whole, in an order that time allows. */
#include "tests/coherence/check.h"

#include <stdlib.h>
#include <string.h>

#define LINE_LEN (VALUE_LEN + 1)

struct log_check {
    const struct object *object;
    const struct event **by_value; /* appends */
    size_t appends;
    const struct event **lines; /* appends in the order of the file */
    size_t count;
    uint64_t *hash;  /* of the first n lines */
    uint64_t *begun; /* the latest start among the first n lines */
    uint64_t *ended; /* the earliest end among the lines from the nth on */
    unsigned violations;
};

static int by_value(const void *a, const void *b)
{
    const struct event *x = *(const struct event *const *)a, *y = *(const struct event *const *)b;

    return x->value < y->value ? -1 : x->value > y->value;
}

static void find_appends(struct log_check *check)
{
    const struct object *object = check->object;

    check->by_value = calloc(object->count + 1, sizeof(*check->by_value));
    for (size_t i = 0; i < object->count; i++) {
        if (object->events[i]->kind == EVENT_APPEND)
            check->by_value[check->appends++] = object->events[i];
    }
    qsort(check->by_value, check->appends, sizeof(*check->by_value), by_value);
}

static void bad(struct log_check *check, const struct event *event, const char *what)
{
    if (check->violations++ < 5)
        violation(check->object, event->start, event->end, "%s (value %08x)", what, event->value);
}

static const struct event *append_of(const struct log_check *check, const uint8_t *line)
{
    struct event wanted = {.value = value_parse((const char *)line, VALUE_LEN)};
    const struct event *key = &wanted, **found;

    if (line[VALUE_LEN] != '\n')
        return NULL;
    found = bsearch(&key, check->by_value, check->appends, sizeof(key), by_value);
    return found ? *found : NULL;
}

static bool read_lines(struct log_check *check, const uint8_t *bytes, size_t len)
{
    size_t lines = len / LINE_LEN;

    check->lines = calloc(lines + 1, sizeof(*check->lines));
    check->hash = calloc(lines + 1, sizeof(*check->hash));
    check->begun = calloc(lines + 1, sizeof(*check->begun));
    check->ended = calloc(lines + 1, sizeof(*check->ended));
    check->hash[0] = HASH_START;
    for (size_t i = 0; i < lines; i++) {
        const uint8_t *line = bytes + i * LINE_LEN;
        const struct event *event = append_of(check, line);
        uint64_t hash = check->hash[i];
        if (!event) {
            check->violations++;
            violation(check->object, 0, 0, "line %zu is nobody's: '%.*s'", i + 1, VALUE_LEN, line);
            return false;
        }
        for (size_t j = 0; j < LINE_LEN; j++)
            hash = hash_byte(hash, line[j]);
        check->lines[i] = event;
        check->hash[i + 1] = hash;
        check->begun[i + 1] = event->start > check->begun[i] ? event->start : check->begun[i];
    }
    check->count = lines;
    if (len % LINE_LEN) {
        check->violations++;
        violation(check->object, 0, 0, "the last line is not whole");
    }
    return true;
}

/* Of two appends, the one that ended before the other began comes first. */
static void check_order(struct log_check *check)
{
    check->ended[check->count] = TIME_NEVER;
    for (size_t i = check->count; i-- > 0;) {
        const struct event *event = check->lines[i];
        uint64_t over = event_over(event), ended = check->ended[i + 1];
        if (ended < event->start)
            bad(check, event, "a line that was done before this one began comes after it");
        check->ended[i] = over < ended ? over : ended;
    }
}

static void check_once(struct log_check *check)
{
    const struct event **sorted = calloc(check->count + 1, sizeof(*sorted));
    size_t next = 0;

    memcpy(sorted, check->lines, check->count * sizeof(*sorted));
    qsort(sorted, check->count, sizeof(*sorted), by_value);
    for (size_t i = 0; i < check->appends; i++) {
        const struct event *event = check->by_value[i];
        size_t found = 0;
        for (; next < check->count && sorted[next] == event; next++)
            found++;
        if (found > 1)
            bad(check, event, "a line is there more than once");
        else if (found == 0 && !event_unknown(event) && !event->error)
            bad(check, event, "a line that was acknowledged is lost");
        else if (found && !event_unknown(event) && event->error)
            bad(check, event, "a line is there although its append failed");
    }
    free(sorted);
}

/* A read shows the beginning of what there is in the end: all that was done before it, nothing
 * that began after it. */
static void check_read(struct log_check *check, const struct event *read)
{
    size_t lines = read->length / LINE_LEN;

    if (read->value == VALUE_BAD)
        bad(check, read, "a read of NULs that nobody wrote");
    else if (read->length % LINE_LEN || lines > check->count)
        bad(check, read, "a read of other lines than there are in the end");
    else if (lines && read->hash != check->hash[lines])
        bad(check, read, "a read of other bytes than there are in the end");
    else if (check->ended[lines] < read->start)
        bad(check, read, "a read without a line that was done before it");
    else if (check->begun[lines] > read->end)
        bad(check, read, "a read with a line that began after it");
}

unsigned check_log(const struct object *object, const uint8_t *bytes, size_t len)
{
    struct log_check check = {.object = object};

    find_appends(&check);
    if (read_lines(&check, bytes, len)) {
        check_order(&check);
        check_once(&check);
        for (size_t i = 0; i < object->count; i++) {
            const struct event *e = object->events[i];
            if (e->kind == EVENT_READ_LOG && e->end && !e->error)
                check_read(&check, e);
        }
    }
    free(check.by_value);
    free(check.lines);
    free(check.hash);
    free(check.begun);
    free(check.ended);
    return check.violations;
}
