/* SPDX-License-Identifier: Apache-2.0 */
/* ZWR and GO records: parsing and printing lines, guessing the format, headers. */
#include "base/zwr.h"

#include <strings.h>
#include <time.h>

#include "base/error.h"
#include "base/model.h"

static bool starts_piece(struct slice line)
{
    return line.len > 4 && strncasecmp((const char *)line.data, "$ze(", 4) == 0;
}

static struct slice rest_of(struct slice s, size_t at)
{
    return slice_of(s.data + at, s.len - at);
}

static bool take(struct slice line, size_t *at, char wanted)
{
    if (*at >= line.len || line.data[*at] != (uint8_t)wanted)
        return false;
    ++*at;
    return true;
}

static bool take_count(struct slice line, size_t *at, uint64_t *count)
{
    size_t start = *at;
    *count = 0;
    for (; *at < line.len && line.data[*at] >= '0' && line.data[*at] <= '9'; ++*at) {
        if (*count > VALUE_MAX_LEN)
            return false;
        *count = *count * 10 + (line.data[*at] - '0');
    }
    return *at > start;
}

/* The reference, and the offset and length of a piece; *at ends behind the "=". */
static int parse_left(struct slice line, struct zwr_record *record, size_t *at)
{
    size_t used;
    record->piece = starts_piece(line);
    record->offset = 0;
    record->total = 0;
    if (record->piece)
        *at = 4;
    int error = ref_parse(rest_of(line, *at), &record->key, &used);
    *at += used;
    if (error)
        return error;
    if (record->piece) {
        if (!take(line, at, ',') || !take_count(line, at, &record->offset) ||
            !take(line, at, ',') || !take_count(line, at, &record->total) || !take(line, at, ')'))
            return ECP_EINVAL;
    }
    return take(line, at, '=') ? 0 : ECP_EINVAL;
}

/* One literal without doubled quotes is borrowed from the line. */
static bool plain_literal(struct slice text, struct slice *value)
{
    if (text.len < 2 || text.data[0] != '"')
        return false;
    const uint8_t *quote = memchr(text.data + 1, '"', text.len - 1);
    if (quote != text.data + text.len - 1)
        return false;
    *value = slice_of(text.data + 1, text.len - 2);
    return true;
}

static int parse_right(struct slice line, struct zwr_record *record, size_t *at)
{
    struct slice text = rest_of(line, *at);
    size_t used;
    if (plain_literal(text, &record->value))
        return record->value.len > VALUE_MAX_LEN ? ECP_EVALUELONG : 0;
    int error = zwr_parse_string(text, &record->scratch, &used);
    *at += used;
    if (error)
        return error;
    record->value = buf_slice(&record->scratch);
    return *at == line.len ? 0 : ECP_EINVAL;
}

int zwr_parse_line(struct slice line, struct zwr_record *record, size_t *fault)
{
    size_t at = 0;
    if (line.len > 0 && line.data[line.len - 1] == '\r')
        line.len--;
    int error = parse_left(line, record, &at);
    if (!error)
        error = parse_right(line, record, &at);
    if (!error && record->piece) {
        if (record->total > VALUE_MAX_LEN)
            error = ECP_EVALUELONG;
        else if (record->offset + record->value.len > record->total)
            error = ECP_EINVAL;
    }
    *fault = at;
    return error;
}

int zwr_print_line(struct buf *out, struct slice key, struct slice value)
{
    if (key.len == 0)
        return ECP_EINVAL;
    int error = ref_print(out, key);
    if (error)
        return error;
    buf_append(out, "=", 1);
    zwr_put_string(out, value);
    buf_append(out, "\n", 1);
    return 0;
}

/* Brings p->last and p->ref to key, keeping the levels they share; on failure, only those. */
static int move_to(struct zwr_printer *p, struct slice key)
{
    size_t at = key_common(key_slice(&p->last), key);
    size_t len;
    p->last.len = (uint16_t)at;
    p->ref.len = at ? p->ends[at - 1] : 0;
    for (; at < key.len; at += len) {
        size_t before = p->ref.len;
        struct slice level = slice_of(key.data + at, len = key_level_len(key, at));
        if (at > 0)
            buf_append(&p->ref, p->ends[at - 1] == p->ends[0] ? "(" : ",", 1);
        if (len == 0 || ref_print_level(&p->ref, level, at == 0)) {
            p->ref.len = before;
            return ECP_EINVAL;
        }
        memcpy(p->last.data + at, level.data, len);
        p->last.len = (uint16_t)(at + len);
        p->ends[at + len - 1] = (uint16_t)p->ref.len;
        if (at == 0)
            p->ends[0] = (uint16_t)p->ref.len;
    }
    return 0;
}

