/* SPDX-License-Identifier: Apache-2.0 */
/* Reads the command line of ecpfs: its own options, and mount(8)'s generic words. */
#include "fs/options.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECONDS_MAX       86400
#define TIMEO_DEFAULT     60
#define BUSY_POLL_MAX     1000 /* us */
#define BUSY_POLL_DEFAULT 50

static const char usage[] =
    "usage: ecpfs URL MOUNTPOINT [-f] [-d] [-o OPTION[,OPTION...]]\n"
    "       mount -t ecpfs URL MOUNTPOINT [-o ...]\n"
    "Mounts a namespace of a data server: URL is ecp://HOST[:PORT]/NAMESPACE or "
    "ecp+unix:///SOCKET.\n"
    "\n"
    "  -f               stay in the foreground, log to stderr\n"
    "  -d, --debug      as -f, and log debugging lines\n"
    "  -o ro            read only\n"
    "  -o noexec        no program on the mount can be run\n"
    "  -o allow_other   let other users in (with user_allow_other in /etc/fuse.conf, or as root)\n"
    "  -o uid=N,gid=N   owner that files show (default: who mounts)\n"
    "  -o umask=OCTAL   permission bits that files do not show (default: the process's umask)\n"
    "  -o text          show values with a newline added; drop one on writing\n"
    "  -o cache_size=N[K|M|G]  most memory that cached data takes (default 256M)\n"
    "  -o negative_timeout=S   take a name that is missing for missing for S seconds, whatever "
    "others do\n"
    "  -o busy_poll=US  between requests, look so long for the next before sleeping (default 50; "
    "0: "
    "never)\n"
    "  -o soft          errors instead of endless waits while the server is away\n"
    "  -o timeo=S       with soft: after S seconds without connection (default 60)\n"
    "  -o recovery=S    give up the session, its locks and what was not stored after S seconds\n"
    "                   without connection (default, and at most, what the server allows)\n"
    "  -o quiet         accept chmod and chown without effect\n"
    "  -h, --help       this text\n"
    "  -V, --version    version\n"
    "Unmount with fusermount3 -u MOUNTPOINT or umount. See ecpfs(8), and ecpfs(7) for names and "
    "files.\n";

/* What mount(8) may pass and changes nothing here: set-user-id bits and devices never exist, there
 * are no access times, and a write is on disk when close returns. */
static const char *const ignored[] = {
    "rw",     "auto",     "noauto",  "user",     "users",      "nouser",      "_netdev",
    "nofail", "defaults", "suid",    "nosuid",   "dev",        "nodev",       "group",
    "owner",  "silent",   "atime",   "relatime", "norelatime", "strictatime", "lazytime",
    "sync",   "async",    "dirsync", "noatime",  "diratime",   "nodiratime"};

static bool is_ignored(const char *word)
{
    for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++) {
        if (strcmp(word, ignored[i]) == 0)
            return true;
    }
    return strncmp(word, "x-", 2) == 0 || strncmp(word, "comment=", 8) == 0 ||
           strncmp(word, "user=", 5) == 0;
}

static int number(const char *word, const char *value, int base, uint32_t *out)
{
    char *end;
    unsigned long n;

    errno = 0;
    n = strtoul(value, &end, base);
    if (*value < '0' || *value > '9' || *end || errno || n > UINT32_MAX) {
        fprintf(stderr, "ecpfs: -o %s: not a number\n", word);
        return -1;
    }
    *out = (uint32_t)n;
    return 0;
}

static int seconds(const char *word, const char *value, uint32_t *out)
{
    if (number(word, value, 10, out) != 0)
        return -1;
    if (*out >= 1 && *out <= SECONDS_MAX)
        return 0;
    fprintf(stderr, "ecpfs: -o %s: seconds from 1 to %d\n", word, SECONDS_MAX);
    return -1;
}

static int microseconds(const char *word, const char *value, uint32_t *out)
{
    if (number(word, value, 10, out) != 0)
        return -1;
    if (*out <= BUSY_POLL_MAX)
        return 0;
    fprintf(stderr, "ecpfs: -o %s: microseconds from 0 to %d\n", word, BUSY_POLL_MAX);
    return -1;
}

static int size_option(const char *word, const char *value, size_t *out)
{
    static const char units[] = "KMG";
    char *end;
    unsigned long long n;
    const char *unit;
    int shift = 0;

    errno = 0;
    n = strtoull(value, &end, 10);
    unit = *end ? strchr(units, *end) : NULL;
    if (unit) {
        shift = 10 * (int)(unit - units + 1);
        end++;
    }
    if (*value < '0' || *value > '9' || *end || errno || n == 0 || n > (SIZE_MAX >> 1) >> shift) {
        fprintf(stderr, "ecpfs: -o %s: not a size in bytes (K, M or G may follow)\n", word);
        return -1;
    }
    *out = (size_t)n << shift;
    return 0;
}

