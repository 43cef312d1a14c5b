/* SPDX-License-Identifier: Apache-2.0 */
/* Subscripts as file names: one encoder; every decoded name is judged by encoding it again. */
#include "base/name.h"

#include "base/error.h"

/* What a component that is continued may hold before its final "%". */
#define CONTINUED_MAX_LEN (NAME_MAX_LEN - 1)
/* Less than this and another unit (an escape at most) would have fitted. */
#define CONTINUED_MIN_LEN (CONTINUED_MAX_LEN - 2 + 1)
/* The most components that a subscript can need: all escapes. */
#define COMPONENTS_MAX (SUBSCRIPT_MAX_LEN * 3 / (CONTINUED_MIN_LEN - 1) + 1)

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

static bool is_hex_any_case(uint8_t c)
{
    return hex_digit(c) >= 0 || (c >= 'a' && c <= 'f');
}

/* Length of the sign in front of a number's text. */
static size_t sign_len(struct slice s)
{
    return s.len > 0 && s.data[0] == '-';
}

/* True for canonical numbers between -1 and 1 other than 0, which are shown with a zero. */
static bool is_fraction(struct slice s)
{
    size_t sign = sign_len(s);
    return s.len > sign + 1 && s.data[sign] == '.' && number_is_canonical(s);
}

/* Takes the zero out of "0.5" or "-0.5"; true when that leaves a canonical number. */
static bool strip_zero(struct slice s, uint8_t *out, size_t *len)
{
    size_t sign = sign_len(s);
    /* No canonical number is longer than 62 bytes. */
    if (s.len < sign + 3 || s.len > 63 || s.data[sign] != '0' || s.data[sign + 1] != '.')
        return false;
    memcpy(out, s.data, sign);
    memcpy(out + sign, s.data + sign + 1, s.len - sign - 1);
    *len = s.len - 1;
    return is_fraction(slice_of(out, *len));
}

static bool looks_like_fraction(struct slice s)
{
    uint8_t text[64];
    size_t len;
    return strip_zero(s, text, &len);
}

/* Whether the byte at `at` is escaped. lead: it begins a component. */
static bool needs_escape(struct slice s, size_t at, bool lead, bool continued)
{
    uint8_t c = s.data[at];
    if (c < 0x20 || c == 0x7F || c == '/')
        return true;
    if (c == '.')
        return lead;
    if (c != '%')
        return false;
    if (continued || at + 1 == s.len)
        return true;
    return at + 2 < s.len && is_hex_any_case(s.data[at + 1]) && is_hex_any_case(s.data[at + 2]);
}

/*
 * Writes the units of s from `from` on that fit into limit bytes; *covered gets how many bytes of
 * s they stand for. escape_first: whatever the first byte is.
 */
static size_t put_units(struct slice s, size_t from, bool escape_first, bool continued,
                        size_t limit, char *out, size_t *covered)
{
    static const char hex[] = "0123456789ABCDEF";
    size_t len = 0;
    size_t at = from;
    for (; at < s.len; at++) {
        bool lead = at == from;
        if ((lead && escape_first) || needs_escape(s, at, lead, continued)) {
            if (limit - len < 3)
                break;
            out[len++] = '%';
            out[len++] = hex[s.data[at] >> 4];
            out[len++] = hex[s.data[at] & 15];
        } else {
            if (len == limit)
                break;
            out[len++] = (char)s.data[at];
        }
    }
    *covered = at - from;
    return len;
}

size_t name_encode(struct slice subscript, size_t from, char *out, size_t *covered, bool *continued)
{
    *continued = false;
    if (from == 0 && is_fraction(subscript)) {
        size_t sign = sign_len(subscript);
        memcpy(out, subscript.data, sign);
        out[sign] = '0';
        memcpy(out + sign + 1, subscript.data + sign, subscript.len - sign);
        *covered = subscript.len;
        return subscript.len + 1;
    }
    bool escape_first = from == 0 && looks_like_fraction(subscript);
    size_t len = put_units(subscript, from, escape_first, false, NAME_MAX_LEN, out, covered);
    if (from + *covered == subscript.len)
        return len;
    *continued = true;
    len = put_units(subscript, from, escape_first, true, CONTINUED_MAX_LEN, out, covered);
    out[len++] = '%';
    return len;
}

/* A "%" before two upper-case hex digits stands for a byte, any other one for itself. */
static size_t unescape(struct slice s, uint8_t *out)
{
    size_t len = 0;
    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = s.data[i];
        if (c == '%' && i + 2 < s.len && hex_digit(s.data[i + 1]) >= 0 &&
            hex_digit(s.data[i + 2]) >= 0) {
            c = (uint8_t)(hex_digit(s.data[i + 1]) << 4 | hex_digit(s.data[i + 2]));
            i += 2;
        }
        out[len++] = c;
    }
    return len;
}

