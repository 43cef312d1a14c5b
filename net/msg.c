/* SPDX-License-Identifier: Apache-2.0 */
/* Session messages: hello, welcome, error, and the figures of the database. */
#include "net/msg.h"

#define NAME_MAX_LEN 255  /* bytes of a namespace's, program's or server's name on the wire */
#define TEXT_MAX_LEN 1024 /* bytes of an error's text */

static struct slice cut(struct slice s, size_t max)
{
    return slice_of(s.data, s.len < max ? s.len : max);
}

/* Of HELLO and WELCOME. */
enum { HELLO_RETAINS = 1, HELLO_INSTANCE = 2 };
enum { WELCOME_RETAIN = 1, WELCOME_REPLAY = 2 };

static void put_flag(struct buf *out, uint16_t tag)
{
    put_u16(out, tag);
    put_u16(out, 0);
}

static void put_number(struct buf *out, uint16_t tag, uint64_t number)
{
    put_u16(out, tag);
    put_u16(out, 8);
    put_u64(out, number);
}

/* Those of newer peers are passed over: their form is checked, their meaning is theirs. */
static bool next_option(struct reader *r, uint16_t *tag, struct slice *body)
{
    if (r->bad || r->at == r->end)
        return false;
    *tag = get_u16(r);
    *body = get_bytes16(r);
    return !r->bad;
}

static uint64_t option_number(struct reader *r, struct slice body)
{
    struct reader own = reader_of(body);
    uint64_t number = get_u64(&own);
    r->bad |= !reader_at_end(&own);
    return number;
}

static void get_hello_options(struct reader *r, struct msg_hello *m)
{
    uint16_t tag;
    struct slice body;
    m->retains = false;
    m->instance = 0;
    while (next_option(r, &tag, &body)) {
        if (tag == HELLO_RETAINS)
            m->retains = true;
        else if (tag == HELLO_INSTANCE)
            m->instance = option_number(r, body);
    }
}

static void get_welcome_options(struct reader *r, struct msg_welcome *m)
{
    uint16_t tag;
    struct slice body;
    m->retain = m->replay = false;
    m->last = 0;
    while (next_option(r, &tag, &body)) {
        if (tag == WELCOME_RETAIN)
            m->retain = true;
        if (tag != WELCOME_REPLAY)
            continue;
        m->replay = true;
        m->last = option_number(r, body);
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
    if (m->retains)
        put_flag(out, HELLO_RETAINS);
    if (m->instance)
        put_number(out, HELLO_INSTANCE, m->instance);
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
    get_hello_options(&r, m);
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
    if (m->retain)
        put_flag(out, WELCOME_RETAIN);
    if (m->replay)
        put_number(out, WELCOME_REPLAY, m->last);
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
    get_welcome_options(&r, m);
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
