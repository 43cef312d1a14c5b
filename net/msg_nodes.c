/* SPDX-License-Identifier: Apache-2.0 */
/* Messages that answer reads: pages of children, and runs of nodes. */
#include <assert.h>
#include <endian.h>

#include "net/msg.h"
#include "net/msg_internal.h"

/*
 * A node on the wire: one byte, the lower three bits enum node_flags, the others say what follows.
 * u64 stamp, u64 changed, u32 value length (with NODE_VALUE), then the value: whole, or a part
 * with its own u32 length.
 */
enum wire_node {
    WIRE_FLAGS = NODE_VALUE | NODE_DIR | NODE_CHILDREN,
    WIRE_STAMP = 0x08,
    WIRE_CHANGED = 0x10,
    WIRE_WHOLE = 0x20,
    WIRE_PART = 0x40,
    WIRE_UNUSED = 0x80,
};

#define NODE_MAX_HEAD  25 /* bytes of a node without its value: 1 + 8 + 8 + 4 + 4 */
#define ENTRY_MIN_SIZE 4  /* bytes: sub's length, one byte of it, the node's flags */
#define NODES_MIN_SIZE 5  /* bytes: shared, suffix length, the node's flags */

/* These write into room that was reserved: one buf_reserve for a whole node. */
static uint8_t *store16(uint8_t *p, uint16_t v)
{
    v = htole16(v);
    memcpy(p, &v, sizeof v);
    return p + sizeof v;
}

static uint8_t *store32(uint8_t *p, uint32_t v)
{
    v = htole32(v);
    memcpy(p, &v, sizeof v);
    return p + sizeof v;
}

static uint8_t *store64(uint8_t *p, uint64_t v)
{
    v = htole64(v);
    memcpy(p, &v, sizeof v);
    return p + sizeof v;
}

static uint8_t *store_bytes(uint8_t *p, struct slice s)
{
    if (s.len)
        memcpy(p, s.data, s.len);
    return p + s.len;
}

static uint8_t node_head(const struct node *node, bool with_value)
{
    uint8_t head = node->flags & WIRE_FLAGS;
    if (node->stamp)
        head |= WIRE_STAMP;
    if (node->changed)
        head |= WIRE_CHANGED;
    if (with_value && node->value.data && (head & NODE_VALUE))
        head |= node->value.len == node->value_len ? WIRE_WHOLE : WIRE_PART;
    return head;
}

static uint8_t *store_node(uint8_t *p, const struct node *node, bool with_value)
{
    uint8_t head = node_head(node, with_value);
    *p++ = head;
    if (head & WIRE_STAMP)
        p = store64(p, node->stamp);
    if (head & WIRE_CHANGED)
        p = store64(p, node->changed);
    if (head & NODE_VALUE)
        p = store32(p, node->value_len);
    if (head & WIRE_PART)
        p = store32(p, (uint32_t)node->value.len);
    if (head & (WIRE_WHOLE | WIRE_PART))
        p = store_bytes(p, node->value);
    return p;
}

static int get_node(struct reader *r, struct node *node)
{
    uint8_t head = get_u8(r);
    *node = (struct node){.flags = head & WIRE_FLAGS};
    if (head & WIRE_STAMP)
        node->stamp = get_u64(r);
    if (head & WIRE_CHANGED)
        node->changed = get_u64(r);
    if (head & NODE_VALUE)
        node->value_len = get_u32(r);
    if (head & WIRE_WHOLE)
        node->value = get_bytes(r, node->value_len);
    else if (head & WIRE_PART)
        node->value = get_bytes32(r);
    bool value = head & (WIRE_WHOLE | WIRE_PART);
    if (r->bad || (head & WIRE_UNUSED) || (value && !(head & NODE_VALUE)) ||
        ((head & WIRE_WHOLE) && (head & WIRE_PART)) || node->value_len > VALUE_MAX_LEN ||
        node->value.len > node->value_len)
        return ECP_EPROTO;
    return 0;
}

void msg_pages_begin(struct msg_pages_writer *w, struct buf *out)
{
    *w = (struct msg_pages_writer){.out = out};
}

void msg_pages_page(struct msg_pages_writer *w, const struct page *page)
{
    struct buf *out = w->out;
    w->page_at = out->len;
    w->count = 0;
    put_u32(out, 0);
    put_u8(out, 0);
    put_bytes16(out, page->parent);
    put_bytes16(out, page->first);
    w->lease_at = out->len;
    put_u64(out, 0);
    buf_reserve(out, NODE_MAX_HEAD);
    out->len = (size_t)(store_node(out->data + out->len, &page->self, false) - out->data);
}

void msg_pages_entry(struct msg_pages_writer *w, const struct entry *entry)
{
    struct buf *out = w->out;
    buf_reserve(out, 2 + entry->sub.len + NODE_MAX_HEAD + entry->node.value.len);
    uint8_t *p = store16(out->data + out->len, (uint16_t)entry->sub.len);
    p = store_bytes(p, entry->sub);
    p = store_node(p, &entry->node, true);
    out->len = (size_t)(p - out->data);
    w->count++;
}

void msg_pages_page_end(struct msg_pages_writer *w, bool to_end, uint64_t lease)
{
    patch_u32(w->out, w->page_at, w->count);
    w->out->data[w->page_at + 4] = to_end;
    store64(w->out->data + w->lease_at, lease);
}

