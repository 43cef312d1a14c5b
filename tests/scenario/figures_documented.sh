#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Every figure that a mount or a server tells, and every word of ecpd's configuration, has an entry
# in the manual.
. "$(dirname "$0")/lib.sh"
need_fuse

# entries PAGE: the words of its lists.
entries() { sed -n 's/^\.It \(Li\|Cm\) //p' "$top_srcdir/man/$1" | tr -s ' ,' '\n'; }

# documented PAGE WHAT NAME...: each has an entry; and there are as many as make sense.
documented() {
    local page=$1 what=$2 listed name missing=
    shift 2
    listed=$(entries "$page")
    for name; do
        case $name in bytes:* | records:*) name=${name%%:*}: ;; esac
        grep -qxF -- "$name" <<<"$listed" || missing+=" $name"
        tests=$((tests + 1))
    done
    [ -z "$missing" ] || fail "$what: not in $page:$missing"
    [ $# -gt 7 ] || fail "$what: only $*"
}

names() { cut -d ' ' -f 1; }

start_ecpd
mount_ecpfs a
documented ecp.1 "ecp stats" $(ecp stats | names)
assert_eq "locks_max 1000000" "$(ecp stats | grep '^locks_max')" "figures of locks before the first one"
ecp lock ^A -- true || fail "ecp lock"
assert_eq "$(ecp stats | names)" "$(ecp lock ^A -- ecp stats | names)" "figures before and after the first lock"
documented ecpfs.8 .ecp/stats $(names <"$dir/mnt/a/.ecp/stats")
documented ecpfs.8 .ecp/status $(names <"$dir/mnt/a/.ecp/status")
documented ecpd.8 configuration $(cat "$top_srcdir"/server/config_*.[ch] |
    grep -oE 'CFG_[A-Z_]+\("[a-z-]+"' | cut -d '"' -f 2 | sort -u)
