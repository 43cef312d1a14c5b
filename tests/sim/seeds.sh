#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A fixed number of the simulator's seeds, and one that must repeat itself.
set -eu

"$top_builddir/tests/sim/run" --seeds "${SIM_SEEDS:-3000}"
"$top_builddir/tests/sim/run" --seed 7
