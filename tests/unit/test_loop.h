/* SPDX-License-Identifier: Apache-2.0 */
/* A tiny loop for unit tests: events run one after the other, workers inline. */
#ifndef UNIT_TEST_LOOP_H
#define UNIT_TEST_LOOP_H

#include <stdbool.h>

#include "base/loop.h"

struct loop *test_loop_new(void);
void test_loop_run(struct loop *loop); /* until nothing is pending; time jumps to timers */
void test_loop_advance(struct loop *loop, uint64_t time); /* runs what falls due within so many ns */
/* Runs one of them; false: there is none. */
bool test_loop_step(struct loop *loop);
void test_loop_free(struct loop *loop);

#endif
