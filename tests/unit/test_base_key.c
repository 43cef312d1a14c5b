/* SPDX-License-Identifier: Apache-2.0 */
/* Properties of key bytes: MUMPS order, bijection, limits, contiguous subtrees; errors and bufs. */
#include <criterion/criterion.h>
#include <errno.h>
#include <regex.h>

#include "base/buf.h"
#include "base/error.h"
#include "tests/unit/base_random.h"

/* The naive judge of numbers: a pattern, and counting in the text. */
static bool naive_is_number(const struct text *t)
{
    static regex_t pattern;
    static bool ready;
    char s[SUBSCRIPT_MAX_LEN + 1];
    if (!ready)
        regcomp(&pattern, "^(0|-?([1-9][0-9]*(\\.[0-9]*[1-9])?|\\.[0-9]*[1-9]))$",
                REG_EXTENDED | REG_NOSUB);
    ready = true;
    if (memchr(t->data, 0, t->len) || memchr(t->data, '\n', t->len))
        return false;
    memcpy(s, t->data, t->len);
    s[t->len] = 0;
    if (regexec(&pattern, s, 0, NULL, 0) != 0)
        return false;
    char digits[SUBSCRIPT_MAX_LEN + 1] = "", *end = digits;
    for (char *p = s; *p; p++)
        if (*p != '-' && *p != '.')
            *end++ = *p;
    char *first = digits + strspn(digits, "0");
    size_t len = strlen(first);
    while (len > 0 && first[len - 1] == '0')
        len--;
    char *start = s + (s[0] == '-');
    size_t integer = strcspn(start, ".");
    size_t zeros = start[0] == '.' ? strspn(start + 1, "0") : 0;
    return len <= 18 && integer <= 47 && zeros <= 42;
}

/* Value as 50 integer and 70 fraction digits; comparing magnitudes is comparing text. */
static int naive_expand(const struct text *t, char *out)
{
    size_t sign = t->data[0] == '-';
    size_t point = sign;
    while (point < t->len && t->data[point] != '.')
        point++;
    memset(out, '0', 120);
    memcpy(out + 50 - (point - sign), t->data + sign, point - sign);
    if (point + 1 < t->len)
        memcpy(out + 50, t->data + point + 1, t->len - point - 1);
    return sign ? -1 : 1;
}

static int naive_compare(const struct text *a, const struct text *b)
{
    bool na = naive_is_number(a);
    bool nb = naive_is_number(b);
    if (na != nb)
        return na ? -1 : 1;
    if (!na)
        return slice_compare(text_slice(a), text_slice(b));
    char x[120];
    char y[120];
    int sx = naive_expand(a, x);
    int sy = naive_expand(b, y);
    if (sx != sy)
        return sx;
    return sx * memcmp(x, y, 120);
}

static int sign_of(int v)
{
    return (v > 0) - (v < 0);
}

static void make(struct key *k, struct slice sub)
{
    key_root(k);
    cr_assert_eq(key_append(k, slice_str("A")), 0);
    cr_assert_eq(key_append(k, sub), 0);
}

static int compare(const struct text *a, const struct text *b)
{
    struct key x;
    struct key y;
    make(&x, text_slice(a));
    make(&y, text_slice(b));
    return sign_of(slice_compare(key_slice(&x), key_slice(&y)));
}

Test(base_key, order)
{
    for (int i = 0; i < 300000; i++) {
        struct text a;
        struct text b;
        random_text(&a, i % 3 ? 6 : 40);
        random_text(&b, i % 3 ? 6 : 40);
        cr_assert_eq(compare(&a, &b), sign_of(naive_compare(&a, &b)), "%.*s %.*s", (int)a.len,
                     (char *)a.data, (int)b.len, (char *)b.data);
        cr_assert_eq(number_is_canonical(text_slice(&a)), naive_is_number(&a));
    }
}

static void check_level(const struct text *t)
{
    struct key k;
    uint8_t out[SUBSCRIPT_MAX_LEN];
    key_root(&k);
    key_append(&k, slice_str("A"));
    int error = key_append(&k, text_slice(t));
    if (error) {
        cr_assert_eq(error, ECP_EKEYLONG);
        cr_assert_eq(k.len, 2);
        return;
    }
    cr_assert(key_valid(key_slice(&k)));
    struct slice level = key_last(key_slice(&k));
    cr_assert_eq(key_level_is_number(level), naive_is_number(t));
    int len = key_decode_level(level, false, out);
    cr_assert(len >= 0 && slice_equal(slice_of(out, (size_t)len), text_slice(t)));
}

