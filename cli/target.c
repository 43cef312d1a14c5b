/* SPDX-License-Identifier: Apache-2.0 */
/* Arguments that name a node: references, namespace paths, and paths inside an ecpfs mount. */
#include "cli/cli.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>

#include "base/name.h"

/* A mount of ecpfs that holds a path. */
struct mount {
    char *source;  /* its URL */
    char *point;   /* where it is mounted */
    char *subtree; /* what of it is mounted there: "/", or more for a bind mount */
};

static void mount_free(struct mount *mount)
{
    free(mount->source);
    free(mount->point);
    free(mount->subtree);
    *mount = (struct mount){0};
}

/* mountinfo writes blanks, tabs, line feeds and backslashes as \ooo. In place. */
static void unescape(char *text)
{
    char *to = text;
    for (const char *at = text; *at; at++) {
        if (at[0] == '\\' && at[1] >= '0' && at[1] <= '3' && at[2] && at[3]) {
            *to++ = (char)((at[1] - '0') * 64 + (at[2] - '0') * 8 + (at[3] - '0'));
            at += 3;
        } else {
            *to++ = *at;
        }
    }
    *to = 0;
}

static bool is_below(const char *path, const char *point)
{
    size_t n = strlen(point);
    if (!strcmp(point, "/"))
        return true;
    return !strncmp(path, point, n) && (path[n] == '/' || !path[n]);
}

/* Considers one line of mountinfo; the deepest mount that holds path, and the last of those, wins.
 */
static void consider(char *line, const char *path, size_t *depth, struct mount *best)
{
    char *fields[6];
    char *rest = strstr(line, " - ");
    char *save;
    if (!rest)
        return;
    *rest = 0;
    int n = 0;
    for (char *f = strtok_r(line, " ", &save); f && n < 6; f = strtok_r(NULL, " ", &save))
        fields[n++] = f;
    char *type = strtok_r(rest + 3, " ", &save);
    char *source = strtok_r(NULL, " ", &save);
    if (n < 6 || !type || !source)
        return;
    unescape(fields[4]);
    if (!is_below(path, fields[4]) || strlen(fields[4]) < *depth)
        return;
    *depth = strlen(fields[4]);
    mount_free(best);
    if (strcmp(type, "fuse.ecpfs"))
        return;
    unescape(fields[3]);
    unescape(source);
    *best = (struct mount){
        .source = xstrdup(source), .point = xstrdup(fields[4]), .subtree = xstrdup(fields[3])};
}

static bool find_mount(const char *path, struct mount *mount)
{
    char *line = NULL;
    size_t size = 0, depth = 0;
    ssize_t n;
    FILE *file = fopen("/proc/self/mountinfo", "re");
    if (!file)
        return false;
    while ((n = getline(&line, &size, file)) > 0) {
        if (line[n - 1] == '\n')
            line[n - 1] = 0;
        consider(line, path, &depth, mount);
    }
    free(line);
    fclose(file);
    return mount->source != NULL;
}

/* Whether path has a component ".." (after the part that realpath could resolve, it means nothing).
 */
static bool has_dotdot(const char *path)
{
    for (const char *at = path; (at = strstr(at, "..")); at += 2)
        if ((at == path || at[-1] == '/') && (at[2] == '/' || !at[2]))
            return true;
    return false;
}

/* The absolute path of text: of its longest part that exists, and the rest as it is. NULL: none. */
static char *absolute(const char *text)
{
    char *head = xstrdup(text);
    size_t len = strlen(head);
    char *path = NULL;
    while (!(path = realpath(len ? head : text[0] == '/' ? "/" : ".", NULL)) && len) {
        while (len && head[len - 1] == '/')
            len--;
        while (len && head[len - 1] != '/')
            len--;
        head[len] = 0;
    }
    char *whole = NULL;
    if (path && !has_dotdot(text + len))
        whole = text[len] ? xasprintf("%s/%s", strcmp(path, "/") ? path : "", text + len)
                          : xstrdup(path);
    free(path);
    free(head);
    return whole;
}

char *target_mount(const char *path)
{
    struct mount mount = {0};
    char *whole = absolute(path), *point = NULL;
    if (whole && find_mount(whole, &mount))
        point = xstrdup(mount.point);
    mount_free(&mount);
    free(whole);
    return point;
}

static int bad(struct cli *cli, const char *text, int error)
{
    if (error == ECP_EKEYLONG)
        return cli_usage(cli, "%s: %s: a reference takes at most %d bytes", text, error_text(error),
                         KEY_MAX_LEN);
    return cli_usage(cli, "%s: not a node: write '^NAME(5,\"x\")', NAME/5/x or a path in a mount",
                     text);
}

/* Takes the mount's URL; two mounts of different namespaces cannot be served by one session. */
static int adopt_url(struct cli *cli, const char *text, const char *source)
{
    if (cli->url_given)
        return EXIT_OK;
    if (cli->url_mount && strcmp(cli->url, source))
        return cli_usage(cli, "%s: lies in another mount (%s) than the one before (%s)", text,
                         source, cli->url);
    free(cli->url);
    cli->url = xstrdup(source);
    cli->url_mount = true;
    return EXIT_OK;
}

static int parse_path(struct cli *cli, const char *text, struct target *target)
{
    struct mount mount = {0};
    char *path = absolute(text);
    int code = EXIT_OK, error;
    if (path && find_mount(path, &mount)) {
        const char *below = path + (strcmp(mount.point, "/") ? strlen(mount.point) : 0);
        char *inside = xasprintf("%s%s", strcmp(mount.subtree, "/") ? mount.subtree : "", below);
        error = name_path_parse(slice_str(inside), &target->key);
        code = error ? bad(cli, text, error) : adopt_url(cli, text, mount.source);
        free(inside);
    } else if (text[0] == '/' || has_dotdot(text)) {
        /* Never a namespace path: a mount that is gone must not turn into another node. */
        code = cli_usage(cli, "%s: not inside an ecpfs mount; is it mounted?", text);
    } else {
        error = name_path_parse(slice_str(text), &target->key);
        code = error ? bad(cli, text, error) : EXIT_OK;
    }
    mount_free(&mount);
    free(path);
    return code;
}

/* Parses ^X(1,"") and ^X("") as the parent, from the start. */
static int parse_ref(struct cli *cli, const char *text, bool allow_empty, struct target *target)
{
    size_t len = strlen(text);
    int error = ref_parse_all(slice_of(text, len), &target->key);
    if (!error)
        return EXIT_OK;
    if (!allow_empty || len < 5 || memcmp(text + len - 3, "\"\")", 3) ||
        (text[len - 4] != '(' && text[len - 4] != ','))
        return bad(cli, text, error);
    char *parent = xasprintf("%.*s%s", (int)(len - 4), text, text[len - 4] == ',' ? ")" : "");
    error = ref_parse_all(slice_str(parent), &target->key);
    free(parent);
    target->from_start = true;
    return error ? bad(cli, text, error) : EXIT_OK;
}

int target_parse(struct cli *cli, const char *text, bool allow_empty, struct target *target)
{
    size_t len = strlen(text);
    target->from_start = false;
    key_root(&target->key);
    if (!len)
        return cli_usage(cli, "an empty argument names no node");
    if (text[0] == '^')
        return parse_ref(cli, text, allow_empty, target);
    if (text[len - 1] == '/')
        target->from_start = true;
    return parse_path(cli, text, target);
}
