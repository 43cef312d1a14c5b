/* SPDX-License-Identifier: Apache-2.0 */
/* Becoming a daemon whose start is told to the command that started it. */
#ifndef SERVER_DAEMONIZE_H
#define SERVER_DAEMONIZE_H

/*
 * Forks. The parent never returns: it waits for one of the two calls below and ends as they say.
 * Returns in the child, in the directory "/", with the descriptor that they take.
 */
int daemonize(void);

/* The start has succeeded: lets go of stdin, stdout and stderr, and of fd. */
void daemonize_ready(int fd);

/* The start has failed, text says why; fd -1: not a daemon. Returns the exit status. */
int daemonize_failed(int fd, const char *text);

#endif
