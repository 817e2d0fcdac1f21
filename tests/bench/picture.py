"""The rows of a bench as a picture: per case one bar each for ours, the peers and the floor, drawn as ratios to the best peer
(or to the floor where there is no peer), so that cases of different units stand side by side."""
from xml.sax.saxutils import escape

COLOURS = {"ours": "#0b6e4f", "floor": "#b8b8b8"}
PEER_COLOURS = ("#4472a8", "#c98a2b", "#8c5a99", "#a84444")
LEFT, WIDTH, BAR, GAP, LONGEST = 230, 900, 13, 14, 3.0


def svg(rows, title):
    rows = [r for r in rows if r["ratio"]]
    peers = sorted({p for r in rows for p in r["peers"]})
    colours = dict(COLOURS, **dict(zip(peers, PEER_COLOURS)))
    scale, y, out = (WIDTH - LEFT - 90) / LONGEST, 70, []
    top = y
    for r in rows:
        base = r["ours"] / r["ratio"]
        bars = [("ours", r["ours"])] + sorted(r["peers"].items()) + ([("floor", r["floor"])] if r["floor"] else [])
        out.append('<text x="%d" y="%d" text-anchor="end" class="c">%s</text>' % (LEFT - 8, y + len(bars) * BAR / 2 + 4, escape(r["case"])))
        for name, value in bars:
            ratio = value / base
            out.append('<rect x="%d" y="%d" width="%.1f" height="%d" fill="%s"/>' % (LEFT, y, min(ratio, LONGEST) * scale, BAR - 2, colours[name]))
            out.append('<text x="%.1f" y="%d" class="v">%.2f%s  (%.4g %s)</text>' % (
                LEFT + min(ratio, LONGEST) * scale + 4, y + BAR - 3, ratio, " →" if ratio > LONGEST else "", value, escape(r["unit"])))
            y += BAR
        if r["target"] and r["unit"] not in ("KiB", "MiB"):
            x = LEFT + r["target"] * scale
            out.append('<line x1="%.1f" x2="%.1f" y1="%d" y2="%d" class="t"/>' % (x, x, y - len(bars) * BAR - 3, y + 1))
        y += GAP
    x = LEFT + scale
    out.append('<line x1="%.1f" x2="%.1f" y1="%d" y2="%d" class="b"/>' % (x, x, top - 6, y - GAP + 4))
    legend, at = [], LEFT
    for name in ["ours"] + peers + ["floor"]:
        legend.append('<rect x="%d" y="38" width="11" height="11" fill="%s"/><text x="%d" y="48" class="c">%s</text>' % (at, colours[name], at + 16, name))
        at += 90
    legend.append('<line x1="%d" x2="%d" y1="37" y2="51" class="t"/><text x="%d" y="48" class="c">target</text>' % (at, at, at + 8))
    return """<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif">
<style>.c{font-size:12px}.v{font-size:10px;fill:#444}.t{stroke:#d00;stroke-width:2}.b{stroke:#000;stroke-dasharray:3 3}</style>
<rect width="100%%" height="100%%" fill="white"/><text x="12" y="22" font-size="15">%s</text>
%s
</svg>
""" % (WIDTH + 120, y + 10, escape(title), "\n".join(legend + out))
