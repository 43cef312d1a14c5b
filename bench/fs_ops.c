/* SPDX-License-Identifier: Apache-2.0 */
/* Times file operations in one directory; prints "NAME NANOSECONDS" for each, the median of rounds.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define FILES      200
#define ROUNDS_MAX 101
#define BYTES      100

static uint64_t now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void must(int result, const char *what)
{
    if (result < 0) {
        perror(what);
        exit(1);
    }
}

static const char *name(const char *prefix, unsigned i)
{
    static char text[32];

    snprintf(text, sizeof(text), "%s%u", prefix, i);
    return text;
}

static void put(const char *file, int flags)
{
    static const char bytes[BYTES] = "some text";
    int fd = open(file, O_WRONLY | O_CREAT | flags, 0666);

    must(fd, file);
    must((int)write(fd, bytes, BYTES), "write");
    must(close(fd), "close");
}

/* ---- operations; each does FILES of what it is named for ---- */

static void open_read_close(unsigned round)
{
    char bytes[4096];

    (void)round;
    for (unsigned i = 0; i < FILES; i++) {
        int fd = open(name("f", i), O_RDONLY);
        must(fd, "open");
        must((int)read(fd, bytes, sizeof(bytes)), "read");
        close(fd);
    }
}

static void stat_each(unsigned round)
{
    struct stat st;

    (void)round;
    for (unsigned i = 0; i < FILES; i++)
        must(stat(name("f", i), &st), "stat");
}

static int open_file = -1;

static void pread_each(unsigned round)
{
    char bytes[4096];

    (void)round;
    for (unsigned i = 0; i < FILES; i++)
        must((int)pread(open_file, bytes, sizeof(bytes), 0), "pread");
}

static void create_write_close(unsigned round)
{
    char prefix[16];

    snprintf(prefix, sizeof(prefix), "n%u.", round);
    for (unsigned i = 0; i < FILES; i++)
        put(name(prefix, i), O_EXCL);
}

static void overwrite(unsigned round)
{
    (void)round;
    for (unsigned i = 0; i < FILES; i++)
        put(name("w", i), O_TRUNC);
}

static void list_long(unsigned round)
{
    struct dirent *entry;
    struct stat st;
    DIR *d = opendir("list");

    (void)round;
    if (!d) {
        perror("opendir");
        exit(1);
    }
    while ((entry = readdir(d)))
        must(fstatat(dirfd(d), entry->d_name, &st, 0), "stat");
    closedir(d);
}

static void failed_lookup(unsigned round)
{
    struct stat st;

    (void)round;
    for (unsigned i = 0; i < FILES; i++) {
        if (stat(name("none", i), &st) == 0 || errno != ENOENT) {
            fprintf(stderr, "stat of what is not there: %s\n", strerror(errno));
            exit(1);
        }
    }
}

static void remove_created(unsigned round)
{
    char prefix[16];

    snprintf(prefix, sizeof(prefix), "n%u.", round);
    for (unsigned i = 0; i < FILES; i++)
        must(unlink(name(prefix, i)), "unlink");
}

static const struct operation {
    const char *name;
    void (*run)(unsigned round), (*undo)(unsigned round);
} operations[] = {
    {"open+read+close", open_read_close, NULL},
    {"stat", stat_each, NULL},
    {"pread", pread_each, NULL},
    {"create+write+close", create_write_close, remove_created},
    {"overwrite", overwrite, NULL},
    {"ls-l-entry", list_long, NULL},
    {"failed-lookup", failed_lookup, NULL},
};

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

static void prepare(void)
{
    must(mkdir("list", 0777), "mkdir");
    for (unsigned i = 0; i < FILES; i++) {
        put(name("f", i), 0);
        put(name("w", i), 0);
        put(name("list/f", i), 0);
    }
    open_file = open("f0", O_RDONLY);
    must(open_file, "open");
}

/* What a first look costs: the caller made a new mount of what `prepare` left. */
static void cold(void)
{
    uint64_t start = now();

    list_long(0);
    printf("cold-ls-l-entry %ju\n", (uintmax_t)((now() - start) / FILES));
    start = now();
    open_read_close(0);
    printf("cold-open+read+close %ju\n", (uintmax_t)((now() - start) / FILES));
}

static void warm(unsigned rounds)
{
    for (size_t k = 0; k < sizeof(operations) / sizeof(operations[0]); k++) {
        const struct operation *o = &operations[k];
        uint64_t took[ROUNDS_MAX];
        for (unsigned round = 0; round <= rounds; round++) { /* the first warms */
            uint64_t start = now();
            o->run(round);
            took[round ? round - 1 : 0] = (now() - start) / FILES;
            if (o->undo)
                o->undo(round);
        }
        qsort(took, rounds, sizeof(took[0]), by_value);
        printf("%s %ju\n", o->name, (uintmax_t)took[rounds / 2]);
    }
}

int main(int argc, char **argv)
{
    unsigned rounds = argc == 4 ? (unsigned)strtoul(argv[3], NULL, 10) : 0;

    if (argc < 3 || (rounds && (rounds < 3 || rounds > ROUNDS_MAX)) || chdir(argv[2]) < 0) {
        fprintf(stderr, "usage: fs_ops prepare|cold DIR | warm DIR ROUNDS (3 to %d)\n", ROUNDS_MAX);
        return 2;
    }
    if (strcmp(argv[1], "prepare") == 0) {
        prepare();
    } else if (strcmp(argv[1], "cold") == 0) {
        cold();
    } else {
        open_file = open("f0", O_RDONLY);
        must(open_file, "open");
        warm(rounds);
    }
    return 0;
}
