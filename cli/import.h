/* SPDX-License-Identifier: Apache-2.0 */
/* The two halves of import: reading records (import_read.c) and sending them (import_send.c). */
#ifndef CLI_IMPORT_H
#define CLI_IMPORT_H

#include "cli/cli.h"

/*
 * Sends SETs in batches, several under way. Bytes are copied into the arena, whose capacity does
 * not change while a batch is being filled: the updates point into it.
 */
struct import_sender {
    struct cli *cli;
    size_t max_ops; /* updates per batch */
    struct update *updates;
    size_t count;
    struct buf arena;
    unsigned in_flight, wait_below; /* the loop is left when in_flight falls below */
    int error;                      /* the first failure; nothing is sent after it */
    char *error_text;
    uint64_t queued, sent_nodes;
};
void import_sender_init(struct import_sender *s, struct cli *cli, size_t max_ops);
/* One node; key and value are copied. 0, or enum ecp_error when a batch has failed. */
int import_send(struct import_sender *s, struct slice key, struct slice value);
/* Sends what is left and waits for every answer. */
int import_finish(struct import_sender *s);
void import_sender_free(struct import_sender *s);

struct import {
    struct import_sender sender;
    enum zwr_format wanted; /* ZWR_FORMAT_UNKNOWN: by content */
    bool strict, quiet;
    uint64_t bad;   /* records */
    uint64_t bytes; /* read, of all files */
    uint64_t size;  /* of all files; 0: not known */
    uint64_t begin, shown;
};
/* Reads one file to its end. EXIT_OK (also with bad records) or EXIT_FAILED: stop. */
int import_file(struct import *im, int fd, const char *name);
/* Shows how far it is, once a second, on a terminal. */
void import_progress(struct import *im);

#endif
