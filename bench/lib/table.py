# SPDX-License-Identifier: Apache-2.0
"""What was measured: samples by operation, place on an axis, and side; printed, and kept as CSV."""
import csv
import statistics
import sys

OURS = "ecpfs"
AXIS = "# x: "


class Table:
    """Rows are (what, x); x is None where nothing is varied. A side is ours or a peer's name."""

    verbose = False  # each sample is told as it comes

    def __init__(self, axis=None):
        self.axis = axis  # what x counts
        self.samples = {}  # (what, x) -> side -> list
        self.units = {}  # what -> unit; rates end in "/s", more of them is better
        self.aims = {}  # (what, peer) -> ratio that is wanted; with OURS: what we want to reach
        self.sides = []
        self.remarks = []

    def add(self, what, unit, side, value, x=None):
        self.units.setdefault(what, unit)
        self.samples.setdefault((what, x), {}).setdefault(side, []).append(value)
        if side not in self.sides:
            self.sides.append(side)
        if self.verbose:
            place = "" if x is None else f" at {human(x)}"
            print(f"{what}{place}: {side} {human(value)} {unit}", file=sys.stderr, flush=True)

    def aim(self, what, peer, ratio):
        self.aims[what, peer] = ratio

    def remark(self, text):
        """Once, whoever says it."""
        if text not in self.remarks:
            self.remarks.append(text)

    def median(self, what, side, x=None):
        samples = self.samples.get((what, x), {}).get(side)
        return statistics.median(samples) if samples else None

    def ratio(self, what, peer, x=None):
        """How many times as good as the peer we are; None when one of the two is missing."""
        ours, theirs = self.median(what, OURS, x), self.median(what, peer, x)
        if not ours or not theirs or peer == OURS:
            return None
        return ours / theirs if self.units[what].endswith("/s") else theirs / ours

    def rows(self):
        """Dictionaries, one for each side of each row."""
        for (what, x), sides in self.samples.items():
            for side in self.sides:
                if side in sides:
                    yield {"what": what, "x": "" if x is None else x, "unit": self.units[what], "side": side,
                           "repeats": len(sides[side]), "median": self.median(what, side, x),
                           "low": min(sides[side]), "high": max(sides[side]), "ratio": self.ratio(what, side, x),
                           "aim": self.aims.get((what, side), "")}

    def write_csv(self, path, head):
        with open(path, "w", newline="") as file:
            for line in head + self.remarks:
                file.write(f"# {line}\n")
            if self.axis:
                file.write(f"{AXIS}{self.axis}\n")
            writer = csv.writer(file, lineterminator="\n")
            names = ["what", "x", "unit", "side", "repeats", "median", "low", "high", "ratio", "aim"]
            writer.writerow(names)
            for row in self.rows():
                writer.writerow([short(row[n]) for n in names])

    @classmethod
    def read_csv(cls, path):
        """For drawing anew: each side has its median only."""
        with open(path, newline="") as file:
            lines = file.readlines()
        axis = [line[len(AXIS):].strip() for line in lines if line.startswith(AXIS)]
        table = cls(axis[0] if axis else None)
        for row in csv.DictReader(line for line in lines if not line.startswith("#")):
            table.add(row["what"], row["unit"], row["side"], float(row["median"]), float(row["x"]) if row["x"] else None)
        return table

    def text(self):
        """Aligned columns: ours with its spread, then each peer with how often we go into it."""
        peers = [s for s in self.sides if s != OURS]
        lines = [["", self.axis or "", "unit", OURS, "+-%", "aim", *(c for p in peers for c in (p, "ratio", "aim"))]]
        for (what, x), sides in self.samples.items():
            line = [what, "" if x is None else human(x), self.units[what]]
            line += [human(self.median(what, OURS, x)), spread(sides.get(OURS)), aim_text(self.aims.get((what, OURS)), self.units[what])]
            for peer in peers:
                ratio, aim = self.ratio(what, peer, x), self.aims.get((what, peer))
                line += [human(self.median(what, peer, x)), "" if ratio is None else f"{ratio:.2f}",
                         aim_text(aim, "/s")]
            lines.append(line)
        keep = [i for i in range(len(lines[0])) if any(line[i] for line in lines[1:])]
        widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
        text = ["  ".join(line[i].ljust(widths[i]) if i == 0 else line[i].rjust(widths[i]) for i in keep).rstrip()
                for line in lines]
        return "\n".join(text + [f"  note: {r}" for r in self.remarks])


def aim_text(aim, unit):
    return "" if aim is None else (">=" if unit.endswith("/s") else "<=") + human(aim)


def spread(samples):
    """Half of the range, in percent of the median."""
    if not samples or len(samples) < 2 or not statistics.median(samples):
        return ""
    return "%.0f" % ((max(samples) - min(samples)) * 50 / statistics.median(samples))


def short(value):
    return f"{value:.6g}" if isinstance(value, float) else "" if value is None else value


def human(value):
    """Three digits that count: 0.0123, 4.56, 789, 12,300."""
    if value is None:
        return ""
    if value == 0:
        return "0"
    if abs(value) >= 100:
        digits = max(0, len(str(int(abs(value)))) - 3)
        return f"{int(round(value, -digits)) if value < 1e15 else value:,}"
    return f"{value:.3g}"
