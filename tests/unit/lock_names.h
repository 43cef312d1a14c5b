/* SPDX-License-Identifier: Apache-2.0 */
/* The names that tests of a client's locks are about: a global, two nodes below it, another. */
#ifndef UNIT_LOCK_NAMES_H
#define UNIT_LOCK_NAMES_H

#include "base/key.h"

#define NAMES 4

static inline void lock_names(struct key names[NAMES])
{
    static const char *const subscripts[NAMES] = {NULL, "1", "2", NULL};

    for (int i = 0; i < NAMES; i++) {
        key_root(&names[i]);
        key_append(&names[i], slice_str(i < 3 ? "A" : "B"));
        if (subscripts[i])
            key_append(&names[i], slice_str(subscripts[i]));
    }
}

#endif