int zwr_printer_line(struct zwr_printer *p, struct buf *out, struct slice key, struct slice value)
{
    if (key.len == 0 || key.len > KEY_MAX_LEN)
        return ECP_EINVAL;
    int error = move_to(p, key);
    if (error)
        return error;
    buf_reserve(out, p->ref.len + value.len + 5);
    buf_append_slice(out, buf_slice(&p->ref));
    /* ends[0] is inside the name's level, so it is free to hold the end of the name's text. */
    if (p->ref.len > p->ends[0])
        buf_append(out, ")=", 2);
    else
        buf_append(out, "=", 1);
    zwr_put_string(out, value);
    buf_append(out, "\n", 1);
    return 0;
}

void zwr_printer_free(struct zwr_printer *p)
{
    buf_free(&p->ref);
    key_root(&p->last);
}

static struct slice without_cr(struct slice line)
{
    if (line.len > 0 && line.data[line.len - 1] == '\r')
        line.len--;
    return line;
}

/* What a data line looks like: "^ref=" is ZWR, a reference alone GO. */
static enum zwr_format detect_data(struct slice line)
{
    struct key key;
    size_t used;
    if (starts_piece(line))
        return ZWR_FORMAT_ZWR;
    if (line.len == 0)
        return ZWR_FORMAT_UNKNOWN;
    if (ref_parse(line, &key, &used) != 0)
        return ZWR_FORMAT_UNKNOWN;
    if (used == line.len)
        return ZWR_FORMAT_GO;
    return line.data[used] == '=' ? ZWR_FORMAT_ZWR : ZWR_FORMAT_UNKNOWN;
}

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

/* "ZWR" at the end; without it, a time of day: a date by itself may be anything. */
static bool ends_in_zwr(struct slice line)
{
    return line.len >= 3 && memcmp(line.data + line.len - 3, "ZWR", 3) == 0;
}

static bool has_time(struct slice line)
{
    for (size_t i = 0; i + 2 < line.len; i++)
        if (is_digit(line.data[i]) && line.data[i + 1] == ':' && is_digit(line.data[i + 2]))
            return true;
    return false;
}

enum zwr_format zwr_detect(struct slice first, struct slice second, struct slice third,
                           int *header_lines)
{
    first = without_cr(first);
    second = without_cr(second);
    third = without_cr(third);
    *header_lines = 0;
    enum zwr_format format = detect_data(first);
    if (format == ZWR_FORMAT_UNKNOWN)
        format = detect_data(second); /* the first line is a bad record then, and no header */
    if (format != ZWR_FORMAT_UNKNOWN)
        return format;
    if (ends_in_zwr(second))
        format = ZWR_FORMAT_ZWR;
    else if (third.len == 0 && has_time(second)) /* no data: nothing can contradict the header */
        format = ZWR_FORMAT_GO;
    else
        format = detect_data(third);
    *header_lines = format == ZWR_FORMAT_UNKNOWN ? 0 : 2;
    return format;
}

void zwr_print_header(struct buf *out, const char *label, int64_t when, enum zwr_format format)
{
    static const char months[12][4] = {"JAN", "FEB", "MAR", "APR", "MAY", "JUN",
                                       "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"};
    time_t seconds = (time_t)when;
    struct tm tm = {0};
    if (!gmtime_r(&seconds, &tm))
        tm.tm_mday = 1;
    /* A line end in the label would make a third header line. */
    for (const char *p = label; *p; p++)
        buf_append(out, (unsigned char)*p < 0x20 ? " " : p, 1);
    buf_printf(out, "\n%02d-%s-%04d %02d:%02d:%02d%s\n", tm.tm_mday, months[tm.tm_mon],
               tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec,
               format == ZWR_FORMAT_ZWR ? " ZWR" : "");
}

bool go_value_ok(struct slice value)
{
    if (value.len == 0)
        return true;
    return value.data[value.len - 1] != '\r' && !memchr(value.data, '\n', value.len);
}
