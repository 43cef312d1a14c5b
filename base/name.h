/* SPDX-License-Identifier: Apache-2.0 */
/* Subscript <-> file name: bijective, readable, safe for every byte. See ecpfs(7) and DESIGN,
 * "Names". */
#ifndef BASE_NAME_H
#define BASE_NAME_H

#include "base/buf.h"
#include "base/key.h"

#define NAME_MAX_LEN 255 /* bytes of one path component */

/*
 * A subscript's name is one path component, or several when its text is longer than 255 bytes:
 * every component but the last then ends in "%" (a final component never does).
 * The rules: "/", NUL, control bytes and DEL are %XX (upper-case hex); "%" is %25 where the next
 * two bytes of the subscript are hex digits (either case), where it is last, and always in a
 * component that is continued; a leading "." of any component is %2E; canonical numbers between -1
 * and 1 get their zero (.01 -> 0.01), so a string that looks like that has its first byte escaped
 * (%30.01, %2D0.5). A continued component holds as many whole units (a byte or an escape) as fit
 * into 254 bytes.
 */

/*
 * The first component of the name of `subscript`, whose first byte is at offset `from` (0, or what
 * an earlier component covered). out holds NAME_MAX_LEN bytes. Returns its length; *covered gets
 * the number of subscript bytes this component stands for; *continued whether another follows.
 */
size_t name_encode(struct slice subscript, size_t from, char *out, size_t *covered,
                   bool *continued);

/*
 * Decodes one component that is at offset `from` of its subscript into bytes (out: NAME_MAX_LEN
 * bytes). *continued: it ends in "%" and another component follows. Returns the number of bytes, or
 * -1 when it is no name that name_encode can write at that place for a final component; a continued
 * one is checked for its escapes and length, its canonicality is known when the whole subscript
 * is (name_canonical).
 */
int name_decode(struct slice component, size_t from, uint8_t *out, bool *continued);

/* True when `component` is exactly what name_encode writes for subscript at `from`. */
bool name_canonical(struct slice subscript, size_t from, struct slice component);

/*
 * A path below the mount ("PATIENT/5/name", leading and repeated "/" allowed, "" is the root; a
 * last component ".value" below the root is dropped) to key bytes. ECP_EINVAL, ECP_EKEYLONG.
 */
int name_path_parse(struct slice path, struct key *key);

/* Appends the path of a key ("PATIENT/5/name"), nothing for the root. ECP_EINVAL when malformed. */
int name_path_print(struct buf *out, struct slice key);

#endif
