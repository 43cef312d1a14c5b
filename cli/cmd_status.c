/* SPDX-License-Identifier: Apache-2.0 */
/* ecp status: how a server is, or the session of a mount. */
#include "cli/cli.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MOUNT_PATIENCE 5000 /* ms; ecpfs answers within one second, whatever its server does */
#define NUMBER_DIGITS  15   /* that every JSON reader keeps */

/* ---- What a mount tells. In a process of its own: the file system may be stopped, and waiting for
 * it cannot be given up but by the end. ---- */

static _Noreturn void tell(const char *text, int code)
{
    cli_write(STDOUT_FILENO, slice_str(text));
    _exit(code);
}

static _Noreturn void read_mount(const char *target)
{
    char *point = target_mount(target), bytes[4096];
    ssize_t n = 0;
    if (!point)
        tell("not inside an ecpfs mount; is it mounted?", EXIT_USAGE);
    char *path = xasprintf("%s/.ecp/status", point);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    while (fd >= 0 && (n = read(fd, bytes, sizeof bytes)) > 0)
        cli_write(STDOUT_FILENO, slice_of((uint8_t *)bytes, (size_t)n));
    if (fd < 0 || n < 0)
        tell(errno == ENOTCONN ? "its ecpfs has ended: fusermount3 -uz, and mount again"
                               : strerror(errno),
             EXIT_FAILED);
    _exit(EXIT_OK);
}

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* All that comes until the other end is closed; false: it is not in time. */
static bool drain(int fd, struct buf *out)
{
    uint64_t until = now_ms() + MOUNT_PATIENCE, now;
    struct pollfd p = {.fd = fd, .events = POLLIN};
    while ((now = now_ms()) < until) {
        if (poll(&p, 1, (int)(until - now)) <= 0)
            continue;
        buf_reserve(out, 4096);
        ssize_t n = read(fd, out->data + out->len, 4096);
        if (n <= 0)
            return n == 0;
        out->len += (size_t)n;
    }
    return false;
}

static int ask_mount(struct cli *cli, const char *target, struct buf *text)
{
    int fds[2], status = 0;
    pid_t child;
    if (pipe2(fds, O_CLOEXEC) || (child = fork()) < 0)
        return cli_failed(cli, "%s", strerror(errno));
    if (child == 0) {
        dup2(fds[1], STDOUT_FILENO);
        read_mount(target);
    }
    close(fds[1]);
    bool in_time = drain(fds[0], text);
    close(fds[0]);
    if (!in_time) {
        kill(child, SIGKILL);
        buf_clear(text);
        return cli_failed(cli, "%s: its ecpfs does not answer", target);
    }
    waitpid(child, &status, 0);
    int code = WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_FAILED;
    if (code != EXIT_OK) {
        cli_failed(cli, "%s: %.*s", target, (int)text->len, (const char *)text->data);
        buf_clear(text);
    }
    return code;
}

/* ---- What a server tells ---- */

static int ask_server(struct cli *cli, struct buf *text)
{
    struct buf figures = {0};
    int code = session_open(cli), error;
    if (code)
        return code;
    if ((error = session_stats(cli, &figures))) {
        code = session_error(cli, slice_of(NULL, 0), error, NULL);
    } else {
        buf_printf(text, "url %s\nserver %s\n", cli->where.text, client_server(cli->client));
        buf_append_slice(text, buf_slice(&figures));
    }
    buf_free(&figures);
    return code;
}

/* ---- Lines "name value" ---- */

static bool next_line(struct slice *text, struct slice *name, struct slice *value)
{
    const uint8_t *end = text->len ? memchr(text->data, '\n', text->len) : NULL;
    if (!end)
        return false;
    struct slice line = slice_of(text->data, (size_t)(end - text->data));
    const uint8_t *blank = line.len ? memchr(line.data, ' ', line.len) : NULL;
    size_t at = blank ? (size_t)(blank - line.data) : line.len;
    *name = slice_of(line.data, at);
    *value = blank ? slice_of(blank + 1, line.len - at - 1) : slice_of(NULL, 0);
    *text = slice_of(end + 1, text->len - line.len - 1);
    return true;
}

/* In trouble, or not: by the line "state". */
static int judge(struct slice text)
{
    struct slice name, value;
    while (next_line(&text, &name, &value))
        if (slice_equal(name, slice_str("state")))
            return slice_equal(value, slice_str("normal")) ? EXIT_OK : EXIT_NO;
    return EXIT_FAILED;
}

static bool is_number(struct slice s)
{
    bool digits = s.len > 0 && s.len <= NUMBER_DIGITS && (s.data[0] != '0' || s.len == 1);
    for (size_t i = 0; i < s.len && digits; i++)
        digits = isdigit(s.data[i]);
    return digits;
}

static void put_text(struct buf *out, struct slice s)
{
    put_u8(out, '"');
    for (size_t i = 0; i < s.len; i++) {
        if (s.data[i] == '"' || s.data[i] == '\\')
            put_u8(out, '\\');
        put_u8(out, s.data[i] < 0x20 || s.data[i] >= 0x7F ? '?' : s.data[i]);
    }
    put_u8(out, '"');
}

static void put_json(struct buf *out, struct slice text)
{
    struct slice name, value;
    const char *before = "{\n  ";
    while (next_line(&text, &name, &value)) {
        buf_append_str(out, before);
        put_text(out, name);
        buf_append_str(out, ": ");
        if (is_number(value))
            buf_append_slice(out, value);
        else
            put_text(out, value);
        before = ",\n  ";
    }
    buf_append_str(out, "\n}\n");
}

int cmd_status(struct cli *cli, int argc, char **argv)
{
    static const struct option options[] = {{"json", no_argument, NULL, 'j'}, {0}};
    struct buf text = {0}, out = {0};
    bool json = false;
    int option, code, error;
    while ((option = getopt_long(argc, argv, "j", options, NULL)) != -1) {
        if (option == '?')
            return EXIT_USAGE;
        json = true;
    }
    if (argc - optind > 1)
        return cli_usage(cli, "too many arguments: %s", argv[optind + 1]);
    const char *target = argc > optind ? argv[optind] : NULL;
    if (target && !strstr(target, "://")) {
        code = ask_mount(cli, target, &text);
    } else {
        if (target) {
            free(cli->url);
            cli->url = xstrdup(target);
        }
        code = ask_server(cli, &text);
    }
    if (code == EXIT_FAILED)
        buf_append_str(&text, "state unreachable\n");
    if (code != EXIT_USAGE && json)
        put_json(&out, buf_slice(&text));
    else
        buf_append_slice(&out, buf_slice(&text));
    if (code == EXIT_OK)
        code = judge(buf_slice(&text));
    if ((error = cli_write(STDOUT_FILENO, buf_slice(&out))))
        code = cli_failed(cli, "standard output: %s", strerror(error));
    buf_free(&text);
    buf_free(&out);
    return code;
}
