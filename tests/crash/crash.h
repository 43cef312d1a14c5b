/* SPDX-License-Identifier: Apache-2.0 */
/* What the programs of the crash test share: notes of what a client was told, which outlive it. */
#ifndef CRASH_CRASH_H
#define CRASH_CRASH_H

#include <err.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* Maps a file of so many bytes, made when missing. Ends the program when that fails. */
static inline void *crash_map(const char *directory, const char *name, size_t size)
{
    char path[4096];
    int fd;
    void *at;

    snprintf(path, sizeof(path), "%s/%s", directory, name);
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0 || ftruncate(fd, (off_t)size) < 0)
        err(1, "%s", path);
    at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (at == MAP_FAILED)
        err(1, "%s", path);
    close(fd);
    return at;
}

static inline uint64_t crash_now(void) /* ns, monotonic */
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static inline void crash_longest(uint64_t *longest, uint64_t begun)
{
    uint64_t took = crash_now() - begun;

    if (took > *longest)
        *longest = took;
}

/* Below the bound. */
static inline unsigned crash_random(unsigned bound)
{
    return (unsigned)random() % bound;
}

/* Bytes that the number tells: a text whose halves do not fit those of another number. */
static inline size_t crash_text(char *out, size_t size, uint64_t number, unsigned longest)
{
    unsigned filler = (unsigned)(number * 7919 % longest);
    int n = snprintf(out, size, "%llu\n", (unsigned long long)number);

    memset(out + n, 'a' + (int)(number % 26), filler);
    n += (int)filler;
    return (size_t)n +
           (size_t)snprintf(out + n, size - (size_t)n, "\n%llu\n", (unsigned long long)number);
}

#endif
