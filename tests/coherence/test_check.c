/* SPDX-License-Identifier: Apache-2.0 */
/* The checker finds what is planted, and finds nothing in histories of things that work. */
#include "tests/coherence/check.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define EVENTS_MAX 4096

struct made {
    struct event event[EVENTS_MAX];
    const struct event *sorted[EVENTS_MAX];
    size_t count;
    uint64_t random;
};

static struct made made;

static unsigned pick(unsigned bound)
{
    made.random = made.random * UINT64_C(6364136223846793005) + 1442695040888963407u;
    return (unsigned)(made.random >> 33) % bound;
}

static void begin(uint64_t seed)
{
    memset(&made, 0, sizeof(made));
    made.random = seed * 77 + 5;
}

static struct event *event(enum event_kind kind, uint64_t start, uint64_t end)
{
    struct event *e = &made.event[made.count++];

    cr_assert(made.count <= EVENTS_MAX);
    *e = (struct event){.kind = (uint8_t)kind, .start = start, .end = end};
    e->worker = (uint16_t)made.count;
    e->mount = (uint8_t)made.count; /* nothing is shown locally, unless a test says so */
    return e;
}

static struct event *valued(enum event_kind kind, uint64_t start, uint64_t end, uint32_t value)
{
    struct event *e = event(kind, start, end);

    e->value = value;
    return e;
}

static struct event *named(enum event_kind kind, uint64_t start, uint64_t end, unsigned name,
                           uint32_t value)
{
    struct event *e = valued(kind, start, end, value);

    e->name = (uint8_t)name;
    return e;
}

static int by_start(const void *a, const void *b)
{
    const struct event *x = *(const struct event *const *)a, *y = *(const struct event *const *)b;

    return x->start < y->start ? -1 : x->start > y->start;
}

static struct object object(void)
{
    struct object o = {.events = made.sorted, .count = made.count, .longest = TIME_NEVER};

    for (size_t i = 0; i < made.count; i++)
        made.sorted[i] = &made.event[i];
    qsort(made.sorted, made.count, sizeof(made.sorted[0]), by_start);
    return o;
}

static unsigned registers(void)
{
    struct object o = object();

    return check_register(&o);
}

static unsigned group(void)
{
    struct object o = object();

    return check_group(&o);
}

static unsigned lines(const char *text)
{
    struct object o = object();

    return check_log(&o, (const uint8_t *)text, strlen(text));
}

/* ---- registers ---- */

Test(register, stale_read)
{
    begin(1);
    valued(EVENT_WRITE, 10, 20, 1);
    valued(EVENT_WRITE, 30, 40, 2);
    valued(EVENT_READ, 35, 45, 1);
    cr_assert_eq(registers(), 0);
    valued(EVENT_READ, 50, 60, 1);
    cr_assert_eq(registers(), 1);
}

Test(register, new_then_old)
{
    begin(1);
    valued(EVENT_WRITE, 10, 20, 1);
    valued(EVENT_WRITE, 30, 90, 2);
    valued(EVENT_READ, 40, 50, 2);
    cr_assert_eq(registers(), 0);
    valued(EVENT_READ, 60, 70, 1);
    cr_assert_eq(registers(), 1);
}

Test(register, lost_update)
{
    begin(1);
    valued(EVENT_WRITE, 10, 20, 1);
    valued(EVENT_READ, 22, 24, 1);
    valued(EVENT_WRITE, 30, 40, 2);
    cr_assert_eq(registers(), 0);
    valued(EVENT_READ, 50, 60, 1);
    cr_assert_gt(registers(), 0);
}

Test(register, value_before_its_write)
{
    begin(1);
    valued(EVENT_READ, 1, 5, 1);
    valued(EVENT_WRITE, 10, 20, 1);
    cr_assert_eq(registers(), 1);
}

Test(register, foreign_value)
{
    begin(1);
    valued(EVENT_WRITE, 10, 20, 1);
    valued(EVENT_READ, 30, 40, VALUE_BAD);
    cr_assert_eq(registers(), 1);
}

