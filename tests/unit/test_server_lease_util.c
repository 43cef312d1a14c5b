/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of the lease table share: a table with two holders, a and b. */
#include "tests/unit/test_server_lease_util.h"

#include <criterion/criterion.h>
#include <stdio.h>

#include "base/ref.h"
#include "tests/unit/test_loop.h"

#define KEYS 64

struct loop *loop;
struct lease_table *table;
struct seat a, b;
unsigned done_calls;
static struct key keys[KEYS];
static unsigned used;

struct slice key(const char *ref)
{
    struct key *k = &keys[used++ % KEYS];

    key_root(k);
    if (*ref)
        cr_assert_eq(ref_parse_all(slice_str(ref), k), 0, "%s", ref);
    return key_slice(k);
}

struct slice level(const char *ref)
{
    return key_last(key(ref));
}

static void overdue(void *cookie)
{
    struct seat *seat = cookie;

    seat->overdue = true;
}

static void sent(void *cookie, uint64_t serial, const struct touch *touches, size_t count)
{
    struct seat *seat = cookie;
    struct buf text = {0};

    cr_assert_gt(serial, seat->serial, "serials rise");
    cr_assert_gt(count, 0);
    seat->serial = serial;
    seat->messages++;
    for (size_t i = 0; i < count; i++) {
        buf_printf(&text, "%c", "ESP"[touches[i].kind]);
        ref_print(&text, touches[i].key);
        buf_append_str(&text, " ");
    }
    snprintf(seat->text, sizeof(seat->text), "%.*s", (int)text.len, (char *)text.data);
    buf_free(&text);
}

void done(void *cookie)
{
    done_calls++;
}

void sit(struct seat *seat, uint64_t id)
{
    *seat = (struct seat){0};
    seat->holder = lease_holder_new(table, TERM, "a test", sent, overdue, seat);
}

void begin(const struct lease_config *config)
{
    loop = test_loop_new();
    table = lease_table_new(loop, config);
    sit(&a, 1);
    sit(&b, 2);
    used = done_calls = 0;
}

void end(void)
{
    lease_table_free(table);
    test_loop_run(loop);
    test_loop_free(loop);
}

uint64_t whole(struct seat *seat, const char *parent)
{
    return lease_grant(seat->holder, key(parent), slice_of(NULL, 0), slice_of(NULL, 0), true);
}

struct lease_recall *recall(struct seat *own, const char *ref, bool subtree)
{
    struct store_touch t = {.key = key(ref), .subtree = subtree};

    return lease_recall(table, own ? own->holder : NULL, &t, 1, false, done, NULL);
}

size_t pages(void)
{
    return lease_table_stats(table)->pages;
}
