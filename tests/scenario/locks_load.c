/* SPDX-License-Identifier: Apache-2.0 */
/* Many processes that lock files of mounts, for the scenarios of locks. */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char *self;

static int open_path(const char *path, int flags)
{
    int fd = open(path, flags, 0666);

    if (fd < 0)
        err(1, "%s", path);
    return fd;
}

static int open_file(const char *mount, const char *name, int flags)
{
    char path[4096];

    snprintf(path, sizeof(path), "%s/%s", mount, name);
    return open_path(path, flags);
}

/* Reads the number in an open file and writes the next one. */
static void increment(int fd)
{
    char text[32];
    ssize_t n = pread(fd, text, sizeof(text) - 1, 0);

    if (n <= 0)
        err(1, "read");
    text[n] = '\0';
    n = snprintf(text, sizeof(text), "%ld", atol(text) + 1);
    if (pwrite(fd, text, (size_t)n, 0) != n)
        err(1, "write");
}

static void set_flock(int fd, int how)
{
    if (flock(fd, how) < 0)
        err(1, "flock");
}

static void set_fcntl(int fd, short type)
{
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET};

    if (fcntl(fd, F_SETLKW, &lock) < 0)
        err(1, "fcntl");
}

static void close_file(int fd)
{
    if (close(fd) < 0)
        err(1, "close");
}

/* -1: any child. */
static void wait_for(pid_t child)
{
    int status;

    if (waitpid(child, &status, 0) < 0 || status != 0)
        errx(1, "a process failed");
}

/* ---- One step of each kind; lock is for .lock, data for the number ---- */

struct step {
    const char *mount;
    int data, lock;
    unsigned count; /* of the step */
};

static void by_flock(struct step *s)
{
    set_flock(s->data, LOCK_EX);
    increment(s->data);
    set_flock(s->data, LOCK_UN);
}

static void by_fcntl(struct step *s)
{
    set_fcntl(s->data, F_WRLCK);
    increment(s->data);
    set_fcntl(s->data, F_UNLCK);
}

/* The end of the file gives the lock back. */
static void by_close(struct step *s)
{
    int fd = open_file(s->mount, "G/n", O_RDWR);

    set_flock(fd, LOCK_EX);
    increment(fd);
    close_file(fd);
}

/* A lock on another file; what was written is not closed before. */
static void by_dotlock(struct step *s)
{
    set_flock(s->lock, LOCK_EX);
    increment(s->data);
    set_flock(s->lock, LOCK_UN);
}

/* The descriptor with the lock is the lower one: it is closed first when the process ends. */
static void by_exit(struct step *s)
{
    pid_t child = fork();

    if (child == 0) {
        int lock = open_file(s->mount, ".locks/^COUNT(\"x\")", O_WRONLY);
        int data = open_file(s->mount, "G/n", O_RDWR);
        set_flock(lock, LOCK_EX);
        increment(data);
        _exit(0);
    }
    wait_for(child);
}

/* A process of its own asks the server; the number is in a file of the mount. */
static void by_ecp(struct step *s)
{
    char path[4096];
    pid_t child = fork();

    if (child == 0) {
        snprintf(path, sizeof(path), "%s/G/n", s->mount);
        execlp("ecp", "ecp", "lock", "^G(\"n\")", "--", self, "increment", path, NULL);
        err(1, "ecp");
    }
    wait_for(child);
}

/* No lock at all: a line, as the shell's >> does it. */
static void by_append(struct step *s)
{
    int fd = open_file(s->mount, "G/log", O_WRONLY | O_APPEND | O_CREAT);

    if (dprintf(fd, "%d %u\n", (int)getpid(), s->count) < 0)
        err(1, "append");
    close_file(fd);
}

static const struct {
    const char *name;
    void (*step)(struct step *step);
} methods[] = {
    {"flock", by_flock}, {"fcntl", by_fcntl}, {"close", by_close},   {"dotlock", by_dotlock},
    {"exit", by_exit},   {"ecp", by_ecp},     {"append", by_append},
};

static void work(const char *method, const char *mount, unsigned count)
{
    struct step s = {.mount = mount,
                     .data = open_file(mount, "G/n", O_RDWR | O_CLOEXEC),
                     .lock = open_file(mount, "G/.lock", O_RDWR | O_CLOEXEC)};

    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
        for (; strcmp(methods[i].name, method) == 0 && s.count < count; s.count++)
            methods[i].step(&s);
    if (s.count < count)
        errx(2, "no method %s", method);
}

