/* SPDX-License-Identifier: Apache-2.0 */
/* The lease table's bounds, what it remembers over a restart, and the order of batches. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "tests/unit/test_loop.h"
#include "tests/unit/test_server_lease_util.h"

static const struct slice none;
static unsigned remembered, forgotten;
static uint64_t remembered_term;
static bool remembers;

/* ---- Room ---- */

static void set_up_small(void)
{
    begin(&(struct lease_config){.max_pages = 40, .max_holder = 24});
}

TestSuite(server_lease_room, .init = set_up_small, .fini = end);

static uint64_t child(struct seat *seat, int i)
{
    char ref[16];

    snprintf(ref, sizeof(ref), "^A(%d)", i);
    return whole(seat, ref);
}

Test(server_lease_room, a_full_table_asks_pages_back_and_leases_again)
{
    for (int i = 0; i < 20; i++)
        cr_assert_neq(child(&a, i), 0);
    for (int i = 0; i < 20; i++)
        cr_assert_neq(child(&b, i), 0);
    cr_assert_eq(child(&b, 20), 0);
    cr_assert_eq(a.messages, 0, "what was granted in this turn is still to be sent");
    test_loop_advance(loop, 0);
    cr_assert_str_eq(a.text, "P^A(0) P^A(1) P^A(2) ");
    cr_assert_eq(b.messages, 0);
    cr_assert_eq(child(&b, 20), 0, "not answered yet");
    test_loop_advance(loop, 0);
    cr_assert_eq(a.messages, 1, "and not asked again");
    cr_assert_neq(child(&b, 19), 0, "the same range takes no room");
    lease_answered(a.holder, a.serial);
    cr_assert_eq(pages(), 37);
    cr_assert_neq(child(&b, 20), 0);
}

/* Not the oldest of all: those may be what a client reads all day. */
Test(server_lease_room, who_has_most_gives_back_its_oldest)
{
    for (int i = 0; i < 18; i++)
        cr_assert_neq(child(&a, i), 0);
    for (int i = 0; i < 22; i++)
        cr_assert_neq(child(&b, i), 0);
    cr_assert_eq(child(&a, 18), 0);
    test_loop_advance(loop, 0);
    cr_assert_eq(a.messages, 0);
    cr_assert_str_eq(b.text, "P^A(0) P^A(1) P^A(2) ");
    lease_answered(b.holder, b.serial);
    cr_assert_neq(child(&a, 18), 0);
}

/* One that is gone cannot give back: its pages stay until its lease ends. */
Test(server_lease_room, who_is_gone_is_not_asked)
{
    for (int i = 0; i < 22; i++)
        child(&a, i);
    for (int i = 0; i < 18; i++)
        child(&b, i);
    lease_holder_end(a.holder, false);
    cr_assert_eq(child(&b, 18), 0);
    test_loop_advance(loop, 0);
    cr_assert_str_eq(b.text, "P^A(0) P^A(1) P^A(2) ");
    a.holder = NULL;
}

Test(server_lease_room, a_greedy_session_gives_back_its_own)
{
    for (int i = 0; i < 24; i++)
        cr_assert_neq(child(&a, i), 0);
    cr_assert_eq(child(&a, 24), 0);
    test_loop_advance(loop, 0);
    cr_assert_str_eq(a.text, "P^A(0) P^A(1) ");
    cr_assert_neq(child(&b, 0), 0, "others still get leases");
    lease_answered(a.holder, a.serial);
    cr_assert_neq(child(&a, 24), 0);
}

Test(server_lease_room, what_was_leased_after_the_asking_stays)
{
    for (int i = 0; i < 24; i++)
        child(&a, i);
    child(&a, 24);
    test_loop_advance(loop, 0);
    uint64_t again = child(&a, 0); /* asked back, and read again before the answer */
    cr_assert_neq(again, 0);
    lease_answered(a.holder, a.serial);
    cr_assert_eq(pages(), 23);
    lease_release(a.holder, again);
    cr_assert_eq(pages(), 22);
}

