/* SPDX-License-Identifier: Apache-2.0 */
/* The lock table: order of waiters, delegation, bounds; rules in general are test_lock_model's. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "locks/lock_table.h"

static struct lock_table *table;
static struct lock_session *a, *b;

static void setup(void)
{
    table = lock_table_new(NULL);
    a = lock_session_new(table, "a");
    b = lock_session_new(table, "b");
}

static void teardown(void)
{
    lock_table_free(table);
}

TestSuite(lock_table, .init = setup, .fini = teardown);

static struct key key_of(const char *global, int subscript)
{
    struct key k;
    char text[16];
    key_root(&k);
    key_append(&k, slice_str(global));
    snprintf(text, sizeof text, "%d", subscript);
    if (subscript >= 0)
        key_append(&k, slice_str(text));
    return k;
}

static int ask(struct lock_session *s, uint64_t owner, const char *global, int subscript,
               enum lock_mode mode, unsigned flags, void *cookie, struct lock_request **request)
{
    struct key k = key_of(global, subscript);
    struct lock_who who = {.owner = owner};
    struct lock_item item = {.name = key_slice(&k), .mode = mode, .end = LOCK_RANGE_END};
    struct lock_request *unused;
    return lock_ask(s, &who, &item, 1, flags, 1, cookie, request ? request : &unused);
}

static void drop(struct lock_session *s, uint64_t owner, const char *global, int subscript)
{
    struct key k = key_of(global, subscript);
    lock_release_name(s, owner, key_slice(&k));
}

static void expect(enum lock_event_kind kind, struct lock_session *s, uint64_t owner)
{
    struct lock_event e;
    cr_assert(lock_next_event(table, &e));
    cr_assert_eq(e.kind, kind);
    cr_assert_eq(e.session, s);
    cr_assert_eq(e.owner, owner);
}

static void expect_nothing(void)
{
    struct lock_event e;
    cr_assert(!lock_next_event(table, &e));
}

Test(lock_table, waiters_pass_in_the_order_of_their_arrival)
{
    cr_assert_eq(ask(a, 0, "X", -1, LOCK_EXCLUSIVE, 0, NULL, NULL), 0);
    for (uint64_t i = 1; i <= 1000; i++)
        cr_assert_eq(
            ask(i % 2 ? a : b, i, "X", (int)(i % 3) - 1, LOCK_EXCLUSIVE, LOCK_WAIT, NULL, NULL), 0);
    drop(a, 0, "X", -1);
    for (uint64_t i = 1; i <= 1000; i++) {
        struct lock_event e;
        cr_assert(lock_next_event(table, &e));
        cr_assert_eq(e.owner, i);
        lock_release_owner(e.session, i);
    }
    cr_assert_eq(lock_table_stats(table)->locks, 0u);
    cr_assert_eq(lock_table_stats(table)->names, 0u);
}

Test(lock_table, cancelled_waiter_leaves_no_trace)
{
    struct lock_request *r;
    ask(a, 1, "X", 1, LOCK_EXCLUSIVE, 0, NULL, NULL);
    cr_assert_eq(ask(b, 2, "X", 1, LOCK_EXCLUSIVE, LOCK_WAIT, NULL, &r), 0);
    cr_assert_eq(ask(b, 3, "X", 1, LOCK_SHARED, LOCK_WAIT, NULL, NULL), 0);
    lock_cancel(r);
    expect_nothing();
    drop(a, 1, "X", 1);
    expect(LOCK_EVENT_GRANTED, b, 3);
    expect_nothing();
}

Test(lock_table, idle_lock_is_recalled_and_returned)
{
    cr_assert_eq(ask(a, 1, "X", 1, LOCK_EXCLUSIVE, LOCK_DELEGABLE, NULL, NULL), 0);
    cr_assert_eq(ask(b, 2, "X", -1, LOCK_EXCLUSIVE, LOCK_WAIT, NULL, NULL), 0);
    expect(LOCK_EVENT_RECALL, a, 1);
    cr_assert_eq(ask(b, 3, "X", -1, LOCK_EXCLUSIVE, LOCK_WAIT, NULL, NULL), 0);
    expect_nothing();
    drop(a, 1, "X", 1);
    expect(LOCK_EVENT_GRANTED, b, 2);
}

/* Who may not wait is told only when it is certain that the lock is used. */
Test(lock_table, request_that_may_not_wait_does_for_what_may_be_idle)
{
    struct key x = key_of("X", 1);
    ask(a, 1, "X", 1, LOCK_EXCLUSIVE, LOCK_DELEGABLE, NULL, NULL);
    cr_assert_eq(ask(b, 2, "X", 1, LOCK_SHARED, 0, NULL, NULL), 0);
    expect(LOCK_EVENT_RECALL, a, 1);
    expect_nothing();
    drop(a, 1, "X", 1);
    expect(LOCK_EVENT_GRANTED, b, 2);
    drop(b, 2, "X", 1);
    ask(a, 1, "X", 1, LOCK_EXCLUSIVE, LOCK_DELEGABLE, NULL, NULL);
    cr_assert_eq(ask(b, 2, "X", -1, LOCK_EXCLUSIVE, 0, NULL, NULL), 0);
    expect(LOCK_EVENT_RECALL, a, 1);
    lock_kept(a, 1, key_slice(&x));
    expect(LOCK_EVENT_BUSY, b, 2);
    expect_nothing();
    cr_assert_eq(ask(b, 2, "X", 1, LOCK_SHARED, 0, NULL, NULL), ECP_EBUSY);
    cr_assert_eq(lock_table_stats(table)->requests, 0u);
}

