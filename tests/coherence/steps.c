/* SPDX-License-Identifier: Apache-2.0 */
/* Operations on the names of a group, as steps that each happen at one moment. */
#include "tests/coherence/search.h"

#include <errno.h>
#include <string.h>

/* ---- from events ---- */

/*
 * Between the write and the close of FILL its mount shows what the others cannot see yet. And who
 * has opened a file reads it whatever its name has become on the same mount.
 */
enum get_kind { GET_PLAIN, GET_RENAMED, GET_LOCAL };
static enum get_kind get_kind(const struct object *group, const struct event *get)
{
    enum get_kind kind = GET_PLAIN;

    for (size_t i = object_around(group, get); i < group->count; i++) {
        const struct event *e = group->events[i];
        if (e->start > get->end)
            break;
        if (e->mount != get->mount || (e->end && e->end < get->start))
            continue;
        if (e->kind == EVENT_FILL && (get->value == VALUE_EMPTY || get->value == e->value))
            return GET_LOCAL;
        if (e->kind == EVENT_RENAME && e->name == get->name)
            kind = GET_RENAMED;
    }
    return kind;
}

static struct step sees(const struct event *e, uint8_t name, enum seen seen)
{
    return (struct step){.event = e, .kind = STEP_SEES, .name = name, .seen = (uint8_t)seen};
}

static size_t steps_of_get(const struct object *group, const struct event *e, struct step *steps)
{
    switch (get_kind(group, e)) {
    case GET_LOCAL:
        return 0;
    case GET_RENAMED:
        steps[0] = sees(e, e->name, SEEN_FILE);
        steps[1] = (struct step){.event = e, .kind = STEP_VALUE_THERE, .value = e->value};
        return 2;
    default:
        steps[0] =
            (struct step){.event = e, .kind = STEP_SEES_VALUE, .name = e->name, .value = e->value};
        return 1;
    }
}

/* The kernel and the server look at the two names of a rename one after the other. */
static size_t steps_of_refusal(const struct event *e, struct step *steps)
{
    uint8_t target = e->kind == EVENT_RENAME ? e->name2 : e->name;
    size_t n = 0;

    switch (e->error) {
    case ENOENT:
        steps[n++] = sees(e, e->name, SEEN_ABSENT);
        break;
    case EEXIST:
        steps[n++] = sees(e, e->name, SEEN_PRESENT);
        break;
    case EISDIR:
        if (e->kind == EVENT_RENAME)
            steps[n++] = sees(e, e->name, SEEN_FILE);
        steps[n++] = sees(e, target, SEEN_DIR);
        break;
    case ENOTDIR:
        if (e->kind == EVENT_RENAME)
            steps[n++] = sees(e, e->name, SEEN_DIR);
        steps[n++] = sees(e, target, SEEN_FILE);
        break;
    case ESTALE:
        if (e->kind == EVENT_FILL)
            steps[n++] =
                (struct step){.event = e, .kind = STEP_STALE, .name = e->name, .value = e->value};
        break;
    }
    return n;
}

static size_t steps_of_done(const struct object *group, const struct event *e, struct step *steps)
{
    size_t n = 0;

    switch (e->kind) {
    case EVENT_STAT:
        steps[n++] = sees(e, e->name, e->seen[0]);
        return n;
    case EVENT_LIST:
        for (unsigned i = 0; i < NAMES_MAX; i++)
            steps[n++] = sees(e, (uint8_t)i, e->seen[i]);
        return n;
    case EVENT_GET:
        return steps_of_get(group, e, steps);
    default:
        steps[0] = (struct step){.event = e, .kind = STEP_CHANGE};
        return 1;
    }
}

size_t steps_of(const struct object *group, const struct event *event, struct step *steps)
{
    size_t n;

    if (event_unknown(event) && !event_mutates(event))
        return 0;
    if (event->error && !event_unknown(event))
        n = steps_of_refusal(event, steps);
    else
        n = steps_of_done(group, event, steps);
    for (size_t i = 0; i < n; i++) {
        steps[i].start = event->start;
        steps[i].end = event_over(event);
    }
    return n;
}

/* ---- on states ---- */

static bool is_file(uint32_t file)
{
    return file != FILE_NONE && file != FILE_DIR;
}

static bool value_there(const struct names *names, uint32_t value)
{
    for (unsigned i = 0; i < NAMES_MAX; i++) {
        if (is_file(names->file[i]) && names->value[i] == value)
            return true;
    }
    return false;
}

bool step_holds(const struct step *step, const struct names *names)
{
    uint32_t file = names->file[step->name];

    switch (step->kind) {
    case STEP_SEES_VALUE:
        return is_file(file) && names->value[step->name] == step->value;
    case STEP_VALUE_THERE:
        return value_there(names, step->value);
    case STEP_STALE:
        return file != step->value;
    case STEP_SEES:
        switch (step->seen) {
        case SEEN_ABSENT:
            return file == FILE_NONE;
        case SEEN_FILE:
            return is_file(file);
        case SEEN_DIR:
            return file == FILE_DIR;
        case SEEN_PRESENT:
            return file != FILE_NONE;
        }
        return false;
    default:
        return false;
    }
}

static void put(struct names *names, unsigned name, uint32_t file, uint32_t value)
{
    names->file[name] = file;
    names->value[name] = value;
}

/* The handle's file may have lost its name, or changed it, or another may have its name: whoever
 * closes has then written nothing, or to the file that has the name, or to its own. */
static unsigned apply_fill(const struct event *e, const struct names *names,
                           struct names outcomes[OUTCOMES_MAX])
{
    unsigned n = 0;

    if (names->file[e->name] == e->value) {
        outcomes[0] = *names;
        outcomes[0].value[e->name] = e->value;
        return 1;
    }
    outcomes[n++] = *names;
    if (is_file(names->file[e->name])) {
        outcomes[n] = *names;
        outcomes[n++].value[e->name] = e->value;
    }
    for (unsigned i = 0; i < NAMES_MAX && n < OUTCOMES_MAX; i++) {
        if (names->file[i] == e->value) {
            outcomes[n] = *names;
            outcomes[n++].value[i] = e->value;
        }
    }
    return n;
}

static bool apply_rename(const struct event *e, struct names *names)
{
    uint32_t from = names->file[e->name], to = names->file[e->name2];

    if (from == FILE_NONE || (to != FILE_NONE && is_file(from) != is_file(to)))
        return false;
    put(names, e->name2, from, names->value[e->name]);
    put(names, e->name, FILE_NONE, 0);
    return true;
}

unsigned step_apply(const struct step *step, const struct names *names,
                    struct names outcomes[OUTCOMES_MAX])
{
    const struct event *e = step->event;
    uint32_t file = names->file[e->name];
    struct names *next = &outcomes[0];

    if (e->kind == EVENT_FILL)
        return apply_fill(e, names, outcomes);
    *next = *names;
    switch (e->kind) {
    case EVENT_CREATE:
        put(next, e->name, e->value, 0);
        return file == FILE_NONE;
    case EVENT_PUBLISH:
        put(next, e->name, e->value, e->value);
        return file != FILE_DIR;
    case EVENT_UNLINK:
        put(next, e->name, FILE_NONE, 0);
        return is_file(file);
    case EVENT_MKDIR:
        put(next, e->name, FILE_DIR, 0);
        return file == FILE_NONE;
    case EVENT_RMDIR:
        put(next, e->name, FILE_NONE, 0);
        return file == FILE_DIR;
    default:
        return apply_rename(e, next);
    }
}
