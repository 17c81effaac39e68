"""The built-in suite with no model: what each problem comes to on this machine, losses included.

    python benchmarks/builtin_suite.py --out docs/results [--attempts N] [NAME …]

Runs `kernelwright optimize builtin:<name>` for every problem, or for those that are named, one
after another, and writes ``builtin-cpu.json`` with every figure and ``builtin-cpu.md`` with a table
made from it. What the file holds about problems that are not named stays.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from kernelwright.problems import suite

COMMAND = "import sys; from kernelwright.apps.cli.main import main; sys.exit(main())"


def run(name: str, attempts: int) -> dict[str, Any]:
    """The result of one problem; `error` instead of figures when the run could not be made."""
    with tempfile.TemporaryDirectory() as folder:
        started = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-c", COMMAND, "optimize", f"builtin:{name}", "--json", "--quiet",
             "--max-attempts", str(attempts), "--out", str(Path(folder, "run"))],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        wall_s = round(time.monotonic() - started, 1)
    if not done.stdout.strip():
        return {"id": name, "outcome": "error", "reason": done.stderr.strip(), "wall_s": wall_s}
    result = json.loads(done.stdout)
    return {"id": name, **result, "wall_s": wall_s}


def cell(figures: dict[str, Any] | None) -> str:
    """A speedup with its interval."""
    if not figures:
        return "–"
    return f"{figures['median']:.2f} ({figures['ci_low']:.2f}–{figures['ci_high']:.2f})"


def row(found: dict[str, Any]) -> str:
    """One line of the table."""
    if found["outcome"] != "passed":
        return f"| {found['id']} | {found['outcome']} | | | | | | {found['wall_s']:.0f} |"
    best = found["vs_best"] or {}
    ns = found["candidate_ns"]
    drop_in = ((found.get("drop_in") or {}).get("figures") or {}).get("vs_best")
    cells = [
        found["id"],
        best.get("verdict", "not timed"),
        f"{ns / 1000:.0f}" if ns else "–",
        f"{cell(best)} {best.get('baseline', '')}",
        cell(found["speedup"].get("eager")),
        cell((found.get("buffer") or {}).get("vs_best")),
        cell(drop_in),
        f"{found['wall_s']:.0f}",
    ]
    return "| " + " | ".join(cells) + " |"


def table(results: list[dict[str, Any]]) -> str:
    """The Markdown page."""
    timed = [r for r in results if r["outcome"] == "passed" and r["vs_best"]]
    verdicts = [r["vs_best"]["verdict"] for r in timed]
    environment = next((r["environment"] for r in results if r.get("environment")), {})
    counts = ", ".join(
        f"{verdicts.count(v)} {v}" for v in ("FASTER", "SAME", "AMBIGUOUS", "SLOWER")
    )
    versions = ", ".join(f"{k} {v}" for k, v in environment.get("versions", {}).items())
    lines = [
        "# The built-in suite on a CPU, with no model",
        "",
        "Made by `python benchmarks/builtin_suite.py --out docs/results`; every figure is in",
        "[builtin-cpu.json](builtin-cpu.json).",
        "",
        f"Machine: {environment.get('cpu')}, {environment.get('threads')} threads; {versions}.",
        "The machine is virtual and shared, so believe the intervals.",
        "",
        f"{len(timed)} of {len(results)} problems are covered by a sketch and passed: {counts}.",
        "",
        "Speedups are medians with 95% intervals, over the fastest baseline unless the column says",
        "otherwise. *Returned* is the headline: every call allocates its output, on both sides.",
        "",
        "| problem | verdict | µs | returned, over the best | over eager | into a buffer |"
        " as `best_module.py` | run, s |",
        "|---|---|---|---|---|---|---|---|",
        *[row(found) for found in results],
        "",
    ]
    missing = [r for r in results if r["outcome"] != "passed"]
    if missing:
        lines += ["Not covered or not passed:", ""]
        lines += [f"- {r['id']}: {r.get('reason') or r['outcome']}" for r in missing]
        lines.append("")
    return "\n".join(lines)


def main() -> int:
    """Run the suite and write both files."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", default=[])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--attempts", type=int, default=5)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    figures = arguments.out / "builtin-cpu.json"
    kept = json.loads(figures.read_text()) if arguments.names and figures.exists() else []
    results = {found["id"]: found for found in kept}
    for name in arguments.names or suite.names():
        results[name] = run(name, arguments.attempts)
        print(row(results[name]), flush=True)
        found = [results[key] for key in sorted(results)]
        figures.write_text(json.dumps(found, indent=1) + "\n")
        (arguments.out / "builtin-cpu.md").write_text(table(found))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
