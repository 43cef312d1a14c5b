/* SPDX-License-Identifier: Apache-2.0 */
/* Layers: changing, undoing, finding. */
#include "store/layer.h"

#include <stdlib.h>

enum undo_kind { UNDO_PUT, UNDO_VALUE, UNDO_HEAD, UNDO_KILL, UNDO_RECORDS, UNDO_KILLS };

struct layer_undo {
    enum undo_kind kind;
    struct map_node *node;
    uint8_t *value; /* UNDO_VALUE: the old one, given back when settled */
    uint32_t len, cap;
    uint8_t head[LAYER_HEAD]; /* UNDO_HEAD */
    struct map_cut *cut;
};

struct layer *layer_new(void)
{
    struct layer *l = xcalloc(1, sizeof(*l));
    map_init(&l->records, &l->arena);
    map_init(&l->kills, &l->arena);
    return l;
}

void layer_free(struct layer *l)
{
    if (!l)
        return;
    layer_settle(l);
    arena_free(&l->arena);
    free(l->undo);
    free(l);
}

struct map_node *layer_kill_over(const struct layer *l, struct slice key)
{
    if (!map_first(&l->kills))
        return NULL;
    uint8_t bound[KEY_MAX_LEN + 1];
    memcpy(bound, key.data, key.len);
    bound[key.len] = 0; /* directly after key */
    struct map_node *kill = map_before(&l->kills, slice_of(bound, key.len + 1));
    return kill && slice_has_prefix(key, map_key(kill)) ? kill : NULL;
}

/* Pages are split by halves; what does not fit into half a page has pages of its own. */
uint64_t layer_cost(size_t key_len, size_t value_len)
{
    size_t bytes = key_len + value_len + 16;
    return bytes > 2000 ? (bytes + 4095) / 4096 * 4096 : bytes * 3 / 2;
}

static uint64_t cost_of(const struct map_node *n)
{
    return n->value ? layer_cost(n->key_len, n->len) : 0;
}

static struct layer_undo *undo_push(struct layer *l, enum undo_kind kind, struct map_node *node)
{
    if (l->undo_count == l->undo_cap) {
        l->undo_cap = l->undo_cap ? l->undo_cap * 2 : 64;
        l->undo = xrealloc(l->undo, l->undo_cap * sizeof(*l->undo));
    }
    struct layer_undo *u = &l->undo[l->undo_count++];
    u->kind = kind;
    u->node = node;
    if (node) {
        u->value = node->value;
        u->len = node->len;
        u->cap = node->cap;
    }
    return u;
}

/* The node of that key, ready to get another value. */
static struct map_node *to_change(struct layer *l, struct slice key)
{
    bool fresh;
    struct map_node *n = map_put(&l->records, key, &fresh);
    undo_push(l, fresh ? UNDO_PUT : UNDO_VALUE, n);
    if (!fresh)
        l->weight -= cost_of(n);
    return n;
}

static void give_value(struct layer *l, struct map_node *n, size_t len, size_t room)
{
    n->cap = (uint32_t)arena_size(room);
    n->value = arena_alloc(&l->arena, n->cap);
    n->len = (uint32_t)len;
    l->weight += cost_of(n);
}

void layer_put(struct layer *l, struct slice key, struct slice head, struct slice body)
{
    struct map_node *n = to_change(l, key);
    give_value(l, n, head.len + body.len, head.len + body.len);
    memcpy(n->value, head.data, head.len);
    if (body.len)
        memcpy(n->value + head.len, body.data, body.len);
}

void layer_del(struct layer *l, struct slice key)
{
    struct map_node *n = to_change(l, key);
    n->value = NULL;
    n->len = n->cap = 0;
}

static void append_in_place(struct layer *l, struct map_node *n, struct slice head,
                            struct slice tail)
{
    struct layer_undo *u = undo_push(l, UNDO_HEAD, n);
    memcpy(u->head, n->value, LAYER_HEAD);
    l->weight -= cost_of(n);
    memcpy(n->value, head.data, LAYER_HEAD);
    if (tail.len)
        memcpy(n->value + n->len, tail.data, tail.len);
    n->len += (uint32_t)tail.len;
    l->weight += cost_of(n);
}

void layer_append(struct layer *l, struct slice key, struct slice head, struct slice base,
                  size_t at, struct slice tail)
{
    struct map_node *n = map_find(&l->records, key);
    if (n && n->value && n->len == at && n->cap - at >= tail.len) {
        append_in_place(l, n, head, tail);
        return;
    }
    size_t len = at + tail.len;
    n = to_change(l, key);
    if (n->value)
        base = layer_value(n);
    give_value(l, n, len, len + len / 4);
    memset(n->value, 0, at);
    if (base.len)
        memcpy(n->value, base.data, base.len < at ? base.len : at);
    memcpy(n->value, head.data, LAYER_HEAD);
    if (tail.len)
        memcpy(n->value + at, tail.data, tail.len);
}

static void cut(struct layer *l, struct map *map, enum undo_kind kind, struct slice prefix)
{
    struct map_cut c;
    if (map_cut(map, prefix, &c))
        undo_push(l, kind, NULL)->cut = xmemdup(&c, sizeof(c));
}

/* The weight of what is cut out stays until the layer goes: walking it would take time. */
void layer_kill(struct layer *l, struct slice prefix)
{
    bool fresh;
    cut(l, &l->records, UNDO_RECORDS, prefix);
    if (layer_kill_over(l, prefix))
        return;
    cut(l, &l->kills, UNDO_KILLS, prefix);
    undo_push(l, UNDO_KILL, map_put(&l->kills, prefix, &fresh));
}

struct layer_mark layer_mark(const struct layer *l)
{
    return (struct layer_mark){.undo = l->undo_count, .weight = l->weight};
}

static void undo_one(struct layer *l, struct layer_undo *u)
{
    struct map_node *n = u->node;
    switch (u->kind) {
    case UNDO_PUT:
        if (n->value)
            arena_release(&l->arena, n->value, n->cap);
        map_remove(&l->records, n);
        break;
    case UNDO_KILL:
        map_remove(&l->kills, n);
        break;
    case UNDO_VALUE:
        if (n->value)
            arena_release(&l->arena, n->value, n->cap);
        n->value = u->value;
        n->len = u->len;
        n->cap = u->cap;
        break;
    case UNDO_HEAD:
        memcpy(n->value, u->head, LAYER_HEAD);
        n->len = u->len;
        break;
    case UNDO_RECORDS:
        map_uncut(&l->records, u->cut);
        free(u->cut);
        break;
    case UNDO_KILLS:
        map_uncut(&l->kills, u->cut);
        free(u->cut);
        break;
    }
}

void layer_undo(struct layer *l, struct layer_mark mark)
{
    while (l->undo_count > mark.undo)
        undo_one(l, &l->undo[--l->undo_count]);
    l->weight = mark.weight;
}

void layer_settle(struct layer *l)
{
    for (size_t i = 0; i < l->undo_count; i++) {
        struct layer_undo *u = &l->undo[i];
        if (u->kind == UNDO_VALUE && u->value)
            arena_release(&l->arena, u->value, u->cap);
        if (u->kind == UNDO_RECORDS || u->kind == UNDO_KILLS)
            free(u->cut);
    }
    l->undo_count = 0;
    map_settle(&l->records);
    map_settle(&l->kills);
}
