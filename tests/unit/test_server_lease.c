/* SPDX-License-Identifier: Apache-2.0 */
/* The lease table, rule by rule. */
#include <criterion/criterion.h>

#include "tests/unit/test_loop.h"
#include "tests/unit/test_server_lease_util.h"

static const struct slice none;

static void set_up(void)
{
    begin(NULL);
}

TestSuite(server_lease, .init = set_up, .fini = end);

Test(server_lease, an_update_nobody_holds_is_ready_at_once)
{
    whole(&a, "^B");
    struct lease_recall *r = recall(&b, "^A(1)", false);

    cr_assert(lease_recall_ready(r));
    cr_assert_eq(a.messages + b.messages, 0);
    lease_recall_end(r);
    cr_assert_eq(done_calls, 0);
}

Test(server_lease, the_writer_is_not_asked_but_told)
{
    const struct touch *touches;

    whole(&a, "^A");
    struct lease_recall *r = recall(&a, "^A(1)", false);
    cr_assert(lease_recall_ready(r));
    cr_assert_eq(a.messages, 0);
    cr_assert_eq(lease_recall_own(r, &touches), 1);
    cr_assert_eq(touches[0].kind, TOUCH_ENTRY);
    cr_assert(slice_equal(touches[0].key, key("^A(1)")));
    lease_recall_end(r);
}

Test(server_lease, another_holder_is_asked_and_keeps_its_page)
{
    whole(&a, "^A");
    struct lease_recall *r = recall(&b, "^A(1)", false);
    cr_assert_not(lease_recall_ready(r));
    cr_assert_str_eq(a.text, "E^A(1) ");
    cr_assert(lease_owes(a.holder));
    cr_assert_eq(lease_answered(a.holder, a.serial), 0);
    cr_assert_eq(done_calls, 1);
    cr_assert(lease_recall_ready(r));
    lease_recall_end(r);
    cr_assert_eq(pages(), 1);
    r = recall(&b, "^A(2)", false);
    cr_assert_str_eq(a.text, "E^A(2) ");
    lease_recall_end(r);
}

Test(server_lease, only_touches_that_hit_are_sent_and_only_once)
{
    whole(&a, "^A");
    lease_grant(a.holder, key("^A"), level("^A(2)"), level("^A(4)"), false);
    lease_grant(b.holder, key("^B"), level("^B(2)"), level("^B(4)"), false);
    struct store_touch t[] = {{.key = key("^A(3)")}, {.key = key("^B(5)")}, {.key = key("^C")},
                              {.key = key("^A(3)")}, {.key = key("^B(2)")}, {.key = key("^B(4)")}};
    struct lease_recall *r = lease_recall(table, NULL, t, 6, false, done, NULL);

    cr_assert_str_eq(a.text, "E^A(3) ");
    cr_assert_str_eq(b.text, "E^B(2) E^B(4) ");
    cr_assert_eq(a.messages, 1);
    lease_answered(a.holder, a.serial);
    cr_assert_eq(done_calls, 0);
    lease_answered(b.holder, b.serial);
    cr_assert_eq(done_calls, 1);
    lease_recall_end(r);
}

Test(server_lease, subtrees_take_pages_below_and_leave_the_one_above)
{
    whole(&a, "");
    whole(&a, "^A");
    whole(&a, "^A(1)");
    whole(&a, "^A(1,2)");
    whole(&a, "^AB");
    struct lease_recall *r = recall(&b, "^A", true);
    uint64_t later;

    cr_assert_str_eq(a.text, "S^A ");
    cr_assert_eq(whole(&a, "^A(7)"), 0, "in flight");
    lease_recall_end(r); /* given up; what came after the invalidation stays */
    later = whole(&a, "^A(7)");
    cr_assert_neq(later, 0);
    lease_answered(a.holder, a.serial);
    cr_assert_eq(done_calls, 0);
    cr_assert_eq(pages(), 3, "the root's, ^AB's and the later one");
}

Test(server_lease, the_root_s_own_entry_is_in_all_its_pages)
{
    lease_grant(a.holder, key(""), level("^M"), level("^P"), false);
    whole(&b, "^A");
    struct lease_recall *r = recall(NULL, "", false);

    cr_assert_eq(a.messages, 1);
    cr_assert_eq(b.messages, 0);
    cr_assert_eq(lease_grant(b.holder, key(""), level("^X"), none, true), 0);
    lease_recall_end(r);
    r = recall(NULL, "", true);
    cr_assert_eq(b.messages, 1);
    lease_answered(b.holder, b.serial);
    lease_answered(a.holder, a.serial);
    cr_assert_eq(pages(), 0);
    lease_recall_end(r);
}

