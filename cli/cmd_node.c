/* SPDX-License-Identifier: Apache-2.0 */
/* Commands about single nodes: get, set, kill, zkill, data, incr, info. */
#include "cli/cli.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/name.h"

/* Parses the one REF at argv[optind] and opens the session; at most `extra` arguments may follow.
 */
static int open_one(struct cli *cli, int argc, char **argv, int extra, struct target *target)
{
    if (optind >= argc)
        return cli_usage(cli, "which node? try: ecp %s --help", cli->command);
    if (argc - optind > 1 + extra)
        return cli_usage(cli, "too many arguments: %s", argv[optind + 1 + extra]);
    int code = target_parse(cli, argv[optind], false, target);
    return code ? code : session_open(cli);
}

static bool is_root(struct cli *cli, const struct target *target)
{
    if (target->key.len)
        return false;
    cli_usage(cli, "^ is the whole namespace, not a node with a value");
    return true;
}

static int tell_no_value(struct cli *cli, struct slice key)
{
    char *ref = cli_ref(key);
    cli_failed(cli, "%s: it has descendants, but no value", ref);
    free(ref);
    return EXIT_NO;
}

int cmd_get(struct cli *cli, int argc, char **argv)
{
    static const struct option options[] = {
        {"raw", no_argument, NULL, 'n'}, {"null", no_argument, NULL, '0'}, {0}};
    const char *end = "\n";
    size_t end_len = 1;
    int option, code, error;
    while ((option = getopt_long(argc, argv, "n0", options, NULL)) != -1) {
        if (option == '?')
            return EXIT_USAGE;
        end = "";
        end_len = option == '0';
    }
    struct target target;
    if ((code = open_one(cli, argc, argv, 0, &target)))
        return code;
    struct node node;
    struct buf value = {0};
    struct slice key = key_slice(&target.key);
    if ((error = session_node(cli, key, VIEW_GLOBALS, &node, &value)))
        code = session_error(cli, key, error, NULL);
    else if (!node.flags)
        code = session_error(cli, key, ECP_ENOENT, NULL);
    else if (!(node.flags & NODE_VALUE))
        code = tell_no_value(cli, key);
    else {
        fwrite(value.data, 1, value.len, stdout);
        fwrite(end, 1, end_len, stdout);
    }
    buf_free(&value);
    return code;
}

/* Reads all of stdin, up to one byte over the limit. */
static int read_value(struct cli *cli, struct buf *value)
{
    while (value->len <= VALUE_MAX_LEN) {
        buf_reserve(value, 65536);
        ssize_t n = read(STDIN_FILENO, value->data + value->len, 65536);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return cli_failed(cli, "cannot read the value: %s", strerror(errno));
        if (n == 0)
            break;
        value->len += (size_t)n;
    }
    return EXIT_OK;
}

static int set_options(struct cli *cli, int argc, char **argv, struct update *update)
{
    static const struct option options[] = {
        {"create", no_argument, NULL, 'c'}, {"if-stamp", required_argument, NULL, 'i'}, {0}};
    int option;
    while ((option = getopt_long(argc, argv, "+", options, NULL)) != -1) {
        if (option == '?' || update->cond != COND_NONE)
            return option == '?' ? EXIT_USAGE : cli_usage(cli, "one condition at a time");
        if (option == 'c') {
            update->cond = COND_ABSENT;
            continue;
        }
        update->cond = COND_STAMP;
        if (!cli_number(cli, "--if-stamp", optarg, 0, UINT64_MAX, &update->stamp))
            return EXIT_USAGE;
    }
    return EXIT_OK;
}

/* Moves REF behind the options, so that a VALUE that begins with "-" is not taken for one. */
static void ref_first(int argc, char **argv)
{
    int at = 1;
    while (at < argc && argv[at][0] == '-' && strcmp(argv[at], "--"))
        at += !strcmp(argv[at], "--if-stamp") ? 2 : 1;
    if (at >= argc || !strcmp(argv[at], "--"))
        return;
    /* options written after REF (and VALUE) are moved to the front as far as they are known */
    for (int i = at + 1; i < argc; i++) {
        bool takes = !strcmp(argv[i], "--if-stamp") && i + 1 < argc;
        if (!takes && strcmp(argv[i], "--create") && strncmp(argv[i], "--if-stamp=", 11))
            continue;
        for (int n = takes ? 2 : 1; n > 0; n--, at++, i++) {
            char *moved = argv[i];
            memmove(argv + at + 1, argv + at, (size_t)(i - at) * sizeof *argv);
            argv[at] = moved;
        }
        i--;
    }
}

int cmd_set(struct cli *cli, int argc, char **argv)
{
    struct update update = {.kind = UPDATE_SET};
    struct target target;
    struct buf value = {0};
    ref_first(argc, argv);
    int code = set_options(cli, argc, argv, &update);
    if (code || (code = open_one(cli, argc, argv, 1, &target)))
        return code;
    if (is_root(cli, &target))
        return EXIT_USAGE;
    const char *text = optind + 1 < argc ? argv[optind + 1] : "-";
    if (strcmp(text, "-"))
        buf_append_str(&value, text);
    else
        code = read_value(cli, &value);
    update.key = key_slice(&target.key);
    update.value = buf_slice(&value);
    if (!code && value.len > VALUE_MAX_LEN)
        code = session_error(cli, update.key, ECP_EVALUELONG, NULL);
    if (!code)
        code = session_update(cli, &update, NULL);
    buf_free(&value);
    return code;
}

