/* SPDX-License-Identifier: Apache-2.0 */
/* What the cache answers from memory, what it asks for, and what it gives back. */
#include "tests/unit/test_cache_util.h"

#include <stdio.h>

TestSuite(cache, .init = open_cache, .fini = close_cache);

/* ---- Hits and misses ---- */

Test(cache, second_look_costs_nothing)
{
    set("A", 1, -1, "one");
    load("A", 1, -1, 100);
    size_t reads = fake_reads(f);
    cr_assert(cached("A", 1, -1, 100));
    cr_assert(cached("A", 2, -1, 100), "absence is knowledge");
    cr_assert_not(cached("B", 1, -1, 0));
    cr_assert_eq(fake_reads(f), reads);
    cr_assert_eq(figure("cache_hits"), 2);
}

Test(cache, root_is_the_self_of_its_page)
{
    struct got g = {0};
    struct node node;
    uint64_t until;
    struct slice root = slice_of(NULL, 0);

    set("A", 1, -1, "one");
    cache_node(c, root, 0, got_node, &g);
    fake_settle(f);
    cr_assert(g.node.flags & NODE_CHILDREN);
    cr_assert(cache_node_now(c, root, 0, &node, &until));
    cr_assert(cached("A", -1, -1, 0), "the page came along");
    set("B", 1, -1, "two");
    fake_settle(f);
    cr_assert_not(cache_node_now(c, root, 0, &node, &until));
}

Test(cache, nothing_is_served_after_the_lease)
{
    set("A", 1, -1, "one");
    load("A", 1, -1, 0);
    fake_advance(f, 10 * LOOP_SEC);
    cr_assert_not(cached("A", 1, -1, 0));
}

Test(cache, large_value_joins_its_entry)
{
    char big[3001];
    struct got g;

    memset(big, 'x', sizeof(big));
    big[3000] = 0;
    set("A", 1, -1, big);
    load("A", 1, -1, 0);
    cr_assert_not(cached("A", 1, -1, 4096));
    cr_assert(cached("A", 1, -1, 2999), "longer than wanted");
    load("A", 1, -1, 4096);
    cr_assert_eq(fake_nodes(f), 1);
    cr_assert(cached("A", 1, -1, 4096));
    set("A", 1, -1, "small");
    fake_settle(f);
    ask(&g, "A", 1, -1, 4096);
    fake_settle(f);
    cr_assert_str_eq(g.value, "small");
}

/* ---- Holes ---- */

Test(cache, touch_punches_one_hole)
{
    for (int i = 1; i <= 8; i++)
        set("A", i, -1, "value");
    cr_assert_eq(list("A", -1), 8);
    set("A", 4, -1, "other");
    fake_settle(f);
    cr_assert(cached("A", 3, -1, 0) && cached("A", 5, -1, 0));
    cr_assert_not(cached("A", 4, -1, 0));
    load("A", 4, -1, 0);
    cr_assert_eq(fake_last_read(f)->entries, 1, "only the hole is filled");
    size_t reads = fake_reads(f);
    cr_assert_eq(list("A", -1), 8);
    cr_assert_eq(fake_reads(f), reads);
}

Test(cache, new_name_punches_a_hole_where_nothing_was)
{
    set("A", 1, -1, "value");
    set("A", 9, -1, "value");
    cr_assert_eq(list("A", -1), 2);
    cr_assert(cached("A", 5, -1, 0));
    set("A", 5, -1, "value");
    fake_settle(f);
    cr_assert_not(cached("A", 5, -1, 0));
    cr_assert_eq(list("A", -1), 3);
}

Test(cache, subtree_takes_all_below)
{
    set("A", 1, 1, "value");
    set("A", 2, 1, "value");
    list("A", 1);
    list("A", 2);
    set("A", 1, -1, NULL);
    fake_settle(f);
    cr_assert_not(cached("A", 1, 1, 0));
    cr_assert(cached("A", 2, 1, 0));
}

Test(cache, taken_back_pages_are_not_released)
{
    struct key key = key2("A", -1, -1);

    set("A", 1, -1, "value");
    load("A", 1, -1, 0);
    fake_take_back(f, key_slice(&key));
    fake_settle(f);
    cr_assert_not(cached("A", 1, -1, 0));
    cr_assert_eq(fake_recalling(f), 0);
    cr_assert_eq(figure("cache_invalidations_pages"), 1);
}

Test(cache, recall_is_answered_when_those_above_have)
{
    set("A", 1, -1, "old");
    load("A", 1, -1, 0);
    answer_later = true;
    set("A", 1, -1, "new");
    fake_settle(f);
    cr_assert_eq(fake_recalling(f), 1);
    cr_assert_not(cached("A", 1, -1, 0));
    cache_recalled(c, owed);
    cr_assert_eq(fake_recalling(f), 0);
}

/* ---- Who waits ---- */

Test(cache, one_load_for_all_who_ask)
{
    struct got a, b;

    set("A", 1, -1, "one");
    ask(&a, "A", 1, -1, 100);
    ask(&b, "A", 1, -1, 100);
    cr_assert_eq(fake_reads(f), 1);
    fake_settle(f);
    cr_assert(a.until && b.until);
    cr_assert_str_eq(b.value, "one");
}

Test(cache, who_joins_an_unleased_load_asks_again)
{
    struct got a, b;

    set("A", 1, -1, "old");
    fake_no_leases(f, true);
    ask(&a, "A", 1, -1, 100);
    fake_serve(f, 0);
    set("A", 1, -1, "new");
    ask(&b, "A", 1, -1, 100);
    fake_deliver(f);
    cr_assert(a.calls == 1 && a.until == 0);
    cr_assert_str_eq(a.value, "old");
    cr_assert_eq(b.calls, 0);
    fake_settle(f);
    cr_assert_str_eq(b.value, "new");
}

