#!/usr/bin/env python3
"""./dev bench: what Gatehouse costs, side by side with its peers and with the floor, in one run.

    run.py [l7|l4] [--quick] [--json FILE] [--svg FILE] [--build DIR]

Method, and what the figures can and cannot say: tests/bench/README.md.
"""
import argparse
import json
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import bench_l4  # noqa: E402
import bench_l7  # noqa: E402
import picture  # noqa: E402

BENCHES = {"l7": bench_l7, "l4": bench_l4}


def goal(row):
    """The target and whether it is met; memory is compared itself, everything else by its ratio; more is better for packets."""
    if row["target"] is None:
        return "-"
    got = row["ours"] if row["unit"] in ("KiB", "MiB") else row["ratio"]
    met = got >= row["target"] if "pps" in row["unit"] else got <= row["target"]
    return "%.2f %s" % (row["target"], "met" if met else "missed")


def show(rows):
    names = []
    for row in rows:
        names += [p for p in row["peers"] if p not in names]
    head = ["case", "unit", "ours"] + names + ["floor", "ratio", "target"]
    lines = [head]
    for row in rows:
        cell = lambda v: "-" if v is None else ("%.2f" % v)  # noqa: E731
        lines.append([row["case"], row["unit"], cell(row["ours"])] + [cell(row["peers"].get(n)) for n in names]
                     + [cell(row["floor"]), cell(row["ratio"]), goal(row)])
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    for line in lines:
        print("  ".join(v.ljust(w) if i < 2 else v.rjust(w) for i, (v, w) in enumerate(zip(line, widths))))


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("name", nargs="*", help="benches to run: l7, l4 (default: both)")
    ap.add_argument("--quick", action="store_true", help="fewer cases and rounds, under 50 s in all")
    ap.add_argument("--json", metavar="FILE", help="also write the rows as JSON")
    ap.add_argument("--svg", metavar="FILE", help="also draw the rows")
    ap.add_argument("--build", default="build", help="build directory with our binaries")
    args = ap.parse_args()
    names = args.name or ["l7", "l4"]
    unknown = [n for n in names if n not in BENCHES]
    if unknown:
        ap.error("no bench called %s; there are: %s" % (", ".join(unknown), ", ".join(BENCHES)))
    rows, missing = [], []
    for name in names:
        got, absent = BENCHES[name].run(os.path.abspath(args.build), args.quick)
        rows += got
        missing += absent
    show(rows)
    for what in missing:
        print("missing: %s" % what)
    print("ratio: ours / best peer, or ours / floor where there is no peer.  Shared machine: compare within this run only.")
    if args.svg:
        with open(args.svg, "w", encoding="utf-8") as f:
            f.write(picture.svg(rows, "Gatehouse %s: ratio to the best peer of each case, one run, %s" % (
                "and ".join(n + " " for n in names).strip(), time.strftime("%Y-%m-%d"))))
    if args.json:
        with open(args.json, "w", encoding="utf-8") as f:
            json.dump(rows, f, indent=2)
            f.write("\n")
    return 0 if rows and all(r["ours"] is not None for r in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
