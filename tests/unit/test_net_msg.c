/* SPDX-License-Identifier: Apache-2.0 */
/* Messages: round trips, truncation, random bytes, and what the server refuses by name. */
#include <criterion/criterion.h>
#include <stdio.h>

/* Its decode_message walks all of a payload. */
#include "tests/fuzz/fuzz_msg.c"

static struct key key_of(const char *global, const char *sub)
{
    struct key k;
    cr_assert_eq(key_global(&k, slice_str(global)), 0);
    if (sub)
        cr_assert_eq(key_append(&k, slice_str(sub)), 0);
    return k;
}

static void expect_slice(struct slice s, const char *text)
{
    cr_assert(slice_equal(s, slice_str(text)), "expected %s", text);
}

/* The whole decodes; no shorter payload and none with a byte more does. Frees out. */
static void expect_exact(uint8_t type, struct buf *out)
{
    cr_assert_eq(decode_message(type, buf_slice(out)), 0);
    for (size_t len = 0; len < out->len; len++) {
        uint8_t *copy = len ? xmemdup(out->data, len) : NULL; /* so that ASan sees the end */
        cr_assert_neq(decode_message(type, slice_of(copy, len)), 0, "type %d cut to %zu", type,
                      len);
        free(copy);
    }
    put_u8(out, 0);
    cr_assert_neq(decode_message(type, buf_slice(out)), 0, "type %d with a byte more", type);
    buf_free(out);
}

Test(net_msg, hello)
{
    struct buf b = {0};
    struct msg_hello m = {1, 3, 7, 8, 9, 1, slice_str("USER"), slice_str("ecp 0.1"), false, 0}, got;
    msg_put_hello(&b, &m);
    cr_assert_eq(msg_get_hello(buf_slice(&b), &got), 0);
    cr_assert(got.version_min == 1 && got.version_max == 3);
    cr_assert(got.resume_session == 7 && got.resume_secret == 8);
    expect_slice(got.namespace, "USER");
    expect_slice(got.program, "ecp 0.1");
    size_t len = b.len;
    put_u16(&b, 999);
    put_bytes16(&b, slice_str("from the future"));
    cr_assert_eq(msg_get_hello(buf_slice(&b), &got), 0, "unknown options are skipped");
    b.len = len;
    expect_exact(MSG_HELLO, &b);
}

Test(net_msg, welcome_error_space)
{
    struct buf b = {0};
    struct msg_welcome w = {
        .version = 1,
        .session = 2,
        .secret = 3,
        .instance = 4,
        .lease_ms = 10000,
        .recovery_ms = 60000,
        .received = 9,
        .server = slice_str("ecpd 0.1"),
    }, wgot;
    msg_put_welcome(&b, &w);
    cr_assert_eq(msg_get_welcome(buf_slice(&b), &wgot), 0);
    cr_assert(wgot.version == 1 && wgot.session == 2 && wgot.secret == 3 && wgot.instance == 4);
    cr_assert(wgot.lease_ms == 10000 && wgot.recovery_ms == 60000 && wgot.received == 9);
    expect_slice(wgot.server, "ecpd 0.1");
    expect_exact(MSG_WELCOME, &b);

    struct msg_error e = {4711, 5, slice_str("no")}, egot;
    msg_put_error(&b, &e);
    cr_assert_eq(msg_get_error(buf_slice(&b), &egot), 0);
    cr_assert(egot.code == 4711 && egot.index == 5);
    expect_slice(egot.text, "no");
    expect_exact(MSG_ERROR, &b);

    struct space s = {100, 50, 3}, sgot;
    msg_put_space(&b, &s);
    cr_assert_eq(msg_get_space(buf_slice(&b), &sgot), 0);
    cr_assert(sgot.total == 100 && sgot.free == 50 && sgot.nodes == 3);
    expect_exact(MSG_SPACE_IS, &b);

    struct slice text;
    msg_put_stats(&b, slice_str("a 1\nb 2\n"));
    cr_assert_eq(msg_get_stats(buf_slice(&b), &text), 0);
    expect_slice(text, "a 1\nb 2\n");
    expect_exact(MSG_STATS_IS, &b);
}