Test(lock_table, nobody_waits_for_the_word_of_a_session_that_is_cut_off)
{
    ask(a, 1, "X", 1, LOCK_EXCLUSIVE, LOCK_DELEGABLE, NULL, NULL);
    cr_assert_eq(ask(b, 2, "X", 1, LOCK_SHARED, 0, NULL, NULL), 0);
    expect(LOCK_EVENT_RECALL, a, 1);
    lock_kept_all(a);
    expect(LOCK_EVENT_BUSY, b, 2);
    cr_assert_eq(ask(b, 2, "X", 1, LOCK_SHARED, 0, NULL, NULL), ECP_EBUSY);
}

Test(lock_table, test_takes_nothing)
{
    cr_assert_eq(ask(a, 1, "X", 1, LOCK_EXCLUSIVE, LOCK_TEST, NULL, NULL), 0);
    cr_assert_eq(lock_table_stats(table)->locks, 0u);
    cr_assert_eq(lock_table_stats(table)->owners, 0u);
    ask(a, 1, "X", 1, LOCK_EXCLUSIVE, 0, NULL, NULL);
    cr_assert_eq(ask(a, 1, "X", 1, LOCK_SHARED, LOCK_TEST, NULL, NULL), 0);
    cr_assert_eq(ask(b, 2, "X", 1, LOCK_SHARED, LOCK_TEST, NULL, NULL), ECP_EBUSY);
    drop(a, 1, "X", 1);
    ask(a, 1, "X", 1, LOCK_EXCLUSIVE, LOCK_DELEGABLE, NULL, NULL);
    cr_assert_eq(ask(b, 2, "X", 1, LOCK_SHARED, LOCK_TEST, NULL, NULL), 0);
    expect(LOCK_EVENT_RECALL, a, 1);
    drop(a, 1, "X", 1);
    expect(LOCK_EVENT_GRANTED, b, 2);
    cr_assert_eq(lock_table_stats(table)->locks, 0u);
}

