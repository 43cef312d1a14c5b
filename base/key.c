/* SPDX-License-Identifier: Apache-2.0 */
/* Key bytes: encoding, decoding and checking levels, and walking from level to level. */
#include "base/key.h"

#include "base/decimal.h"
#include "base/error.h"

#define BYTE_ZERO         0x80
#define BYTE_STRING       0xFF
#define BYTE_POSITIVE_MIN 0x81
#define BYTE_POSITIVE_MAX (BYTE_POSITIVE_MIN + DECIMAL_EXP_MAX - DECIMAL_EXP_MIN)
#define BYTE_NEGATIVE_MIN (0xFF - BYTE_POSITIVE_MAX)
#define BYTE_NEGATIVE_MAX (0xFF - BYTE_POSITIVE_MIN)
#define PAIRS_MAX         (DECIMAL_DIGITS / 2)
/* The shortest global name takes two bytes of a key. */
#define LEVEL_MAX_LEN (KEY_MAX_LEN - 2)

static bool is_letter(uint8_t c)
{
    return (uint8_t)((c | 0x20) - 'a') < 26;
}

static bool is_digit(uint8_t c)
{
    return (uint8_t)(c - '0') < 10;
}

/* Only what begins so can be a canonical number. */
static bool may_be_number(uint8_t c)
{
    return is_digit(c) || c == '-' || c == '.';
}

bool global_name_valid(struct slice name)
{
    if (name.len == 0 || name.len > GLOBAL_NAME_MAX)
        return false;
    if (!is_letter(name.data[0]) && name.data[0] != '%')
        return false;
    for (size_t i = 1; i < name.len; i++) {
        if (!is_letter(name.data[i]) && !is_digit(name.data[i]) && name.data[i] != '.')
            return false;
    }
    return true;
}

int key_global(struct key *k, struct slice name)
{
    if (!global_name_valid(name))
        return ECP_EINVAL;
    memcpy(k->data, name.data, name.len);
    k->data[name.len] = 0;
    k->len = (uint16_t)(name.len + 1);
    return 0;
}

int key_append_decimal(struct key *k, const struct decimal *d)
{
    uint8_t level[PAIRS_MAX + 2];
    size_t len = 0;
    if (d->count == 0) {
        level[len++] = BYTE_ZERO;
    } else {
        uint8_t flip = d->negative ? 0xFF : 0;
        level[len++] = (uint8_t)(BYTE_POSITIVE_MIN + d->exponent - DECIMAL_EXP_MIN) ^ flip;
        for (size_t i = 0; i < d->count; i += 2) {
            unsigned low = i + 1 < d->count ? d->digits[i + 1] : 0;
            level[len++] = (uint8_t)(d->digits[i] * 10 + low + 1) ^ flip;
        }
        level[len++] = flip;
    }
    if (len > (size_t)(KEY_MAX_LEN - k->len))
        return ECP_EKEYLONG;
    memcpy(k->data + k->len, level, len);
    k->len = (uint16_t)(k->len + len);
    return 0;
}

static int append_string(struct key *k, struct slice s)
{
    if (s.len + 2 > (size_t)(KEY_MAX_LEN - k->len))
        return ECP_EKEYLONG;
    uint8_t *at = k->data + k->len;
    /* One place stays free for the terminator. */
    const uint8_t *end = k->data + KEY_MAX_LEN - 1;
    *at++ = BYTE_STRING;
    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = s.data[i];
        if (at >= end)
            return ECP_EKEYLONG;
        if (c > 1) {
            *at++ = c;
            continue;
        }
        if (end - at < 2)
            return ECP_EKEYLONG;
        *at++ = 1;
        *at++ = c + 1;
    }
    *at++ = 0;
    k->len = (uint16_t)(at - k->data);
    return 0;
}

int key_append(struct key *k, struct slice subscript)
{
    struct decimal number;
    if (k->len == 0)
        return key_global(k, subscript);
    if (subscript.len == 0)
        return ECP_EINVAL;
    if (may_be_number(subscript.data[0]) && decimal_from_canonical(subscript, &number))
        return key_append_decimal(k, &number);
    return append_string(k, subscript);
}

void key_copy(struct key *k, struct slice bytes)
{
    k->len = (uint16_t)bytes.len;
    if (bytes.len)
        memcpy(k->data, bytes.data, bytes.len);
}

size_t key_level_len(struct slice key, size_t at)
{
    if (at >= key.len)
        return 0;
    const uint8_t *start = key.data + at;
    int terminator = 0;
    if (at > 0) {
        uint8_t c = *start;
        if (c == BYTE_ZERO)
            return 1;
        if (c < BYTE_ZERO)
            terminator = 0xFF;
    }
    /* Neither name, escaped string nor digit pairs contain their terminator. */
    const uint8_t *last = memchr(start + 1, terminator, key.len - at - 1);
    return last ? (size_t)(last - start) + 1 : 0;
}