Test(net_msg, options)
{
    struct buf b = {0};
    struct msg_hello h = {.version_min = 1, .version_max = 1, .retains = true, .instance = 77}, hgot;
    msg_put_hello(&b, &h);
    cr_assert_eq(msg_get_hello(buf_slice(&b), &hgot), 0);
    cr_assert(hgot.retains && hgot.instance == 77);
    patch_u32(&b, b.len - 10, 7u << 16 | 2); /* the number's length: 7 */
    b.len--;
    cr_assert_eq(msg_get_hello(buf_slice(&b), &hgot), ECP_EPROTO, "a number is 8 bytes");
    buf_clear(&b);
    h.retains = false;
    h.instance = 0;
    msg_put_hello(&b, &h);
    cr_assert_eq(msg_get_hello(buf_slice(&b), &hgot), 0);
    cr_assert(!hgot.retains && !hgot.instance, "as an older client says it");
    buf_clear(&b);
    struct msg_welcome w = {.version = 1, .session = 2, .retain = true, .replay = true, .last = 5}, wgot;
    msg_put_welcome(&b, &w);
    cr_assert_eq(msg_get_welcome(buf_slice(&b), &wgot), 0);
    cr_assert(wgot.retain && wgot.replay && wgot.last == 5);
    b.len--;
    cr_assert_eq(msg_get_welcome(buf_slice(&b), &wgot), ECP_EPROTO);
    buf_clear(&b);
    w.retain = w.replay = false;
    msg_put_welcome(&b, &w);
    cr_assert_eq(msg_get_welcome(buf_slice(&b), &wgot), 0);
    cr_assert(!wgot.retain && !wgot.replay && !wgot.last, "as an older server says it");
    buf_free(&b);
}

Test(net_msg, replay)
{
    struct buf b = {0};
    struct key k = key_of("A", NULL);
    struct update u = {.kind = UPDATE_SET, .key = key_slice(&k), .value = slice_str("x")}, got;
    struct msg_replay m;
    put_u64(&b, 99);
    size_t mark = msg_update_begin(&b, 7, 6);
    msg_put_update(&b, &u);
    msg_update_end(&b, mark, 1);
    cr_assert_eq(msg_get_replay(buf_slice(&b), &m), 0);
    cr_assert(m.stamp == 99 && m.update.sequence == 7 && m.update.count == 1);
    cr_assert_eq(msg_get_update_next(&m.update, &got), 0);
    expect_slice(got.value, "x");
    for (size_t len = 0; len < MSG_REPLAY_HEAD + 20; len++)
        cr_assert_eq(msg_get_replay(slice_of(b.data, len), &m), ECP_EPROTO);
    patch_u32(&b, 0, 0); /* no stamp */
    cr_assert_eq(msg_get_replay(buf_slice(&b), &m), ECP_EPROTO);
    buf_free(&b);
}

Test(net_msg, locks)
{
    struct buf b = {0};
    struct key g = key_of("A", NULL), k = key_of("A", "x");
    const uint8_t group[MSG_LOCK_GROUP_LEN] = "0123456789abcde";
    struct msg_lock_item items[] = {{key_slice(&g), true, true, 0, UINT64_MAX},
                                    {key_slice(&k), false, false, 5, 9}},
                         got;
    struct msg_lock l = {.flags = MSG_LOCK_WAIT, .who = {7, group, 99, slice_str("me")}, .count = 2},
                    lgot;
    msg_put_lock(&b, &l, items);
    cr_assert_eq(msg_get_lock(buf_slice(&b), &lgot), 0);
    cr_assert(lgot.flags == (MSG_LOCK_WAIT | MSG_LOCK_GROUPED | MSG_LOCK_PROCESS));
    cr_assert(lgot.who.owner == 7 && lgot.who.process == 99);
    cr_assert_arr_eq(lgot.who.group, group, MSG_LOCK_GROUP_LEN);
    expect_slice(lgot.who.text, "me");
    cr_assert_eq(msg_get_lock_item(&lgot.r, &got), 0);
    cr_assert(got.exclusive && got.counted && got.start == 0 && got.end == UINT64_MAX);
    cr_assert_eq(msg_get_lock_item(&lgot.r, &got), 0);
    cr_assert(!got.exclusive && !got.counted && got.start == 5 && got.end == 9);
    cr_assert(slice_equal(got.name, key_slice(&k)) && reader_at_end(&lgot.r));
    expect_exact(MSG_LOCK, &b);
    items[1].start = 9; /* empty */
    msg_put_lock(&b, &l, items);
    cr_assert_eq(decode_message(MSG_LOCK, buf_slice(&b)), ECP_EPROTO);
    buf_clear(&b);
    struct msg_unlock u = {.owner = 7, .count = 1};
    msg_put_unlock(&b, &u, items);
    expect_exact(MSG_UNLOCK, &b);
    struct msg_lock_name n = {7, key_slice(&k)};
    msg_put_lock_name(&b, &n);
    expect_exact(MSG_LOCK_RECALL, &b);
    struct msg_lock_pass p = {7, key_slice(&k), MSG_LOCK_DELEGABLE, {8, NULL, 0, slice_str("you")}};
    msg_put_lock_pass(&b, &p);
    expect_exact(MSG_LOCK_PASS, &b);
    p.to.process = 5;
    msg_put_lock_pass(&b, &p);
    expect_exact(MSG_LOCK_PASS, &b);
    msg_put_lock_force(&b, key_slice(&g), true);
    expect_exact(MSG_LOCK_FORCE, &b);
    struct msg_lock_list list = {key_slice(&g), 10};
    msg_put_lock_list(&b, &list);
    expect_exact(MSG_LOCK_LIST, &b);
    msg_put_locked(&b, 1);
    expect_exact(MSG_LOCKED, &b);
    msg_put_lock_cancel(&b, 1);
    expect_exact(MSG_LOCK_CANCEL, &b);
    msg_put_lock_forced(&b, 1);
    expect_exact(MSG_LOCK_FORCED, &b);
}

