/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzing of every message decoder: the first byte selects it, the rest is the payload. */
#include "net/msg_lock.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Reads a slice's ends, so that a sanitizer sees one that lies outside the payload. */
static void touch(struct slice s)
{
    volatile uint8_t sink = 0;
    if (s.len)
        sink = (uint8_t)(s.data[0] ^ s.data[s.len - 1]);
    (void)sink;
}

static int decode_pages(struct slice p)
{
    struct reader r = reader_of(p);
    struct page page;
    struct entry *entries = NULL;
    size_t capacity = 0, pages = 0;
    int error;
    while ((error = msg_get_pages_next(&r, &page, &entries, &capacity)) == 0) {
        pages++;
        for (size_t i = 0; i < page.count; i++) {
            touch(page.entries[i].sub);
            touch(page.entries[i].node.value);
        }
    }
    free(entries);
    return error == ECP_ENOENT && pages ? 0 : ECP_EPROTO;
}

static int decode_nodes(struct slice p)
{
    struct msg_nodes_reader m;
    struct node node;
    int error = msg_get_nodes(p, &m);
    while (!error) {
        error = msg_get_nodes_next(&m, &node);
        if (!error)
            touch(node.value);
    }
    return error == ECP_ENOENT ? 0 : ECP_EPROTO;
}

static int decode_updates(struct msg_update *m)
{
    struct update u;
    int error = 0;
    for (uint32_t i = 0; !error && i < m->count; i++) {
        error = msg_get_update_next(m, &u);
        if (!error) {
            touch(u.key);
            touch(u.value);
        }
    }
    return error ? error : (reader_at_end(&m->r) ? 0 : ECP_EPROTO);
}

static int decode_update(struct slice p)
{
    struct msg_update m;
    int error = msg_get_update(p, &m);
    return error ? error : decode_updates(&m);
}

static int decode_replay(struct slice p)
{
    struct msg_replay m;
    int error = msg_get_replay(p, &m);
    return error ? error : decode_updates(&m.update);
}

static int decode_touch(struct reader *r)
{
    struct touch t;
    int error = msg_get_touch(r, &t);
    if (!error)
        touch(t.key);
    return error;
}

static int decode_applied(struct slice p)
{
    struct msg_applied m;
    struct slice value;
    uint32_t touches = 0;
    int error = msg_get_applied(p, &m);
    for (uint32_t i = 0; !error && i < m.count; i++) {
        error = msg_get_applied_next(&m, &value);
        if (!error)
            touch(value);
    }
    if (!error)
        error = msg_get_applied_touches(&m, &touches);
    for (uint32_t i = 0; !error && i < touches; i++)
        error = decode_touch(&m.r);
    return error ? error : (reader_at_end(&m.r) ? 0 : ECP_EPROTO);
}

static int decode_invalidate(struct slice p)
{
    struct reader r = reader_of(p);
    int error = p.len ? 0 : ECP_EPROTO;
    while (!error)
        error = decode_touch(&r);
    return error == ECP_ENOENT ? 0 : error;
}

static int decode_release(struct slice p)
{
    struct reader r = reader_of(p);
    uint64_t lease;
    int error;
    do
        error = msg_get_release(&r, &lease);
    while (!error);
    return error == ECP_ENOENT ? 0 : error;
}

static int decode_items(struct reader *r, uint16_t count)
{
    struct msg_lock_item item;
    int error = 0;
    for (uint16_t i = 0; !error && i < count; i++)
        if ((error = msg_get_lock_item(r, &item)) == 0)
            touch(item.name);
    return error ? error : (reader_at_end(r) ? 0 : ECP_EPROTO);
}

static void touch_who(const struct msg_lock_who *who)
{
    touch(who->text);
    if (who->group)
        touch(slice_of(who->group, MSG_LOCK_GROUP_LEN));
}

/* Owner, group, process and text are the same when they were sent on. */
static void same_who(const struct msg_lock_who *a)
{
    struct msg_lock_pass sent = {.to = *a}, m;
    struct buf out = {0};
    msg_put_lock_pass(&out, &sent);
    if (msg_get_lock_pass(buf_slice(&out), &m) || m.to.owner != a->owner ||
        m.to.process != a->process || !m.to.group != !a->group ||
        !slice_equal(m.to.text, a->text) ||
        (a->group && memcmp(m.to.group, a->group, MSG_LOCK_GROUP_LEN) != 0))
        abort();
    buf_free(&out);
}