static int decode_string(struct slice body, uint8_t *out)
{
    size_t len = 0;
    while (body.len > 0) {
        const uint8_t *escape = memchr(body.data, 1, body.len);
        size_t plain = escape ? (size_t)(escape - body.data) : body.len;
        memcpy(out + len, body.data, plain);
        len += plain;
        if (!escape)
            break;
        if (plain + 1 == body.len || (escape[1] != 1 && escape[1] != 2))
            return -1;
        out[len++] = escape[1] - 1;
        body = slice_of(escape + 2, body.len - plain - 2);
    }
    if (len == 0)
        return -1;
    if (may_be_number(out[0]) && number_is_canonical(slice_of(out, len)))
        return -1;
    return (int)len;
}

static int decode_number(struct slice level, uint8_t *out)
{
    struct decimal d = {.negative = level.data[0] < BYTE_ZERO};
    uint8_t flip = d.negative ? 0xFF : 0;
    uint8_t first = level.data[0] ^ flip;
    size_t pairs = level.len - 2;
    if (first < BYTE_POSITIVE_MIN || first > BYTE_POSITIVE_MAX || level.len < 3 ||
        pairs > PAIRS_MAX)
        return -1;
    if (level.data[level.len - 1] != flip)
        return -1;
    d.exponent = first - BYTE_POSITIVE_MIN + DECIMAL_EXP_MIN;
    for (size_t i = 0; i < pairs; i++) {
        unsigned pair = (unsigned)(level.data[i + 1] ^ flip) - 1;
        if (pair > 99)
            return -1;
        d.digits[2 * i] = (uint8_t)(pair / 10);
        d.digits[2 * i + 1] = (uint8_t)(pair % 10);
    }
    d.count = (uint8_t)(2 * pairs);
    if (d.digits[d.count - 1] == 0)
        d.count--;
    /* A first digit or last pair of zero would be a second spelling of the same number. */
    if (d.digits[0] == 0 || d.digits[d.count - 1] == 0)
        return -1;
    return (int)decimal_print(&d, out);
}

int key_decode_level(struct slice level, bool is_global, uint8_t *out)
{
    if (level.len == 0 || level.len > LEVEL_MAX_LEN)
        return -1;
    if (is_global) {
        struct slice name = slice_of(level.data, level.len - 1);
        if (level.data[level.len - 1] != 0 || !global_name_valid(name))
            return -1;
        memcpy(out, name.data, name.len);
        return (int)name.len;
    }
    if (level.data[0] == BYTE_STRING) {
        /* Only the last byte may be the terminator. */
        if (memchr(level.data, 0, level.len) != level.data + level.len - 1)
            return -1;
        return decode_string(slice_of(level.data + 1, level.len - 2), out);
    }
    if (level.data[0] == BYTE_ZERO) {
        out[0] = '0';
        return level.len == 1 ? 1 : -1;
    }
    return decode_number(level, out);
}

bool key_level_is_number(struct slice level)
{
    return level.len > 0 && level.data[0] >= BYTE_NEGATIVE_MIN &&
           level.data[0] <= BYTE_POSITIVE_MAX;
}

bool key_valid(struct slice bytes)
{
    return key_valid_after(bytes, 0);
}

bool key_valid_after(struct slice bytes, size_t same)
{
    uint8_t text[SUBSCRIPT_MAX_LEN];
    if (bytes.len > KEY_MAX_LEN)
        return false;
    for (size_t at = 0; at < bytes.len;) {
        size_t len = key_level_len(bytes, at);
        /* A level that lies in those bytes is one of that key. */
        bool known = len > 0 && at + len <= same;
        if (!known &&
            (len == 0 || key_decode_level(slice_of(bytes.data + at, len), at == 0, text) < 0))
            return false;
        at += len;
    }
    return true;
}

unsigned key_depth(struct slice key)
{
    unsigned depth = 0;
    size_t len;
    for (size_t at = 0; (len = key_level_len(key, at)) > 0; at += len)
        depth++;
    return depth;
}

struct slice key_parent(struct slice key)
{
    size_t at = 0;
    size_t len;
    while ((len = key_level_len(key, at)) > 0 && at + len < key.len)
        at += len;
    return slice_of(key.data, at);
}

struct slice key_last(struct slice key)
{
    size_t parent = key_parent(key).len;
    return slice_of(key.len ? key.data + parent : key.data, key.len - parent);
}

size_t key_common(struct slice a, struct slice b)
{
    size_t shorter = a.len < b.len ? a.len : b.len;
    size_t same = 0;
    while (same + 8 <= shorter && memcmp(a.data + same, b.data + same, 8) == 0)
        same += 8;
    while (same < shorter && a.data[same] == b.data[same])
        same++;
    /* Levels end where their bytes say, so what ends inside the common bytes ends in both. */
    struct slice common = slice_of(a.data, same);
    size_t at = 0;
    size_t len;
    while ((len = key_level_len(common, at)) > 0)
        at += len;
    return at;
}

size_t key_subtree_end(struct slice key, uint8_t *out)
{
    size_t len = key.len;
    if (len == 0)
        return 0;
    memcpy(out, key.data, len);
    /* Negative numbers end in 0xFF: the carry goes to the byte before, never past the name. */
    while (out[len - 1] == 0xFF)
        len--;
    out[len - 1]++;
    return len;
}
