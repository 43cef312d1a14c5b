/* SPDX-License-Identifier: Apache-2.0 */
/* Frames: the unit of the byte stream. PROTOCOL, "Frames". */
#ifndef NET_FRAME_H
#define NET_FRAME_H

#include "base/buf.h"
#include "base/error.h"

/*
 * Header, little-endian: u32 payload length, u16 type, u16 flags, u64 request id, u64 checksum
 * of the 16 header bytes before it and the payload: XXH3-64 of the payload, its seed being the
 * XXH3-64 (seed 0) of those 16 bytes. A frame with an unknown flag is malformed. Requests have ids
 * chosen by the client (never 0); replies repeat the id; messages that answer nothing have id 0.
 */
#define FRAME_HEADER_LEN   24
#define FRAME_MAX_PAYLOAD  ((4u << 20) + (64u << 10)) /* a SET of the largest value fits */
#define FRAME_MAX_GREETING 4096 /* largest payload before WELCOME, both ways */

#define FRAME_KEPT 1 /* flag: the sender keeps it until the receiver says that it has it */

struct frame {
    uint16_t type; /* enum message_type */
    uint16_t flags;
    uint64_t id;
    struct slice payload; /* borrowed */
};

/* Starts a frame at the end of out (several may follow each other); payload is then appended to
 * out. Returns a mark. */
size_t frame_begin(struct buf *out, uint16_t type, uint64_t id);
/* Sets FRAME_KEPT in the frame begun at mark. */
void frame_keep(struct buf *out, size_t mark);
/* Fills in length and checksum of the frame begun at mark. */
void frame_end(struct buf *out, size_t mark);

/*
 * Takes one frame from the front of bytes. Returns 0 and *used > 0 when there is one; 0 and *used
 * == 0 when more bytes are needed (*need: how many in all); ECP_EPROTO when it is malformed, longer
 * than max_payload, or its checksum is wrong.
 */
int frame_parse(struct slice bytes, size_t max_payload, struct frame *frame, size_t *used,
                size_t *need);

#endif
