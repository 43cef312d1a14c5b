/* SPDX-License-Identifier: Apache-2.0 */
/* INCREMENT's arithmetic: examples, prefixes, rounding, range; sums against 128-bit integers. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "base/error.h"
#include "base/key.h"
#include "base/number.h"
#include "tests/unit/base_random.h"

Test(base_number, examples)
{
    static const char *const rows[][3] = {
        {"1", "1", "2"},
        {"", "1", "1"},
        {"abc", "0", "0"},
        {"12abc", "1", "13"},
        {"--5", "+-1", "4"},
        {"1E2x", "0", "100"},
        {"1E", "0", "1"},
        {"1e2", "0", "1"},
        {".5", "0.5", "1"},
        {"-.5", ".25", "-.25"},
        {"1", "-1", "0"},
        {"-0", "0", "0"},
        {"5.", ".", "5"},
        {"1.5.5", "0", "1.5"},
        {"999999999999999999", "1", "1000000000000000000"},
        {"100000000000000000", ".5", "100000000000000001"},
        {"-100000000000000000", "-.5", "-100000000000000001"},
        {"100000000000000000", ".4", "100000000000000000"},
        {"123456789012345678", "1E-30", "123456789012345678"},
        {"1234567890123456785", "0", "1234567890123456790"},
        {"1E-43", "0", ".0000000000000000000000000000000000000000001"},
        {"1E-44", "0", "0"},
        {"9E46", "0", "90000000000000000000000000000000000000000000000"},
        {"1", "-1E-20", "1"},
        {"1", "-1E-18", ".999999999999999999"},
        {"999999999999999999.5", "0", "1000000000000000000"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char out[NUMBER_TEXT_MAX];
        size_t len;
        cr_assert_eq(number_add(slice_str(rows[i][0]), slice_str(rows[i][1]), out, &len), 0);
        cr_assert(slice_equal(slice_of(out, len), slice_str(rows[i][2])), "%s + %s = %.*s",
                  rows[i][0], rows[i][1], (int)len, out);
    }
}

Test(base_number, range)
{
    char out[NUMBER_TEXT_MAX];
    size_t len;
    cr_assert_eq(number_add(slice_str("1E47"), slice_str("0"), out, &len), ECP_ENUMERIC);
    cr_assert_eq(number_add(slice_str("9E46"), slice_str("1E46"), out, &len), ECP_ENUMERIC);
    cr_assert_eq(number_add(slice_str("-1E999999999999"), slice_str("0"), out, &len), ECP_ENUMERIC);
    cr_assert_eq(number_add(slice_str("1E-999999999999"), slice_str("2"), out, &len), 0);
    cr_assert(slice_equal(slice_of(out, len), slice_str("2")));
}

/* Sums of integers that need no rounding are exact, and canonical. */
Test(base_number, integers)
{
    for (int i = 0; i < 200000; i++) {
        int64_t bound = 1;
        for (uint32_t n = random_below(17); n > 0; n--)
            bound *= 10;
        int64_t a = (int64_t)(((uint64_t)random_below(1u << 31) << 31 | random_below(1u << 31)) %
                              (uint64_t)(2 * bound)) -
                    bound;
        int64_t b = (int64_t)random_below(2000000) - 1000000;
        char x[32], y[32], sum[32], out[NUMBER_TEXT_MAX];
        size_t len;
        snprintf(x, sizeof x, "%lld", (long long)a);
        snprintf(y, sizeof y, "%lld", (long long)b);
        snprintf(sum, sizeof sum, "%lld", (long long)(a + b));
        cr_assert_eq(number_add(slice_str(x), slice_str(y), out, &len), 0);
        cr_assert(slice_equal(slice_of(out, len), slice_str(sum)), "%s + %s", x, y);
    }
}

Test(base_number, always_canonical)
{
    for (int i = 0; i < 200000; i++) {
        struct text a;
        struct text b;
        char out[NUMBER_TEXT_MAX], turned[NUMBER_TEXT_MAX];
        size_t len, turned_len;
        random_text(&a, 60);
        random_text(&b, 60);
        int error = number_add(text_slice(&a), text_slice(&b), out, &len);
        cr_assert_eq(error, number_add(text_slice(&b), text_slice(&a), turned, &turned_len));
        if (error)
            continue;
        cr_assert(number_is_canonical(slice_of(out, len)));
        cr_assert(slice_equal(slice_of(out, len), slice_of(turned, turned_len)));
        cr_assert_eq(number_add(slice_of(out, len), slice_str(""), turned, &turned_len), 0);
        cr_assert(slice_equal(slice_of(out, len), slice_of(turned, turned_len)));
    }
}