Test(net_msg, requests)
{
    struct buf b = {0};
    struct key g = key_of("A", NULL), k = key_of("A", "x");
    struct slice level = key_last(key_slice(&k));
    struct msg_read r = {key_slice(&g), level, true, VIEW_GLOBALS, 1, 2, 3, 4, true, true}, rgot;
    msg_put_read(&b, &r);
    cr_assert_eq(msg_get_read(buf_slice(&b), &rgot), 0);
    cr_assert(slice_equal(rgot.parent, r.parent) && slice_equal(rgot.from, level));
    cr_assert(rgot.after && rgot.view == VIEW_GLOBALS && rgot.max_value == 1);
    cr_assert(rgot.budget == 2 && rgot.readahead == 3 && rgot.entries == 4);
    cr_assert(rgot.lease && rgot.onward);
    expect_exact(MSG_READ, &b);
    struct msg_node n = {key_slice(&k), VIEW_FILES, 77};
    msg_put_node(&b, &n);
    expect_exact(MSG_NODE, &b);
    struct msg_order o = {slice_of(NULL, 0), key_slice(&g), true, VIEW_FILES, 5};
    msg_put_order(&b, &o);
    expect_exact(MSG_ORDER, &b);
    struct msg_scan s = {key_slice(&g), key_slice(&k), true, 1, 2, 3};
    msg_put_scan(&b, &s);
    expect_exact(MSG_SCAN, &b);
    struct msg_value v = {key_slice(&k), 4096, 100};
    msg_put_value(&b, &v);
    expect_exact(MSG_VALUE, &b);
    struct msg_node bad = {slice_str("not a key"), VIEW_FILES, 0};
    msg_put_node(&b, &bad);
    cr_assert_eq(decode_message(MSG_NODE, buf_slice(&b)), ECP_EINVAL);
    b.len = 0;
    struct msg_read two = {key_slice(&g), slice_of("\x80\x80", 2), false, 0, 0, 0, 0, 0, false,
                           false};
    msg_put_read(&b, &two);
    cr_assert_eq(decode_message(MSG_READ, buf_slice(&b)), ECP_EINVAL, "two levels are not one");
    buf_free(&b);
}

Test(net_msg, pages)
{
    struct buf b = {0};
    struct key g = key_of("A", NULL);
    struct page page = {.parent = key_slice(&g), .self = {.flags = NODE_CHILDREN, .changed = 9}};
    const char *subs[] = {"1", "2", "x", "y"};
    struct node nodes[] = {
        {.flags = NODE_VALUE, .stamp = 5, .value_len = 3, .value = slice_str("abc")},
        {.flags = NODE_VALUE, .stamp = 6, .value_len = 0, .value = slice_str("")},
        {.flags = NODE_VALUE, .stamp = 7, .value_len = 100000},
        {.flags = NODE_DIR | NODE_CHILDREN, .stamp = 8, .changed = 8}};
    struct msg_pages_writer w;
    msg_pages_begin(&w, &b);
    msg_pages_page(&w, &page);
    for (int i = 0; i < 4; i++) {
        struct key k = key_of("A", subs[i]);
        struct entry e = {key_last(key_slice(&k)), nodes[i]};
        size_t before = b.len;
        msg_pages_entry(&w, &e);
        cr_assert_eq(b.len - before, msg_entry_size(&e));
    }
    msg_pages_page_end(&w, true, 77);
    struct reader r = reader_of(buf_slice(&b));
    struct page got;
    struct entry *entries = NULL;
    size_t capacity = 0;
    cr_assert_eq(msg_get_pages_next(&r, &got, &entries, &capacity), 0);
    cr_assert(got.count == 4 && got.to_end && got.self.changed == 9 && got.lease == 77);
    expect_slice(got.entries[0].node.value, "abc");
    cr_assert(got.entries[1].node.value.data && got.entries[1].node.value.len == 0);
    cr_assert(!got.entries[2].node.value.data && got.entries[2].node.value_len == 100000);
    cr_assert(got.entries[3].node.flags == (NODE_DIR | NODE_CHILDREN));
    cr_assert_eq(msg_get_pages_next(&r, &got, &entries, &capacity), ECP_ENOENT);
    free(entries);
    expect_exact(MSG_PAGES, &b);
}

