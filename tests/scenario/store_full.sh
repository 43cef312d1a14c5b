#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A full disk: updates are refused, reads and removals go on, and it works again when there is room.
LIMIT=180
. "$(dirname "$0")/lib.sh"

[ "$(id -u)" -eq 0 ] || skip "only root can mount a small file system"
mkdir "$dir/mnt/small"
mount -t tmpfs -o size=40m tmpfs "$dir/mnt/small" 2>/dev/null || skip "no tmpfs can be mounted"
cat >"$dir/ecpd.conf" <<END
database user { directory = "$dir/mnt/small/user" }
namespace USER { database = "user" }
END
start_ecpd --config "$dir/ecpd.conf"
head -c 150000 /dev/urandom | base64 -w 0 >"$dir/value"

n=0
while ecp set "^A($n)" - <"$dir/value" 2>"$dir/err"; do
    n=$((n + 1))
    [ $n -lt 1000 ] || fail "a disk of 40 MiB takes $n values of 200,000 bytes"
done
assert_said "no space"
[ $n -gt 50 ] || fail "only $n values fit"
for i in 0 $((n / 2)) $((n - 1)); do
    [ "$(ecp get "^A($i)")" = "$(cat "$dir/value")" ] || fail "^A($i) cannot be read"
done
assert_ok "kill on a full disk" ecp kill '^A(1)' '^A(2)'

mount -o remount,size=200m "$dir/mnt/small" || fail "the file system does not grow"
assert_ok "set, with room again" ecp set '^B' healed
kill -9 "$ecpd_pid"
wait "$ecpd_pid" 2>/dev/null
assert_ok "check" ecp check "$dir/mnt/small/user"
mount -o remount,ro "$dir/mnt/small" || fail "the file system does not become read-only"
assert_ok "check on a read-only file system" ecp check "$dir/mnt/small/user"
grep -q '[1-9][0-9]* beyond it' "$dir/out" || fail "no journal was read: $(cat "$dir/out")"
assert_ok "journal on a read-only file system" ecp journal list "$dir/mnt/small/user"
assert_ok "backup from a read-only file system" ecp backup -q "$dir/mnt/small/user" "$dir/read-only"
assert_ok "verify" ecp restore -q --verify "$dir/read-only"
mount -o remount,rw "$dir/mnt/small" || fail "it does not become writable again"
start_ecpd --config "$dir/ecpd.conf"
assert_eq healed "$(ecp get '^B')" "what was set with room again"
for i in 0 $((n / 2)) $((n - 1)); do
    [ "$(ecp get "^A($i)")" = "$(cat "$dir/value")" ] || fail "^A($i) is lost"
done
assert_eq 0 "$(ecp data '^A(1)')" "what was killed on the full disk"
stop_ecpd

# A restore that finds no room says so, although its last write may only fall short.
assert_ok "backup" ecp backup -q "$dir/mnt/small/user" "$dir/mnt/small/backup"
mkdir "$dir/mnt/less"
mount -t tmpfs -o size=5m tmpfs "$dir/mnt/less" || fail "no second tmpfs"
assert_fails "restore onto a disk that is too small" ecp restore "$dir/mnt/small/backup" "$dir/mnt/less/user"
assert_said 'less/user: no space left on its disk'
unmount "$dir/mnt/less" || fail "the second file system stays in use"
unmount "$dir/mnt/small" || fail "the file system stays in use"
