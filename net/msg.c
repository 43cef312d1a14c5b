/* SPDX-License-Identifier: Apache-2.0 */
/* Session messages: hello, welcome, error, and the figures of the database. */
#include "net/msg.h"

#define NAME_MAX_LEN 255  /* bytes of a namespace's, program's or server's name on the wire */
#define TEXT_MAX_LEN 1024 /* bytes of an error's text */

static struct slice cut(struct slice s, size_t max)
{
    return slice_of(s.data, s.len < max ? s.len : max);
}

/* Options come from newer peers: their form is checked, their meaning is theirs. */
static void skip_options(struct reader *r)
{
    while (!r->bad && r->at != r->end) {
        get_u16(r);
        get_bytes16(r);
    }
}

void msg_put_hello(struct buf *out, const struct msg_hello *m)
{
    put_u32(out, PROTOCOL_MAGIC);
    put_u16(out, m->version_min);
    put_u16(out, m->version_max);
    put_u64(out, m->resume_session);
    put_u64(out, m->resume_secret);
    put_u64(out, m->received);
    put_u8(out, m->flags);
    /* One byte over the limit is enough for the server to see that a name is too long. */
    put_bytes16(out, cut(m->namespace, NAME_MAX_LEN + 1));
    put_bytes16(out, cut(m->program, NAME_MAX_LEN));
}

int msg_get_hello(struct slice payload, struct msg_hello *m)
{
    struct reader r = reader_of(payload);
    uint32_t magic = get_u32(&r);
    m->version_min = get_u16(&r);
    m->version_max = get_u16(&r);
    m->resume_session = get_u64(&r);
    m->resume_secret = get_u64(&r);
    m->received = get_u64(&r);
    m->flags = get_u8(&r);
    m->namespace = get_bytes16(&r);
    m->program = get_bytes16(&r);
    skip_options(&r);
    if (!reader_at_end(&r) || magic != PROTOCOL_MAGIC || m->flags > MSG_HELLO_FLAGS_ALL || m->version_min == 0 ||
        m->version_min > m->version_max || m->namespace.len > NAME_MAX_LEN ||
        m->program.len > NAME_MAX_LEN)
        return ECP_EPROTO;
    return 0;
}

void msg_put_welcome(struct buf *out, const struct msg_welcome *m)
{
    put_u16(out, m->version);
    put_u64(out, m->session);
    put_u64(out, m->secret);
    put_u64(out, m->instance);
    put_u32(out, m->lease_ms);
    put_u32(out, m->recovery_ms);
    put_u64(out, m->received);
    put_bytes16(out, cut(m->server, NAME_MAX_LEN));
}

int msg_get_welcome(struct slice payload, struct msg_welcome *m)
{
    struct reader r = reader_of(payload);
    m->version = get_u16(&r);
    m->session = get_u64(&r);
    m->secret = get_u64(&r);
    m->instance = get_u64(&r);
    m->lease_ms = get_u32(&r);
    m->recovery_ms = get_u32(&r);
    m->received = get_u64(&r);
    m->server = get_bytes16(&r);
    skip_options(&r);
    if (!reader_at_end(&r) || m->version == 0 || m->session == 0 || m->server.len > NAME_MAX_LEN)
        return ECP_EPROTO;
    return 0;
}

int msg_get_have(struct slice payload, uint64_t *count)
{
    struct reader r = reader_of(payload);
    *count = get_u64(&r);
    return reader_at_end(&r) ? 0 : ECP_EPROTO;
}

void msg_put_error(struct buf *out, const struct msg_error *m)
{
    put_u16(out, m->code);
    put_u32(out, m->index);
    put_bytes16(out, cut(m->text, TEXT_MAX_LEN));
}

int msg_get_error(struct slice payload, struct msg_error *m)
{
    struct reader r = reader_of(payload);
    m->code = get_u16(&r);
    m->index = get_u32(&r);
    m->text = get_bytes16(&r);
    if (!reader_at_end(&r) || m->code == ECP_OK || m->text.len > TEXT_MAX_LEN)
        return ECP_EPROTO;
    return 0;
}

void msg_put_space(struct buf *out, const struct space *m)
{
    put_u64(out, m->total);
    put_u64(out, m->free);
    put_u64(out, m->nodes);
}

int msg_get_space(struct slice payload, struct space *m)
{
    struct reader r = reader_of(payload);
    m->total = get_u64(&r);
    m->free = get_u64(&r);
    m->nodes = get_u64(&r);
    return reader_at_end(&r) ? 0 : ECP_EPROTO;
}

void msg_put_stats(struct buf *out, struct slice text)
{
    put_bytes32(out, text);
}

int msg_get_stats(struct slice payload, struct slice *text)
{
    struct reader r = reader_of(payload);
    *text = get_bytes32(&r);
    return reader_at_end(&r) ? 0 : ECP_EPROTO;
}