Test(server_lease, nothing_that_is_touched_is_leased_meanwhile)
{
    struct lease_recall *r = recall(NULL, "^A(5)", false);

    cr_assert_eq(whole(&a, "^A"), 0);
    cr_assert_eq(lease_grant(a.holder, key("^A"), level("^A(5)"), level("^A(5)"), false), 0);
    cr_assert_neq(lease_grant(a.holder, key("^A"), level("^A(1)"), level("^A(4)"), false), 0);
    cr_assert_neq(lease_grant(a.holder, key("^A"), level("^A(6)"), none, true), 0);
    cr_assert_neq(whole(&a, "^A(5)"), 0, "the entry is touched, not what is below");
    lease_recall_end(r);
    cr_assert_neq(whole(&a, "^A"), 0);
}

Test(server_lease, the_same_range_has_one_number)
{
    uint64_t first = whole(&a, "^A"), second = whole(&a, "^A");

    cr_assert_gt(second, first);
    cr_assert_eq(pages(), 1);
    lease_release(a.holder, first);
    cr_assert_eq(pages(), 1);
    lease_release(b.holder, second);
    cr_assert_eq(pages(), 1, "another's cannot be given back");
    lease_release(a.holder, second);
    cr_assert_eq(pages(), 0);
}

Test(server_lease, a_silent_holder_delays_until_its_lease_end_for_all_at_once)
{
    whole(&a, "^A");
    whole(&a, "^B");
    test_loop_advance(loop, TERM / 2);
    lease_heard(a.holder, loop_now(loop));
    struct lease_recall *r = recall(&b, "^A(1)", false), *r2 = recall(&b, "^B(1)", false);
    test_loop_advance(loop, TERM - 1);
    cr_assert_eq(done_calls, 0);
    test_loop_advance(loop, 1);
    cr_assert_eq(done_calls, 2);
    cr_assert_eq(pages(), 0);
    cr_assert_eq(lease_table_stats(table)->lapsed, 2);
    lease_recall_end(r);
    lease_recall_end(r2);
    cr_assert_eq(lease_answered(a.holder, a.serial), 0, "too late is no fault");
    cr_assert_eq(lease_answered(a.holder, a.serial + 1), ECP_EPROTO, "never sent is");
    cr_assert_eq(lease_answered(b.holder, 0), ECP_EPROTO);
}

Test(server_lease, one_that_is_heard_meanwhile_is_waited_for)
{
    whole(&a, "^A");
    struct lease_recall *r = recall(&b, "^A(1)", false);
    test_loop_advance(loop, TERM / 2);
    lease_heard(a.holder, loop_now(loop));
    test_loop_advance(loop, TERM / 2 - 1);
    cr_assert_not(a.overdue);
    test_loop_advance(loop, 1);
    cr_assert(a.overdue, "it is heard, but does not answer");
    test_loop_advance(loop, TERM / 2 - 1);
    cr_assert_eq(done_calls, 0);
    test_loop_advance(loop, 1);
    cr_assert_eq(done_calls, 1);
    lease_recall_end(r);
}

Test(server_lease, one_whose_lease_was_over_before_is_not_asked)
{
    whole(&a, "^A");
    test_loop_advance(loop, TERM);
    struct lease_recall *r = recall(&b, "^A(1)", false);

    cr_assert(lease_recall_ready(r));
    cr_assert_eq(a.messages, 0);
    cr_assert_eq(pages(), 0);
    lease_recall_end(r);
}

Test(server_lease, a_lost_session_s_leases_run_out_by_time)
{
    whole(&a, "^A");
    lease_holder_end(a.holder, false);
    cr_assert_eq(pages(), 1);
    struct lease_recall *r = recall(&b, "^A(1)", false);
    cr_assert_eq(a.messages, 0);
    test_loop_advance(loop, TERM - 1);
    cr_assert_eq(done_calls, 0);
    test_loop_advance(loop, 1);
    cr_assert_eq(done_calls, 1);
    cr_assert_eq(pages(), 0);
    cr_assert_eq(lease_table_stats(table)->holders, 1);
    lease_recall_end(r);
}

Test(server_lease, a_goodbye_ends_them_at_once)
{
    whole(&a, "^A");
    whole(&b, "^A");
    struct lease_recall *r = recall(NULL, "^A(1)", false);
    lease_holder_end(a.holder, true);
    cr_assert_eq(done_calls, 0);
    lease_holder_end(b.holder, true);
    cr_assert_eq(done_calls, 1);
    cr_assert_eq(pages(), 0);
    lease_recall_end(r);
}

Test(server_lease, the_writer_may_be_gone_when_its_batch_is_applied)
{
    const struct touch *touches;

    whole(&a, "^A");
    struct lease_recall *r = recall(&a, "^A(1)", false);
    lease_holder_end(a.holder, true);
    cr_assert_eq(lease_recall_own(r, &touches), 0);
    lease_recall_end(r);
}

Test(server_lease, own_pages_below_a_subtree_are_taken_back)
{
    const struct touch *touches;

    whole(&a, "^A(1)");
    whole(&a, "");
    struct lease_recall *r = recall(&a, "^A", true);
    cr_assert_eq(lease_recall_own(r, &touches), 1);
    lease_recall_end(r);
    cr_assert_str_eq(a.text, "S^A ");
    lease_answered(a.holder, a.serial);
    cr_assert_eq(pages(), 1);
}