/* An owner whose lock may be idle waits for nobody through it; kept locks do make circles. */
Test(lock_table, deadlock_through_a_delegated_lock_is_found_when_it_is_kept)
{
    struct key x = key_of("X", 1);
    ask(a, 1, "X", 1, LOCK_EXCLUSIVE, LOCK_DELEGABLE, NULL, NULL);
    ask(b, 2, "Y", 1, LOCK_EXCLUSIVE, 0, NULL, NULL);
    cr_assert_eq(ask(a, 1, "Y", 1, LOCK_EXCLUSIVE, LOCK_WAIT, NULL, NULL), 0);
    cr_assert_eq(ask(b, 2, "X", 1, LOCK_EXCLUSIVE, LOCK_WAIT, NULL, NULL), 0);
    expect(LOCK_EVENT_RECALL, a, 1);
    expect_nothing();
    lock_kept(a, 1, key_slice(&x));
    expect(LOCK_EVENT_DEADLOCK, b, 2);
    expect_nothing();
    cr_assert_eq(lock_table_stats(table)->deadlocks, 1u);
}

Test(lock_table, passed_lock_ends_the_request_for_it)
{
    struct key x = key_of("X", 1);
    struct lock_who to = {.owner = 2};
    int waiter;
    void *ended;
    ask(a, 1, "X", 1, LOCK_EXCLUSIVE, 0, NULL, NULL);
    ask(b, 3, "X", 1, LOCK_EXCLUSIVE, LOCK_WAIT, NULL, NULL);
    ask(a, 2, "X", 1, LOCK_EXCLUSIVE, LOCK_WAIT, &waiter, NULL);
    cr_assert_eq(lock_pass(a, 1, &to, key_slice(&x), false, &ended), LOCK_PASSED);
    cr_assert_eq(ended, &waiter);
    expect_nothing();
    cr_assert_eq(lock_pass(a, 1, &to, key_slice(&x), false, &ended), LOCK_PASS_IGNORED);
    drop(a, 2, "X", 1);
    expect(LOCK_EVENT_GRANTED, b, 3);
}

/* An administrator took it before: nobody else of the session has it, or waits for it in vain. */
Test(lock_table, pass_of_a_lost_lock_is_in_vain)
{
    struct key x = key_of("X", 1);
    struct lock_who to = {.owner = 2};
    int waiter;
    void *ended;
    ask(a, 1, "X", 1, LOCK_EXCLUSIVE, 0, NULL, NULL);
    ask(b, 3, "X", 1, LOCK_EXCLUSIVE, LOCK_WAIT, NULL, NULL);
    ask(a, 2, "X", 1, LOCK_EXCLUSIVE, LOCK_WAIT, &waiter, NULL);
    lock_release_name(a, 1, key_slice(&x));
    expect(LOCK_EVENT_GRANTED, b, 3);
    cr_assert_eq(lock_pass(a, 1, &to, key_slice(&x), false, &ended), LOCK_PASS_IN_VAIN);
    cr_assert_eq(ended, &waiter);
    drop(b, 3, "X", 1);
    expect_nothing();
    cr_assert_eq(lock_table_stats(table)->locks, 0u);
    cr_assert_eq(lock_table_stats(table)->owners, 0u);
}

/* What others have of the name, or may have, is not the session's to pass on. */
Test(lock_table, only_a_whole_lock_of_a_lone_owner_is_passed)
{
    static const uint8_t group[LOCK_GROUP_LEN] = {1};
    struct key x = key_of("X", 1), y = key_of("Y", 1);
    struct lock_who one = {.owner = 1}, two = {.owner = 2}, in_group = {.owner = 3, .group = group},
                    other = {.owner = 4, .group = group};
    struct lock_item low = {key_slice(&x), LOCK_EXCLUSIVE, false, 0, 10},
                     high = {key_slice(&x), LOCK_EXCLUSIVE, false, 20, 30},
                     whole = {key_slice(&y), LOCK_EXCLUSIVE, false, 0, LOCK_RANGE_END};
    struct lock_request *r;
    void *ended;
    cr_assert_eq(lock_ask(a, &one, &low, 1, 0, 1, NULL, &r), 0);
    cr_assert_eq(lock_ask(b, &two, &high, 1, 0, 1, NULL, &r), 0);
    cr_assert_eq(lock_pass(a, 1, &two, key_slice(&x), false, &ended), LOCK_PASS_IGNORED);
    cr_assert_eq(lock_ask(a, &in_group, &whole, 1, 0, 1, NULL, &r), 0);
    cr_assert_eq(lock_ask(b, &other, &whole, 1, 0, 1, NULL, &r), 0);
    cr_assert_eq(lock_pass(a, 3, &two, key_slice(&y), false, &ended), LOCK_PASS_IGNORED);
    cr_assert(lock_is_exclusive(a, 1, key_slice(&x)) && lock_is_exclusive(a, 3, key_slice(&y)));
}

