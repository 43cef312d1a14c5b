/* SPDX-License-Identifier: Apache-2.0 */
/* Becoming a daemon whose start is told to the command that started it. */
#include "base/daemonize.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/buf.h"
#include "base/log.h"

/* The parent: waits for the child's "K", or prints what it says instead. */
_Noreturn static void await_child(int fd, const char *program)
{
    struct buf text = {0};
    ssize_t n;

    for (;;) {
        buf_reserve(&text, 1024);
        n = read(fd, text.data + text.len, 1024);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        text.len += (size_t)n;
    }
    if (text.len == 1 && text.data[0] == 'K')
        _exit(EXIT_SUCCESS);
    if (text.len)
        fprintf(stderr, "%s: %.*s\n", program, (int)text.len, (const char *)text.data);
    else
        fprintf(stderr, "%s: the daemon died while starting; the system log may say why\n",
                program);
    fflush(stderr);
    _exit(EXIT_FAILURE);
}

int daemonize(const char *program)
{
    int fds[2];
    pid_t pid;

    if (pipe2(fds, O_CLOEXEC) < 0 || (pid = fork()) < 0) {
        fprintf(stderr, "%s: cannot become a daemon: %s\n", program, strerror(errno));
        exit(EXIT_FAILURE);
    }
    if (pid > 0) {
        close(fds[1]);
        await_child(fds[0], program);
    }
    /* What a script had open is not ours to keep: a lock that it held would never end. */
    dup3(fds[1], 3, O_CLOEXEC);
    close_range(4, ~0u, 0);
    setsid();
    if (chdir("/") < 0)
        log_warning("cannot leave the working directory: %s", strerror(errno));
    return 3;
}

void daemonize_ready(int fd)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    if (null >= 0)
        for (int i = 0; i <= 2; i++)
            dup2(null, i);
    if (null > 2)
        close(null);
    if (write(fd, "K", 1) != 1)
        log_warning("the starting process went away");
    close(fd);
}

int daemonize_failed(int fd, const char *program, const char *text)
{
    if (fd < 0) {
        fprintf(stderr, "%s: %s\n", program, text);
    } else {
        if (write(fd, text, strlen(text)) < 0)
            log_error("%s", text);
        close(fd);
    }
    return EXIT_FAILURE;
}