static int decode_lock(struct slice p)
{
    struct msg_lock m;
    if (msg_get_lock(p, &m))
        return ECP_EPROTO;
    touch_who(&m.who);
    same_who(&m.who);
    return decode_items(&m.r, m.count);
}

static int decode_lock_pass(struct slice p)
{
    struct msg_lock_pass m;
    if (msg_get_lock_pass(p, &m))
        return ECP_EPROTO;
    touch(m.name);
    touch_who(&m.to);
    same_who(&m.to);
    return 0;
}

static int decode_unlock(struct slice p)
{
    struct msg_unlock m;
    return msg_get_unlock(p, &m) ? ECP_EPROTO : decode_items(&m.r, m.count);
}

static int decode_locks(struct slice p)
{
    struct reader r = reader_of(p);
    struct msg_lock_row row;
    int error;
    get_u8(&r);
    while ((error = msg_get_lock_row(&r, &row)) == 0) {
        touch(row.name);
        touch(row.text);
    }
    return error == ECP_ENOENT ? 0 : error;
}

static int decode_lock_message(uint8_t type, struct slice p)
{
    struct msg_lock_name name;
    struct msg_lock_list list;
    struct slice key;
    uint64_t number;
    uint32_t count;
    bool below;
    switch (type) {
    case MSG_LOCK:
        return decode_lock(p);
    case MSG_LOCKED:
        return msg_get_locked(p, &number);
    case MSG_UNLOCK:
        return decode_unlock(p);
    case MSG_LOCK_CANCEL:
        return msg_get_lock_cancel(p, &number);
    case MSG_LOCK_RECALL:
    case MSG_LOCK_KEPT:
    case MSG_LOCK_LOST:
        return msg_get_lock_name(p, &name);
    case MSG_LOCK_PASS:
        return decode_lock_pass(p);
    case MSG_LOCK_LIST:
        return msg_get_lock_list(p, &list);
    case MSG_LOCKS:
        return decode_locks(p);
    case MSG_LOCK_FORCE:
        return msg_get_lock_force(p, &key, &below);
    case MSG_LOCK_FORCED:
        return msg_get_lock_forced(p, &count);
    default:
        return ECP_EPROTO;
    }
}

static int decode_message(uint8_t type, struct slice p)
{
    union {
        struct msg_hello hello;
        struct msg_welcome welcome;
        struct msg_error error;
        struct space space;
        struct msg_read read;
        struct msg_node node;
        struct msg_order order;
        struct msg_scan scan;
        struct msg_value value;
        struct slice stats;
    } m;
    switch (type) {
    case MSG_HELLO:
        return msg_get_hello(p, &m.hello);
    case MSG_WELCOME:
        return msg_get_welcome(p, &m.welcome);
    case MSG_ERROR:
        return msg_get_error(p, &m.error);
    case MSG_READ:
        return msg_get_read(p, &m.read);
    case MSG_PAGES:
        return decode_pages(p);
    case MSG_NODE:
        return msg_get_node(p, &m.node);
    case MSG_ORDER:
        return msg_get_order(p, &m.order);
    case MSG_SCAN:
        return msg_get_scan(p, &m.scan);
    case MSG_NODES:
        return decode_nodes(p);
    case MSG_VALUE:
        return msg_get_value(p, &m.value);
    case MSG_SPACE_IS:
        return msg_get_space(p, &m.space);
    case MSG_STATS_IS:
        return msg_get_stats(p, &m.stats);
    case MSG_UPDATE:
        return decode_update(p);
    case MSG_REPLAY:
        return decode_replay(p);
    case MSG_APPLIED:
        return decode_applied(p);
    case MSG_INVALIDATE:
        return decode_invalidate(p);
    case MSG_RELEASE:
        return decode_release(p);
    default:
        return decode_lock_message(type, p);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size)
        decode_message(data[0], slice_of(data + 1, size - 1));
    return 0;
}