Test(server_lease_room, one_who_does_not_give_back_loses_all)
{
    for (int i = 0; i < 24; i++)
        child(&a, i);
    cr_assert_eq(child(&a, 24), 0);
    test_loop_advance(loop, TERM);
    cr_assert_eq(pages(), 0);
}

/* ---- What must be known after a crash ---- */

static bool remember(void *cookie, uint64_t term)
{
    remembered++;
    remembered_term = term;
    return remembers;
}

static void forget(void *cookie)
{
    forgotten++;
}

static void set_up_memory(void)
{
    begin(NULL);
    remembered = forgotten = 0;
    remembers = true;
    lease_table_remember(table, remember, forget, NULL);
}

TestSuite(server_lease_memory, .init = set_up_memory, .fini = end);

Test(server_lease_memory, the_first_lease_is_remembered_before_it_is_out)
{
    remembers = false;
    cr_assert_eq(whole(&a, "^A"), 0);
    remembers = true;
    cr_assert_neq(whole(&a, "^A"), 0);
    cr_assert_eq(remembered, 2);
    cr_assert_eq(remembered_term, TERM);
    whole(&a, "^B");
    cr_assert_eq(remembered, 2);
}

Test(server_lease_memory, a_longer_term_is_remembered_too)
{
    struct lease_holder *slow = lease_holder_new(table, 5 * TERM, "slow", NULL, NULL, NULL);

    whole(&a, "^A");
    cr_assert_neq(lease_grant(slow, key("^A"), none, none, true), 0);
    cr_assert_eq(remembered_term, 5 * TERM);
}

Test(server_lease_memory, it_is_forgotten_when_none_was_out_for_a_while)
{
    lease_release(a.holder, whole(&a, "^A"));
    test_loop_advance(loop, TERM - 1);
    cr_assert_eq(forgotten, 0);
    whole(&a, "^A");
    test_loop_advance(loop, 1);
    cr_assert_eq(forgotten, 0);
    lease_release(a.holder, whole(&a, "^A"));
    test_loop_advance(loop, TERM);
    cr_assert_eq(forgotten, 1);
    whole(&a, "^A");
    cr_assert_eq(remembered, 2);
}

Test(server_lease_memory, at_the_end_it_is_forgotten_only_if_none_is_out)
{
    uint64_t number = whole(&a, "^A");

    lease_table_forget(table);
    cr_assert_eq(forgotten, 0);
    lease_release(a.holder, number);
    lease_table_forget(table);
    cr_assert_eq(forgotten, 1);
}

Test(server_lease_memory, updates_wait_for_leases_of_before_the_restart)
{
    lease_table_grace(table, 3 * TERM);
    cr_assert_not(lease_table_empty(table));
    cr_assert_neq(whole(&a, "^A"), 0, "new leases are given at once");
    struct lease_recall *r = recall(&a, "^A(1)", false);
    cr_assert_not(lease_recall_ready(r));
    test_loop_advance(loop, 3 * TERM - 1);
    cr_assert_eq(done_calls, 0);
    test_loop_advance(loop, 1);
    cr_assert_eq(done_calls, 1);
    lease_recall_end(r);
    r = recall(&a, "^A(1)", false);
    cr_assert(lease_recall_ready(r));
    lease_recall_end(r);
    cr_assert_eq(remembered, 0, "it is remembered already");
}

Test(server_lease_memory, a_crash_in_the_grace_leaves_it_remembered)
{
    lease_table_grace(table, 3 * TERM);
    lease_table_forget(table);
    cr_assert_eq(forgotten, 0);
    test_loop_advance(loop, 7 * TERM);
    cr_assert_eq(forgotten, 1);
}

/* ---- Which batches wait for each other ---- */

static void set_up(void)
{
    begin(NULL);
}

TestSuite(server_lease_order, .init = set_up, .fini = end);

