/* SPDX-License-Identifier: Apache-2.0 */
/* When a loop looks before it sleeps. */
#include <criterion/criterion.h>

#include "net/busy_poll.h"

#define TIME  UINT64_C(50000)
#define SHORT (TIME / 2)
#define LONG  (10 * TIME)

/* Short sleeps until a look is wanted. */
static unsigned sleeps_before_look(struct busy_poll *poll)
{
    unsigned n = 0;

    do {
        busy_poll_slept(poll, SHORT);
        n++;
    } while (!busy_poll_wanted(poll) && n < 1000000);
    return n;
}

Test(busy_poll, looks_after_a_short_sleep_only)
{
    struct busy_poll poll = {.time = TIME};

    cr_assert(!busy_poll_wanted(&poll));
    busy_poll_slept(&poll, LONG);
    cr_assert(!busy_poll_wanted(&poll));
    busy_poll_slept(&poll, SHORT);
    cr_assert(busy_poll_wanted(&poll));
    busy_poll_slept(&poll, LONG);
    cr_assert(!busy_poll_wanted(&poll));
}

Test(busy_poll, goes_on_while_it_finds)
{
    struct busy_poll poll = {.time = TIME};

    busy_poll_slept(&poll, SHORT);
    for (int i = 0; i < 10; i++) {
        cr_assert(busy_poll_wanted(&poll));
        busy_poll_looked(&poll, true);
    }
    cr_assert_eq(poll.looks, 10);
    cr_assert_eq(poll.finds, 10);
}

Test(busy_poll, looks_less_the_more_it_was_for_nothing)
{
    struct busy_poll poll = {.time = TIME};
    unsigned last = sleeps_before_look(&poll);

    cr_assert_eq(last, 1);
    busy_poll_looked(&poll, false);
    cr_assert(!busy_poll_wanted(&poll), "it sleeps now");
    for (int i = 0; i < 20; i++) {
        unsigned n = sleeps_before_look(&poll);
        cr_assert_geq(n, last);
        last = n;
        busy_poll_looked(&poll, false);
    }
    cr_assert_eq(last, 4096, "not for ever: %u", last);
    cr_assert_eq(poll.finds, 0);
}

Test(busy_poll, one_success_makes_good)
{
    struct busy_poll poll = {.time = TIME};

    for (int i = 0; i < 5; i++) {
        sleeps_before_look(&poll);
        busy_poll_looked(&poll, false);
    }
    sleeps_before_look(&poll);
    busy_poll_looked(&poll, true);
    busy_poll_slept(&poll, LONG);
    cr_assert_eq(sleeps_before_look(&poll), 1);
}

Test(busy_poll, never_when_it_takes_no_time)
{
    struct busy_poll poll = {0};

    busy_poll_slept(&poll, 0);
    cr_assert(!busy_poll_wanted(&poll));
}
