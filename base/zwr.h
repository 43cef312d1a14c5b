/* SPDX-License-Identifier: Apache-2.0 */
/* Interchange text: ZWR and GO records, line by line. Formats as written by mupip extract and read
 * by mupip load. */
#ifndef BASE_ZWR_H
#define BASE_ZWR_H

#include "base/ref.h"

/*
 * One ZWR line (without its line end; a CR at the end is dropped): reference=expression.
 * $ze(^ref,offset,length)=... pieces (offset from 0, length of the whole value) are accepted:
 * *piece is true then, and *offset and *total say where the bytes in value belong.
 * A plain line (no $C, nothing doubled) must be fast: about 150 ns.
 * Errors: ECP_EINVAL, ECP_EKEYLONG, ECP_EVALUELONG; *fault gets the offset of the fault in line.
 */
struct zwr_record {
    struct key key;
    struct slice value; /* borrowed from `line` or from `scratch` below */
    struct buf scratch; /* owned; reused from record to record; buf_free at the end */
    bool piece;
    uint64_t offset, total;
};
int zwr_parse_line(struct slice line, struct zwr_record *record, size_t *fault);

/* Appends one ZWR line with its newline. Incremental: see struct zwr_printer. */
int zwr_print_line(struct buf *out, struct slice key, struct slice value);

/*
 * Printer that remembers the last key's reference text, so that a run of siblings costs little
 * (export speed). Zero-initialise; zwr_printer_free at the end. Result as zwr_print_line.
 */
struct zwr_printer {
    struct key last;
    struct buf ref;             /* text of the levels of `last`, no closing parenthesis */
    uint16_t ends[KEY_MAX_LEN]; /* by the offset of a level's last byte in `last`: length of ref up
                                   to it */
};
int zwr_printer_line(struct zwr_printer *p, struct buf *out, struct slice key, struct slice value);
void zwr_printer_free(struct zwr_printer *p);

enum zwr_format { ZWR_FORMAT_UNKNOWN, ZWR_FORMAT_ZWR, ZWR_FORMAT_GO };

/*
 * Guesses the format from the second header line, which ends in "ZWR" or tells a time of day, or
 * from the first data line. header_lines gets 0 or 2; 0 when the format is unknown.
 * first, second, third: the first three lines (empty slices where missing).
 */
enum zwr_format zwr_detect(struct slice first, struct slice second, struct slice third,
                           int *header_lines);

/* Appends the two header lines; when is seconds since the epoch, shown in UTC as DD-MON-YEAR
 * HH:MM:SS. */
void zwr_print_header(struct buf *out, const char *label, int64_t when, enum zwr_format format);

/* GO: whether the value can be carried in GO format (no line feed, no carriage return at its end).
 */
bool go_value_ok(struct slice value);

#endif
