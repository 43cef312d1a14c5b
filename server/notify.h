/* SPDX-License-Identifier: Apache-2.0 */
/* Tells the service manager how the daemon is doing (sd_notify's protocol). */
#ifndef SERVER_NOTIFY_H
#define SERVER_NOTIFY_H

/* Each sends one datagram to $NOTIFY_SOCKET; nothing happens when it is not set or fails. */
void notify_ready(void);
void notify_reloading(void);
void notify_stopping(void);

#endif
