/* SPDX-License-Identifier: Apache-2.0 */
/* What msg_read.c and msg_nodes.c share; nobody else includes it. */
#ifndef NET_MSG_INTERNAL_H
#define NET_MSG_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

/* True when level is one well-formed level below a parent of parent_len bytes. */
bool msg_level_valid(size_t parent_len, struct slice level);

/* 0, ECP_EKEYLONG, or ECP_EINVAL. */
int msg_check_key(struct slice key);

#endif