static bool is_final_name(struct slice bytes, bool first, struct slice component)
{
    char again[NAME_MAX_LEN];
    size_t covered;
    bool continued;
    size_t len;
    if (first) {
        len = name_encode(bytes, 0, again, &covered, &continued);
    } else {
        len = put_units(bytes, 0, false, false, NAME_MAX_LEN, again, &covered);
        continued = false;
    }
    return !continued && covered == bytes.len && slice_equal(slice_of(again, len), component);
}

static int decode_continued(struct slice component, uint8_t *out)
{
    char again[NAME_MAX_LEN];
    size_t covered;
    struct slice units = slice_of(component.data, component.len - 1);
    if (component.len < CONTINUED_MIN_LEN)
        return -1;
    struct slice bytes = slice_of(out, unescape(units, out));
    size_t len = put_units(bytes, 0, false, true, CONTINUED_MAX_LEN, again, &covered);
    if (covered != bytes.len || !slice_equal(slice_of(again, len), units))
        return -1;
    return (int)bytes.len;
}

int name_decode(struct slice component, size_t from, uint8_t *out, bool *continued)
{
    *continued = false;
    if (component.len == 0 || component.len > NAME_MAX_LEN)
        return -1;
    if (component.data[component.len - 1] == '%') {
        *continued = true;
        return decode_continued(component, out);
    }
    size_t len = unescape(component, out);
    if (is_final_name(slice_of(out, len), from == 0, component))
        return (int)len;
    /* "0.5" is the name of the number .5, which no decoding of bytes yields. */
    if (from > 0 || !strip_zero(component, out, &len))
        return -1;
    return is_final_name(slice_of(out, len), true, component) ? (int)len : -1;
}

bool name_canonical(struct slice subscript, size_t from, struct slice component)
{
    char again[NAME_MAX_LEN];
    size_t covered;
    bool continued;
    if (from >= subscript.len)
        return false;
    size_t len = name_encode(subscript, from, again, &covered, &continued);
    return slice_equal(slice_of(again, len), component);
}

/* Cuts the next component off a path; empty at its end. */
static struct slice next_component(struct slice *path)
{
    if (path->len == 0)
        return *path;
    while (path->len > 0 && path->data[0] == '/') {
        path->data++;
        path->len--;
    }
    const uint8_t *slash = memchr(path->data, '/', path->len);
    struct slice component = slice_of(path->data, slash ? (size_t)(slash - path->data) : path->len);
    path->data += component.len;
    path->len -= component.len;
    return component;
}

/* Reads the components of one subscript, the first of which was cut off already. */
static int parse_subscript(struct slice first, struct slice *path, struct key *key)
{
    uint8_t bytes[SUBSCRIPT_MAX_LEN + NAME_MAX_LEN];
    struct slice components[COMPONENTS_MAX];
    size_t starts[COMPONENTS_MAX];
    size_t count = 0;
    size_t len = 0;
    bool continued;
    struct slice component = first;
    do {
        if (count == COMPONENTS_MAX || len > SUBSCRIPT_MAX_LEN)
            return ECP_EKEYLONG;
        int n = name_decode(component, len, bytes + len, &continued);
        if (n < 0)
            return ECP_EINVAL;
        components[count] = component;
        starts[count++] = len;
        len += (size_t)n;
        if (continued)
            component = next_component(path);
    } while (continued);
    if (len > SUBSCRIPT_MAX_LEN)
        return ECP_EKEYLONG;
    for (size_t i = 0; count > 1 && i < count; i++) {
        if (!name_canonical(slice_of(bytes, len), starts[i], components[i]))
            return ECP_EINVAL;
    }
    return key_append(key, slice_of(bytes, len));
}

int name_path_parse(struct slice path, struct key *key)
{
    key_root(key);
    for (;;) {
        struct slice component = next_component(&path);
        if (component.len == 0)
            return 0;
        if (key->len > 0 && slice_equal(component, slice_str(".value")))
            return next_component(&path).len == 0 ? 0 : ECP_EINVAL;
        int error = parse_subscript(component, &path, key);
        if (error)
            return error;
    }
}

static void print_level(struct buf *out, struct slice subscript)
{
    char component[NAME_MAX_LEN];
    size_t covered;
    bool continued;
    size_t from = 0;
    do {
        size_t len = name_encode(subscript, from, component, &covered, &continued);
        if (from > 0)
            buf_append(out, "/", 1);
        buf_append(out, component, len);
        from += covered;
    } while (continued);
}

int name_path_print(struct buf *out, struct slice key)
{
    size_t before = out->len;
    size_t len;
    if (key.len > KEY_MAX_LEN)
        return ECP_EINVAL;
    for (size_t at = 0; at < key.len; at += len) {
        uint8_t text[SUBSCRIPT_MAX_LEN];
        len = key_level_len(key, at);
        int n = key_decode_level(slice_of(key.data + at, len), at == 0, text);
        if (n < 0) {
            out->len = before;
            return ECP_EINVAL;
        }
        if (at > 0)
            buf_append(out, "/", 1);
        print_level(out, slice_of(text, (size_t)n));
    }
    return 0;
}
