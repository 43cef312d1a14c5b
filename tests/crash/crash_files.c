/* SPDX-License-Identifier: Apache-2.0 */
/* A process that writes files of a mount while the server is killed, and their check. */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>

#include "tests/crash/crash.h"

#define FILES  8
#define FILLER 20000      /* bytes in a whole file, at most */
#define PIECE  500        /* lines of a log, which then goes on in another file */
#define LINES  (1u << 20) /* of a log, at most */
#define USAGE                                                                                      \
    "crash_files load MOUNT NOTES NAME OTHER PID-FILE durable|applied|lives | check MOUNT NOTES "  \
    "NAME..."

/* What the process of a mount was told; who comes after one that was killed goes on with it. */
struct notes {
    uint64_t line;                        /* the newest one */
    uint64_t told;                        /* how many must be there */
    uint8_t lines[LINES / 8];             /* which */
    uint64_t sent[FILES], durable[FILES]; /* numbers of whole files; what must not be lost */
    uint64_t number;                      /* the newest one */
    uint64_t longest;                     /* ns, of a call */
};

static const char *mount, *self, *pid_file;
/* What is closed may be lost in a crash, not what is synced: if this mount is killed, too; or
 * (lives) only another one is. */
static bool applied, lives;
static struct notes *notes;

static struct notes *notes_of(const char *directory, const char *name)
{
    char file[256];

    snprintf(file, sizeof(file), "%s.files", name);
    return crash_map(directory, file, sizeof(struct notes));
}

static int server_pid(void)
{
    FILE *file = fopen(pid_file, "r");
    int pid = 0;

    if (file && fscanf(file, "%d", &pid) != 1)
        pid = 0;
    if (file)
        fclose(file);
    return pid;
}

/* What is lost may be missing when it is written to. */
static bool lost(const char *what, const char *path)
{
    if (lives && !strstr(path, "/LOG/all"))
        err(1, "%s %s", what, path);
    if (!(applied || lives) || errno != ESTALE)
        err(1, "%s %s", what, path);
    return true;
}

/* One write(2), and now and then fsync(2). Whether it must be there from now on. */
static bool put(const char *path, int flags, const char *text, size_t len)
{
    int fd = open(path, flags | O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
    bool sync = crash_random(4) == 0, bad = false;

    if (fd < 0) {
        lost("open", path);
        return false;
    }
    if (write(fd, text, len) != (ssize_t)len)
        bad = lost("write", path);
    if (sync && fsync(fd) < 0)
        bad = lost("fsync", path);
    if (close(fd) < 0)
        bad = lost("close", path);
    return !bad && (sync || !applied);
}

/* Whole at any time, and not older than `least`. */
static void check_file(const char *name, int k, uint64_t least, const uint64_t *sent)
{
    char path[4096], is[FILLER + 64], expected[FILLER + 64];
    int fd;
    ssize_t len;
    uint64_t number;

    snprintf(path, sizeof(path), "%s/FILES/%s_%d", mount, name, k);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT && !least)
        return;
    len = fd < 0 ? -1 : read(fd, is, sizeof(is) - 1);
    if (len < 0)
        err(1, "read %s", path);
    close(fd);
    is[len] = '\0';
    number = strtoull(is, NULL, 10);
    if ((size_t)len != crash_text(expected, sizeof(expected), number, FILLER) ||
        memcmp(is, expected, (size_t)len) != 0)
        errx(1, "half a file: %s, number %" PRIu64 ", %zd bytes", path, number, len);
    if (number < least || number > __atomic_load_n(sent, __ATOMIC_SEQ_CST))
        errx(1, "%s: %" PRIu64 ", durable %" PRIu64 ", sent %" PRIu64, path, number, least, *sent);
}

/* When the server was started anew meanwhile, fsync(2) spoke of what that one has. */
static bool stays(bool must, int server)
{
    return must && (!applied || server_pid() == server);
}

static void append_line(void)
{
    char path[4096], text[64];
    uint64_t line = ++notes->line;
    int len = snprintf(text, sizeof(text), "%s %" PRIu64 "\n", self, line), server = server_pid();

    if (line >= LINES)
        errx(1, "more lines than are counted");
    snprintf(path, sizeof(path), "%s/LOG/%s_%" PRIu64, mount, line % 3 ? self : "all",
             line / PIECE);
    if (!stays(put(path, O_APPEND, text, (size_t)len), server))
        return;
    notes->lines[line / 8] |= (uint8_t)(1u << line % 8);
    notes->told++;
}