Test(base_key, bijection)
{
    for (int i = 0; i < 200000; i++) {
        struct text t;
        random_text(&t, i % 10 ? 30 : SUBSCRIPT_MAX_LEN);
        check_level(&t);
    }
    for (int c = 0; c < 256; c++) {
        struct text t = {.len = 3, .data = {'x', (uint8_t)c, 'y'}};
        check_level(&t);
        t = (struct text){.len = 1, .data = {(uint8_t)c}};
        check_level(&t);
    }
}

/* Whatever key_valid accepts, key_append makes again from its decoded levels. */
static bool rebuilds(struct slice bytes)
{
    struct key k;
    key_root(&k);
    for (size_t at = 0, len; at < bytes.len; at += len) {
        uint8_t out[SUBSCRIPT_MAX_LEN];
        len = key_level_len(bytes, at);
        int n = len ? key_decode_level(slice_of(bytes.data + at, len), at == 0, out) : -1;
        if (n < 0 || key_append(&k, slice_of(out, (size_t)n)))
            return false;
    }
    return slice_equal(key_slice(&k), bytes);
}

Test(base_key, valid_is_what_append_makes)
{
    int valid = 0;
    for (int i = 0; i < 400000; i++) {
        struct key k;
        random_key(&k, 5);
        for (uint32_t n = random_below(3); n > 0; n--)
            k.data[random_below(k.len)] =
                (uint8_t)(random_below(2) ? random_below(3) : random_below(256));
        if (random_below(4) == 0)
            k.len = (uint16_t)(k.len - random_below(k.len));
        bool ok = key_valid(key_slice(&k));
        valid += ok;
        cr_assert_eq(ok, rebuilds(key_slice(&k)));
    }
    cr_assert_gt(valid, 1000);
}

Test(base_key, valid_after)
{
    for (int i = 0; i < 200000; i++) {
        struct key a, b;
        random_key(&a, 5);
        random_key(&b, 5);
        size_t same = random_below(a.len + 1u);
        if (b.len < same)
            b.len = (uint16_t)same;
        memcpy(b.data, a.data, same);
        cr_assert_eq(key_valid_after(key_slice(&b), same), key_valid(key_slice(&b)));
    }
}

