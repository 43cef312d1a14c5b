/* SPDX-License-Identifier: Apache-2.0 */
/* The file that tells the next start of leases. */
#include "server/lease_marker.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "base/loop.h"

#define LONGEST (300 * LOOP_SEC)

static char dir[] = "/tmp/lease-marker.XXXXXX", file[64];

static void set_up(void)
{
    log_set_level(LOG_LEVEL_ERROR);
    cr_assert(mkdtemp(dir));
    snprintf(file, sizeof(file), "%s/%s", dir, LEASE_MARKER);
}

static void tear_down(void)
{
    unlink(file);
    rmdir(dir);
}

TestSuite(server_lease_marker, .init = set_up, .fini = tear_down);

Test(server_lease_marker, what_is_written_is_read_until_it_is_removed)
{
    cr_assert_eq(lease_marker_read(dir, LONGEST), 0);
    cr_assert(lease_marker_write(dir, 10 * LOOP_SEC));
    cr_assert_eq(lease_marker_read(dir, LONGEST), 10 * LOOP_SEC);
    cr_assert(lease_marker_write(dir, 20 * LOOP_SEC + 1));
    cr_assert_eq(lease_marker_read(dir, LONGEST), 20 * LOOP_SEC + LOOP_MS, "rounded up");
    lease_marker_remove(dir);
    cr_assert_eq(lease_marker_read(dir, LONGEST), 0);
    lease_marker_remove(dir);
    cr_assert_eq(rmdir(dir), 0, "nothing else is left there");
}

Test(server_lease_marker, what_cannot_be_understood_is_the_longest_term)
{
    static const char *const texts[] = {"", "x", "0", "-1", "301000", "99999999999999999999"};

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        FILE *f = fopen(file, "w");
        fputs(texts[i], f);
        fclose(f);
        cr_assert_eq(lease_marker_read(dir, LONGEST), LONGEST, "\"%s\"", texts[i]);
    }
}

Test(server_lease_marker, where_it_cannot_be_written_no_lease_may_be_given)
{
    cr_assert_not(lease_marker_write("/nowhere/at/all", LOOP_SEC));
}
