/* SPDX-License-Identifier: Apache-2.0 */
/* Whether an update is well-formed. */
#include "store/store.h"

static bool is_key(struct slice key)
{
    return key.len > 0 && key_valid(key);
}

int update_check(const struct update *u)
{
    if (u->kind < UPDATE_SET || u->kind >= UPDATE_KIND_END || u->cond >= COND_END ||
        u->flags & ~UPDATE_FLAGS_ALL)
        return ECP_EINVAL;
    if (u->flags & UPDATE_VALUE_ONLY && u->kind != UPDATE_MOVE)
        return ECP_EINVAL;
    if (u->key.len > KEY_MAX_LEN || (u->kind == UPDATE_MOVE && u->value.len > KEY_MAX_LEN))
        return ECP_EKEYLONG;
    if (!is_key(u->key) && !(u->kind == UPDATE_KILL && u->key.len == 0))
        return ECP_EINVAL;
    if (u->value.len > VALUE_MAX_LEN)
        return ECP_EVALUELONG;
    switch (u->kind) {
    case UPDATE_SET:
    case UPDATE_APPEND:
    case UPDATE_INCREMENT:
        return 0;
    case UPDATE_MOVE:
        return is_key(u->value) ? 0 : ECP_EINVAL;
    default:
        return u->value.len ? ECP_EINVAL : 0;
    }
}

