/* SPDX-License-Identifier: Apache-2.0 */
/* Times file operations in one directory; prints "NAME NANOSECONDS" for each, the median of rounds.
 * What the kernel answers by itself takes so little that a round does it many times: else an
 * interrupt, or caches that others have used, would be a good part of it. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench/timing.h"

#define FILES      200
#define ROUNDS_MAX 101
#define BYTES      100

static const char *name(const char *prefix, unsigned i)
{
    static char text[2][32];
    static unsigned turn;
    char *into = text[++turn % 2];

    snprintf(into, sizeof(text[0]), "%s%u", prefix, i);
    return into;
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

static void open_read_close(void)
{
    char bytes[4096];

    for (unsigned i = 0; i < FILES; i++) {
        int fd = open(name("f", i), O_RDONLY);
        must(fd, "open");
        must((int)read(fd, bytes, sizeof(bytes)), "read");
        close(fd);
    }
}

static void stat_of(const char *prefix)
{
    struct stat st;

    for (unsigned i = 0; i < FILES; i++)
        must(stat(name(prefix, i), &st), "stat");
}

static void stat_each(void)
{
    stat_of("f");
}

static void stat_others(void)
{
    stat_of("others/f");
}

static int open_file = -1;

static void pread_each(void)
{
    char bytes[4096];

    for (unsigned i = 0; i < FILES; i++)
        must((int)pread(open_file, bytes, sizeof(bytes), 0), "pread");
}

static char fresh[16]; /* what new files' names begin with: no name is used twice */

static void create(int flags)
{
    static unsigned round;

    snprintf(fresh, sizeof(fresh), "n%u.", round++);
    for (unsigned i = 0; i < FILES; i++)
        put(name(fresh, i), flags);
}

/* As a shell's > does. */
static void create_write_close(void)
{
    create(O_TRUNC);
}

/* As tar and cp do. */
static void create_exclusive(void)
{
    create(O_EXCL);
}

static void unlink_each(void)
{
    for (unsigned i = 0; i < FILES; i++)
        must(unlink(name(fresh, i)), "unlink");
}

static void rename_each(void)
{
    for (unsigned i = 0; i < FILES; i++)
        must(rename(name("w", i), name("moved", i)), "rename");
}

static void rename_back(void)
{
    for (unsigned i = 0; i < FILES; i++)
        must(rename(name("moved", i), name("w", i)), "rename");
}

static void overwrite(void)
{
    for (unsigned i = 0; i < FILES; i++)
        put(name("w", i), O_TRUNC);
}

static void append(void)
{
    for (unsigned i = 0; i < FILES; i++)
        put(name("w", i), O_APPEND);
}

static void list(bool with_stat)
{
    struct dirent *entry;
    struct stat st;
    DIR *d = opendir("list");

    if (!d) {
        perror("opendir");
        exit(1);
    }
    while ((entry = readdir(d))) {
        if (with_stat)
            must(fstatat(dirfd(d), entry->d_name, &st, 0), "stat");
    }
    closedir(d);
}

static void list_names(void)
{
    list(false);
}

static void list_long(void)
{
    list(true);
}

static void failed_lookup(void)
{
    struct stat st;

    for (unsigned i = 0; i < FILES; i++) {
        if (stat(name("none", i), &st) == 0 || errno != ENOENT) {
            fprintf(stderr, "stat of what is not there: %s\n", strerror(errno));
            exit(1);
        }
    }
}

static const struct operation {
    const char *name;
    unsigned times; /* in a round */
    void (*before)(void), (*run)(void), (*after)(void);
} operations[] = {
    {"open+read+close", 4, NULL, open_read_close, NULL},
    {"stat", 50, NULL, stat_each, NULL},
    {"pread", 50, NULL, pread_each, NULL},
    {"create+write+close", 1, NULL, create_write_close, unlink_each},
    {"the-same-with-O_EXCL", 1, NULL, create_exclusive, unlink_each},
    {"overwrite", 1, NULL, overwrite, NULL},
    {"append", 1, NULL, append, overwrite},
    {"unlink", 1, create_write_close, unlink_each, NULL},
    {"rename", 1, NULL, rename_each, rename_back},
    {"readdir-entry", 20, NULL, list_names, NULL},
    {"ls-l-entry", 10, NULL, list_long, NULL},
    {"failed-lookup", 4, NULL, failed_lookup, NULL},
};

static void prepare(void)
{
    must(mkdir("list", 0777), "mkdir");
    must(mkdir("others", 0777), "mkdir");
    for (unsigned i = 0; i < FILES; i++) {
        put(name("f", i), 0);
        put(name("w", i), 0);
        put(name("list/f", i), 0);
        put(name("others/f", i), 0);
    }
}

static uint64_t took(void (*run)(void), unsigned times)
{
    uint64_t start = now();

    for (unsigned i = 0; i < times; i++)
        run();
    return (now() - start) / times / FILES;
}

/* What a first look costs: the caller made a new mount of what `prepare` left. */
static void cold(void)
{
    printf("cold-ls-l-entry %ju\n", (uintmax_t)took(list_long, 1));
    printf("cold-stat %ju\n", (uintmax_t)took(stat_others, 1));
    printf("cold-open+read+close %ju\n", (uintmax_t)took(open_read_close, 1));
}

static void warm(unsigned rounds)
{
    open_file = open("f0", O_RDONLY);
    must(open_file, "open");
    for (size_t k = 0; k < sizeof(operations) / sizeof(operations[0]); k++) {
        const struct operation *o = &operations[k];
        uint64_t times[ROUNDS_MAX];
        for (unsigned round = 0; round <= rounds; round++) { /* the first warms */
            if (o->before)
                o->before();
            times[round ? round - 1 : 0] = took(o->run, o->times);
            if (o->after)
                o->after();
        }
        sort_times(times, rounds);
        printf("%s %ju\n", o->name, (uintmax_t)times[rounds / 2]);
    }
}

int main(int argc, char **argv)
{
    unsigned rounds = argc == 4 ? (unsigned)strtoul(argv[3], NULL, 10) : 0;

    if (argc < 3 || (rounds && (rounds < 3 || rounds > ROUNDS_MAX)) || chdir(argv[2]) < 0) {
        fprintf(stderr, "usage: fs_ops prepare|cold DIR | warm DIR ROUNDS (3 to %d)\n", ROUNDS_MAX);
        return 2;
    }
    if (strcmp(argv[1], "prepare") == 0)
        prepare();
    else if (strcmp(argv[1], "cold") == 0)
        cold();
    else
        warm(rounds);
    return 0;
}
