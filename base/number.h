/* SPDX-License-Identifier: Apache-2.0 */
/* Decimal arithmetic of M for INCREMENT: 18 significant digits, canonical text out. */
#ifndef BASE_NUMBER_H
#define BASE_NUMBER_H

#include "base/slice.h"

#define NUMBER_TEXT_MAX 128 /* bytes of the longest canonical number, with room to spare */

/*
 * out = number(a) + number(b) as canonical text. A string's number is that of its longest numeric
 * prefix (signs, digits, ".", "E" exponent), 0 when there is none. Digits beyond 18 are rounded
 * half away from zero. out holds NUMBER_TEXT_MAX bytes; *len gets its length (no NUL).
 * ECP_ENUMERIC when the result's magnitude is 1E47 or more; below 1E-43 the result is 0.
 */
int number_add(struct slice a, struct slice b, char *out, size_t *len);

#endif
