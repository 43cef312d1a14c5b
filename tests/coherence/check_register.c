/* SPDX-License-Identifier: Apache-2.0 */
/* Registers: linearizability by zones (Gibbons and Korach), for values are unique. */
#include "tests/coherence/check.h"

#include <stdlib.h>
#include <string.h>

/*
 * A write that truncates makes the register empty before it has its value, so a read may find it
 * empty while some write is under way. And a mount shows what its own handles wrote before it is
 * sent: a read that overlaps writes of its own mount may see what any of those that overlap each
 * other (an episode) wrote. Such reads prove nothing and are left out; all others, and all writes,
 * must have an order.
 */

/* A write and the reads of its value: it was the register's value from `low` to `high`, or
 * (high before low) at some moment between. */
struct zone {
    const struct event *write, *first, *last; /* first to end, last to begin */
    uint64_t low, high;                       /* first's end, last's start */
    uint64_t from, to;                        /* of its write's episode */
};

struct register_check {
    const struct object *object;
    struct zone *zones; /* by value until they are checked */
    size_t count;
    uint64_t *over; /* for each event, the latest end of a write that began before or with it */
    unsigned violations;
};

static int zone_by_value(const void *a, const void *b)
{
    const struct zone *x = a, *y = b;

    return x->write->value < y->write->value ? -1 : x->write->value > y->write->value;
}

static int zone_by_low(const void *a, const void *b)
{
    const struct zone *x = a, *y = b;

    return x->low < y->low ? -1 : x->low > y->low;
}

static struct zone *zone_of(const struct register_check *check, uint32_t value)
{
    struct event write = {.value = value};
    struct zone key = {.write = &write};

    return bsearch(&key, check->zones, check->count, sizeof(key), zone_by_value);
}

static void zone_add(struct zone *zone, const struct event *event, uint64_t end)
{
    if (!zone->first || end < zone->low) {
        zone->low = end;
        zone->first = event;
    }
    if (!zone->last || event->start > zone->high) {
        zone->high = event->start;
        zone->last = event;
    }
}

/* The time in which a mount may show what the write wrote before it is sent. */
static uint64_t local_end(const struct event *write)
{
    return write->end ? write->end : TIME_NEVER;
}

/* Zones come by their writes' start here. */
static void find_episodes(struct register_check *check)
{
    size_t last[256];

    for (size_t i = 0; i < 256; i++)
        last[i] = SIZE_MAX;
    for (size_t i = 0; i < check->count; i++) {
        struct zone *zone = &check->zones[i], *other;
        uint8_t mount = zone->write->mount;
        other = last[mount] == SIZE_MAX ? NULL : &check->zones[last[mount]];
        zone->from = zone->write->start;
        zone->to = local_end(zone->write);
        if (other && other->to >= zone->from) {
            zone->from = other->from;
            if (other->to > zone->to)
                zone->to = other->to;
        }
        last[mount] = i;
    }
    /* The end of an episode is known with its last write. */
    for (size_t i = check->count; i-- > 0;) {
        struct zone *zone = &check->zones[i], *later;
        uint8_t mount = zone->write->mount;
        later = &check->zones[last[mount]]; /* itself, at first */
        if (later->from == zone->from)
            zone->to = later->to;
        last[mount] = i;
    }
}

static void find_writes(struct register_check *check)
{
    const struct object *object = check->object;
    uint64_t over = 0;

    check->zones = calloc(object->count + 1, sizeof(*check->zones));
    check->over = calloc(object->count + 1, sizeof(*check->over));
    for (size_t i = 0; i < object->count; i++) {
        const struct event *e = object->events[i];
        if (e->kind == EVENT_WRITE && event_over(e) > over)
            over = event_over(e);
        check->over[i] = over;
        if (e->kind == EVENT_WRITE && (!e->error || event_unknown(e)))
            check->zones[check->count++].write = e;
    }
    find_episodes(check);
    for (size_t i = 0; i < check->count; i++)
        zone_add(&check->zones[i], check->zones[i].write, event_over(check->zones[i].write));
    qsort(check->zones, check->count, sizeof(struct zone), zone_by_value);
}

static bool write_under_way(const struct register_check *check, const struct event *read)
{
    size_t low = 0, high = check->object->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (check->object->events[middle]->start <= read->end)
            low = middle + 1;
        else
            high = middle;
    }
    return low > 0 && check->over[low - 1] >= read->start;
}

/* Whether an episode of the read's mount overlaps the read and contains the write. */
static bool shown_locally(const struct zone *zone, const struct event *read)
{
    return zone->write->mount == read->mount && zone->from <= read->end && zone->to >= read->start;
}

static void one_read(struct register_check *check, const struct event *read)
{
    const struct object *object = check->object;
    struct zone *zone;

    if (read->value == VALUE_EMPTY) {
        if (!write_under_way(check, read)) {
            check->violations++;
            violation(object, read->start, read->end, "empty although no write was under way");
        }
        return;
    }
    zone = zone_of(check, read->value);
    if (!zone || zone->write->start > read->end) {
        check->violations++;
        violation(object, read->start, read->end, "read %08x, %s", read->value,
                  zone ? "which was written later" : "which nobody wrote");
    } else if (!shown_locally(zone, read)) {
        zone_add(zone, read, read->end);
    }
}

static void both(struct register_check *check, const struct zone *a, const struct zone *b,
                 const char *what)
{
    uint64_t from = a->low < b->low ? a->low : b->low;
    uint64_t to = a->high > b->high ? a->high : b->high;

    if (check->violations++ >= 5)
        return;
    violation(check->object, from < to ? from : to, from < to ? to : from,
              "values %08x and %08x: %s", a->write->value, b->write->value, what);
    event_print(a->write, check->object->origin);
    event_print(a->first, check->object->origin);
    event_print(a->last, check->object->origin);
    event_print(b->write, check->object->origin);
    event_print(b->first, check->object->origin);
    event_print(b->last, check->object->origin);
}

/* Zones that last must not overlap; one that is a moment must not lie inside one that lasts. */
static void compare_zones(struct register_check *check)
{
    const struct zone *lasting = NULL;
    struct zone *moments = calloc(check->count + 1, sizeof(*moments));
    size_t count = 0, next = 0;

    for (size_t i = 0; i < check->count; i++) {
        struct zone *zone = &check->zones[i];
        if (zone->low > zone->high && zone->low != TIME_NEVER) {
            moments[count] = *zone;
            moments[count].low = zone->high;
            moments[count++].high = zone->low;
        }
    }
    qsort(check->zones, check->count, sizeof(struct zone), zone_by_low);
    qsort(moments, count, sizeof(struct zone), zone_by_low);
    for (size_t i = 0; i < check->count; i++) {
        const struct zone *zone = &check->zones[i];
        if (zone->low > zone->high)
            continue;
        if (lasting && zone->low < lasting->high)
            both(check, lasting, zone, "each was seen before and after the other");
        while (next < count && moments[next].low <= zone->low)
            next++;
        for (size_t j = next; j < count && moments[j].low < zone->high; j++) {
            if (moments[j].high < zone->high)
                both(check, zone, &moments[j], "the first was seen before and after the second");
        }
        if (!lasting || zone->high > lasting->high)
            lasting = zone;
    }
    free(moments);
}

unsigned check_register(const struct object *object)
{
    struct register_check check = {.object = object};

    find_writes(&check);
    for (size_t i = 0; i < object->count; i++) {
        const struct event *e = object->events[i];
        if (e->kind == EVENT_READ && e->end && !e->error)
            one_read(&check, e);
    }
    compare_zones(&check);
    free(check.zones);
    free(check.over);
    return check.violations;
}
