/* SPDX-License-Identifier: Apache-2.0 */
/* References and string expressions: parsing and printing. */
#include "base/ref.h"

#include "base/decimal.h"
#include "base/error.h"
#include "base/model.h"

/* YottaDB starts a new $C( after so many arguments. */
#define CHAR_ARGUMENTS_MAX 256

/* Bytes that end a run of plain ones in a string literal: 1 quote, 2 shown by $C. */
static const uint8_t byte_class[256] = {[0 ... 31] = 2, ['"'] = 1, [127 ... 159] = 2, [255] = 2};

/* What is left to parse. */
struct cursor {
    const uint8_t *at;
    const uint8_t *end;
};

static bool take(struct cursor *c, char wanted)
{
    if (c->at == c->end || *c->at != (uint8_t)wanted)
        return false;
    c->at++;
    return true;
}

/* A function name in capitals, compared without regard to case, and its parenthesis. */
static bool take_function(struct cursor *c, const char *name)
{
    size_t len = strlen(name);
    if ((size_t)(c->end - c->at) <= len || c->at[len] != '(')
        return false;
    for (size_t i = 0; i < len; i++) {
        uint8_t b = c->at[i];
        if (b >= 'a' && b <= 'z')
            b -= 'a' - 'A';
        if (b != (uint8_t)name[i])
            return false;
    }
    c->at += len + 1;
    return true;
}

static int add_bytes(struct buf *out, const uint8_t *data, size_t len)
{
    if (len > VALUE_MAX_LEN - out->len)
        return ECP_EVALUELONG;
    buf_append(out, data, len);
    return 0;
}

/* The rest of a literal after its opening quote. */
static int parse_literal(struct cursor *c, struct buf *out)
{
    for (;;) {
        const uint8_t *quote = memchr(c->at, '"', (size_t)(c->end - c->at));
        if (!quote) {
            c->at = c->end;
            return ECP_EINVAL;
        }
        bool doubled = quote + 1 < c->end && quote[1] == '"';
        /* Of a doubled quote the first one belongs to the value. */
        int error = add_bytes(out, c->at, (size_t)(quote - c->at) + doubled);
        if (error)
            return error;
        c->at = quote + 1 + doubled;
        if (!doubled)
            return 0;
    }
}

/* The arguments of $C after its opening parenthesis. */
static int parse_char_codes(struct cursor *c, struct buf *out)
{
    do {
        const uint8_t *start = c->at;
        unsigned code = 0;
        for (; c->at < c->end && *c->at >= '0' && *c->at <= '9' && code <= 255; c->at++)
            code = code * 10 + (unsigned)(*c->at - '0');
        if (c->at == start || code > 255)
            return ECP_EINVAL;
        uint8_t byte = (uint8_t)code;
        int error = add_bytes(out, &byte, 1);
        if (error)
            return error;
    } while (take(c, ','));
    return take(c, ')') ? 0 : ECP_EINVAL;
}

static int parse_expression(struct cursor *c, struct buf *out)
{
    do {
        int error;
        if (take(c, '"'))
            error = parse_literal(c, out);
        else if (take_function(c, "$C") || take_function(c, "$ZCH") || take_function(c, "$CHAR") ||
                 take_function(c, "$ZCHAR"))
            error = parse_char_codes(c, out);
        else
            error = ECP_EINVAL;
        if (error)
            return error;
    } while (take(c, '_'));
    return 0;
}

int zwr_parse_string(struct slice text, struct buf *out, size_t *used)
{
    struct cursor c = {text.data, text.data + text.len};
    struct decimal number;
    int error = 0;
    buf_clear(out);
    size_t len = decimal_parse(text, &number);
    if (len > 0) {
        c.at += len;
        error = add_bytes(out, text.data, len);
    } else {
        error = parse_expression(&c, out);
    }
    *used = (size_t)(c.at - text.data);
    return error;
}

/* A string expression that is not one plain literal: into a buffer first. */
static int parse_general_string(struct cursor *c, struct key *key)
{
    struct buf text = {0};
    const uint8_t *start = c->at;
    int error = parse_expression(c, &text);
    if (!error) {
        error = key_append(key, buf_slice(&text));
        if (error)
            c->at = start;
    }
    buf_free(&text);
    return error;
}

static int parse_string_subscript(struct cursor *c, struct key *key)
{
    const uint8_t *start = c->at;
    if (*start == '"') {
        const uint8_t *quote = memchr(start + 1, '"', (size_t)(c->end - start) - 1);
        if (quote && quote + 1 < c->end && (quote[1] == ',' || quote[1] == ')')) {
            int error = key_append(key, slice_of(start + 1, (size_t)(quote - start) - 1));
            if (!error)
                c->at = quote + 1;
            return error;
        }
    }
    return parse_general_string(c, key);
}

