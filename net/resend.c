/* SPDX-License-Identifier: Apache-2.0 */
/* Frames of a session that outlive its connection. */
#include "net/resend.h"
#include "base/mutation.h"
#include "net/msg.h"

#define TELL_FRAMES 64           /* that come before the peer is told */
#define TELL_BYTES  (256u << 10) /* or so many bytes of them */
#define SPARE_MAX   (64u << 10)  /* bytes of memory that an empty store may hold */

static size_t frame_len(const uint8_t *frame)
{
    struct reader r = reader_of(slice_of(frame, FRAME_HEADER_LEN));

    return FRAME_HEADER_LEN + get_u32(&r);
}

void resend_free(struct resend *s)
{
    buf_free(&s->frames);
}

void resend_clear(struct resend *s)
{
    buf_free(&s->frames);
    *s = (struct resend){0};
}

void resend_keep(struct resend *s, struct buf *out, size_t mark)
{
    frame_keep(out, mark);
    frame_end(out, mark);
    buf_append(&s->frames, out->data + mark, out->len - mark);
    s->sent++;
}

size_t resend_bytes(const struct resend *s)
{
    return s->frames.len - s->head;
}

/* What is at the front goes when it is most of it, so that each byte is moved once at most. */
static void tidy(struct resend *s)
{
    if (s->head == s->frames.len) {
        s->head = 0;
        buf_clear(&s->frames);
        if (s->frames.cap > SPARE_MAX)
            buf_free(&s->frames);
    } else if (s->head > SPARE_MAX && s->head > s->frames.len / 2) {
        memmove(s->frames.data, s->frames.data + s->head, s->frames.len - s->head);
        s->frames.len -= s->head;
        s->head = 0;
    }
}

int resend_had(struct resend *s, uint64_t count)
{
    if (count < s->had || count > s->sent)
        return ECP_EPROTO;
    for (; s->had < count; s->had++)
        s->head += frame_len(s->frames.data + s->head);
    tidy(s);
    return 0;
}

void resend_again(const struct resend *s, struct buf *out)
{
    if (resend_bytes(s) && !MUTATION(MUTATION_NO_RESEND))
        buf_append(out, s->frames.data + s->head, resend_bytes(s));
}

bool resend_got(struct resend *s, const struct frame *frame)
{
    if (!(frame->flags & FRAME_KEPT))
        return false;
    s->got++;
    s->untold += FRAME_HEADER_LEN + frame->payload.len;
    return s->got - s->told >= TELL_FRAMES || s->untold >= TELL_BYTES;
}

void resend_tell(struct resend *s, struct buf *out)
{
    if (s->told == s->got)
        return;
    size_t mark = frame_begin(out, MSG_HAVE, 0);
    put_u64(out, s->got);
    frame_end(out, mark);
    s->told = s->got;
    s->untold = 0;
}