Test(register, empty_only_during_a_write)
{
    begin(1);
    valued(EVENT_WRITE, 10, 20, 1);
    valued(EVENT_READ, 15, 25, VALUE_EMPTY);
    cr_assert_eq(registers(), 0);
    valued(EVENT_READ, 30, 40, VALUE_EMPTY);
    cr_assert_eq(registers(), 1);
}

Test(register, unknown_write_may_take_effect_later_but_once)
{
    begin(1);
    valued(EVENT_WRITE, 10, 20, 1);
    valued(EVENT_WRITE, 30, 0, 2);
    valued(EVENT_READ, 40, 50, 1);
    valued(EVENT_READ, 60, 70, 2);
    cr_assert_eq(registers(), 0);
    valued(EVENT_READ, 80, 90, 1);
    cr_assert_gt(registers(), 0);
}

Test(register, failed_write_is_not_seen)
{
    begin(1);
    valued(EVENT_WRITE, 10, 20, 1);
    valued(EVENT_WRITE, 30, 40, 2)->error = ENOSPC;
    valued(EVENT_READ, 50, 60, 2);
    cr_assert_gt(registers(), 0);
}

Test(register, only_the_own_mount_shows_what_is_not_sent)
{
    begin(1);
    valued(EVENT_WRITE, 10, 20, 1);
    valued(EVENT_WRITE, 30, 90, 2)->mount = 7;
    valued(EVENT_READ, 40, 50, 2)->mount = 7;
    valued(EVENT_READ, 60, 70, 1)->mount = 8;
    cr_assert_eq(registers(), 0);
    made.event[2].mount = 8;
    cr_assert_gt(registers(), 0);
}

/* A register that works: each operation takes effect at a moment of its own. */
static void simulate_register(unsigned count)
{
    uint32_t value = 1;

    valued(EVENT_WRITE, 1, 2, value);
    for (uint64_t t = 1000; made.count < count; t += 1 + pick(100)) {
        bool write = pick(3) == 0;
        struct event *e = valued(write ? EVENT_WRITE : EVENT_READ, t - pick(500), t + pick(500), 0);
        if (write)
            value = (uint32_t)made.count + 1;
        if (write && pick(20) == 0)
            e->end = 0;
        e->value = value;
    }
}

Test(register, random_histories_of_a_working_register_pass)
{
    for (unsigned seed = 0; seed < 200; seed++) {
        begin(seed);
        simulate_register(400);
        cr_assert_eq(registers(), 0, "seed %u", seed);
    }
}

Test(register, a_stale_read_in_a_random_history_is_found)
{
    for (unsigned seed = 0; seed < 200; seed++) {
        uint64_t t;
        begin(seed);
        simulate_register(400);
        t = made.event[made.count - 1].start + 2000;
        valued(EVENT_WRITE, t, t + 10, 1000000);
        valued(EVENT_READ, t + 20, t + 30, 1);
        cr_assert_gt(registers(), 0, "seed %u", seed);
    }
}

/* ---- names ---- */

static struct event *list(uint64_t start, uint64_t end, enum seen first, enum seen second)
{
    struct event *e = event(EVENT_LIST, start, end);

    e->seen[0] = (uint8_t)first;
    e->seen[1] = (uint8_t)second;
    return e;
}

Test(names, created_and_not_seen)
{
    begin(1);
    named(EVENT_CREATE, 10, 20, 0, 1);
    named(EVENT_STAT, 15, 25, 0, 0);
    cr_assert_eq(group(), 0);
    named(EVENT_STAT, 30, 40, 0, 0);
    cr_assert_eq(group(), 1);
}

Test(names, removed_and_still_seen)
{
    begin(1);
    named(EVENT_CREATE, 10, 20, 0, 1);
    named(EVENT_UNLINK, 30, 40, 0, 0);
    named(EVENT_STAT, 35, 45, 0, 0)->seen[0] = SEEN_FILE;
    cr_assert_eq(group(), 0);
    named(EVENT_STAT, 50, 60, 0, 0)->seen[0] = SEEN_FILE;
    cr_assert_eq(group(), 1);
}

