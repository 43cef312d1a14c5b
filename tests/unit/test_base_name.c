/* SPDX-License-Identifier: Apache-2.0 */
/* Properties of file names: bijective for every subscript, readable, refused when not canonical. */
#include <criterion/criterion.h>

#include "base/error.h"
#include "base/name.h"
#include "tests/unit/base_random.h"

static void print(const struct text *t, struct buf *out)
{
    struct key k;
    key_root(&k);
    cr_assert_eq(key_append(&k, slice_str("A")), 0);
    cr_assert_eq(key_append(&k, text_slice(t)), 0);
    buf_clear(out);
    cr_assert_eq(name_path_print(out, key_slice(&k)), 0);
}

static void check_components(struct slice path)
{
    size_t len = 0;
    for (size_t i = 0; i < path.len; i++) {
        len = path.data[i] == '/' ? 0 : len + 1;
        cr_assert_leq(len, NAME_MAX_LEN);
        cr_assert(path.data[i] >= 0x20 && path.data[i] != 0x7F);
        cr_assert_not(len == 1 && path.data[i] == '.');
    }
    cr_assert_neq(path.data[path.len - 1], '%');
}

static void check_round_trip(const struct text *t)
{
    struct buf path = {0};
    struct key k;
    uint8_t out[SUBSCRIPT_MAX_LEN];
    print(t, &path);
    check_components(buf_slice(&path));
    cr_assert_eq(name_path_parse(buf_slice(&path), &k), 0);
    cr_assert_eq(key_depth(key_slice(&k)), 2);
    int len = key_decode_level(key_last(key_slice(&k)), false, out);
    cr_assert(slice_equal(slice_of(out, (size_t)len), text_slice(t)));
    buf_free(&path);
}

static bool fits(const struct text *t)
{
    struct key k;
    key_global(&k, slice_str("A"));
    return key_append(&k, text_slice(t)) == 0;
}

/* A round trip back to the same bytes also means that distinct subscripts have distinct names. */
Test(base_name, round_trip)
{
    struct text t;
    for (int i = 0; i < 100000; i++) {
        random_text(&t, i % 4 ? 8 : SUBSCRIPT_MAX_LEN);
        if (fits(&t))
            check_round_trip(&t);
    }
    for (int a = 0; a < 256; a++) {
        for (int b = 0; b < 256; b++) {
            t = (struct text){.len = 2, .data = {(uint8_t)a, (uint8_t)b}};
            check_round_trip(&t);
        }
    }
}

Test(base_name, every_length)
{
    static const char fill[] = "x%./\x7f\xc3";
    for (size_t f = 0; f < sizeof fill - 1; f++) {
        for (size_t len = 1; len <= SUBSCRIPT_MAX_LEN; len++) {
            struct text t = {.len = len};
            memset(t.data, fill[f], len);
            check_round_trip(&t);
            t.data[len - 1] = '%';
            check_round_trip(&t);
            t.data[len / 2] = '.';
            check_round_trip(&t);
        }
    }
}

/* Whatever path is accepted prints as itself: no second name for a node. */
Test(base_name, accepted_is_printed)
{
    int accepted = 0;
    struct buf path = {0};
    struct buf again = {0};
    for (int i = 0; i < 300000; i++) {
        struct text t;
        struct key k;
        random_text(&t, i % 20 ? 7 : 400);
        if (i % 3 == 0 && fits(&t)) {
            print(&t, &path);
            path.data[2 + random_below((uint32_t)path.len - 2)] = "%0A/.-"[random_below(6)];
        } else {
            buf_clear(&path);
            buf_append_str(&path, "A/");
            buf_append_slice(&path, text_slice(&t));
        }
        if (memmem(path.data, path.len, "//", 2) || path.data[path.len - 1] == '/')
            continue;
        if (name_path_parse(buf_slice(&path), &k))
            continue;
        accepted++;
        buf_clear(&again);
        cr_assert_eq(name_path_print(&again, key_slice(&k)), 0);
        cr_assert(slice_equal(buf_slice(&again), buf_slice(&path)), "%.*s", (int)path.len,
                  (char *)path.data);
    }
    cr_assert_gt(accepted, 10000);
    buf_free(&path);
    buf_free(&again);
}