/* What keeps it back is below the name; a range that the same owner has at the name is not. */
Test(lock_table, range_waits_for_what_is_below_only)
{
    struct key x = key_of("X", -1);
    struct lock_who one = {.owner = 1}, two = {.owner = 2};
    struct lock_item low = {key_slice(&x), LOCK_EXCLUSIVE, false, 0, 10},
                     high = {key_slice(&x), LOCK_EXCLUSIVE, false, 20, 30};
    struct lock_request *r;
    cr_assert_eq(lock_ask(a, &one, &low, 1, 0, 1, NULL, &r), 0);
    cr_assert_eq(ask(a, 1, "X", 1, LOCK_EXCLUSIVE, 0, NULL, NULL), 0);
    cr_assert_eq(lock_ask(b, &two, &high, 1, LOCK_WAIT, 1, NULL, &r), 0);
    cr_assert(r);
    drop(a, 1, "X", 1);
    expect(LOCK_EVENT_GRANTED, b, 2);
}

Test(lock_table, opposite_order_is_a_deadlock)
{
    ask(a, 1, "X", 1, LOCK_EXCLUSIVE, 0, NULL, NULL);
    ask(b, 2, "Y", 1, LOCK_EXCLUSIVE, 0, NULL, NULL);
    cr_assert_eq(ask(a, 1, "Y", -1, LOCK_EXCLUSIVE, LOCK_WAIT, NULL, NULL), 0);
    cr_assert_eq(ask(b, 2, "X", -1, LOCK_EXCLUSIVE, LOCK_WAIT, NULL, NULL), ECP_EDEADLOCK);
    drop(b, 2, "Y", 1);
    expect(LOCK_EVENT_GRANTED, a, 1);
}

Test(lock_table, patient_request_waits_in_a_deadlock)
{
    ask(a, 1, "X", 1, LOCK_SHARED, 0, NULL, NULL);
    ask(b, 2, "X", 1, LOCK_SHARED, 0, NULL, NULL);
    cr_assert_eq(ask(a, 1, "X", 1, LOCK_EXCLUSIVE, LOCK_WAIT, NULL, NULL), 0);
    cr_assert_eq(ask(b, 2, "X", 1, LOCK_EXCLUSIVE, LOCK_WAIT | LOCK_PATIENT, NULL, NULL), 0);
    drop(b, 2, "X", 1);
    expect(LOCK_EVENT_GRANTED, a, 1);
}

/* ---- Owners of a process, which wait together ---- */

static void ask_of(struct lock_session *s, uint64_t process, uint64_t owner, const char *global)
{
    struct key k = key_of(global, 1);
    struct lock_who who = {.owner = owner, .process = process};
    struct lock_item item = {.name = key_slice(&k), .mode = LOCK_EXCLUSIVE, .end = LOCK_RANGE_END};
    struct lock_request *r;
    cr_assert_eq(lock_ask(s, &who, &item, 1, LOCK_WAIT | LOCK_PATIENT, 1, NULL, &r), 0);
}

static bool mark(void *cookie, const struct lock_row *row)
{
    char *marks = cookie;
    strcat(marks, !row->waiting ? "h" : row->deadlocked ? "D" : "w");
    return true;
}