Test(net_msg, nodes)
{
    struct buf b = {0};
    struct msg_nodes_writer w;
    struct msg_nodes_reader r;
    struct node node = {.flags = NODE_VALUE, .stamp = 1, .value_len = 9, .value = slice_str("ab")};
    msg_nodes_begin(&w, &b);
    for (int i = 0; i < 300; i++) {
        char sub[16];
        snprintf(sub, sizeof sub, "%d", i);
        struct key k = key_of("Global", sub);
        msg_nodes_node(&w, key_slice(&k), &node);
    }
    msg_nodes_end(&w, true);
    cr_assert_eq(msg_get_nodes(buf_slice(&b), &r), 0);
    cr_assert(r.ended && r.left == 300);
    for (int i = 0; i < 300; i++) {
        char sub[16];
        struct node got;
        snprintf(sub, sizeof sub, "%d", i);
        struct key k = key_of("Global", sub);
        cr_assert_eq(msg_get_nodes_next(&r, &got), 0);
        cr_assert(slice_equal(key_slice(&r.key), key_slice(&k)));
        cr_assert(got.value_len == 9);
        expect_slice(got.value, "ab");
    }
    cr_assert_eq(msg_get_nodes_next(&r, &node), ECP_ENOENT);
    expect_exact(MSG_NODES, &b);
}

static void put_one(struct buf *b, struct update u)
{
    b->len = 0;
    size_t mark = msg_update_begin(b, 1, 0);
    msg_put_update(b, &u);
    msg_update_end(b, mark, 1);
}

Test(net_msg, updates)
{
    struct buf b = {0};
    struct key k = key_of("A", "x"), l = key_of("B", NULL);
    struct update set = {UPDATE_SET, COND_STAMP, UPDATE_IN_DIR, 99, key_slice(&k), slice_str("v")};
    struct update move = {UPDATE_MOVE, 0, 0, 0, key_slice(&k), key_slice(&l)};
    struct update got;
    struct msg_update m;
    size_t mark = msg_update_begin(&b, 12, 11);
    msg_put_update(&b, &set);
    msg_put_update(&b, &move);
    msg_update_end(&b, mark, 2);
    cr_assert_eq(msg_get_update(buf_slice(&b), &m), 0);
    cr_assert(m.sequence == 12 && m.count == 2);
    cr_assert_eq(msg_get_update_next(&m, &got), 0);
    cr_assert(got.kind == UPDATE_SET && got.cond == COND_STAMP && got.stamp == 99);
    cr_assert(got.flags == UPDATE_IN_DIR && slice_equal(got.key, set.key));
    expect_slice(got.value, "v");
    cr_assert_eq(msg_get_update_next(&m, &got), 0);
    cr_assert(slice_equal(got.value, key_slice(&l)) && reader_at_end(&m.r));
    expect_exact(MSG_UPDATE, &b);

    static uint8_t big[VALUE_MAX_LEN + 1];
    put_one(&b, (struct update){.kind = UPDATE_SET, .key = slice_of(big, 512)});
    cr_assert_eq(decode_message(MSG_UPDATE, buf_slice(&b)), ECP_EKEYLONG);
    put_one(&b, (struct update){UPDATE_SET, 0, 0, 0, set.key, slice_of(big, sizeof big)});
    cr_assert_eq(decode_message(MSG_UPDATE, buf_slice(&b)), ECP_EVALUELONG);
    put_one(&b, (struct update){.kind = UPDATE_SET, .key = slice_str("?")});
    cr_assert_eq(decode_message(MSG_UPDATE, buf_slice(&b)), ECP_EINVAL);
    put_one(&b, (struct update){.kind = UPDATE_KILL});
    cr_assert_eq(decode_message(MSG_UPDATE, buf_slice(&b)), 0, "the root may be killed");
    put_one(&b, (struct update){.kind = UPDATE_KIND_END, .key = set.key});
    cr_assert_eq(decode_message(MSG_UPDATE, buf_slice(&b)), ECP_EPROTO);
    buf_free(&b);
}

