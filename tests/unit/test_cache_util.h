/* SPDX-License-Identifier: Apache-2.0 */
/* What tests of the cache share: a cache over a server of the test's, questions and their answers.
 */
#ifndef UNIT_TEST_CACHE_UTIL_H
#define UNIT_TEST_CACHE_UTIL_H

#include <criterion/criterion.h>

#include "cache/cache.h"
#include "tests/unit/fake_upstream.h"

extern struct fake *f;
extern struct cache *c;
extern unsigned recalls, losses; /* that those above the cache were told of */
extern bool answer_later;        /* a recall is left to the test, */
extern uint64_t owed;            /* with this serial */

void open_with(size_t bytes);
void open_cache(void);
void close_cache(void);

/* A node of at most two subscripts; negative: none. */
struct key key2(const char *global, int first, int second);

/* What done was called with. */
struct got {
    int calls, error;
    struct node node;
    size_t count;
    bool to_end;
    uint64_t until;
    char value[32];
};
void got_node(void *cookie, int error, const struct node *node, uint64_t until);
void got_page(void *cookie, int error, const struct page *page, uint64_t until);
void got_update(void *cookie, int error, uint64_t stamp);

/* Sets it at the server, as others do. */
void set(const char *global, int first, int second, const char *value);
struct cache_call *ask(struct got *g, const char *global, int first, int second,
                       uint32_t max_value);
bool cached(const char *global, int first, int second, uint32_t max_value);
/* Until it is cached. */
void load(const char *global, int first, int second, uint32_t max_value);
/* Lists a node's children to the end; returns how many there are. */
size_t list(const char *global, int first);
uint64_t figure(const char *name);

#endif