static int one_option(struct options *o, const char *word)
{
    if (strcmp(word, "ro") == 0)
        o->read_only = true;
    else if (strcmp(word, "noexec") == 0 || strcmp(word, "exec") == 0)
        o->no_exec = *word == 'n';
    else if (strcmp(word, "allow_other") == 0)
        o->allow_other = true;
    else if (strcmp(word, "text") == 0)
        o->text = true;
    else if (strcmp(word, "quiet") == 0)
        o->quiet = true;
    else if (strcmp(word, "soft") == 0 || strcmp(word, "hard") == 0)
        o->soft = *word == 's';
    else if (strcmp(word, "debug") == 0)
        o->debug = o->foreground = true;
    else if (strncmp(word, "uid=", 4) == 0)
        return number(word, word + 4, 10, &o->uid);
    else if (strncmp(word, "gid=", 4) == 0)
        return number(word, word + 4, 10, &o->gid);
    else if (strncmp(word, "umask=", 6) == 0)
        return number(word, word + 6, 8, &o->umask);
    else if (strncmp(word, "negative_timeout=", 17) == 0)
        return number(word, word + 17, 10, &o->negative_timeout);
    else if (strncmp(word, "timeo=", 6) == 0)
        return seconds(word, word + 6, &o->timeo);
    else if (strncmp(word, "recovery=", 9) == 0)
        return seconds(word, word + 9, &o->recovery);
    else if (strncmp(word, "busy_poll=", 10) == 0)
        return microseconds(word, word + 10, &o->busy_poll);
    else if (strncmp(word, "cache_size=", 11) == 0)
        return size_option(word, word + 11, &o->cache_size);
    else if (!is_ignored(word) && !o->sloppy) {
        fprintf(stderr, "ecpfs: unknown option -o %s; ecpfs --help lists them\n", word);
        return -1;
    }
    return 0;
}

static int option_list(struct options *o, char *list)
{
    char *save = NULL;

    for (char *word = strtok_r(list, ",", &save); word; word = strtok_r(NULL, ",", &save)) {
        if (one_option(o, word) != 0)
            return -1;
    }
    return 0;
}

static int defaults(struct options *o)
{
    mode_t mask = umask(0);

    umask(mask);
    *o = (struct options){
        .uid = getuid(), .gid = getgid(), .umask = mask, .busy_poll = BUSY_POLL_DEFAULT};
    return 0;
}

/* mount(8) calls its helper as mount.TYPE; -f and -s mean other things there. */
static bool is_mount_helper(const char *program)
{
    const char *slash = strrchr(program, '/');

    return strncmp(slash ? slash + 1 : program, "mount.", 6) == 0;
}

int options_parse(struct options *o, int argc, char **argv)
{
    static const struct option longs[] = {{"help", no_argument, NULL, 'h'},
                                          {"version", no_argument, NULL, 'V'},
                                          {"debug", no_argument, NULL, 'd'},
                                          {0}};
    bool helper = is_mount_helper(argv[0]), fake = false;
    int c;

    defaults(o);
    while ((c = getopt_long(argc, argv, "fdo:hVsnv", longs, NULL)) != -1) {
        if (c == 'h') {
            fputs(usage, stdout);
            return 0;
        } else if (c == 'V') {
            puts("ecpfs " PACKAGE_VERSION);
            return 0;
        } else if (c == 'f' && helper) {
            fake = true;
        } else if (c == 's') {
            o->sloppy = helper;
        } else if (c == 'f') {
            o->foreground = true;
        } else if (c == 'd') {
            o->foreground = o->debug = true;
        } else if (c == 'o') {
            if (option_list(o, optarg) != 0)
                return 2;
        } else if (c == '?') {
            fputs("ecpfs --help shows how it is used\n", stderr);
            return 2;
        }
    }
    if (argc - optind != 2) {
        if (argc == optind)
            fputs(usage, stderr);
        else if (argc - optind == 1)
            fprintf(stderr, "ecpfs: where to mount %s? ecpfs URL MOUNTPOINT\n", argv[optind]);
        else
            fprintf(stderr,
                    "ecpfs: unexpected argument \"%s\"; ecpfs --help shows how it is used\n",
                    argv[optind + 2]);
        return 2;
    }
    o->umask &= 0777;
    if (!o->timeo)
        o->timeo = TIMEO_DEFAULT;
    o->url = argv[optind];
    o->mountpoint = argv[optind + 1];
    return fake ? 0 : -1;
}