static void listed(const char *expected)
{
    char marks[32] = "";
    lock_list(table, slice_of(NULL, 0), mark, marks);
    cr_assert_str_eq(marks, expected);
}

/* Each has one lock with one owner, and waits with another. A third waits for them, in no circle.
 */
Test(lock_table, opposite_order_of_processes_is_listed)
{
    ask_of(a, 7, 1, "X");
    ask_of(b, 7, 1, "Y"); /* of another session: another process */
    ask_of(a, 7, 2, "Y");
    listed("hhw");
    ask_of(b, 7, 2, "X");
    listed("hhDD");
    ask_of(b, 8, 3, "X");
    listed("hhDDw");
    expect_nothing();
    drop(b, 1, "Y", 1);
    expect(LOCK_EVENT_GRANTED, a, 2);
    listed("hhww");
}

Test(lock_table, process_that_waits_for_itself_is_listed)
{
    ask_of(a, 7, 1, "X");
    ask_of(a, 8, 2, "X");
    listed("hw");
    ask_of(a, 7, 3, "X");
    listed("hwD");
    lock_release_owner(a, 1);
    expect(LOCK_EVENT_GRANTED, a, 2);
    listed("hw");
}

/* Who is of no process is none with others. */
Test(lock_table, owners_without_a_process_wait_alone)
{
    ask_of(a, 0, 1, "X");
    ask_of(b, 0, 1, "Y");
    ask_of(a, 0, 2, "Y");
    ask_of(b, 0, 2, "X");
    listed("hhww");
}

Test(lock_table, full_session_leaves_room_for_others)
{
    struct lock_config config = {.max_locks = 40};
    struct lock_table *small = lock_table_new(&config);
    struct lock_session *c = lock_session_new(small, NULL), *d = lock_session_new(small, NULL);
    for (int i = 0; i < 10; i++)
        cr_assert_eq(ask(c, 1, "X", i, LOCK_EXCLUSIVE, 0, NULL, NULL), 0);
    cr_assert_eq(ask(c, 1, "X", 10, LOCK_EXCLUSIVE, 0, NULL, NULL), ECP_ELOCKFULL);
    cr_assert_eq(ask(d, 1, "Y", 1, LOCK_EXCLUSIVE, 0, NULL, NULL), 0);
    drop(c, 1, "X", 3);
    cr_assert_eq(ask(c, 1, "X", 10, LOCK_EXCLUSIVE, 0, NULL, NULL), 0);
    cr_assert_eq(lock_table_stats(small)->full, 1u);
    lock_table_free(small);
}

/* Locks that are few, but of names of very many levels. */
Test(lock_table, deep_names_take_more_room)
{
    struct lock_config config = {.max_locks = 4000};
    struct lock_table *small = lock_table_new(&config);
    struct lock_session *c = lock_session_new(small, NULL);
    struct lock_request *r;
    size_t count = 0;
    int error = 0;
    for (; !error && count < 1000; count++) {
        struct key k = key_of("X", (int)count + 1);
        struct lock_who who = {.owner = 1};
        for (int i = 0; i < 400; i++)
            key_append(&k, slice_str("0"));
        struct lock_item item = {
            .name = key_slice(&k), .mode = LOCK_EXCLUSIVE, .end = LOCK_RANGE_END};
        error = lock_ask(c, &who, &item, 1, 0, 1, NULL, &r);
    }
    cr_assert_eq(error, ECP_ELOCKFULL);
    cr_assert_lt(lock_table_stats(small)->names, 20000u);
    lock_release_owner(c, 1);
    cr_assert_eq(lock_table_stats(small)->names, 0u);
    for (int i = 0; i < 1000; i++)
        cr_assert_eq(ask(c, 1, "X", i, LOCK_EXCLUSIVE, 0, NULL, NULL), 0);
    lock_table_free(small);
}
