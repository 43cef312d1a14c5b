/* SPDX-License-Identifier: Apache-2.0 */
/* The ecp command: global options, the table of commands, and how failures are told. */
#include "cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

static const struct command {
    const char *name;
    const char *arguments;
    const char *about;
    int (*run)(struct cli *cli, int argc, char **argv);
} commands[] = {
    {"get", "REF [-n] [-0]", "print a node's value", cmd_get},
    {"set", "REF [VALUE|-] [--create] [--if-stamp N]", "give a node a value", cmd_set},
    {"kill", "[-a|--all] REF...", "remove nodes and all below them", cmd_kill},
    {"zkill", "REF...", "remove nodes' values only", cmd_zkill},
    {"data", "REF", "print $DATA: 0, 1, 10 or 11", cmd_data},
    {"incr", "REF [BY]", "add to a value, print the result", cmd_incr},
    {"info", "REF", "tell all about a node", cmd_info},
    {"order", "REF [--reverse] [--first] [--all] [-0]", "print the next subscript", cmd_order},
    {"query", "REF [--reverse]", "print the next node with a value", cmd_query},
    {"zwrite", "[REF...]", "print subtrees as ZWR lines", cmd_zwrite},
    {"import", "[FILE...|-] [--format zwr|go|auto] [--strict] [--quiet] [--batch N]",
     "read ZWR or GO text into the database", cmd_import},
    {"export", "[REF...] [-o FILE] [--format zwr|go] [--label TEXT]", "write subtrees as text",
     cmd_export},
    {"lock", "[--shared] [--timeout SEC] [--kill-on-loss[=SIGNAL]] REF... -- COMMAND [ARGUMENT...]",
     "run a command while holding locks", cmd_lock},
    {"locks", "[--json] [REF]", "list locks and who waits for them", cmd_locks},
    {"unlock", "--force [--below] REF", "take a lock from whoever holds it", cmd_unlock},
    {"ping", "[-c COUNT]", "measure round trips to the server", cmd_ping},
    {"sync", "", "wait until all that was updated is on the server's disk", cmd_sync},
    {"check", "DIR", "check a database's directory", cmd_check},
    {"backup", "[-q|--quiet] DIR TARGET|-", "write a backup of a database's directory", cmd_backup},
    {"restore",
     "[-q|--quiet] [-j|--journal DIR] [-u|--until TIME] BACKUP|- DIR | --verify BACKUP|-",
     "make a database's directory of a backup", cmd_restore},
    {"journal",
     "list|show|export DIR [-s|--since TIME] [-u|--until TIME] [-b|--below REF] [-i|--session ID] |"
     " purge [-k|--keep HOW] DIR",
     "list a journal's files, print its records, or remove old files", cmd_journal},
    {"status", "[-j|--json] [MOUNTPOINT|URL]", "tell how the server is, or a mount's session",
     cmd_status},
    {"stats", "[MOUNTPOINT]", "print figures of the server, or of a mount", cmd_stats},
};

static void print_help(FILE *to)
{
    fputs("usage: ecp [-s URL] COMMAND [ARGUMENT...]\n\n"
          "  -s, --server URL   the namespace to work on (default: the mount's that an argument\n"
          "                     lies in, $ECP_URL, or " ECP_DEFAULT_URL ")\n"
          "  -h, --help         show this\n"
          "  -V, --version      show the version\n\ncommands:\n",
          to);
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        fprintf(to, "  %-7s %s\n          %s\n", commands[i].name, commands[i].arguments,
                commands[i].about);
    fputs("\nREF is a reference ('^PATIENT(5,\"name\")'), a path in the namespace\n"
          "(PATIENT/5/name), or a path inside a mounted ecpfs. See ecp(1).\n",
          to);
}

static void complain(struct cli *cli, const char *format, va_list arguments)
{
    fprintf(stderr, "ecp: %s%s", cli->command ? cli->command : "", cli->command ? ": " : "");
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
}

int cli_usage(struct cli *cli, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    complain(cli, format, arguments);
    va_end(arguments);
    return EXIT_USAGE;
}

int cli_failed(struct cli *cli, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    complain(cli, format, arguments);
    va_end(arguments);
    return EXIT_FAILED;
}

