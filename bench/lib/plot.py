# SPDX-License-Identifier: Apache-2.0
"""Pictures of tables, by gnuplot."""
import shutil
import subprocess

from lib.table import OURS

COLORS = ["#0060ad", "#dd181f", "#009e73", "#e69f00", "#9400d3", "#56b4e9", "#888888", "#a0522d"]


def quoted(text):
    return '"' + str(text).replace("\\", "\\\\").replace('"', '\\"') + '"'


def draw(path, width, height, commands):
    """False when there is no gnuplot."""
    if not shutil.which("gnuplot"):
        return False
    script = [f"set terminal svg size {width},{height} noenhanced font 'sans,12' background 'white'", f"set output '{path}'",
              "set grid lc rgb '#dddddd'", "set border 3", *commands]
    subprocess.run(["gnuplot"], input="\n".join(script) + "\n", text=True, check=True)
    return True


def bars(path, table, title, subtitle):
    """For each operation and peer, how many times as good as the peer we are: right of the line at 1
    is better."""
    peers = [s for s in table.sides if s != OURS]
    rows = []  # (name, peer, ratio)
    for what in dict.fromkeys(w for w, x in table.samples):
        rows += [(what, peer, table.ratio(what, peer)) for peer in peers if table.ratio(what, peer)]
    if not rows:
        return True
    height, data, names, last = 0, {}, [], None
    for name, peer, ratio in reversed(rows):
        height += 1 if name == last else 1.6
        last = name
        data.setdefault(peer, []).append((height, ratio))
        names.append((height, name))
    places = {}
    for y, name in names:
        places.setdefault(name, []).append(y)
    low, high = min(r for _, _, r in rows), max(r for _, _, r in rows)
    commands = [
        f"set title {quoted(title)} . \"\\n\" . {quoted(subtitle)}",
        "set logscale x", f"set xrange [{min(low / 2, 0.4):g}:{max(high * 3, 3):g}]", f"set yrange [0:{height + 1:g}]",
        'set xtics ("1/100" 0.01, "1/10" 0.1, "1/4" 0.25, "1/2" 0.5, "1" 1, "2" 2, "4" 4, "10" 10, "100" 100, '
        '"1000" 1000, "10,000" 10000)',
        "set ytics scale 0 (" + ", ".join(f"{quoted(n)} {sum(y) / len(y):g}" for n, y in places.items()) + ")",
        "set xlabel 'times as fast as the peer (right of the line: ecpfs is faster)'", "set key outside top right",
        f"set arrow from 1,0 to 1,{height + 1:g} nohead lw 2 lc rgb '#000000' front", "set style fill solid 0.85 noborder",
    ]
    plots = []
    for number, peer in enumerate(p for p in peers if p in data):
        commands.append(f"$p{number} << EOD")
        commands += [f"{ratio:g} {y:g} {min(1, ratio):g} {max(1, ratio):g} {y - .45:g} {y + .45:g}"
                     for y, ratio in data[peer]]
        commands.append("EOD")
        plots.append(f"$p{number} using 1:2:3:4:5:6 with boxxyerror lc rgb '{COLORS[1 + number % 7]}' "
                     f"title {quoted('beside ' + peer)}")
        plots.append(f"$p{number} using 4:2:(sprintf(\" %.2g\", $1)) with labels left font ',10' notitle")
    return draw(path, 900, int(140 + 17 * height), commands + ["plot " + ", ".join(plots)])


def lines(path, table, title, panels, zero=None, kind=lambda what: what):
    """Panels side by side: (label of y, log y?, [(what, side, label)]); x is the table's axis. What is the same
    kind(what) has the same colour in all of them, peers are dashed. zero: where 0 is shown, on an axis without a place
    for it."""
    commands = [f"set multiplot layout 1,{len(panels)} title {quoted(title)} font ',14'", "set logscale x", "set autoscale xfix",
                f"set xlabel {quoted(table.axis)} offset 0,0.5", "set key outside below center reverse Left maxcols 2", "set format x '%.0s%c'"]
    if zero:
        marks = sorted({x for _, x in table.samples})
        commands.append("set xtics (" + ", ".join(f"'{x:g}' {x or zero:g}" for x in marks) + ")")
    kinds = list(dict.fromkeys(kind(what) for _, _, curves in panels for what, _, _ in curves))
    for panel, (label, log, curves) in enumerate(panels):
        plots, highest = [], 0
        for number, (what, side, name) in enumerate(curves):
            dash = "" if side == OURS else "dt (6,3) "
            points = [(x, table.median(what, side, x)) for w, x in table.samples if w == what]
            points = [(x or zero, y) for x, y in points if y is not None]
            if not points:
                continue
            highest = max(highest, *(y for _, y in points))
            commands.append(f"$c{panel}x{number} << EOD")
            commands += [f"{x:g} {y:g}" for x, y in points]
            commands.append("EOD")
            plots.append(f"$c{panel}x{number} using 1:2 with linespoints lw 2 pt 7 ps 0.5 {dash}"
                         f"lc rgb '{COLORS[kinds.index(kind(what)) % len(COLORS)]}' title {quoted(name)}")
        commands += ["set logscale y" if log else "unset logscale y", "set yrange [0:*]" if not log else "set yrange [*:*]",
                     "set format y '%g'" if highest < 1000 and not log else "set format y '%.0s%c'", f"set ylabel {quoted(label)}"]
        if plots:
            commands.append("plot " + ", ".join(plots))
    return draw(path, 480 * len(panels), 520, commands + ["unset multiplot"])
