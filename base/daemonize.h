/* SPDX-License-Identifier: Apache-2.0 */
/* Becoming a daemon whose start is told to the command that started it. */
#ifndef BASE_DAEMONIZE_H
#define BASE_DAEMONIZE_H

/*
 * Forks. The parent never returns: it waits for one of the two calls below and ends as they say.
 * Returns in the child, in the directory "/", with the descriptor that they take. program: its
 * name in messages.
 */
int daemonize(const char *program);

/* The start has succeeded: lets go of stdin, stdout and stderr, and of fd. */
void daemonize_ready(int fd);

/* The start has failed, text says why; fd -1: not a daemon. Lets go of fd, and returns the exit
 * status. */
int daemonize_failed(int fd, const char *program, const char *text);

#endif
