/* SPDX-License-Identifier: Apache-2.0 */
/* The command line of ecpfs, also as mount(8) calls it. */
#ifndef FS_OPTIONS_H
#define FS_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct options {
    const char *url, *mountpoint;
    bool foreground, debug;
    bool read_only, no_exec, allow_other, text, quiet;
    bool sloppy; /* mount -s: unknown options are passed over */
    uint32_t uid, gid, umask;
    uint32_t negative_timeout; /* s */
    bool soft;
    uint32_t busy_poll; /* us */
    uint32_t timeo;     /* s, for soft */
    uint32_t recovery;  /* s; 0: the server's */
    size_t cache_size;  /* bytes; 0: the default */
};

/* Fills in the options. Returns -1 to go on, else the exit status (help, version, usage error: said
 * already). */
int options_parse(struct options *o, int argc, char **argv);

#endif