Test(names, two_exclusive_creates_succeed)
{
    begin(1);
    named(EVENT_CREATE, 10, 30, 0, 1);
    named(EVENT_CREATE, 10, 30, 0, 2);
    cr_assert_eq(group(), 1);
    made.event[1].error = EEXIST;
    cr_assert_eq(group(), 0);
}

Test(names, rename_moves_one_file)
{
    begin(1);
    named(EVENT_PUBLISH, 10, 20, 0, 1);
    named(EVENT_RENAME, 30, 40, 0, 0)->name2 = 1;
    named(EVENT_GET, 50, 60, 1, 1);
    named(EVENT_GET, 50, 60, 0, 0)->error = ENOENT;
    cr_assert_eq(group(), 0);
    named(EVENT_GET, 70, 80, 0, 1);
    cr_assert_eq(group(), 1);
}

Test(names, a_listing_misses_what_was_there_throughout)
{
    begin(1);
    named(EVENT_CREATE, 10, 20, 0, 1);
    named(EVENT_CREATE, 35, 45, 1, 2);
    list(30, 50, SEEN_FILE, SEEN_ABSENT);
    list(30, 50, SEEN_FILE, SEEN_FILE);
    cr_assert_eq(group(), 0);
    list(30, 50, SEEN_ABSENT, SEEN_ABSENT);
    cr_assert_eq(group(), 1);
}

Test(names, a_listing_shows_a_name_twice)
{
    begin(1);
    named(EVENT_CREATE, 10, 20, 0, 1);
    list(30, 50, SEEN_TWICE, SEEN_ABSENT);
    cr_assert_eq(group(), 1);
}

Test(names, wrong_type_in_an_error)
{
    begin(1);
    named(EVENT_CREATE, 10, 20, 0, 1);
    named(EVENT_UNLINK, 22, 24, 0, 0);
    named(EVENT_MKDIR, 25, 28, 0, 0);
    named(EVENT_UNLINK, 30, 40, 0, 0)->error = EISDIR;
    cr_assert_eq(group(), 0);
    named(EVENT_RMDIR, 50, 60, 0, 0)->error = ENOTDIR;
    cr_assert_eq(group(), 1);
}

Test(names, published_whole_or_not_at_all)
{
    begin(1);
    named(EVENT_PUBLISH, 10, 20, 0, 1);
    named(EVENT_PUBLISH, 30, 40, 0, 2);
    named(EVENT_GET, 35, 38, 0, 1);
    cr_assert_eq(group(), 0);
    named(EVENT_GET, 36, 39, 0, VALUE_EMPTY);
    cr_assert_eq(group(), 1);
}

Test(names, removed_before_it_was_filled)
{
    begin(1);
    named(EVENT_CREATE, 10, 20, 0, 1);
    named(EVENT_UNLINK, 22, 26, 0, 0);
    named(EVENT_FILL, 21, 30, 0, 1)->error = ESTALE;
    cr_assert_eq(group(), 0);
    named(EVENT_GET, 40, 50, 0, 1);
    cr_assert_eq(group(), 1);
}

Test(names, stale_although_nothing_happened)
{
    begin(1);
    named(EVENT_CREATE, 10, 20, 0, 1);
    named(EVENT_FILL, 21, 30, 0, 1)->error = ESTALE;
    cr_assert_eq(group(), 1);
}

Test(names, unknown_unlink_may_happen_later_but_once)
{
    begin(1);
    named(EVENT_CREATE, 10, 20, 0, 1);
    named(EVENT_UNLINK, 30, 40, 0, 0)->error = EIO;
    named(EVENT_STAT, 50, 60, 0, 0)->seen[0] = SEEN_FILE;
    named(EVENT_STAT, 70, 80, 0, 0);
    named(EVENT_CREATE, 90, 100, 0, 2);
    cr_assert_eq(group(), 0);
    named(EVENT_STAT, 110, 120, 0, 0);
    cr_assert_eq(group(), 1);
}

