#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Server, mount and command line without privileges. Root runs it again as another user, on a copy of
# the programs; in a mount namespace of its own, where /dev/fuse is open to all as udev makes it.
if [ "$(id -u)" -eq 0 ] && [ -z "${PRIVATE_MOUNTS:-}" ]; then
    # Not with the mounts of tests that run beside this one: their copies would keep them from ending.
    PRIVATE_MOUNTS=1 exec unshare --mount \
        sh -c 'umount --lazy --all --types fuse.ecpfs; exec "$0" "$@"' "$0" "$@"
fi
. "$(dirname "$0")/lib.sh"

as_user() { setpriv --reuid=65534 --regid=65534 --clear-groups "$@"; }
device_open() { as_user sh -c '[ -r /dev/fuse ] && [ -w /dev/fuse ]'; }

open_device() {
    mkdir "$dir/dev" && mount -t tmpfs tmpfs "$dir/dev" && mknod -m 666 "$dir/dev/fuse" c 10 229 &&
        mount --bind "$dir/dev/fuse" /dev/fuse && umount -l "$dir/dev"
}

copy_programs() {
    local copy=$1
    chmod 711 "$dir" && mkdir -p "$copy/tests/scenario" "$copy/tests/data" &&
        install -m 755 "$top_builddir/ecp" "$top_builddir/ecpd" "$top_builddir/ecpfs" "$copy" &&
        install -m 755 "$scenario_dir/lib.sh" "$scenario_dir/ordinary_user.sh" "$copy/tests/scenario" &&
        install -m 644 "$top_srcdir/tests/lsan.supp" "$copy/tests" &&
        install -d -o 65534 -g 65534 -m 700 "$dir/home"
}

run_as_user() {
    local copy=$dir/copy
    (umask 022 && copy_programs "$copy") || fail "cannot copy the programs"
    device_open || open_device
    device_open || fail "/dev/fuse is not open to users (chmod 666 /dev/fuse, as udev does)"
    assert_ok "the scenario as user 65534" as_user env top_srcdir="$copy" top_builddir="$copy" \
        TMPDIR="$dir/home" HOME="$dir/home" \
        LSAN_OPTIONS="suppressions=$copy/tests/lsan.supp:print_suppressions=0" \
        "$copy/tests/scenario/ordinary_user.sh"
}

if [ "$(id -u)" -eq 0 ]; then
    # assert_ok keeps the output; a failure is to show all of it.
    trap 'cat "$dir/out" 2>/dev/null; cleanup' EXIT
    run_as_user
    exit
fi

command -v fusermount3 >/dev/null || fail "no fusermount3: a user cannot mount without it"
[ -r /dev/fuse ] && [ -w /dev/fuse ] || fail "/dev/fuse is not open to this user"
start_ecpd
assert_ok set node_set '^R(1)' one
assert_eq one "$(node_get '^R(1)')" get

x=$dir/mnt/x
mkdir "$x"
assert_ok mount timeout 60 ecpfs "$URL" "$x"
mounted "$x" || fail "not mounted when the command returned"
assert_eq one "$(cat "$x/R/1")" "reads"
assert_eq "$(id -u) $(id -g)" "$(stat -c '%u %g' "$x/R/1")" "files are the user's"
printf two >"$x/R/2" || fail "write"
assert_eq two "$(node_get '^R(2)')" "writes"
assert_ok mkdir mkdir -p "$x/NEW/a/b"
assert_ok rm rm -r "$x/NEW"
# What access(2) tells is what open(2) does.
assert_ok "may write" test -r "$x/R/1" -a -w "$x/R/1" -a -x "$x/R"
assert_fails "no program" test -x "$x/R/1"
assert_fails "nobody writes there" test -w "$x/.ecp/stats"
assert_fails "nobody writes there" sh -c 'echo x >"$1/.ecp/stats"' sh "$x"
printf three >"$x/R/3" && test -r "$x/R/3" && ecp kill '^R(3)' || fail "remove"
assert_fails "a file that is gone" test -r "$x/R/3"
assert_ok "unmount" fusermount3 -u "$x"
mounted "$x" && fail "still mounted"

assert_ok "noexec, ro" timeout 60 ecpfs "$URL" "$x" -o ro,noexec
assert_fails "ro writes" sh -c 'echo x >"$1/R/1"' sh "$x"
assert_said 'read-only'
assert_ok "umount of one's own mount" umount "$x"
mounted "$x" && fail "umount left it"

assert_ok "a umask that takes from the owner" timeout 60 ecpfs "$URL" "$x" -o umask=0222
assert_fails "writing" sh -c 'echo x >"$1/R/1"' sh "$x"
assert_said 'permission denied'
assert_fails "creating" mkdir "$x/R/4"
assert_fails "may write" test -w "$x/R/1"
assert_eq one "$(cat "$x/R/1")" "reading"
assert_ok "umount" umount "$x"

assert_fails "a directory of somebody else" timeout 60 ecpfs "$URL" /usr
grep -qs '^user_allow_other' /etc/fuse.conf ||
    { assert_fails "allow_other" timeout 60 ecpfs "$URL" "$x" -o allow_other && assert_said user_allow_other; }
stop_ecpd

# In the background, with its own pid file; and without what the script has open, such as a lock.
exec 8>"$dir/script.lock"
flock 8
assert_ok "daemon" timeout 60 ecpd --data "$dir/data" --listen "unix:$dir/sock" --pid-file "$dir/pid"
exec 8>&-
assert_ok "the daemon keeps no lock of the script" flock -n "$dir/script.lock" true
pids+=("$(cat "$dir/pid")")
export ECP_URL=ecp+unix://$dir/sock
assert_eq two "$(node_get '^R(2)')" "the data stayed"
kill "$(cat "$dir/pid")"
wait_until 20 gone "${pids[-1]}" || fail "the daemon does not end on SIGTERM"
[ ! -e "$dir/pid" ] || fail "the pid file stayed"
