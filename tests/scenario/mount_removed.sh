#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What a mount removes, and another shows gone before the first hears of it.
LIMIT=180
. "$(dirname "$0")/lib.sh"
need_fuse
command -v python3 >/dev/null || skip "no python3"

start_ecpd
coproc PROXY { exec "$top_srcdir/tests/coherence/proxy.py" "$port"; }
pids+=("$PROXY_PID")
read -r -t 20 -u "${PROXY[0]}" proxy_port || fail "the proxy does not begin"
mount_ecpfs b
b=$mnt b_pid=$mount_pid
URL=ecp://127.0.0.1:$proxy_port/USER
mount_ecpfs a
echo delay 60 >&"${PROXY[1]}"
read -r -t 20 -u "${PROXY[0]}" answer && [ "$answer" = ok ] || fail "proxy: $answer"
python3 "$scenario_dir/mount_removed.py" "$mnt" "$b" "$b_pid" 6 || fail "what was before is found"
tests=$((tests + 1))
unmount_ecpfs a "$mount_pid"
unmount_ecpfs b "$b_pid"
stop_ecpd
