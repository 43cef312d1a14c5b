#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Files and directories that go, or are on their way, as those see it who have them open.
LIMIT=180
. "$(dirname "$0")/lib.sh"
need_fuse
command -v python3 >/dev/null || skip "no python3"

# So long that nothing runs out while the server is stopped.
start_ecpd --lease 300
mount_ecpfs b
b=$mnt b_pid=$mount_pid
mount_ecpfs a
assert_ok "open files" python3 "$scenario_dir/mount_open.py" "$mnt" "$b" "$ecpd_pid"
unmount_ecpfs a "$mount_pid"
unmount_ecpfs b "$b_pid"
stop_ecpd
