/* SPDX-License-Identifier: Apache-2.0 */
/* Which cached entries a touch concerns. */
#include "base/model.h"

bool touch_hits_node(const struct touch *touch, struct slice key)
{
    switch (touch->kind) {
    case TOUCH_ENTRY:
        return slice_equal(touch->key, key);
    case TOUCH_SUBTREE:
        return slice_has_prefix(key, touch->key);
    default:
        /* The root's page speaks of the root itself, too. */
        return slice_equal(key_parent(key), touch->key);
    }
}

bool touch_hits_page(const struct touch *touch, struct slice parent, struct slice first,
                     struct slice last, bool to_end)
{
    struct slice sub;

    if (touch->kind == TOUCH_PAGES)
        return slice_equal(touch->key, parent);
    if (touch->kind == TOUCH_SUBTREE && slice_has_prefix(parent, touch->key))
        return true;
    if (touch->key.len == 0)
        return parent.len == 0;
    if (!slice_equal(key_parent(touch->key), parent))
        return false;
    sub = key_last(touch->key);
    return slice_compare(sub, first) >= 0 && (to_end || slice_compare(sub, last) <= 0);
}
