# SPDX-License-Identifier: Apache-2.0
"""Draws what cuda_engine_bench says: for each case a bar to the fraction of the floor that is reached, and tokens/s in figures.
Python's standard library only.

  python3 tests/bench/plot_engine.py tp1.json tp2.json --output docs/gpu_speed.svg

Runs of other numbers of GPUs get bars of their own. The picture follows the reader's light or dark theme.
"""

import argparse
import json
from pathlib import Path

WIDTH, LEFT, RIGHT, TOP, BOTTOM = 760, 150, 130, 30, 30  # of the picture, and the margins around the bars
BAR, GAP = 13, 12  # heights of a bar, and between cases
STYLE = """
  text { font: 12px system-ui, sans-serif; fill: #57606a } .figure { font-variant-numeric: tabular-nums }
  .axis { stroke: #57606a } .grid { stroke: #57606a; stroke-opacity: 0.2 }
  .tp1 { fill: #2a78d6 } .tp2 { fill: #c8590a } .tp4 { fill: #2f8f5b } .tp8 { fill: #8250df }
  @media (prefers-color-scheme: dark) {
    text { fill: #adb5bd } .axis, .grid { stroke: #adb5bd }
    .tp1 { fill: #6cb0ff } .tp2 { fill: #ffa657 } .tp4 { fill: #56d390 } .tp8 { fill: #b392f0 }
  }
"""


def read(paths):
    """{case: [(GPUs, tokens/s, fraction)]}, cases in the order in which they are met."""
    cases = {}
    for path in paths:
        for case in json.loads(Path(path).read_text(encoding="utf-8"))["cases"]:
            cases.setdefault(case["case"], []).append((case["tp"], case["tokens_per_s"], case["fraction"]))
    return {name: sorted(runs) for name, runs in cases.items()}


def draw(cases):
    sizes = sorted({tp for runs in cases.values() for tp, _, _ in runs})
    across = WIDTH - LEFT - RIGHT
    parts, y = [], TOP
    for name, runs in cases.items():
        parts.append(f'<text x="{LEFT - 8}" y="{y + len(runs) * BAR / 2 + 4:g}" text-anchor="end">{name}</text>')
        for tp, rate, fraction in runs:
            end = LEFT + across * min(fraction, 1.0)
            parts.append(f'<rect class="tp{tp}" x="{LEFT}" y="{y}" width="{end - LEFT:.1f}" height="{BAR - 2}"/>'
                         f'<text class="figure" x="{end + 6:.1f}" y="{y + BAR - 3}">{rate:,.0f} tokens/s</text>')
            y += BAR
        y += GAP
    bottom = y - GAP + 6
    for percent in range(0, 101, 20):
        x = LEFT + across * percent / 100
        parts.append(f'<line class="{"grid" if percent else "axis"}" x1="{x:g}" y1="{TOP - 4}" x2="{x:g}" y2="{bottom}"/>'
                     f'<text x="{x:g}" y="{bottom + 16}" text-anchor="middle">{percent} %</text>')
    for place, tp in enumerate(sizes):
        x = LEFT + 90 * place
        parts.append(f'<rect class="tp{tp}" x="{x}" y="6" width="10" height="10"/>'
                     f'<text x="{x + 15}" y="15">{tp} GPU{"s" if tp > 1 else ""}</text>')
    parts.append(f'<text x="{WIDTH - 8}" y="15" text-anchor="end">of the floor</text>')
    height = bottom + BOTTOM
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">'
            f"<title>Fraction of the floor that each case reaches</title><style>{STYLE}</style>\n"
            + "\n".join(parts) + "\n</svg>\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", nargs="+", help="JSON of cuda_engine_bench")
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    arguments.output.write_text(draw(read(arguments.results)), encoding="utf-8")


if __name__ == "__main__":
    main()