static int parse_number_subscript(struct cursor *c, struct key *key)
{
    struct decimal number;
    const uint8_t *end = c->at;
    while (end < c->end && *end != ',' && *end != ')')
        end++;
    struct slice text = slice_of(c->at, (size_t)(end - c->at));
    size_t len = text.len;
    if (!decimal_from_canonical(text, &number)) {
        len = decimal_parse(text, &number);
        if (len == 0 || number.inexact || !decimal_in_range(&number))
            return ECP_EINVAL;
    }
    int error = key_append_decimal(key, &number);
    if (!error)
        c->at += len;
    return error;
}

static int parse_subscripts(struct cursor *c, struct key *key)
{
    do {
        if (c->at == c->end)
            return ECP_EINVAL;
        int error = *c->at == '"' || *c->at == '$' ? parse_string_subscript(c, key)
                                                   : parse_number_subscript(c, key);
        if (error)
            return error;
    } while (take(c, ','));
    return take(c, ')') ? 0 : ECP_EINVAL;
}

static int parse_reference(struct cursor *c, struct key *key)
{
    key_root(key);
    if (!take(c, '^'))
        return ECP_EINVAL;
    const uint8_t *start = c->at;
    while (c->at < c->end && *c->at != '(' && *c->at != '=' && *c->at != ',' && *c->at != ')')
        c->at++;
    int error = key_global(key, slice_of(start, (size_t)(c->at - start)));
    if (error) {
        c->at = start;
        return error;
    }
    return take(c, '(') ? parse_subscripts(c, key) : 0;
}

int ref_parse(struct slice text, struct key *key, size_t *used)
{
    struct cursor c = {text.data, text.data + text.len};
    int error = parse_reference(&c, key);
    *used = (size_t)(c.at - text.data);
    return error;
}

int ref_parse_all(struct slice text, struct key *key)
{
    size_t used;
    if (text.len == 1 && text.data[0] == '^') {
        key_root(key);
        return 0;
    }
    int error = ref_parse(text, key, &used);
    if (error)
        return error;
    return used == text.len ? 0 : ECP_EINVAL;
}

static uint8_t *put_code(uint8_t *at, uint8_t code)
{
    if (code >= 100)
        *at++ = '0' + code / 100;
    if (code >= 10)
        *at++ = '0' + code / 10 % 10;
    *at++ = '0' + code % 10;
    return at;
}

/* Appends $C(..) for the bytes at the start of s that need it; returns their number. */
static size_t put_char_codes(struct buf *out, struct slice s)
{
    size_t n = 0;
    buf_append_str(out, "$C(");
    while (n < s.len && n < CHAR_ARGUMENTS_MAX && byte_class[s.data[n]] == 2) {
        uint8_t text[4];
        uint8_t *at = text;
        if (n > 0)
            *at++ = ',';
        at = put_code(at, s.data[n++]);
        buf_append(out, text, (size_t)(at - text));
    }
    buf_append(out, ")", 1);
    return n;
}

/* Appends a literal for the bytes at the start of s that can stand in it; returns their number. */
static size_t put_literal(struct buf *out, struct slice s)
{
    size_t n = 0;
    buf_append(out, "\"", 1);
    while (n < s.len && byte_class[s.data[n]] != 2) {
        size_t start = n;
        while (n < s.len && byte_class[s.data[n]] == 0)
            n++;
        buf_append(out, s.data + start, n - start);
        if (n < s.len && s.data[n] == '"') {
            buf_append(out, "\"\"", 2);
            n++;
        }
    }
    buf_append(out, "\"", 1);
    return n;
}

void zwr_put_string(struct buf *out, struct slice value)
{
    buf_reserve(out, value.len + 2);
    if (value.len == 0)
        buf_append(out, "\"\"", 2);
    for (size_t at = 0; at < value.len;) {
        struct slice rest = slice_of(value.data + at, value.len - at);
        if (at > 0)
            buf_append(out, "_", 1);
        at += byte_class[rest.data[0]] == 2 ? put_char_codes(out, rest) : put_literal(out, rest);
    }
}

int ref_print_level(struct buf *out, struct slice level, bool is_global)
{
    uint8_t text[SUBSCRIPT_MAX_LEN];
    int len = key_decode_level(level, is_global, text);
    if (len < 0)
        return ECP_EINVAL;
    if (is_global)
        buf_append(out, "^", 1);
    if (is_global || key_level_is_number(level))
        buf_append(out, text, (size_t)len);
    else
        zwr_put_string(out, slice_of(text, (size_t)len));
    return 0;
}

int ref_print(struct buf *out, struct slice key)
{
    size_t before = out->len;
    size_t at = 0;
    size_t len;
    unsigned depth = 0;
    if (key.len > KEY_MAX_LEN)
        return ECP_EINVAL;
    if (key.len == 0)
        buf_append(out, "^", 1);
    for (; at < key.len; at += len, depth++) {
        len = key_level_len(key, at);
        if (depth > 0)
            buf_append(out, depth == 1 ? "(" : ",", 1);
        if (len == 0 || ref_print_level(out, slice_of(key.data + at, len), at == 0)) {
            out->len = before;
            return ECP_EINVAL;
        }
    }
    if (depth > 1)
        buf_append(out, ")", 1);
    return 0;
}