/* In place, or beside it and renamed. */
static void write_file(void)
{
    char path[4096], beside[4096], text[FILLER + 64];
    unsigned k = crash_random(FILES);
    uint64_t number = ++notes->number;
    size_t len = crash_text(text, sizeof(text), number, FILLER);
    bool aside = number % 3 == 0, must;
    int server = server_pid();

    snprintf(path, sizeof(path), "%s/FILES/%s_%u", mount, self, k);
    snprintf(beside, sizeof(beside), "%s/FILES/.%s_%u.new", mount, self, k);
    __atomic_store_n(&notes->sent[k], number, __ATOMIC_SEQ_CST);
    must = put(aside ? beside : path, O_TRUNC, text, len);
    if (aside && rename(beside, path) < 0)
        err(1, "rename %s", path);
    if (stays(must, server) && !(aside && applied))
        __atomic_store_n(&notes->durable[k], number, __ATOMIC_SEQ_CST);
}

static void read_other(const char *name, const struct notes *other)
{
    int k = (int)crash_random(FILES);

    check_file(name, k, __atomic_load_n(&other->durable[k], __ATOMIC_SEQ_CST), &other->sent[k]);
}

/* Until there is a file "stop": a signal would interrupt a call on the mount. */
static void run_load(char **arguments)
{
    char stop[4096];

    snprintf(stop, sizeof(stop), "%s/stop", arguments[1]);
    mount = arguments[0];
    self = arguments[2];
    notes = notes_of(arguments[1], self);
    struct notes *other = notes_of(arguments[1], arguments[3]);
    pid_file = arguments[4];
    applied = strcmp(arguments[5], "applied") == 0;
    lives = strcmp(arguments[5], "lives") == 0;
    srandom((unsigned)getpid());
    while (access(stop, F_OK) < 0) {
        uint64_t begun = crash_now();
        unsigned what = crash_random(10);
        if (what < 6)
            append_line();
        else if (what < 8)
            write_file();
        else
            read_other(arguments[3], other);
        crash_longest(&notes->longest, begun);
        nanosleep(&(struct timespec){.tv_nsec = crash_random(8000000)}, NULL);
    }
}

/* ---- The check ---- */

/* Notes the lines of this writer in a log; each must be whole, be there once, and come in order. */
static void read_log(const char *path, uint8_t *seen)
{
    char line[256], name[200];
    uint64_t number, last = 0;
    FILE *file = fopen(path, "r");
    int end;

    if (!file)
        err(1, "%s", path);
    while (fgets(line, sizeof(line), file)) {
        if (sscanf(line, "%199s %" SCNu64 "%n", name, &number, &end) != 2 ||
            strcmp(line + end, "\n") != 0)
            errx(1, "%s: half a line: %s", path, line);
        if (strcmp(name, self) != 0)
            continue;
        if (number > notes->line || seen[number]++)
            errx(1, "%s: line %" PRIu64 " of %s is there twice", path, number, name);
        if (number < last)
            errx(1, "%s: line %" PRIu64 " of %s after %" PRIu64, path, number, name, last);
        last = number;
    }
    fclose(file);
}

static void read_logs(uint8_t *seen)
{
    char path[4096];
    struct dirent *entry;
    DIR *logs;

    snprintf(path, sizeof(path), "%s/LOG", mount);
    logs = opendir(path);
    if (!logs)
        err(1, "%s", path);
    while ((entry = readdir(logs))) {
        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof(path), "%s/LOG/%s", mount, entry->d_name);
        read_log(path, seen);
    }
    closedir(logs);
}

static void check(void)
{
    uint8_t *seen = calloc(notes->line + 1, 1);

    if (!seen)
        err(1, "lines");
    read_logs(seen);
    for (uint64_t line = 1; line <= notes->line; line++)
        if (!seen[line] && (notes->lines[line / 8] & 1u << line % 8))
            errx(1, "line %" PRIu64 " of %s is lost", line, self);
    free(seen);
    for (int k = 0; k < FILES; k++)
        check_file(self, k, notes->durable[k], &notes->sent[k]);
}

int main(int argc, char **argv)
{
    uint64_t lines = 0, files = 0, longest = 0;

    if (argc == 8 && strcmp(argv[1], "load") == 0) {
        run_load(argv + 2);
        return 0;
    }
    if (argc < 5 || strcmp(argv[1], "check") != 0)
        errx(2, "usage: %s", USAGE);
    mount = argv[2];
    for (char **name = argv + 4; *name; name++) {
        self = *name;
        notes = notes_of(argv[3], self);
        check();
        lines += notes->told;
        files += notes->number;
        longest = notes->longest > longest ? notes->longest : longest;
    }
    printf("%" PRIu64 " lines, %" PRIu64 " files; the longest took %" PRIu64 " ms\n", lines, files,
           longest / 1000000);
    return 0;
}
