#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Who may include whom (DESIGN, "Layout"): reads the #include lines of every folder.
top=${top_srcdir:-$(dirname "$0")/..}
cd "$top" || exit 99
bad=0

# allow FOLDER PATTERN [EXCEPTED-FILE EXTRA-PATTERN]...: patterns are for grep -E, over header paths.
allow() {
    folder=$1
    pattern=$2
    shift 2
    [ -d "$folder" ] || return 0
    for file in "$folder"/*.[ch]; do
        [ -e "$file" ] || continue
        allowed="$folder/|$pattern"
        for extra in "$@"; do
            case $file in "${extra%%:*}") allowed="$allowed|${extra#*:}" ;; esac
        done
        wrong=$(sed -n 's/^[ \t]*#[ \t]*include[ \t]*"\([^"]*\)".*/\1/p' "$file" |
            grep -E '/' | grep -Ev "^($allowed)")
        for header in $wrong; do
            echo "$file: may not include $header"
            bad=1
        done
        relative=$(sed -n 's/^[ \t]*#[ \t]*include[ \t]*"\([^"/]*\)".*/\1/p' "$file" |
            grep -vx 'config\.h')
        for header in $relative; do
            echo "$file: includes are written from the top: $header"
            bad=1
        done
    done
}

allow base 'base/'
allow net 'base/'
allow store 'base/'
allow cache 'base/'
allow locks 'base/' 'locks/lock_client.c:net/call\.h' 'locks/lock_client.h:net/call\.h'
allow server 'base/|net/|store/|locks/'
allow fs 'base/|cache/|locks/' 'fs/main.c:net/' 'fs/upstream_net.c:net/' 'fs/lock_net.c:net/' 'fs/status_net.c:net/'
allow cli 'base/|net/|cache/|store/'
exit $bad
