/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the ecp command share: the invocation, its targets, the session, errors. */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include <stdio.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/loop.h"
#include "base/model.h"
#include "base/zwr.h"
#include "net/call.h"
#include "net/url.h"

/* Exit codes, as ecp(1) says. */
enum { EXIT_OK = 0, EXIT_NO = 1, EXIT_USAGE = 2, EXIT_FAILED = 3 };

/* One invocation of ecp. The session part is filled by session_open. */
struct cli {
    const char *command; /* name of the command, for messages */
    char *url;           /* owned; where to go, NULL until known */
    bool url_given;      /* by -s: mounts do not override it */
    bool url_mount;      /* by a mount that a target lies in */
    struct url where;
    struct loop *loop;
    struct network *network;
    struct client *client;
    int lost;          /* enum ecp_error of a connection given up */
    char *lost_why;    /* owned; its sentence, or NULL */
    bool resumes;      /* set before session_open: once there, a lost connection is made again */
    bool lock_taken;   /* an administrator took one of our locks */
    void (*reclaim)(void *cookie); /* client_config.reclaim, or NULL */
    void *reclaim_cookie;
    bool over;         /* the session has ended, and with it the locks */
    bool wake_on_loss; /* session_wait ends when the connection, the session or a lock is lost */
};

/* ---- main.c ---- */

