/* SPDX-License-Identifier: Apache-2.0 */
/* Names: a search for an order of the operations that explains what each saw. */
#include "tests/coherence/search.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SLOTS       64    /* steps under way at a moment */
#define CONFIGS_MAX 20000 /* at a moment */

/*
 * Time goes over the starts and ends of steps. A configuration is a state that the names can be in
 * now, with the steps under way that have taken effect already. When a step ends, those in which it
 * has not taken effect are taken further, by as many changes under way as it needs (Wing and Gong's
 * search in the just-in-time order of Lowe). What changes nothing takes effect as soon as it can:
 * that excludes no order.
 */
struct config {
    struct names names;
    uint64_t done; /* slots */
};

struct configs {
    struct config *config;
    size_t count, room;
};

struct search {
    const struct object *group;
    const struct step *slot[SLOTS];
    uint64_t used, changes, unknown; /* slots: in use, with changes, whose step never ends */
    struct configs now, next, seen;
    bool overflow;
};

/* Of two in the same state, one in which fewer operations of unknown outcome were needed can do
 * all that the other can. */
static bool covers(const struct search *s, const struct config *a, const struct config *b)
{
    return memcmp(&a->names, &b->names, sizeof(a->names)) == 0 &&
           ((a->done ^ b->done) & ~s->unknown) == 0 && (a->done & ~b->done) == 0;
}

/* False when it is covered by one that is there. */
static bool add(struct search *s, struct configs *set, const struct config *config)
{
    for (size_t i = 0; i < set->count; i++) {
        if (covers(s, &set->config[i], config))
            return false;
    }
    if (set->count == CONFIGS_MAX) {
        s->overflow = true;
        return false;
    }
    if (set->count == set->room) {
        set->room = set->room ? set->room * 2 : 64;
        set->config = realloc(set->config, set->room * sizeof(struct config));
        if (!set->config)
            abort();
    }
    set->config[set->count++] = *config;
    return true;
}

static void see(const struct search *s, struct config *config)
{
    for (uint64_t left = s->used & ~s->changes & ~config->done; left; left &= left - 1) {
        int slot = __builtin_ctzll(left);
        if (step_holds(s->slot[slot], &config->names))
            config->done |= UINT64_C(1) << slot;
    }
}

/* Takes the configurations of s->seen from the ith on further, until slot has taken effect. */
static void extend(struct search *s, uint64_t wanted)
{
    for (size_t i = 0; i < s->seen.count && !s->overflow; i++) {
        struct config config = s->seen.config[i];
        if (config.done & wanted) {
            config.done &= ~wanted;
            add(s, &s->next, &config);
            continue;
        }
        for (uint64_t left = s->changes & ~config.done; left; left &= left - 1) {
            int slot = __builtin_ctzll(left);
            struct names outcomes[OUTCOMES_MAX];
            unsigned n = step_apply(s->slot[slot], &config.names, outcomes);
            while (n-- > 0) {
                struct config further = {outcomes[n], config.done | UINT64_C(1) << slot};
                see(s, &further);
                add(s, &s->seen, &further);
            }
        }
    }
}

static bool holds_anyway(const struct search *s, const struct step *step)
{
    for (size_t i = 0; i < s->now.count; i++) {
        if (!step_holds(step, &s->now.config[i].names))
            return false;
    }
    return true;
}

/* False: there is no slot for it. */
static bool step_begins(struct search *s, const struct step *step)
{
    int slot;

    if (holds_anyway(s, step))
        return true;
    if (s->used == UINT64_MAX)
        return false;
    slot = __builtin_ctzll(~s->used);
    s->slot[slot] = step;
    s->used |= UINT64_C(1) << slot;
    if (step->kind == STEP_CHANGE)
        s->changes |= UINT64_C(1) << slot;
    if (step->end == TIME_NEVER)
        s->unknown |= UINT64_C(1) << slot;
    for (size_t i = 0; i < s->now.count; i++)
        see(s, &s->now.config[i]);
    return true;
}

/* Whether some configuration is left. */
static bool step_ends(struct search *s, const struct step *step)
{
    uint64_t bit = 0;
    struct configs was = s->now;

    for (int slot = 0; slot < SLOTS; slot++) {
        if (s->used >> slot & 1 && s->slot[slot] == step)
            bit = UINT64_C(1) << slot;
    }
    if (!bit)
        return true;
    s->next.count = s->seen.count = 0;
    for (size_t i = 0; i < s->now.count; i++)
        add(s, &s->seen, &s->now.config[i]);
    extend(s, bit);
    s->now = s->next;
    s->next = was;
    s->used &= ~bit;
    s->changes &= ~bit;
    return s->now.count > 0 && !s->overflow;
}

/* ---- time ---- */

struct moment {
    uint64_t time;
    struct step *step;
    bool ends;
};

/* At one time starts come first: that allows more. */
static int by_time(const void *a, const void *b)
{
    const struct moment *x = a, *y = b;

    if (x->time != y->time)
        return x->time < y->time ? -1 : 1;
    return x->ends - y->ends;
}

static size_t moments_of(struct step *steps, size_t count, struct moment *moments)
{
    size_t n = 0;

    for (size_t i = 0; i < count; i++) {
        moments[n++] = (struct moment){steps[i].start, &steps[i], false};
        if (steps[i].end != TIME_NEVER)
            moments[n++] = (struct moment){steps[i].end, &steps[i], true};
    }
    qsort(moments, n, sizeof(*moments), by_time);
    return n;
}

static unsigned print_states(const struct configs *configs)
{
    printf("  before it the names could be:\n");
    for (size_t i = 0; i < configs->count && i < 5; i++) {
        printf("   ");
        for (unsigned name = 0; name < NAMES_MAX; name++) {
            uint32_t file = configs->config[i].names.file[name];
            if (file == FILE_DIR)
                printf(" dir");
            else if (file)
                printf(" %08x(%08x)", file, configs->config[i].names.value[name]);
            else
                printf(" -");
        }
        putchar('\n');
    }
    return 1;
}

static const char *step_name(const struct step *step)
{
    static char text[32];

    snprintf(text, sizeof(text), " (name %u)", step->name);
    return text;
}

static unsigned run(struct search *s, const struct moment *moments, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct event *e = moments[i].step->event;
        if (!moments[i].ends && !step_begins(s, moments[i].step)) {
            printf("object %u: too much at once for the search\n", e->object);
            return 1;
        }
        if (!moments[i].ends || step_ends(s, moments[i].step))
            continue;
        if (s->overflow) {
            printf("object %u: too many orders for the search\n", e->object);
            return 1;
        }
        violation(s->group, e->start, e->end, "no order of the operations explains this one%s:",
                  e->kind == EVENT_LIST ? step_name(moments[i].step) : "");
        event_print(e, s->group->origin);
        return print_states(&s->next);
    }
    return 0;
}

unsigned check_group(const struct object *group)
{
    struct search s = {.group = group};
    struct step *steps = calloc(group->count * STEPS_MAX, sizeof(*steps));
    struct moment *moments = calloc(group->count * STEPS_MAX * 2, sizeof(*moments));
    struct config empty = {0};
    size_t count = 0;
    unsigned violations;

    for (size_t i = 0; i < group->count; i++)
        count += steps_of(group, group->events[i], steps + count);
    add(&s, &s.now, &empty);
    violations = run(&s, moments, moments_of(steps, count, moments));
    free(s.now.config);
    free(s.next.config);
    free(s.seen.config);
    free(steps);
    free(moments);
    return violations;
}
