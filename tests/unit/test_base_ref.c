/* SPDX-License-Identifier: Apache-2.0 */
/* References, string expressions, ZWR lines and GO: examples, faults and round trips. */
#include <criterion/criterion.h>

#include "base/error.h"
#include "base/model.h"
#include "base/zwr.h"
#include "tests/unit/base_random.h"

static bool prints_as(const char *text, const char *expected)
{
    struct key k;
    struct buf out = {0};
    bool ok = ref_parse_all(slice_str(text), &k) == 0 && ref_print(&out, key_slice(&k)) == 0 &&
              slice_equal(buf_slice(&out), slice_str(expected));
    buf_free(&out);
    return ok;
}

Test(base_ref, examples)
{
    static const char *const rows[][2] = {
        {"^", "^"},
        {"^A", "^A"},
        {"^%Z.b(1)", "^%Z.b(1)"},
        {"^P(5,\"name\")", "^P(5,\"name\")"},
        {"^P(\"5\",\"05\")", "^P(5,\"05\")"},
        {"^P(+5,005,1.0,1E3,-.50,--2,0.5,-0)", "^P(5,5,1,1000,-.5,2,.5,0)"},
        {"^P(\"a\"\"b\")", "^P(\"a\"\"b\")"},
        {"^P($c(0,1)_\"x\"_$CHAR(127))", "^P($C(0,1)_\"x\"_$C(127))"},
        {"^P($zch(255)_$ZCHAR(65),\",)\")", "^P($C(255)_\"A\",\",)\")"},
        {"^P($C(53))", "^P(5)"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        cr_assert(prints_as(rows[i][0], rows[i][1]), "%s", rows[i][0]);
}

Test(base_ref, faults)
{
    static const struct {
        const char *text;
        size_t at;
    } bad[] = {
        {"", 0},
        {"A", 0},
        {"^", 1},
        {"^5", 1},
        {"^A(", 3},
        {"^A()", 3},
        {"^A(1", 4},
        {"^A(1,", 5},
        {"^A(\"x", 5},
        {"^A(\"x\"_)", 7},
        {"^A($C())", 6},
        {"^A($C(256))", 9},
        {"^A($X(1))", 3},
        {"^A(1x)", 4},
        {"^A(\"\")", 3},
        {"^A(1E48)", 3},
        {"^A(1234567890123456789)", 3},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct key k;
        size_t used = 99;
        cr_assert_eq(ref_parse(slice_str(bad[i].text), &k, &used), ECP_EINVAL, "%s", bad[i].text);
        cr_assert_eq(used, bad[i].at, "%s: %zu", bad[i].text, used);
    }
    struct key k;
    size_t used;
    cr_assert_eq(ref_parse(slice_str("^A(1) "), &k, &used), 0);
    cr_assert_eq(used, 5);
    cr_assert_eq(ref_parse_all(slice_str("^A(1) "), &k), ECP_EINVAL);
}

Test(base_ref, too_long)
{
    char text[1100] = "^A(\"";
    struct key k;
    memset(text + 4, 'x', 507);
    strcpy(text + 511, "\")");
    cr_assert_eq(ref_parse_all(slice_str(text), &k), 0);
    strcpy(text + 511, "x\")");
    cr_assert_eq(ref_parse_all(slice_str(text), &k), ECP_EKEYLONG);
}

Test(base_ref, round_trip)
{
    struct buf out = {0};
    struct key k;
    struct key again;
    for (int i = 0; i < 100000; i++) {
        random_key(&k, i % 10 ? 10 : 200);
        buf_clear(&out);
        cr_assert_eq(ref_print(&out, key_slice(&k)), 0);
        cr_assert_eq(ref_parse_all(buf_slice(&out), &again), 0);
        cr_assert(slice_equal(key_slice(&k), key_slice(&again)));
    }
    cr_assert_eq(ref_print(&out, slice_of("A\0\xff\0", 4)), ECP_EINVAL);
    buf_free(&out);
}

Test(base_ref, strings)
{
    struct buf text = {0};
    struct buf back = {0};
    uint8_t value[2000];
    size_t used;
    for (int i = 0; i < 5000; i++) {
        size_t len = random_below(sizeof value);
        uint32_t range = random_below(2) ? 256 : 33;
        for (size_t j = 0; j < len; j++)
            value[j] = (uint8_t)random_below(range);
        buf_clear(&text);
        zwr_put_string(&text, slice_of(value, len));
        for (size_t j = 0; j < text.len; j++)
            cr_assert(text.data[j] >= 32 && (text.data[j] < 127 || text.data[j] > 159));
        cr_assert_eq(zwr_parse_string(buf_slice(&text), &back, &used), 0);
        cr_assert_eq(used, text.len);
        cr_assert(slice_equal(buf_slice(&back), slice_of(value, len)));
    }
    memset(value, 0, 600);
    buf_clear(&text);
    zwr_put_string(&text, slice_of(value, 600));
    cr_assert(memmem(text.data, text.len, ")_$C(", 5));
    cr_assert_eq(zwr_parse_string(slice_str("007.50,"), &back, &used), 0);
    cr_assert(slice_equal(buf_slice(&back), slice_str("007.50")));
    buf_free(&text);
    buf_free(&back);
}

static int parse(const char *line, struct zwr_record *r)
{
    size_t fault;
    return zwr_parse_line(slice_str(line), r, &fault);
}

Test(base_ref, zwr_lines)
{
    struct zwr_record r = {0};
    cr_assert_eq(parse("^A(1)=\"x=y\"\r", &r), 0);
    cr_assert(slice_equal(r.value, slice_str("x=y")));
    cr_assert_eq(parse("^A=\"\"", &r), 0);
    cr_assert_eq(r.value.len, 0);
    cr_assert_eq(parse("^A=\"a\"\"b\"_$C(9)", &r), 0);
    cr_assert(slice_equal(r.value, slice_str("a\"b\t")));
    cr_assert_eq(parse("^A=12", &r), 0);
    cr_assert(slice_equal(r.value, slice_str("12")));
    cr_assert_not(r.piece);
    cr_assert_eq(parse("$ZE(^A(1),3,8)=\"abc\"", &r), 0);
    cr_assert(r.piece && r.offset == 3 && r.total == 8);
    static const char *const bad[] = {"^=\"\"",
                                      "^A",
                                      "^A=",
                                      "^A=\"",
                                      "^A=\"a\"b",
                                      "^A=\"\"\"",
                                      "x",
                                      "",
                                      "$ze(^A,6,8)=\"abc\"",
                                      "$ze(^A,1)=\"\"",
                                      "^A(1)x=\"\""};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        cr_assert_eq(parse(bad[i], &r), ECP_EINVAL, "%s", bad[i]);
    cr_assert_eq(parse("$ze(^A,1,5000000)=\"\"", &r), ECP_EVALUELONG);
    struct buf line = {0};
    buf_append_str(&line, "^A=\"");
    buf_reserve(&line, VALUE_MAX_LEN + 2);
    memset(line.data + line.len, 'x', VALUE_MAX_LEN + 1);
    line.data[line.len + VALUE_MAX_LEN] = '"';
    line.len += VALUE_MAX_LEN + 1;
    size_t fault;
    cr_assert_eq(zwr_parse_line(buf_slice(&line), &r, &fault), 0);
    line.data[line.len - 1] = 'x';
    buf_append_str(&line, "\"");
    cr_assert_eq(zwr_parse_line(buf_slice(&line), &r, &fault), ECP_EVALUELONG);
    buf_free(&line);
    buf_free(&r.scratch);
}

Test(base_ref, zwr_printer)
{
    struct zwr_printer p = {0};
    struct zwr_record r = {0};
    struct buf a = {0};
    struct buf b = {0};
    for (int i = 0; i < 200000; i++) {
        struct key k;
        struct text value;
        size_t fault;
        random_key(&k, i % 9 ? 3 : 150);
        random_text(&value, 30);
        buf_clear(&a);
        buf_clear(&b);
        cr_assert_eq(zwr_print_line(&a, key_slice(&k), text_slice(&value)), 0);
        cr_assert_eq(zwr_printer_line(&p, &b, key_slice(&k), text_slice(&value)), 0);
        cr_assert(slice_equal(buf_slice(&a), buf_slice(&b)));
        if (i % 7 == 0) {
            key_append(&k, slice_str("x"));
            k.data[k.len - 1] = 9;
            cr_assert_eq(zwr_printer_line(&p, &b, key_slice(&k), text_slice(&value)), ECP_EINVAL);
            cr_assert_eq(a.len, b.len);
        }
        a.len--;
        cr_assert_eq(zwr_parse_line(buf_slice(&a), &r, &fault), 0);
        cr_assert(slice_equal(r.value, text_slice(&value)));
    }
    cr_assert_eq(zwr_printer_line(&p, &b, slice_of("", 0), slice_of("", 0)), ECP_EINVAL);
    zwr_printer_free(&p);
    buf_free(&r.scratch);
    buf_free(&a);
    buf_free(&b);
}

static enum zwr_format detect(const char *a, const char *b, const char *c, int *header)
{
    return zwr_detect(slice_str(a), slice_str(b), slice_str(c), header);
}

Test(base_ref, formats)
{
    int n;
    struct buf out = {0};
    cr_assert_eq(detect("label", "01-JAN-2024 00:00:00 ZWR\r", "", &n), ZWR_FORMAT_ZWR);
    cr_assert_eq(n, 2);
    cr_assert_eq(detect("label", "01-JAN-2024 00:00:00", "^A(1)", &n), ZWR_FORMAT_GO);
    cr_assert_eq(n, 2);
    cr_assert_eq(detect("^A(\"=\")=\"x\"", "", "", &n), ZWR_FORMAT_ZWR);
    cr_assert_eq(n, 0);
    cr_assert_eq(detect("^A(1)", "value", "^A(2)", &n), ZWR_FORMAT_GO);
    cr_assert_eq(n, 0);
    cr_assert_eq(detect("", "", "", &n), ZWR_FORMAT_UNKNOWN);
    cr_assert_eq(detect("some", "other", "text", &n), ZWR_FORMAT_UNKNOWN);
    cr_assert_eq(n, 0);
    cr_assert_eq(detect("label", "15-DEC-2026 3:05 PM", "", &n), ZWR_FORMAT_GO, "without data");
    cr_assert_eq(n, 2);
    cr_assert_eq(detect("label", "15 Dec 2026", "^A(1)", &n), ZWR_FORMAT_GO);
    cr_assert_eq(n, 2);
    cr_assert_eq(detect("one line", "", "", &n), ZWR_FORMAT_UNKNOWN);
    cr_assert_eq(n, 0);
    cr_assert_eq(detect("two", "lines: 1 and 2", "", &n), ZWR_FORMAT_UNKNOWN);
    cr_assert_eq(n, 0);
    cr_assert_eq(detect("^A(bad", "^A(1)=\"one\"", "^A(2)=\"two\"", &n), ZWR_FORMAT_ZWR);
    cr_assert_eq(n, 0, "a record in the second line is no header");
    zwr_print_header(&out, "a\nb", 0, ZWR_FORMAT_ZWR);
    zwr_print_header(&out, "c", 1709210096, ZWR_FORMAT_GO);
    cr_assert(slice_equal(buf_slice(&out), slice_str("a b\n01-JAN-1970 00:00:00 ZWR\n"
                                                     "c\n29-FEB-2024 12:34:56\n")));
    buf_free(&out);
    cr_assert(go_value_ok(slice_str("")));
    cr_assert(go_value_ok(slice_str("a\rb")));
    cr_assert_not(go_value_ok(slice_str("a\r")));
    cr_assert_not(go_value_ok(slice_str("a\nb")));
}