/* all: the whole namespace may be meant. */
static int kill_each(struct cli *cli, int argc, char **argv, enum update_kind kind, bool all)
{
    size_t count = (size_t)(argc - optind);
    if (!count)
        return cli_usage(cli, "which node? try: ecp %s --help", cli->command);
    struct target *targets = xcalloc(count, sizeof *targets);
    int code = EXIT_OK;
    for (size_t i = 0; i < count && !code; i++) {
        code = target_parse(cli, argv[optind + (int)i], false, &targets[i]);
        if (!code && kind == UPDATE_ZKILL && is_root(cli, &targets[i]))
            code = EXIT_USAGE;
        else if (!code && !all && targets[i].key.len == 0)
            code = cli_usage(cli, "%s is the whole namespace: say --all to remove every global",
                             argv[optind + (int)i]);
    }
    if (!code)
        code = session_open(cli);
    for (size_t i = 0; i < count && !code; i++) {
        struct update update = {.kind = (uint8_t)kind, .key = key_slice(&targets[i].key)};
        code = session_update(cli, &update, NULL);
    }
    free(targets);
    return code;
}

int cmd_kill(struct cli *cli, int argc, char **argv)
{
    static const struct option options[] = {{"all", no_argument, NULL, 'a'}, {0}};
    bool all = false;
    int option;
    while ((option = getopt_long(argc, argv, "a", options, NULL)) != -1) {
        if (option != 'a')
            return EXIT_USAGE;
        all = true;
    }
    return kill_each(cli, argc, argv, UPDATE_KILL, all);
}

int cmd_zkill(struct cli *cli, int argc, char **argv)
{
    if (getopt_long(argc, argv, "", (struct option[]){{0}}, NULL) != -1)
        return EXIT_USAGE;
    return kill_each(cli, argc, argv, UPDATE_ZKILL, false);
}

static int data_of(const struct node *node)
{
    return (node->flags & NODE_VALUE ? 1 : 0) + (node->flags & NODE_CHILDREN ? 10 : 0);
}

int cmd_data(struct cli *cli, int argc, char **argv)
{
    struct target target;
    struct node node;
    if (getopt_long(argc, argv, "", (struct option[]){{0}}, NULL) != -1)
        return EXIT_USAGE;
    int code = open_one(cli, argc, argv, 0, &target);
    if (code)
        return code;
    int error = session_node(cli, key_slice(&target.key), VIEW_GLOBALS, &node, NULL);
    if (error)
        return session_error(cli, key_slice(&target.key), error, NULL);
    printf("%d\n", data_of(&node));
    return EXIT_OK;
}

int cmd_incr(struct cli *cli, int argc, char **argv)
{
    struct target target;
    struct buf result = {0};
    if (getopt_long(argc, argv, "+", (struct option[]){{0}}, NULL) != -1)
        return EXIT_USAGE;
    int code = open_one(cli, argc, argv, 1, &target);
    if (code)
        return code;
    if (is_root(cli, &target))
        return EXIT_USAGE;
    struct update update = {.kind = UPDATE_INCREMENT,
                            .key = key_slice(&target.key),
                            .value = slice_str(optind + 1 < argc ? argv[optind + 1] : "1")};
    if (!(code = session_update(cli, &update, &result))) {
        fwrite(result.data, 1, result.len, stdout);
        putchar('\n');
    }
    buf_free(&result);
    return code;
}

static void print_stamp(uint64_t stamp)
{
    time_t seconds = (time_t)(stamp / UINT64_C(1000000000));
    struct tm tm;
    char text[64], zone[16];
    if (!stamp) {
        puts("stamp      0 (no record)");
        return;
    }
    localtime_r(&seconds, &tm);
    strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &tm);
    strftime(zone, sizeof zone, "%z", &tm);
    printf("stamp      %llu (%s.%09llu %s)\n", (unsigned long long)stamp, text,
           (unsigned long long)(stamp % UINT64_C(1000000000)), zone);
}

static void print_info(struct slice key, const struct node *node, const struct node *file)
{
    struct buf path = {0};
    char *ref = cli_ref(key);
    name_path_print(&path, key);
    printf("reference  %s\npath       %.*s\n$DATA      %d\n", ref, (int)path.len,
           path.data ? (const char *)path.data : "", data_of(node));
    print_stamp(file->stamp);
    if (file->flags & NODE_VALUE)
        printf("value      %u bytes\n", (unsigned)file->value_len);
    else
        puts("value      none");
    printf("directory  %s\n", file->flags & NODE_DIR        ? "marked"
                              : file->flags & NODE_CHILDREN ? "by its descendants"
                                                            : "no");
    free(ref);
    buf_free(&path);
}

int cmd_info(struct cli *cli, int argc, char **argv)
{
    struct target target;
    struct node node, file;
    if (getopt_long(argc, argv, "", (struct option[]){{0}}, NULL) != -1)
        return EXIT_USAGE;
    int code = open_one(cli, argc, argv, 0, &target);
    if (code)
        return code;
    struct slice key = key_slice(&target.key);
    int error = session_node(cli, key, VIEW_GLOBALS, &node, NULL);
    if (!error)
        error = session_node(cli, key, VIEW_FILES, &file, NULL);
    if (error)
        return session_error(cli, key, error, NULL);
    if (!file.flags && key.len)
        return session_error(cli, key, ECP_ENOENT, NULL);
    print_info(key, &node, &file);
    return EXIT_OK;
}