/* A directory that works. */
static void simulate_names(unsigned count)
{
    uint32_t file[3] = {0};

    for (uint64_t t = 1000; made.count < count; t += 1 + pick(250)) {
        static const enum event_kind kinds[] = {EVENT_PUBLISH, EVENT_UNLINK, EVENT_RENAME,
                                                EVENT_GET, EVENT_STAT};
        unsigned name = pick(3), other = (name + 1 + pick(2)) % 3;
        struct event *e = named(kinds[pick(5)], t - pick(400), t + pick(400), name, 0);
        e->name2 = (uint8_t)other;
        if (e->kind == EVENT_STAT) {
            e->seen[0] = file[name] ? SEEN_FILE : SEEN_ABSENT;
        } else if (e->kind == EVENT_PUBLISH) {
            e->value = file[name] = (uint32_t)made.count;
        } else if (!file[name]) {
            e->error = ENOENT;
        } else if (e->kind == EVENT_GET) {
            e->value = file[name];
        } else {
            if (e->kind == EVENT_RENAME)
                file[other] = file[name];
            file[name] = 0;
        }
    }
}

Test(names, random_histories_of_a_working_directory_pass)
{
    for (unsigned seed = 0; seed < 200; seed++) {
        begin(seed);
        simulate_names(300);
        cr_assert_eq(group(), 0, "seed %u", seed);
    }
}

Test(names, a_stale_get_in_a_random_history_is_found)
{
    for (unsigned seed = 0; seed < 200; seed++) {
        uint64_t t;
        begin(seed);
        simulate_names(300);
        t = made.event[made.count - 1].start + 2000;
        named(EVENT_PUBLISH, t, t + 10, 0, 1000000);
        named(EVENT_PUBLISH, t + 11, t + 12, 0, 1000001);
        named(EVENT_GET, t + 20, t + 30, 0, 1000000);
        cr_assert_eq(group(), 1, "seed %u", seed);
    }
}

/* ---- logs ---- */

static void three_appends(void)
{
    begin(1);
    valued(EVENT_APPEND, 10, 20, 0x11);
    valued(EVENT_APPEND, 15, 25, 0x12);
    valued(EVENT_APPEND, 30, 40, 0x13);
}

Test(logs, whole_and_in_order)
{
    three_appends();
    cr_assert_eq(lines("00000011\n00000012\n00000013\n"), 0);
    cr_assert_eq(lines("00000012\n00000011\n00000013\n"), 0);
    cr_assert_eq(lines("00000011\n00000013\n00000012\n"), 1, "order");
    cr_assert_eq(lines("00000011\n00000013\n"), 1, "lost");
    cr_assert_gt(lines("00000011\n00000012\n00000012\n00000013\n"), 0, "twice");
    cr_assert_gt(lines("00000011\n00000012\n00000013\n0000"), 0, "torn at the end");
    cr_assert_gt(lines("00000011\n0000012\n00000013\n"), 0, "torn");
    made.event[1].error = EIO;
    cr_assert_eq(lines("00000011\n00000013\n"), 0, "unknown outcome");
    cr_assert_eq(lines("00000011\n00000013\n00000012\n"), 0, "unknown outcome, late");
}

static uint64_t hash_of(const char *text)
{
    uint64_t hash = HASH_START;

    for (; *text; text++)
        hash = hash_byte(hash, (uint8_t)*text);
    return hash;
}

Test(logs, reads)
{
    struct event *read;

    three_appends();
    read = event(EVENT_READ_LOG, 26, 28);
    read->length = 18;
    read->hash = hash_of("00000011\n00000012\n");
    cr_assert_eq(lines("00000011\n00000012\n00000013\n"), 0);
    cr_assert_eq(lines("00000012\n00000011\n00000013\n"), 1, "other bytes");
    read->length = 9;
    read->hash = hash_of("00000011\n");
    cr_assert_eq(lines("00000011\n00000012\n00000013\n"), 1, "too old");
    read->length = 27;
    read->hash = hash_of("00000011\n00000012\n00000013\n");
    cr_assert_eq(lines("00000011\n00000012\n00000013\n"), 1, "from the future");
}
