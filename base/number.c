/* SPDX-License-Identifier: Apache-2.0 */
/* Decimal numbers of M: recognising, reading, printing and adding them. */
#include "base/number.h"

#include "base/decimal.h"
#include "base/error.h"

/* Past any range, small enough that sums of a few stay ints. */
#define EXPONENT_LIMIT 1000000

static bool is_digit(uint8_t c)
{
    return (uint8_t)(c - '0') < 10;
}

/*
 * Digits and point of a canonical number without its sign: one pass that keeps the digits up to
 * the last nonzero one, so zeros in between are known to count only when another digit follows.
 */
static bool scan_canonical(const uint8_t *at, const uint8_t *end, struct decimal *d)
{
    bool point = false;
    int position = 0; /* of the next digit, counted from the first significant one */
    int integer = 0;  /* digits before the point */
    int leading = 0;  /* zeros between a leading point and the first significant digit */
    size_t count = 0;
    for (const uint8_t *p = at; p < end; p++) {
        if (*p == '.') {
            if (point)
                return false;
            point = true;
            continue;
        }
        if (!is_digit(*p))
            return false;
        if (!point)
            integer++;
        if (*p == '0' && position == 0) {
            if (!point)
                return false; /* a leading zero */
            leading++;
            continue;
        }
        if (position < DECIMAL_DIGITS)
            d->digits[position] = *p - '0';
        position++;
        if (*p != '0')
            count = (size_t)position;
    }
    if (count == 0 || count > DECIMAL_DIGITS || (point && (end[-1] == '0' || end[-1] == '.')))
        return false;
    d->count = (uint8_t)count;
    d->exponent = integer ? integer : -leading;
    return decimal_in_range(d);
}

bool decimal_from_canonical(struct slice text, struct decimal *d)
{
    const uint8_t *at = text.data;
    const uint8_t *end = at + text.len;
    d->inexact = false;
    d->negative = false;
    /* "-", a point, 42 zeros and 18 digits are the longest there is. */
    if (text.len == 0 || text.len > 62)
        return false;
    if (text.len == 1 && *at == '0') {
        d->count = 0;
        d->exponent = 0;
        return true;
    }
    if (*at == '-') {
        d->negative = true;
        at++;
    }
    return scan_canonical(at, end, d);
}

bool number_is_canonical(struct slice text)
{
    struct decimal d;
    return decimal_from_canonical(text, &d);
}

static void set_zero(struct decimal *d)
{
    d->negative = false;
    d->count = 0;
    d->exponent = 0;
}

/* Adds one to the last of the 18 digits kept. */
static void round_up(struct decimal *d)
{
    size_t i = DECIMAL_DIGITS;
    while (i > 0 && d->digits[i - 1] == 9)
        d->digits[--i] = 0;
    if (i > 0) {
        d->digits[i - 1]++;
        return;
    }
    d->digits[0] = 1;
    d->exponent++;
}

/* Reads "E", an optional sign and digits; returns the bytes used, 0 when there is no exponent. */
static size_t parse_exponent(const uint8_t *at, const uint8_t *end, int *exponent)
{
    const uint8_t *p = at;
    bool negative = false;
    int value = 0;
    if (p == end || *p != 'E')
        return 0;
    p++;
    if (p < end && (*p == '+' || *p == '-'))
        negative = *p++ == '-';
    if (p == end || !is_digit(*p))
        return 0;
    for (; p < end && is_digit(*p); p++) {
        if (value < EXPONENT_LIMIT)
            value = value * 10 + (*p - '0');
    }
    *exponent = negative ? -value : value;
    return (size_t)(p - at);
}

/* Reads digits with at most one point; returns the end and whether there was any digit. */
static const uint8_t *parse_digits(const uint8_t *p, const uint8_t *end, struct decimal *d,
                                   bool *any)
{
    bool point = false;
    size_t seen = 0; /* digits from the first nonzero one */
    bool half = false;
    d->exponent = 0;
    *any = false;
    for (; p < end && (is_digit(*p) || (*p == '.' && !point)); p++) {
        if (*p == '.') {
            point = true;
            continue;
        }
        *any = true;
        if (!point && (seen > 0 || *p != '0') && d->exponent < EXPONENT_LIMIT)
            d->exponent++;
        if (seen == 0 && *p == '0') {
            if (point && d->exponent > -EXPONENT_LIMIT)
                d->exponent--;
            continue;
        }
        if (seen < DECIMAL_DIGITS) {
            d->digits[seen] = *p - '0';
        } else {
            half |= seen == DECIMAL_DIGITS && *p >= '5';
            d->inexact |= *p != '0';
        }
        seen++;
    }
    d->count = (uint8_t)(seen < DECIMAL_DIGITS ? seen : DECIMAL_DIGITS);
    if (half)
        round_up(d);
    return p;
}

