/* SPDX-License-Identifier: Apache-2.0 */
/* The command line of ecpd. */
#ifndef SERVER_OPTIONS_H
#define SERVER_OPTIONS_H

#include <stdbool.h>
#include "server/config_file.h"

struct options {
    char *data, *config, *pid_file; /* absolute */
    struct config given;            /* listen addresses of the command line */
    uint64_t size;
    unsigned lease; /* seconds; 0: not given */
    unsigned recovery; /* the same */
    int log_level;  /* -1: not given */
    bool foreground;
};

/* Ends the process when they cannot be used, or when help or version was asked for. What it
 * allocates lives as long as the process. */
void options_parse(struct options *options, int argc, char **argv);

/*
 * Reads the configuration file, if any, and adds the command line. 0 and a config (config_free),
 * or an enum ecp_error and *why (caller frees); config may be freed then, too.
 */
int options_config(const struct options *options, struct config *config, char **why);

#endif