bool cli_number(struct cli *cli, const char *name, const char *text, uint64_t min, uint64_t max,
                uint64_t *number)
{
    char *end;
    errno = 0;
    *number = strtoull(text, &end, 10);
    if (*text >= '0' && *text <= '9' && !*end && !errno && *number >= min && *number <= max)
        return true;
    cli_usage(cli, "%s wants a number from %llu to %llu, not \"%s\"", name, (unsigned long long)min,
              (unsigned long long)max, text);
    return false;
}

/* SIGPIPE is ignored for the sake of sockets; for a pipe on stdout its effect is restored here. */
static void die_of_pipe(void)
{
    signal(SIGPIPE, SIG_DFL);
    raise(SIGPIPE);
}

int cli_write(int fd, struct slice bytes)
{
    while (bytes.len) {
        ssize_t n = write(fd, bytes.data, bytes.len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EPIPE)
            die_of_pipe();
        if (n < 0)
            return errno;
        bytes = slice_of(bytes.data + n, bytes.len - (size_t)n);
    }
    return 0;
}

char *cli_ref(struct slice key)
{
    struct buf out = {0};
    if (ref_print(&out, key))
        buf_append_str(&out, "(malformed key)");
    put_u8(&out, 0);
    return (char *)out.data;
}

static const struct command *find_command(const char *name)
{
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        if (!strcmp(commands[i].name, name))
            return &commands[i];
    return NULL;
}

/* The command whose arguments begin at argv[optind]; or NULL with *code the exit code. */
static const struct command *parse_global(struct cli *cli, int argc, char **argv, int *code)
{
    static const struct option options[] = {{"server", required_argument, NULL, 's'},
                                            {"help", no_argument, NULL, 'h'},
                                            {"version", no_argument, NULL, 'V'},
                                            {0}};
    int option;
    *code = EXIT_OK;
    while ((option = getopt_long(argc, argv, "+s:hV", options, NULL)) != -1) {
        switch (option) {
        case 's':
            free(cli->url);
            cli->url = xstrdup(optarg);
            cli->url_given = true;
            break;
        case 'h':
            print_help(stdout);
            return NULL;
        case 'V':
            puts("ecp " PACKAGE_VERSION);
            return NULL;
        default:
            *code = cli_usage(cli, "try: ecp --help");
            return NULL;
        }
    }
    *code = EXIT_USAGE;
    if (optind == argc) {
        print_help(stderr);
        return NULL;
    }
    const struct command *command = find_command(argv[optind]);
    if (!command)
        cli_usage(cli, "no command \"%s\"; try: ecp --help", argv[optind]);
    return command;
}

static bool works_on_files(const struct command *command)
{
    return command->run == cmd_check || command->run == cmd_backup || command->run == cmd_restore ||
           command->run == cmd_journal;
}

static int run_command(struct cli *cli, const struct command *command, int argc, char **argv)
{
    cli->command = command->name;
    for (int i = 1; i < argc && strcmp(argv[i], "--"); i++)
        if (!strcmp(argv[i], "--help") || (!strcmp(argv[i], "-h") && argc == 2)) {
            printf("usage: ecp %s%s%s%s\n%s\n", works_on_files(command) ? "" : "[-s URL] ",
                   command->name, *command->arguments ? " " : "", command->arguments,
                   command->about);
            return EXIT_OK;
        }
    char name[32];
    snprintf(name, sizeof name, "ecp: %s", command->name);
    argv[0] = name; /* in messages of getopt */
    optind = 0;     /* glibc: start over, with a new argv */
    int code = command->run(cli, argc, argv);
    session_close(cli);
    return code;
}

/* The number of a closed stream would be given to the next thing opened, a socket perhaps. What
 * is put there fails as the closed one does. */
static void hold_closed_streams(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0)
            open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
}

int main(int argc, char **argv)
{
    struct cli cli = {0};
    int code;
    hold_closed_streams();
    signal(SIGPIPE, SIG_IGN);
    const struct command *command = parse_global(&cli, argc, argv, &code);
    if (command)
        code = run_command(&cli, command, argc - optind, argv + optind);
    errno = 0;
    if (fflush(stdout) || ferror(stdout)) {
        if (errno == EPIPE)
            die_of_pipe();
        code = cli_failed(&cli, "cannot write the output: %s",
                          errno ? strerror(errno) : "write error");
    }
    free(cli.url);
    free(cli.lost_why);
    return code;
}