Test(net_msg, applied)
{
    struct buf b = {0};
    struct key k = key_of("A", "x");
    struct slice values[] = {slice_str("1"), slice_str("2.5")}, got;
    struct touch touches[] = {{TOUCH_SUBTREE, key_slice(&k)}, {TOUCH_ENTRY, {0}}}, touch;
    struct msg_applied m;
    uint32_t count;
    msg_put_applied(&b, 3, 4, values, 2, touches, 2);
    cr_assert_eq(msg_get_applied(buf_slice(&b), &m), 0);
    cr_assert(m.sequence == 3 && m.stamp == 4 && m.count == 2);
    cr_assert_eq(msg_get_applied_next(&m, &got), 0);
    expect_slice(got, "1");
    cr_assert_eq(msg_get_applied_next(&m, &got), 0);
    expect_slice(got, "2.5");
    cr_assert_eq(msg_get_applied_touches(&m, &count), 0);
    cr_assert_eq(count, 2);
    cr_assert_eq(msg_get_touch(&m.r, &touch), 0);
    cr_assert(touch.kind == TOUCH_SUBTREE && slice_equal(touch.key, key_slice(&k)));
    cr_assert_eq(msg_get_touch(&m.r, &touch), 0);
    cr_assert(touch.kind == TOUCH_ENTRY && touch.key.len == 0 && reader_at_end(&m.r));
    expect_exact(MSG_APPLIED, &b);
    msg_put_applied(&b, 3, 4, NULL, 0, NULL, 0);
    expect_exact(MSG_APPLIED, &b);
}

/* How many touches decode before the end, or -1. */
static int count_touches(struct slice payload)
{
    struct reader r = reader_of(payload);
    struct touch touch;
    int count = 0, error;
    while ((error = msg_get_touch(&r, &touch)) == 0)
        count++;
    return error == ECP_ENOENT ? count : -1;
}

Test(net_msg, touches)
{
    struct buf b = {0};
    struct key k = key_of("A", "x");
    struct touch touches[] = {{TOUCH_PAGES, {0}}, {TOUCH_ENTRY, key_slice(&k)}};
    msg_put_touches(&b, touches, 2);
    cr_assert_eq(count_touches(buf_slice(&b)), 2);
    cr_assert_eq(decode_message(MSG_INVALIDATE, slice_of(NULL, 0)), ECP_EPROTO,
                 "none is malformed");
    for (size_t len = 1; len < b.len; len++)
        cr_assert_eq(count_touches(slice_of(b.data, len)), len == 3 ? 1 : -1, "cut to %zu", len);
    b.data[0] = TOUCH_KIND_END;
    cr_assert_eq(count_touches(buf_slice(&b)), -1, "unknown kind");
    b.data[0] = TOUCH_ENTRY;
    b.data[b.len - 1] = 'x';
    cr_assert_eq(count_touches(buf_slice(&b)), -1, "malformed key");
    buf_free(&b);
}

Test(net_msg, release)
{
    struct buf b = {0};
    uint64_t leases[] = {1, UINT64_MAX}, got;
    msg_put_release(&b, leases, 2);
    struct reader r = reader_of(buf_slice(&b));
    cr_assert_eq(msg_get_release(&r, &got), 0);
    cr_assert_eq(got, 1);
    cr_assert_eq(msg_get_release(&r, &got), 0);
    cr_assert_eq(got, UINT64_MAX);
    cr_assert_eq(msg_get_release(&r, &got), ECP_ENOENT);
    cr_assert_eq(decode_message(MSG_RELEASE, slice_of(b.data, 15)), ECP_EPROTO);
    b.data[0] = 0;
    cr_assert_eq(decode_message(MSG_RELEASE, buf_slice(&b)), ECP_EPROTO, "0 is no lease");
    buf_free(&b);
}

Test(net_msg, random_bytes)
{
    uint64_t seed = 88172645463325252u;
    for (int round = 0; round < 200000; round++) {
        uint8_t bytes[96];
        for (size_t i = 0; i < sizeof bytes; i++) {
            seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
            bytes[i] = seed & 0x100 ? (uint8_t)(seed >> 40) : (uint8_t)(seed >> 32 & 3);
        }
        bytes[0] = (uint8_t)(round % 51);
        uint8_t *copy = xmemdup(bytes, 1 + (size_t)(seed >> 20) % (sizeof bytes - 1));
        LLVMFuzzerTestOneInput(copy, 1 + (size_t)(seed >> 20) % (sizeof bytes - 1));
        free(copy);
    }
}
