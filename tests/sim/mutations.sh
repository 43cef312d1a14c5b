#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Each deliberate fault must be found by some seed; most are by one of the first.
set -eu

"$top_builddir/tests/sim/run" --mutations --seeds "${SIM_SEEDS:-10000}"
