/* SPDX-License-Identifier: Apache-2.0 */
/* Commands that walk in key order: order, query, zwrite. */
#include "cli/cli.h"

#include <getopt.h>
#include <stdlib.h>
#include <unistd.h>

struct order {
    struct key parent;
    struct key level; /* bytes of one level; empty: from the end */
    bool backwards, all;
    char end; /* after each subscript */
    uint64_t printed;
};

static void print_level(struct order *order, struct slice level)
{
    uint8_t text[SUBSCRIPT_MAX_LEN];
    bool is_global = !order->parent.len;
    int len = key_decode_level(level, is_global, text);
    if (len < 0)
        return;
    if (is_global)
        putchar('^');
    fwrite(text, 1, (size_t)len, stdout);
    putchar(order->end);
    order->printed++;
}

static void on_entry(void *cookie, struct slice level)
{
    struct order *order = cookie;
    print_level(order, level);
    key_copy(&order->level, level);
}

/* All children after the level, by pages. */
static int order_pages(struct cli *cli, struct order *order)
{
    bool to_end = false;
    while (!to_end) {
        uint64_t before = order->printed;
        struct key from = order->level;
        struct call_read_args args = {.parent = key_slice(&order->parent),
                                      .from = key_slice(&from),
                                      .after = from.len > 0,
                                      .view = VIEW_GLOBALS,
                                      .budget = 256 << 10};
        int error = session_children(cli, &args, on_entry, order, &to_end);
        if (error)
            return error;
        if (!to_end && order->printed == before)
            return ECP_EPROTO;
    }
    return ECP_OK;
}

static int order_steps(struct cli *cli, struct order *order)
{
    bool found = true;
    while (found) {
        struct key next;
        int error = session_order(cli, key_slice(&order->parent), key_slice(&order->level),
                                  order->backwards, &next, &found);
        if (error)
            return error;
        if (found) {
            print_level(order, key_last(key_slice(&next)));
            key_copy(&order->level, key_last(key_slice(&next)));
        }
        if (!order->all)
            break;
    }
    return ECP_OK;
}

int cmd_order(struct cli *cli, int argc, char **argv)
{
    static const struct option options[] = {{"reverse", no_argument, NULL, 'r'},
                                            {"first", no_argument, NULL, 'f'},
                                            {"all", no_argument, NULL, 'a'},
                                            {"null", no_argument, NULL, '0'},
                                            {0}};
    struct order order = {.end = '\n'};
    struct target target;
    bool first = false;
    int option, code;
    while ((option = getopt_long(argc, argv, "rfa0", options, NULL)) != -1) {
        if (option == '?')
            return EXIT_USAGE;
        order.backwards |= option == 'r';
        first |= option == 'f';
        order.all |= option == 'a';
        if (option == '0')
            order.end = 0;
    }
    if (argc - optind != 1)
        return cli_usage(cli, "one REF is needed; try: ecp order --help");
    if ((code = target_parse(cli, argv[optind], true, &target)) || (code = session_open(cli)))
        return code;
    struct slice key = key_slice(&target.key);
    if (first || target.from_start || !key.len) {
        order.parent = target.key;
    } else {
        key_copy(&order.parent, key_parent(key));
        key_copy(&order.level, key_last(key));
    }
    int error = order.all && !order.backwards ? order_pages(cli, &order) : order_steps(cli, &order);
    if (error)
        return session_error(cli, key, error, NULL);
    return order.printed ? EXIT_OK : EXIT_NO;
}

int cmd_query(struct cli *cli, int argc, char **argv)
{
    static const struct option options[] = {{"reverse", no_argument, NULL, 'r'}, {0}};
    struct call_scan_args args = {.max_nodes = 1, .budget = 4096};
    struct target target;
    int option, code;
    while ((option = getopt_long(argc, argv, "r", options, NULL)) != -1) {
        if (option == '?')
            return EXIT_USAGE;
        args.backwards = true;
    }
    if (argc - optind != 1)
        return cli_usage(cli, "one REF is needed; try: ecp query --help");
    if ((code = target_parse(cli, argv[optind], true, &target)) || (code = session_open(cli)))
        return code;
    struct key next, global;
    bool found;
    struct slice key = key_slice(&target.key);
    key_copy(&global, key); /* like $QUERY, it stays within the global */
    if (key.len)
        global.len = (uint16_t)key_level_len(key, 0);
    args.top = key_slice(&global);
    args.from = key;
    int error = session_scan_one(cli, &args, &next, &found);
    if (error)
        return session_error(cli, key, error, NULL);
    if (!found)
        return EXIT_NO;
    char *ref = cli_ref(key_slice(&next));
    puts(ref);
    free(ref);
    return EXIT_OK;
}

int cmd_zwrite(struct cli *cli, int argc, char **argv)
{
    if (getopt_long(argc, argv, "", (struct option[]){{0}}, NULL) != -1)
        return EXIT_USAGE;
    struct dump_config config = {.fd = STDOUT_FILENO, .format = ZWR_FORMAT_ZWR};
    config.count = argc > optind ? (size_t)(argc - optind) : 1;
    struct target *tops = xcalloc(config.count, sizeof *tops);
    int code = EXIT_OK;
    for (int i = optind; i < argc && !code; i++)
        code = target_parse(cli, argv[i], false, &tops[i - optind]);
    config.tops = tops;
    if (!code)
        code = session_open(cli);
    if (!code)
        code = dump_run(cli, &config);
    if (!code && !config.nodes && argc > optind)
        code = EXIT_NO;
    free(tops);
    return code;
}
