/* SPDX-License-Identifier: Apache-2.0 */
/* Fixed-seed randomness for property tests: subscripts that hit the codecs' special cases. */
#ifndef TESTS_UNIT_BASE_RANDOM_H
#define TESTS_UNIT_BASE_RANDOM_H

#include "base/key.h"

struct text {
    size_t len;
    uint8_t data[SUBSCRIPT_MAX_LEN];
};

static uint64_t random_state = 0x9E3779B97F4A7C15u;

static inline uint32_t random_below(uint32_t n)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (uint32_t)((random_state >> 20) % n);
}

static inline struct slice text_slice(const struct text *t)
{
    return slice_of(t->data, t->len);
}

/* 1 to max bytes: any, or of an alphabet that makes numbers, escapes and look-alikes. */
static inline void random_text(struct text *t, size_t max)
{
    static const char *const alphabets[] = {"0123456789",       "0.-15", "%.AFaf0/2",
                                            "\x01\x02\xff\"_z", "abc%",  "-.0019"};
    uint32_t which = random_below(8);
    t->len = 1 + random_below((uint32_t)max);
    for (size_t i = 0; i < t->len; i++) {
        if (which < 6)
            t->data[i] =
                (uint8_t)alphabets[which][random_below((uint32_t)strlen(alphabets[which]))];
        else
            t->data[i] = (uint8_t)random_below(which == 6 ? 256 : 3);
    }
}

/* A random key of up to four levels, all subscripts short. */
static inline void random_key(struct key *k, size_t max)
{
    struct text t;
    uint32_t levels = random_below(4);
    key_root(k);
    key_append(k, slice_str(random_below(2) ? "A" : "%AB"));
    for (uint32_t i = 0; i < levels; i++) {
        random_text(&t, max);
        key_append(k, text_slice(&t));
    }
}

#endif