/* METHOD PROCESSES COUNT MOUNT...: so many processes on each mount add 1 to G/n so often each. */
static void increments(char **arguments)
{
    const char *method = arguments[0];
    unsigned processes = (unsigned)atoi(arguments[1]), count = (unsigned)atoi(arguments[2]);
    unsigned started = 0;
    pid_t child;

    for (char **mount = arguments + 3; *mount; mount++)
        for (unsigned i = 0; i < processes; i++, started++)
            if ((child = fork()) == 0) {
                work(method, *mount, count);
                exit(0);
            } else if (child < 0) {
                err(1, "fork");
            }
    while (started--)
        wait_for(-1);
}

/* ---- A queue: each waiter writes its number when it has the lock ---- */

enum { INTERRUPTED = 3 }; /* a waiter's exit status */

static void ignored(int signal_number)
{
    (void)signal_number;
}

static _Noreturn void wait_in_line(const char *mount, unsigned number, int order, int *inside)
{
    struct sigaction action = {.sa_handler = ignored}; /* flock is not begun again */
    int fd = open_file(mount, "G/f", O_RDWR);

    sigaction(SIGALRM, &action, NULL);
    if (flock(fd, LOCK_EX) < 0)
        _exit(errno == EINTR ? INTERRUPTED : 1);
    if (++*inside != 1 || dprintf(order, "%u\n", number) < 0)
        _exit(1);
    --*inside;
    _exit(flock(fd, LOCK_UN) < 0);
}

static unsigned waiting_at_server(void)
{
    char line[200];
    unsigned count = 0;
    FILE *stats = popen("ecp stats", "r");

    if (!stats)
        err(1, "ecp stats");
    while (fgets(line, sizeof(line), stats))
        sscanf(line, "locks_waiting %u", &count);
    if (pclose(stats) != 0)
        errx(1, "ecp stats failed");
    return count;
}

static void until_waiting(unsigned count)
{
    time_t deadline = time(NULL) + 60;

    while (waiting_at_server() != count)
        if (time(NULL) > deadline)
            errx(1, "%u wait, not %u", waiting_at_server(), count);
}

/* Says how far it is, and goes on when it gets a line. */
static void pause_at(const char *where)
{
    char line[10];

    puts(where);
    fflush(stdout);
    if (!fgets(line, sizeof(line), stdin))
        errx(1, "nobody says to go on");
}

static int signal_for(unsigned number)
{
    return number % 5 == 2 ? SIGKILL : number % 5 == 4 ? SIGALRM : 0;
}

/* COUNT FILE MOUNT...: so many wait on the mounts in turns while this one has the lock; some are
 * killed, some interrupted. The others write their numbers to the file, in their order. */
static void queue(char **arguments)
{
    unsigned count = (unsigned)atoi(arguments[0]), mounts = 0, left = count;
    int order = open_path(arguments[1], O_WRONLY | O_APPEND | O_CREAT | O_TRUNC);
    int *inside =
        mmap(NULL, sizeof(*inside), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t *waiters = calloc(count, sizeof(*waiters));
    int held = open_file(arguments[2], "G/f", O_RDWR | O_CREAT), status;

    while (arguments[2 + mounts])
        mounts++;
    set_flock(held, LOCK_EX);
    pause_at("locked");
    for (unsigned i = 0; i < count; i++) {
        if ((waiters[i] = fork()) == 0)
            wait_in_line(arguments[2 + i % mounts], i, order, inside);
        until_waiting(i + 1);
    }
    pause_at("waiting");
    for (unsigned i = 0; i < count; i++)
        if (signal_for(i)) {
            kill(waiters[i], signal_for(i));
            left--;
        }
    until_waiting(left);
    set_flock(held, LOCK_UN);
    for (unsigned i = 0; i < count; i++) {
        int expected = signal_for(i) == SIGALRM ? INTERRUPTED << 8 : signal_for(i);
        if (waitpid(waiters[i], &status, 0) < 0 || status != expected)
            errx(1, "waiter %u of %u: status %#x", i, count, status);
    }
    free(waiters);
    pause_at("ended");
}

static void increment_at(const char *path)
{
    int fd = open_path(path, O_RDWR);

    increment(fd);
    close_file(fd);
}

int main(int argc, char **argv)
{
    self = argv[0];
    if (argc == 3 && strcmp(argv[1], "increment") == 0)
        increment_at(argv[2]);
    else if (argc >= 6 && strcmp(argv[1], "increments") == 0)
        increments(argv + 2);
    else if (argc >= 5 && strcmp(argv[1], "queue") == 0)
        queue(argv + 2);
    else
        errx(2, "usage: locks_load increments METHOD PROCESSES COUNT MOUNT... | "
                "queue COUNT FILE MOUNT...");
    return 0;
}