Test(base_name, examples)
{
    static const char *const rows[][2] = {
        {"name", "name"},
        {".01", "0.01"},
        {"-.5", "-0.5"},
        {"0.01", "%30.01"},
        {"-0.5", "%2D0.5"},
        {"0.50", "0.50"},
        {"0", "0"},
        {"-5", "-5"},
        {".", "%2E"},
        {"..", "%2E."},
        {".value", "%2Evalue"},
        {".lock", "%2Elock"},
        {"a/b", "a%2Fb"},
        {"100%", "100%25"},
        {"%ab", "%25ab"},
        {"%AB", "%25AB"},
        {"%1", "%1"},
        {"%1G", "%1G"},
        {"5% off", "5% off"},
        {"%%", "%%25"},
        {"a\tb", "a%09b"},
        {"\x7f", "%7F"},
        {"\xc3\xa9", "\xc3\xa9"},
        {".0", "%2E0"},
        {"0.0", "0.0"},
        {"0.", "0."},
        {"1.50", "1.50"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char out[NAME_MAX_LEN];
        uint8_t back[NAME_MAX_LEN];
        size_t covered;
        bool continued;
        struct slice sub = slice_str(rows[i][0]);
        size_t len = name_encode(sub, 0, out, &covered, &continued);
        cr_assert(slice_equal(slice_of(out, len), slice_str(rows[i][1])), "%s: %.*s", rows[i][0],
                  (int)len, out);
        cr_assert_not(continued);
        cr_assert_eq(covered, sub.len);
        int n = name_decode(slice_of(out, len), 0, back, &continued);
        cr_assert(n >= 0 && slice_equal(slice_of(back, (size_t)n), sub), "%s", rows[i][0]);
    }
}

Test(base_name, refused)
{
    static const char *const bad[] = {"",     ".01", "-.5",   "%41",  "%2f",  "%2D5", ".",
                                      "..",   ".x",  "%",     "a%",   "%ab",  "%AB",  "a\x01",
                                      "\x7f", "a/b", "%30.0", "%305", "0.01%"};
    uint8_t out[NAME_MAX_LEN];
    bool continued;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        cr_assert_eq(name_decode(slice_str(bad[i]), 0, out, &continued), -1, "%s", bad[i]);
    char long_name[NAME_MAX_LEN + 1];
    memset(long_name, 'x', sizeof long_name);
    cr_assert_eq(name_decode(slice_of(long_name, 256), 0, out, &continued), -1);
    cr_assert_eq(name_decode(slice_of(long_name, 255), 0, out, &continued), 255);
}

Test(base_name, paths)
{
    struct key a;
    struct key b;
    cr_assert_eq(name_path_parse(slice_str(""), &a), 0);
    cr_assert_eq(a.len, 0);
    cr_assert_eq(name_path_parse(slice_str("//P//5/name/.value"), &a), 0);
    cr_assert_eq(name_path_parse(slice_str("P/5/name"), &b), 0);
    cr_assert(slice_equal(key_slice(&a), key_slice(&b)));
    cr_assert_eq(name_path_parse(slice_str("P/.value/x"), &a), ECP_EINVAL);
    cr_assert_eq(name_path_parse(slice_str("/.value"), &a), ECP_EINVAL);
    cr_assert_eq(name_path_parse(slice_str("P/.lock"), &a), ECP_EINVAL);
    cr_assert_eq(name_path_parse(slice_str("5/x"), &a), ECP_EINVAL);
    cr_assert_eq(name_path_parse(slice_str("%25AB/x"), &a), 0);
    cr_assert_eq(name_path_parse(slice_str("%AB/x"), &a), ECP_EINVAL);
}

Test(base_name, continued_paths)
{
    struct key k;
    char path[1100] = "A/";
    memset(path + 2, 'x', 254);
    strcpy(path + 256, "%");
    cr_assert_eq(name_path_parse(slice_str(path), &k), ECP_EINVAL); /* cut */
    strcpy(path + 256, "%/y");                                      /* would fit: not continued */
    cr_assert_eq(name_path_parse(slice_str(path), &k), ECP_EINVAL);
    strcpy(path + 256, "%/yz");
    cr_assert_eq(name_path_parse(slice_str(path), &k), 0);
    memset(path + 258, 'x', 254);
    strcpy(path + 512, "%/yz");
    cr_assert_eq(name_path_parse(slice_str(path), &k), ECP_EKEYLONG);
}
