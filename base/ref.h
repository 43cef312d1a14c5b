/* SPDX-License-Identifier: Apache-2.0 */
/* Reference text ^PATIENT(5,"name") <-> key bytes, in the forms that M programs and ZWR use. */
#ifndef BASE_REF_H
#define BASE_REF_H

#include "base/buf.h"
#include "base/key.h"

/*
 * Parses a reference at the start of text: "^" name [ "(" subscript *("," subscript) ")" ].
 * A subscript is a number (+5, 005 and 1.0 are brought to canonical form; 1E3 too) or a string
 * expression: "..." with quotes doubled, $C(n,...), $CHAR, $ZCH(n,...), joined by "_", function
 * names in any case. A number of more than 18 digits is refused: rounding could make two nodes one.
 * *used gets the bytes consumed. Errors: ECP_EINVAL, ECP_EKEYLONG; *used then points at the
 * fault.
 */
int ref_parse(struct slice text, struct key *key, size_t *used);

/* As ref_parse, but the whole text must be the reference. "^" alone is the root. */
int ref_parse_all(struct slice text, struct key *key);

/*
 * Appends the reference of a valid key in ZWR form: canonical numbers bare, strings as
 * zwr_put_string writes them; "^" for the root. ECP_EINVAL when the key is malformed (nothing
 * appended then).
 */
int ref_print(struct buf *out, struct slice key);

/*
 * Appends one level of a key as a reference shows it: the caret and name for the global, else the
 * number or string expression. ECP_EINVAL when malformed (nothing appended then).
 */
int ref_print_level(struct buf *out, struct slice level, bool is_global);

/* Appends a string expression: "abc""d"_$C(10,0)_"x". Bytes 0-31, 127-159 and 255 go as $C; "" when
 * empty. */
void zwr_put_string(struct buf *out, struct slice value);

/*
 * Parses a string expression (or a bare number, kept as written) at the start of text; the value
 * replaces out's content. *used gets the bytes consumed. ECP_EINVAL, ECP_EVALUELONG.
 */
int zwr_parse_string(struct slice text, struct buf *out, size_t *used);

#endif
