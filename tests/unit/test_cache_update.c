/* SPDX-License-Identifier: Apache-2.0 */
/* What the cache knows while own updates are under way, and after them. */
#include "tests/unit/test_cache_util.h"

TestSuite(cache_update, .init = open_cache, .fini = close_cache);

static struct cache_call *update(struct got *g, int first, const char *value, uint8_t cond)
{
    struct key key = key2("A", first, -1);
    struct update u = {
        .kind = UPDATE_SET, .cond = cond, .key = key_slice(&key), .value = slice_str(value)};

    *g = (struct got){0};
    return cache_update(c, &u, 1, got_update, g);
}

Test(cache_update, own_update_is_seen_when_done)
{
    struct got g;

    set("A", 1, -1, "old");
    set("A", 2, -1, "other");
    list("A", -1);
    update(&g, 1, "new", COND_PRESENT);
    cr_assert_not(cached("A", 1, -1, 0), "others may have seen it already");
    cr_assert_eq(recalls, 1, "nor may it be served above");
    cr_assert(cached("A", 2, -1, 0));
    fake_settle(f);
    cr_assert(g.calls == 1 && g.error == 0 && recalls == 2);
    cr_assert(cached("A", 1, -1, 100), "what was set is known");
    struct got n;
    ask(&n, "A", 1, -1, 100);
    fake_advance(f, 0);
    cr_assert_str_eq(n.value, "new");
}

Test(cache_update, own_leaf_that_comes_is_known_and_its_directory_too)
{
    struct key key = key2("A", 1, 1);
    struct update u = {.kind = UPDATE_SET, .key = key_slice(&key), .value = slice_str("new")};
    struct got g = {0};
    size_t asked;

    set("A", 1, 2, "other");
    list("A", -1);
    list("A", 1);
    cr_assert(cached("A", 1, -1, 0));
    cache_update(c, &u, 1, got_update, &g);
    fake_settle(f);
    cr_assert(g.calls == 1 && g.error == 0);
    asked = fake_reads(f) + fake_nodes(f);
    cr_assert(cached("A", 1, 1, 100));
    cr_assert(cached("A", 1, -1, 0));
    cr_assert_eq(fake_reads(f) + fake_nodes(f), asked);
}

static void put_or_remove(int second, bool remove)
{
    struct key key = key2("A", 1, second);
    struct update u = {.kind = remove ? UPDATE_ZKILL : UPDATE_SET, .key = key_slice(&key)};
    struct got g = {0};

    u.value = slice_str(remove ? "" : "value");
    cache_update(c, &u, 1, got_update, &g);
    fake_settle(f);
    cr_assert(g.calls == 1 && g.error == 0);
}

Test(cache_update, own_leaves_come_and_go_among_others_and_take_no_more_memory_each_time)
{
    uint64_t bytes = 0;
    size_t asked;

    for (int i = 0; i < 10; i++)
        set("A", 1, 10 * i, "other");
    list("A", -1);
    list("A", 1);
    asked = fake_reads(f) + fake_nodes(f);
    for (int round = 0; round < 5; round++) {
        for (int i = 99; i >= 0; i--) /* every tenth is there */
            put_or_remove(i, false);
        cr_assert_eq(list("A", 1), 100);
        for (int i = 0; i < 100; i++)
            if (i % 10)
                put_or_remove(i, true);
        cr_assert_eq(list("A", 1), 10);
        for (int i = 0; i < 100; i++)
            cr_assert(cached("A", 1, i, 100));
        cr_assert(round == 0 || figure("cache_bytes") == bytes);
        bytes = figure("cache_bytes");
    }
    cr_assert_eq(fake_reads(f) + fake_nodes(f), asked, "nothing had to be asked for");
}

Test(cache_update, own_leaf_in_a_directory_that_may_be_new_leaves_that_unknown)
{
    struct got g;

    load("A", -1, -1, 0);
    list("A", -1);
    update(&g, 1, "new", COND_NONE);
    fake_settle(f);
    cr_assert(cached("A", 1, -1, 100));
    cr_assert_not(cached("A", -1, -1, 0));
}

Test(cache_update, refused_update_leaves_all_as_it_was)
{
    struct got g;

    set("A", 2, -1, "other");
    list("A", -1);
    update(&g, 1, "new", COND_PRESENT);
    fake_settle(f);
    cr_assert_eq(g.error, ECP_ESTALE);
    cr_assert(cached("A", 1, -1, 0) && recalls == 1);
}

Test(cache_update, update_of_unknown_outcome_is_taken_as_applied)
{
    struct got g;

    set("A", 1, -1, "old");
    load("A", 1, -1, 0);
    load("A", -1, -1, 0);
    fake_fail(f, ECP_EDISCONNECTED);
    update(&g, 1, "new", COND_NONE);
    fake_settle(f);
    cr_assert_eq(recalls, 2);
    cr_assert_not(cached("A", 1, -1, 0));
    cr_assert_not(cached("A", -1, -1, 0));
}

Test(cache_update, cancelled_update_is_still_heard_of)
{
    struct got g;
    struct cache_call *call;

    set("A", 1, -1, "old");
    load("A", 1, -1, 0);
    call = update(&g, 1, "new", COND_NONE);
    cache_cancel(c, call);
    fake_settle(f);
    cr_assert_eq(g.calls, 0);
    cr_assert(cached("A", 1, -1, 100));
    call = update(&g, 1, "on the way", COND_NONE);
    fake_disconnect(f, true); /* it is sent again over the next connection */
    cache_cancel(c, call);
    fake_advance(f, 0);
    fake_disconnect(f, false);
    fake_settle(f);
    cr_assert(cached("A", 1, -1, 100));
    fake_disconnect(f, true);
    cache_cancel(c, update(&g, 1, "newer", COND_NONE));
    fake_advance(f, 0);
    cr_assert_eq(g.calls, 0);
    cr_assert_not(cached("A", 1, -1, 0));
}