size_t msg_entry_size(const struct entry *entry)
{
    uint8_t head = node_head(&entry->node, true);
    size_t size = 2 + entry->sub.len + 1;
    size += (head & WIRE_STAMP ? 8 : 0) + (head & WIRE_CHANGED ? 8 : 0);
    size += (head & NODE_VALUE ? 4 : 0) + (head & WIRE_PART ? 4 : 0);
    return size + (head & (WIRE_WHOLE | WIRE_PART) ? entry->node.value.len : 0);
}

/* Reads count entries, which must rise strictly and not lie before page->first. */
static int get_entries(struct reader *r, const struct page *page, struct entry *entries)
{
    struct slice last = page->first;
    for (size_t i = 0; i < page->count; i++) {
        struct entry *e = &entries[i];
        e->sub = get_bytes16(r);
        if (r->bad || !msg_level_valid(page->parent.len, e->sub) || get_node(r, &e->node))
            return ECP_EPROTO;
        int order = slice_compare(last, e->sub);
        if (order > 0 || (order == 0 && i > 0))
            return ECP_EPROTO;
        last = e->sub;
    }
    return 0;
}

int msg_get_pages_next(struct reader *r, struct page *page, struct entry **entries,
                       size_t *capacity)
{
    if (reader_at_end(r))
        return ECP_ENOENT;
    *page = (struct page){0};
    uint32_t count = get_u32(r);
    uint8_t to_end = get_u8(r);
    page->parent = get_bytes16(r);
    page->first = get_bytes16(r);
    page->lease = get_u64(r);
    if (get_node(r, &page->self) || page->self.value.data || to_end > 1)
        return ECP_EPROTO;
    /* first is a bound to compare with, which need not be a level. */
    if (msg_check_key(page->parent) || page->first.len > KEY_MAX_LEN + 1)
        return ECP_EPROTO;
    if (count > (size_t)(r->end - r->at) / ENTRY_MIN_SIZE)
        return ECP_EPROTO;
    if (count > *capacity || !*entries) {
        *capacity = count ? count : 1;
        *entries = xrealloc(*entries, *capacity * sizeof **entries);
    }
    page->to_end = to_end;
    page->count = count;
    page->entries = *entries;
    return get_entries(r, page, *entries);
}

void msg_nodes_begin(struct msg_nodes_writer *w, struct buf *out)
{
    w->out = out;
    w->at = out->len;
    w->count = 0;
    key_root(&w->last);
    put_u32(out, 0);
    put_u8(out, 0);
}

static size_t common_prefix(const uint8_t *a, const uint8_t *b, size_t len)
{
    size_t i = 0;
    while (i + 8 <= len && memcmp(a + i, b + i, 8) == 0)
        i += 8;
    while (i < len && a[i] == b[i])
        i++;
    return i;
}

void msg_nodes_node(struct msg_nodes_writer *w, struct slice key, const struct node *node)
{
    assert(key.len <= KEY_MAX_LEN);
    struct buf *out = w->out;
    size_t both = key.len < w->last.len ? key.len : w->last.len;
    size_t shared = both ? common_prefix(key.data, w->last.data, both) : 0;
    struct slice suffix = slice_of(key.data ? key.data + shared : NULL, key.len - shared);
    buf_reserve(out, 4 + suffix.len + NODE_MAX_HEAD + node->value.len);
    uint8_t *p = store16(out->data + out->len, (uint16_t)shared);
    p = store16(p, (uint16_t)suffix.len);
    p = store_bytes(p, suffix);
    p = store_node(p, node, true);
    out->len = (size_t)(p - out->data);
    store_bytes(w->last.data + shared, suffix);
    w->last.len = (uint16_t)key.len;
    w->count++;
}

void msg_nodes_end(struct msg_nodes_writer *w, bool ended)
{
    patch_u32(w->out, w->at, w->count);
    w->out->data[w->at + 4] = ended;
}

int msg_get_nodes(struct slice payload, struct msg_nodes_reader *m)
{
    m->r = reader_of(payload);
    key_root(&m->key);
    m->left = get_u32(&m->r);
    uint8_t ended = get_u8(&m->r);
    m->ended = ended;
    if (m->r.bad || ended > 1 || m->left > (size_t)(m->r.end - m->r.at) / NODES_MIN_SIZE)
        return ECP_EPROTO;
    return m->left == 0 && !reader_at_end(&m->r) ? ECP_EPROTO : 0;
}

int msg_get_nodes_next(struct msg_nodes_reader *m, struct node *node)
{
    if (m->left == 0)
        return reader_at_end(&m->r) ? ECP_ENOENT : ECP_EPROTO;
    size_t shared = get_u16(&m->r);
    struct slice suffix = get_bytes16(&m->r);
    if (m->r.bad || shared > m->key.len || shared + suffix.len > KEY_MAX_LEN)
        return ECP_EPROTO;
    store_bytes(m->key.data + shared, suffix);
    m->key.len = (uint16_t)(shared + suffix.len);
    if (get_node(&m->r, node) || !key_valid_after(key_slice(&m->key), shared))
        return ECP_EPROTO;
    m->left--;
    return m->left == 0 && !reader_at_end(&m->r) ? ECP_EPROTO : 0;
}