size_t decimal_parse(struct slice text, struct decimal *d)
{
    const uint8_t *p = text.data;
    const uint8_t *end = p + text.len;
    bool negative = false;
    bool any;
    int exponent = 0;
    memset(d, 0, sizeof *d);
    for (; p < end && (*p == '+' || *p == '-'); p++)
        negative ^= *p == '-';
    p = parse_digits(p, end, d, &any);
    if (!any) {
        set_zero(d);
        return 0;
    }
    p += parse_exponent(p, end, &exponent);
    while (d->count > 0 && d->digits[d->count - 1] == 0)
        d->count--;
    d->negative = negative;
    d->exponent += exponent;
    if (d->count == 0)
        set_zero(d);
    return (size_t)(p - text.data);
}

size_t decimal_print(const struct decimal *d, uint8_t *out)
{
    uint8_t *at = out;
    if (d->count == 0) {
        *out = '0';
        return 1;
    }
    if (d->negative)
        *at++ = '-';
    if (d->exponent <= 0) {
        *at++ = '.';
        for (int i = d->exponent; i < 0; i++)
            *at++ = '0';
    }
    for (int i = 0; i < d->count; i++) {
        if (i > 0 && i == d->exponent)
            *at++ = '.';
        *at++ = '0' + d->digits[i];
    }
    for (int i = d->count; i < d->exponent; i++)
        *at++ = '0';
    return (size_t)(at - out);
}

/* The digits as an integer of exactly 18 digits, with the sign. */
static __int128 mantissa(const struct decimal *d)
{
    __int128 m = 0;
    for (int i = 0; i < DECIMAL_DIGITS; i++)
        m = m * 10 + (i < d->count ? d->digits[i] : 0);
    return d->negative ? -m : m;
}

/* The decimal nearest to m x 10^scale. */
static void from_integer(__int128 m, int scale, struct decimal *d)
{
    uint8_t text[40];
    size_t len = sizeof text;
    bool negative = m < 0;
    if (negative)
        m = -m;
    for (; m > 0; m /= 10)
        text[--len] = (uint8_t)('0' + (int)(m % 10));
    decimal_parse(slice_of(text + len, sizeof text - len), d);
    if (d->count == 0)
        return;
    d->negative = negative;
    d->exponent += scale;
}

static void add(const struct decimal *a, const struct decimal *b, struct decimal *sum)
{
    if (a->count == 0 || b->count == 0) {
        *sum = a->count ? *a : *b;
        return;
    }
    const struct decimal *large = a->exponent >= b->exponent ? a : b;
    const struct decimal *small = large == a ? b : a;
    int shift = large->exponent - small->exponent;
    /* Beyond 19 places the small one is under a twentieth of the last digit: it rounds away. */
    if (shift > 19) {
        *sum = *large;
        return;
    }
    __int128 m = mantissa(large);
    for (int i = 0; i < shift; i++)
        m *= 10;
    from_integer(m + mantissa(small), small->exponent - DECIMAL_DIGITS, sum);
}

static int check_range(struct decimal *d)
{
    if (d->count > 0 && d->exponent > DECIMAL_EXP_MAX)
        return ECP_ENUMERIC;
    if (!decimal_in_range(d))
        set_zero(d);
    return 0;
}

int number_add(struct slice a, struct slice b, char *out, size_t *len)
{
    struct decimal x;
    struct decimal y;
    struct decimal sum;
    decimal_parse(a, &x);
    decimal_parse(b, &y);
    if (check_range(&x) || check_range(&y))
        return ECP_ENUMERIC;
    add(&x, &y, &sum);
    if (check_range(&sum))
        return ECP_ENUMERIC;
    *len = decimal_print(&sum, (uint8_t *)out);
    return 0;
}