/* Prints "ecp: COMMAND: text" to stderr and returns EXIT_USAGE / EXIT_FAILED. */
int cli_usage(struct cli *cli, const char *format, ...) __attribute__((format(printf, 2, 3)));
int cli_failed(struct cli *cli, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Number of an option's argument in [min, max]; false (and a message) when it is none. */
bool cli_number(struct cli *cli, const char *name, const char *text, uint64_t min, uint64_t max,
                uint64_t *number);
/* Writes everything to fd. 0 or errno; a reader that went away ends the process as SIGPIPE does. */
int cli_write(int fd, struct slice bytes);
/* Reference text of a key ("^X(1)"); the caller frees. */
char *cli_ref(struct slice key);

/* ---- target.c ---- */

struct target {
    struct key key;
    bool from_start; /* the text ended in an empty subscript or "/": the start of key's children */
};

/*
 * Resolves text (a reference, a namespace path or a path inside a mount) and notes the mount's URL
 * in cli. allow_empty: a last empty subscript is accepted (and a trailing "/" noted). Returns
 * EXIT_OK, or EXIT_USAGE after a message.
 */
int target_parse(struct cli *cli, const char *text, bool allow_empty, struct target *target);

/* Where the ecpfs is mounted that a path lies in; NULL: in none. The caller frees. */
char *target_mount(const char *path);

/* ---- unfinished.c ---- */

/*
 * When a signal ends the process, file is removed, and then directory unless that is NULL. Both
 * stay until the next call; file NULL: nothing is removed any more.
 */
void cli_unfinished(const char *file, const char *directory);

/* ---- when.c: stamps as people write them ---- */

#define WHEN_FORMS                                                                                 \
    "\"2026-01-31 12:34:56\", \"2026-01-31T12:34:56Z\", @SECONDS since the epoch, or a stamp"

/* Reads one of these forms, seconds with a fraction if any; without a zone it is local time. */
bool when_parse(struct cli *cli, const char *text, uint64_t *stamp);
/* "2026-01-31 12:34:56.123456789", local time, into room; returns room. */
const char *when_text(uint64_t stamp, char *room, size_t size);
/* "2026-01-31T12:34:56.123456789Z". */
const char *when_utc(uint64_t stamp, char *room, size_t size);

/* ---- cmd_store.c ---- */

/* Whether path is a directory that can be read: EXIT_OK, or EXIT_FAILED after a message. */
int store_find_directory(struct cli *cli, const char *path);

/*
 * Opens a database's engine for reading; NULL after a message, with *code the exit code, `damage`
 * when it is that. What of the file cannot be read later on, because it is cut off or its pages are
 * not LMDB's, ends the process with `damage` too.
 */
struct engine;
struct engine *store_open_reader(struct cli *cli, const char *directory, int damage, int *code);

/* ---- session.c: synchronous calls; each returns 0 or enum ecp_error ---- */

/* Makes the client (it connects while the loop runs). EXIT_OK, or an exit code after a message. */
int session_open(struct cli *cli);
void session_close(struct cli *cli); /* also when never opened */
/* Runs the loop until a callback calls session_wake; or (turn) once without waiting. */
void session_wait(struct cli *cli);
void session_wake(struct cli *cli);
void session_turn(struct cli *cli);
/* Reports an error about a node (key.data NULL: about nothing particular); more may be NULL.
 * Returns the exit code that goes with it. */
int session_error(struct cli *cli, struct slice key, int error, const char *more);

/* The node; its value's bytes replace value's content when value is not NULL (node->value is
 * unset). */
int session_node(struct cli *cli, struct slice key, enum view view, struct node *node,
                 struct buf *value);
/* One update. result: what an INCREMENT gave, or NULL. Reports errors: returns an exit code. */
int session_update(struct cli *cli, const struct update *update, struct buf *result);
/* The sibling of level under parent; *found tells whether there is one. */
int session_order(struct cli *cli, struct slice parent, struct slice level, bool backwards,
                  struct key *next, bool *found);
/* The first node that a scan yields. */
int session_scan_one(struct cli *cli, const struct call_scan_args *args, struct key *next,
                     bool *found);
/* A page of children: entry is called for each, its key bytes borrowed. */
int session_children(struct cli *cli, const struct call_read_args *args,
                     void (*entry)(void *cookie, struct slice level), void *cookie, bool *to_end);
int session_ping(struct cli *cli);
/* Waits until what was applied is durable. */
int session_sync(struct cli *cli);
/* The server's figures, lines "name value", are appended. */
int session_stats(struct cli *cli, struct buf *text);

/* ---- dump.c ---- */

struct dump_config {
    const struct target *tops;
    size_t count;
    int fd;
    enum zwr_format format;
    uint64_t nodes;   /* result: written */
    uint64_t refused; /* result: values that GO cannot carry, reported on stderr */
};
/* Writes the values of the subtrees as text. EXIT_OK, or EXIT_FAILED after a message. */
int dump_run(struct cli *cli, struct dump_config *config);

/* ---- commands: argv[0] is the command's name; they return an exit code ---- */

int cmd_get(struct cli *cli, int argc, char **argv);
int cmd_set(struct cli *cli, int argc, char **argv);
int cmd_kill(struct cli *cli, int argc, char **argv);
int cmd_zkill(struct cli *cli, int argc, char **argv);
int cmd_data(struct cli *cli, int argc, char **argv);
int cmd_incr(struct cli *cli, int argc, char **argv);
int cmd_info(struct cli *cli, int argc, char **argv);
int cmd_order(struct cli *cli, int argc, char **argv);
int cmd_query(struct cli *cli, int argc, char **argv);
int cmd_zwrite(struct cli *cli, int argc, char **argv);
int cmd_import(struct cli *cli, int argc, char **argv);
int cmd_export(struct cli *cli, int argc, char **argv);
int cmd_lock(struct cli *cli, int argc, char **argv);
int cmd_locks(struct cli *cli, int argc, char **argv);
int cmd_unlock(struct cli *cli, int argc, char **argv);
int cmd_ping(struct cli *cli, int argc, char **argv);
int cmd_status(struct cli *cli, int argc, char **argv);
int cmd_stats(struct cli *cli, int argc, char **argv);
int cmd_sync(struct cli *cli, int argc, char **argv);
int cmd_check(struct cli *cli, int argc, char **argv);
int cmd_journal(struct cli *cli, int argc, char **argv);
int cmd_backup(struct cli *cli, int argc, char **argv);
int cmd_restore(struct cli *cli, int argc, char **argv);

#endif
