/* SPDX-License-Identifier: Apache-2.0 */
/* What measuring programs share: a clock, medians, and an end with a reason. */
#ifndef BENCH_TIMING_H
#define BENCH_TIMING_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static inline uint64_t now(void) /* ns, monotonic */
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static inline void must(int result, const char *what)
{
    if (result < 0) {
        perror(what);
        exit(1);
    }
}

static inline int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

static inline void sort_times(uint64_t *times, size_t count)
{
    qsort(times, count, sizeof(times[0]), by_value);
}

#endif
