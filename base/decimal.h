/* SPDX-License-Identifier: Apache-2.0 */
/* Decimal numbers taken apart: shared by the key, reference and number code, not for others. */
#ifndef BASE_DECIMAL_H
#define BASE_DECIMAL_H

#include "base/key.h"

#define DECIMAL_DIGITS  18
#define DECIMAL_EXP_MIN (-42)
#define DECIMAL_EXP_MAX 47

/*
 * 0.d1d2.. x 10^exponent. Zero has no digits and is not negative; otherwise neither the first
 * nor the last digit is 0. What decimal_parse yields may be out of the exponent's range.
 */
struct decimal {
    bool negative;
    bool inexact; /* decimal_parse rounded digits away */
    uint8_t count;
    int exponent;
    uint8_t digits[DECIMAL_DIGITS];
};

/* True when text is a canonical number; *d is it then. */
bool decimal_from_canonical(struct slice text, struct decimal *d);

/* Parses the longest numeric prefix of text (signs, digits, ".", "E" exponent), rounding to 18
 * digits. Returns its length; 0 and a zero when there is none. */
size_t decimal_parse(struct slice text, struct decimal *d);

static inline bool decimal_in_range(const struct decimal *d)
{
    return d->count == 0 || (d->exponent >= DECIMAL_EXP_MIN && d->exponent <= DECIMAL_EXP_MAX);
}

/* Writes the canonical text of a number in range (at most 62 bytes, no NUL); returns its length. */
size_t decimal_print(const struct decimal *d, uint8_t *out);

/* key_append for a number in range. */
int key_append_decimal(struct key *k, const struct decimal *d);

#endif