Test(base_key, malformed)
{
    static const struct {
        const char *bytes;
        size_t len;
    } bad[] = {
        {"A", 1},
        {"A\0\xff\0", 4}, /* empty string */
        {"A\0\xff"
         "5\0",
         5},                      /* a number as string */
        {"A\0\xff\x01\x03\0", 6}, /* unknown escape */
        {"A\0\xff"
         "a\x01\0",
         6},                                                       /* cut escape */
        {"A\0\xac\x01\0", 5},                                      /* first pair zero */
        {"A\0\xac\x0b\x01\0", 6},                                  /* last pair zero */
        {"A\0\xac\x66\0", 5},                                      /* pair 101 */
        {"A\0\xac\0", 4},                                          /* no pair */
        {"A\0\xdb\x0b\0", 5},                                      /* exponent 48 */
        {"A\0\x24\xf4\xff", 5},                                    /* the same, negative */
        {"A\0\xac\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\0", 14}, /* ten pairs */
        {"A\0\x7f\xd1\xff", 5},                                    /* exponent -43, negative */
        {"1\0", 2},
        {"\0", 1},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        cr_assert_not(key_valid(slice_of(bad[i].bytes, bad[i].len)), "%zu", i);
    cr_assert(key_valid(slice_of("", 0)));
}

Test(base_key, limits)
{
    struct text t;
    struct key k;
    memset(t.data, 'x', sizeof t.data);
    t.len = SUBSCRIPT_MAX_LEN;
    make(&k, text_slice(&t));
    cr_assert_eq(k.len, KEY_MAX_LEN);
    cr_assert_eq(key_append(&k, slice_str("0")), ECP_EKEYLONG);
    t.data[9] = 0;
    key_root(&k);
    key_append(&k, slice_str("A"));
    cr_assert_eq(key_append(&k, text_slice(&t)), ECP_EKEYLONG);
    cr_assert_eq(key_append(&k, slice_of(t.data, 0)), ECP_EINVAL);
    cr_assert_eq(k.len, 2);
    while (key_append(&k, slice_str("0")) == 0)
        ;
    cr_assert_eq(k.len, KEY_MAX_LEN);
    cr_assert_eq(key_depth(key_slice(&k)), KEY_MAX_LEN - 1);
}

Test(base_key, global_names)
{
    static const char *const good[] = {"A", "%", "%AB", "a.b", "Z9", "%9"};
    static const char *const bad[] = {"", "9", ".A", "A%", "A_B", "A B", "^A"};
    char name[33] = "abcdefghijklmnopqrstuvwxyzabcdef";
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        cr_assert(global_name_valid(slice_str(good[i])));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        cr_assert_not(global_name_valid(slice_str(bad[i])));
    cr_assert(global_name_valid(slice_of(name, 31)));
    cr_assert_not(global_name_valid(slice_of(name, 32)));
}

Test(base_key, subtree)
{
    for (int i = 0; i < 300000; i++) {
        struct key a;
        struct key b;
        uint8_t end[KEY_MAX_LEN + 1];
        random_key(&a, 2);
        random_key(&b, 2);
        struct slice x = key_slice(&a);
        struct slice y = key_slice(&b);
        bool inside = slice_has_prefix(y, x);
        struct slice bound = slice_of(end, key_subtree_end(x, end));
        bool between = slice_compare(y, x) >= 0 && slice_compare(y, bound) < 0;
        cr_assert_eq(inside, between);
        /* A prefix is always an ancestor. */
        if (inside) {
            while (y.len > x.len)
                y = key_parent(y);
            cr_assert_eq(y.len, x.len);
        }
        struct slice z = key_slice(&b);
        cr_assert_eq(key_parent(z).len + key_last(z).len, z.len);
        size_t common = key_common(x, z);
        while (!slice_has_prefix(x, z))
            z = key_parent(z);
        cr_assert_eq(common, z.len);
    }
    uint8_t end[KEY_MAX_LEN + 1];
    cr_assert_eq(key_subtree_end(slice_of("", 0), end), 0);
    cr_assert_eq(key_parent(slice_of("", 0)).len, 0);
    cr_assert_eq(key_parent(slice_of("A\0", 2)).len, 0);
}

Test(base_key, errors)
{
    for (int i = 0; i < ECP_ERROR_END; i++)
        cr_assert_str_neq(error_name(i), "EUNKNOWN");
    cr_assert_str_eq(error_name(ECP_ERROR_END), "EUNKNOWN");
    cr_assert_str_eq(error_text(-1), "unknown error");
    cr_assert_eq(error_errno(ECP_EVALUELONG), EFBIG);
    cr_assert_eq(error_errno(1000), EIO);
}

Test(base_key, buffers)
{
    struct buf b = {0};
    put_u8(&b, 1);
    put_u16(&b, 0x0203);
    put_u32(&b, 0);
    put_u64(&b, UINT64_MAX - 1);
    put_bytes16(&b, slice_str("ab"));
    put_bytes32(&b, slice_str(""));
    patch_u32(&b, 3, 0x04050607);
    cr_assert_eq(b.data[1], 3);
    struct reader r = reader_of(buf_slice(&b));
    cr_assert_eq(get_u8(&r), 1);
    cr_assert_eq(get_u16(&r), 0x0203);
    cr_assert_eq(get_u32(&r), 0x04050607);
    cr_assert_eq(get_u64(&r), UINT64_MAX - 1);
    cr_assert(slice_equal(get_bytes16(&r), slice_str("ab")));
    cr_assert_eq(get_bytes32(&r).len, 0);
    cr_assert(reader_at_end(&r));
    cr_assert_eq(get_u8(&r), 0);
    cr_assert(r.bad);
    buf_consume(&b, b.len - 4);
    cr_assert_eq(b.len, 4);
    buf_clear(&b);
    buf_printf(&b, "%d-%s", 7, "x");
    cr_assert(slice_equal(buf_slice(&b), slice_str("7-x")));
    buf_printf(&b, "%200d", 5);
    cr_assert_eq(b.len, 203);
    cr_assert_eq(b.data[202], '5');
    buf_free(&b);
}