static bool conflicts(const char *ref, bool subtree, bool shared, bool coarse)
{
    struct store_touch t = {.key = key(ref), .subtree = subtree, .shared = shared};

    return lease_conflict(table, &t, 1, coarse);
}

Test(server_lease_order, exact_batches_conflict_where_they_touch)
{
    struct store_touch t[] = {{.key = key("^A"), .shared = true},
                              {.key = key("^A(1)")},
                              {.key = key("^B(1)"), .subtree = true}};
    struct lease_recall *r = lease_recall(table, NULL, t, 3, false, done, NULL);

    cr_assert_not(conflicts("^A", false, true, false));
    cr_assert(conflicts("^A", false, false, false));
    cr_assert(conflicts("^A(1)", false, true, false));
    cr_assert_not(conflicts("^A(2)", false, false, false));
    cr_assert_not(conflicts("^A(1,1)", false, false, false));
    cr_assert(conflicts("^A", true, false, false));
    cr_assert(conflicts("", true, false, false));
    cr_assert(conflicts("^B(1,2,3)", false, true, false));
    cr_assert_not(conflicts("^B", false, false, false));
    cr_assert(conflicts("^A", true, false, true), "a coarse one waits for an exact one");
    cr_assert_not(conflicts("^C", true, false, true));
    lease_recall_end(r);
    cr_assert_not(conflicts("^A(1)", false, false, false));
}

Test(server_lease_order, coarse_batches_do_not_wait_for_each_other)
{
    struct store_touch t[] = {{.key = key("^A"), .subtree = true}, {.key = key("")}};
    struct lease_recall *r = lease_recall(table, NULL, t, 2, true, done, NULL);

    cr_assert_not(conflicts("^A", true, false, true));
    cr_assert_not(conflicts("", false, false, true));
    cr_assert(conflicts("^A(1)", false, true, false), "an exact one waits for a coarse one");
    struct lease_recall *r2 = recall(NULL, "^C(1)", false);
    cr_assert_not(conflicts("^A", true, false, true));
    cr_assert(conflicts("", true, false, true));
    lease_recall_end(r2);
    lease_recall_end(r);
}

Test(server_lease_order, recalls_are_exact_while_somebody_wants_leases)
{
    cr_assert_not(lease_table_wanted(table));
    struct lease_recall *r = recall(NULL, "^A", true);
    cr_assert_eq(whole(&a, "^A"), 0);
    cr_assert(lease_table_wanted(table), "refused, but wanted");
    lease_recall_end(r);
    test_loop_advance(loop, TERM);
    cr_assert_not(lease_table_wanted(table));
    whole(&a, "^A");
    test_loop_advance(loop, TERM);
    cr_assert(lease_table_wanted(table));
}

Test(server_lease_order, a_recall_of_nobody_keeps_all_out)
{
    struct lease_recall *r = lease_recall_nobody(table);

    cr_assert(r && lease_recall_ready(r));
    cr_assert_eq(lease_recall_nobody(table), r);
    cr_assert(conflicts("^A(1)", false, false, false));
    cr_assert_not(conflicts("^A", true, false, true), "coarse ones do not wait for each other");
    cr_assert_eq(whole(&a, "^A"), 0);
    cr_assert_eq(lease_recall_nobody(table), NULL, "leases are wanted");
    cr_assert_not(lease_recall_end(r), "another has it");
    cr_assert_eq(whole(&a, "^A"), 0);
    cr_assert(lease_recall_end(r));
    cr_assert_not(conflicts("^A(1)", false, false, false));
    cr_assert(whole(&a, "^A"));
}

Test(server_lease_order, nobody_is_not_asked_while_somebody_might_be)
{
    struct lease_recall *r = recall(NULL, "^A(1)", false);

    cr_assert_eq(lease_recall_nobody(table), NULL, "an exact one is under way");
    lease_recall_end(r);
    cr_assert(whole(&a, "^A"));
    test_loop_advance(loop, 2 * TERM);
    cr_assert_eq(lease_recall_nobody(table), NULL, "a page is held");
}
