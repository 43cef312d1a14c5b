/* SPDX-License-Identifier: Apache-2.0 */
/* Frames that outlive a connection: kept until the peer has them, sent again on the next one. */
#ifndef NET_RESEND_H
#define NET_RESEND_H

#include "net/frame.h"

/*
 * One end's view of a session, both directions. A kept frame (FRAME_KEPT) is part of the session,
 * whatever becomes of the connection; both ends count them, from the session's start. PROTOCOL,
 * "Resuming". Zero-initialise.
 */
struct resend {
    struct buf frames; /* sent ones that the peer may not have, one after the other */
    size_t head;       /* bytes at its front that are not needed any more */
    uint64_t had;      /* frames that the peer is known to have */
    uint64_t sent;     /* frames kept, in all */
    uint64_t got;      /* kept frames that came from the peer */
    uint64_t told;     /* of those, what the peer has been told of */
    size_t untold;     /* bytes of the others */
};

void resend_free(struct resend *resend);
/* A new session. */
void resend_clear(struct resend *resend);

/* Ends the frame begun at mark in out as a kept one. */
void resend_keep(struct resend *resend, struct buf *out, size_t mark);
/* Bytes kept. */
size_t resend_bytes(const struct resend *resend);
/* The peer has so many of our frames: 0, or ECP_EPROTO when that cannot be. */
int resend_had(struct resend *resend, uint64_t count);
/* Appends the frames that the peer may not have, as they were. */
void resend_again(const struct resend *resend, struct buf *out);

/* A frame came; true when the peer should be told now (resend_tell) what has come. */
bool resend_got(struct resend *resend, const struct frame *frame);
/* Appends MSG_HAVE, when there is something to tell. */
void resend_tell(struct resend *resend, struct buf *out);

#endif