Test(cache, cancel_leaves_the_others)
{
    struct got a, b;
    struct cache_call *call;

    set("A", 1, -1, "one");
    call = ask(&a, "A", 1, -1, 0);
    ask(&b, "A", 1, -1, 0);
    cache_cancel(c, call);
    fake_settle(f);
    cr_assert_eq(a.calls, 0);
    cr_assert_eq(b.calls, 1);
    call = ask(&a, "B", 1, -1, 0);
    cache_cancel(c, call);
    fake_settle(f);
    cr_assert_eq(a.calls, 0);
    cr_assert(cached("B", 1, -1, 0), "the answer is kept all the same");
}

Test(cache, error_reaches_all)
{
    struct got a, b;

    fake_fail(f, ECP_EIO);
    ask(&a, "A", 1, -1, 0);
    ask(&b, "A", 1, -1, 0);
    fake_settle(f);
    cr_assert(a.error == ECP_EIO && b.error == ECP_EIO);
}

Test(cache, answer_at_hand_comes_from_the_loop)
{
    struct got g;

    set("A", 1, -1, "one");
    load("A", 1, -1, 0);
    ask(&g, "A", 1, -1, 0);
    cr_assert_eq(g.calls, 0);
    fake_advance(f, 0);
    cr_assert(g.calls == 1 && g.until);
}

/* ---- Room, leases, loss ---- */

Test(cache, bytes_are_bounded_and_leases_given_back_late)
{
    close_cache();
    open_with(20000);
    for (int i = 0; i < 100; i++)
        set("A", i, 1, "value");
    load("A", 0, -1, 0);
    fake_advance(f, LOOP_SEC);
    for (int i = 0; i < 100; i++) {
        list("A", i);
        cr_assert(figure("cache_bytes") <= 20000);
    }
    cr_assert(figure("cache_evictions") > 0);
    size_t held = figure("cache_pages");
    fake_advance(f, LOOP_SEC);
    cr_assert(fake_leases(f) > held, "the kernel may still serve what was evicted");
    fake_advance(f, 11 * LOOP_SEC);
    cr_assert_eq(fake_leases(f), held);
}

Test(cache, gap_drops_all_and_what_was_under_way)
{
    struct got g;

    set("A", 1, -1, "old");
    load("A", 1, -1, 0);
    ask(&g, "B", 1, -1, 0);
    fake_serve(f, 0);
    fake_gap(f);
    set("B", 1, -1, "new");
    fake_deliver(f);
    cr_assert_eq(losses, 1);
    cr_assert(g.calls == 1 && g.until == 0 && g.node.flags == 0, "asked before it was sent");
    cr_assert_not(cached("A", 1, -1, 0));
    cr_assert_not(cached("B", 1, -1, 0));
    cr_assert_eq(figure("cache_pages"), 0);
    cr_assert_eq(figure("cache_bytes"), 0);
}

/* ---- How much is asked for ---- */

Test(cache, single_looks_fetch_little)
{
    static const int places[] = {500, 20, 900, 350, 700, 10};

    fake_page_bound(f, 8);
    for (int i = 0; i < 1000; i++)
        set("A", i, -1, "value");
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        load("A", places[i], -1, 0);
        cr_assert_leq(fake_last_read(f)->budget, 8192);
        cr_assert_eq(fake_last_read(f)->readahead, 0);
    }
}

Test(cache, looks_in_order_fetch_more_and_more)
{
    fake_page_bound(f, 8);
    for (int i = 0; i < 100; i++)
        set("A", i, -1, "value");
    for (int i = 0; i < 100; i++)
        load("A", i, -1, 0);
    cr_assert_eq(fake_last_read(f)->budget, 65536);
}

Test(cache, walk_costs_fewer_questions_than_directories)
{
    for (int i = 0; i < 40; i++)
        set("A", i, 1, "value");
    list("A", -1);
    for (int i = 0; i < 40; i++)
        cr_assert_eq(list("A", i), 1);
    cr_assert_leq(fake_reads(f), 6);
    cr_assert(figure("cache_readahead_pages") > 0);
}

Test(cache, walk_goes_on_beyond_a_subtree)
{
    char global[8];

    for (int i = 0; i < 26; i++) {
        snprintf(global, sizeof(global), "G%c", 'a' + i);
        set(global, 1, 1, "value");
    }
    for (int i = 0; i < 26; i++) {
        snprintf(global, sizeof(global), "G%c", 'a' + i);
        cr_assert_eq(list(global, -1), 1);
        cr_assert_eq(list(global, 1), 1);
    }
    cr_assert_leq(fake_reads(f), 6);
}

Test(cache, what_bounces_is_read_without_a_lease_for_a_while)
{
    struct got g;

    set("A", 1, -1, "0");
    for (int i = 0; i < 8; i++) {
        load("A", 1, -1, 0);
        set("A", 1, -1, "1");
        fake_settle(f);
    }
    cr_assert_eq(figure("cache_bounces"), 1);
    ask(&g, "A", 1, -1, 100);
    fake_settle(f);
    cr_assert(g.calls == 1 && g.until == 0);
    cr_assert_eq(fake_nodes(f), 1);
    fake_advance(f, LOOP_SEC);
    ask(&g, "A", 1, -1, 100);
    fake_settle(f);
    cr_assert(g.until);
}
