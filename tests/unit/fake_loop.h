/* SPDX-License-Identifier: Apache-2.0 */
/* A loop whose time passes only when told. */
#ifndef UNIT_FAKE_LOOP_H
#define UNIT_FAKE_LOOP_H

#include "base/loop.h"

struct fake_loop {
    struct loop loop;
    uint64_t now;
    struct loop_event *events; /* by time, then age */
};

/* There is nothing to free when no event is pending. */
void fake_loop_init(struct fake_loop *l);
void fake_loop_advance(struct fake_loop *l, uint64_t ns);

#endif
