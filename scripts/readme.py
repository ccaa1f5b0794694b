"""Writes the results in the README from scripts/results/*.json; --check says whether they agree.

python scripts/readme.py
"""

import argparse
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hot.files import read_json, write_text

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "scripts" / "results"
NAIVE = ("CBC", "HiGHS")
MARKS = re.compile(r"(<!-- results -->\n).*(<!-- /results -->)", re.DOTALL)


def where(document: dict[str, Any]) -> str:
    """Device, date and versions of a result."""
    origin = document["provenance"]
    versions = origin["versions"]
    shown = ", ".join(f"{name} {versions[name]}" for name in ("python", "torch", "onnxruntime"))
    return f"{origin['machine']}; {origin['date']}; {shown}."


def quickstart(document: dict[str, Any]) -> list[str]:
    """The picks of the main job on digits."""
    lines = [
        "### The quickstart",
        "",
        f"`{document['command']}`: the main job of `scripts/quickstart` took "
        f"{document['seconds'] / 60:.1f} minutes, packages already installed; "
        f"LUT check: {document['check']}. {where(document)}",
        "",
        "| candidate | MACs | parameters | deployed | accuracy | predicted | measured |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in document["rows"]:
        predicted = "-" if row["predicted_ms"] is None else f"{row['predicted_ms']:.4f} ms"
        lines.append(
            f"| {row['candidate']} | {row['macs'] / 1e6:.2f} M | {row['params'] / 1e3:.0f} k | "
            f"{row['precision']} | {row['accuracy']:.2%} | {predicted} | "
            f"{row['measured_ms']:.4f} ms |"
        )
    return lines


def cifar(document: dict[str, Any]) -> list[str]:
    """Picks against the baseline, with seeds and spread."""
    check = document["lut_check"]
    lines = [
        "### CIFAR-10, 32x32 space, int8",
        "",
        f"`{document['command']}`: baseline and all picks trained with one recipe, "
        f"{document['epochs']} epochs of {document['n_train']:,} images, "
        f"{len(document['rows'][0]['test_accuracy'])} seeds (mean and standard deviation of the "
        "test accuracy); the best trial by validation deployed. JPEG copy of CIFAR-10, short "
        "trainings: only the comparison counts. `accuracy`: most MACs at the baseline's latency; "
        "`latency`: least latency at its MACs; `fast`: most MACs at 55 % of its latency. "
        f"LUT check: error {check['mean_error']:.1%}, Spearman {check['spearman']:.3f}. "
        f"{where(document)}",
        "",
        "| candidate | MACs | parameters | accuracy over seeds | int8 accuracy | predicted | "
        "measured | times faster |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in document["rows"]:
        deployed = row["deployed"]["int8"]
        spread = "" if row["stdev"] is None else f" ± {row['stdev']:.2%}"
        lines.append(
            f"| {row['candidate']} | {row['macs'] / 1e6:.1f} M | {row['params'] / 1e3:.0f} k | "
            f"{row['mean']:.2%}{spread} | {deployed['accuracy']:.2%} | "
            f"{row['predicted_ms']:.3f} ms | {deployed['measured_ms']:.3f} ms | "
            f"{deployed['times_faster']:.2f} |"
        )
    ratio = [r["deployed"]["int8"]["measured_ms"] / r["predicted_ms"] for r in document["rows"]]
    return [
        *lines,
        "",
        *(best_at(document["rows"], least) for least in (1.0, 1.8)),
        f"Measured over predicted latency lies between {min(ratio):.2f} and {max(ratio):.2f}: this "
        "LUT was built while other work ran on the machine (its sentinel networks said so when the "
        "run began), so all latencies are predicted too high, those of the baseline most.",
    ]


def best_at(rows: list[dict[str, Any]], least: float) -> str:
    """One sentence: the most accurate pick at least so many times faster than the baseline."""
    base = rows[0]
    able = [r for r in rows[1:] if r["deployed"]["int8"]["times_faster"] >= least]
    if not able:
        return f"No pick is measured at least {least:g} times as fast as the baseline."
    best = max(able, key=lambda row: row["mean"])
    return (
        f"The most accurate pick at least {least:g} times as fast as the baseline is "
        f"`{best['candidate']}`: {100 * (best['mean'] - base['mean']):+.1f} points of accuracy at "
        f"{best['deployed']['int8']['times_faster']:.2f} times its speed."
    )


def quality(document: dict[str, Any]) -> list[str]:
    """How MACs rank trained networks."""
    return [
        "### Does quality grow with MACs?",
        "",
        f"`{document['command']}`: {document['n_networks']} random networks of the 32x32 space, "
        f"{document['epochs']} epochs of {document['n_train']:,} CIFAR-10 images each. Correlation "
        f"of MACs and test accuracy: {document['pearson_macs']:.2f} (of their logarithm "
        f"{document['pearson_log_macs']:.2f}, Spearman {document['spearman_macs']:.2f}; "
        f"parameters: Spearman {document['spearman_params']:.2f}). The paper reports 0.90 for "
        f"FLOPs on pose estimation. {where(document)}",
    ]


def lut(document: dict[str, Any]) -> list[str]:
    """Both methods against held-out networks."""
    lines = [
        "### Prediction against measurement",
        "",
        f"`{document['command']}`: networks that were not used to build the LUT, one thread, fp32. "
        f"{where(document)}",
        "",
        "| method | build | mean error | worst | Spearman |",
        "| --- | --- | --- | --- | --- |",
    ]
    for row in document["results"]:
        lines.append(
            f"| {row['method']} | {row['build_s']:.0f} s | {row['mean_error']:.1%} | "
            f"{row['worst_error']:.1%} | {row['spearman']:.3f} |"
        )
    context, alone = document["results"]
    return [
        *lines,
        "",
        f"Building in context takes {context['build_s'] / alone['build_s']:.1f} times as long as "
        "isolated: each unique piece of work is measured once there, so the isolated build is "
        "short; the third of its time that was hoped for is missed.",
    ]


def solver(document: dict[str, Any]) -> list[str]:
    """Proven top-8 against naive no-good cuts."""
    lines = [
        "### Proven top-8",
        "",
        f"`{document['command']}`: random programs with a latency and a memory budget, against "
        f"no-good cuts through PuLP on the whole program, in the same run. {where(document)}",
        "",
        "| slots x choices | seed | hot | naive CBC | naive HiGHS |",
        "| --- | --- | --- | --- | --- |",
    ]
    for row in document["compared"]:
        naive = [f"{row[n]['seconds']:.1f} s ({row[n]['times_ours']:.0f} x)" for n in NAIVE]
        lines.append(
            f"| {row['slots']} x {row['choices']} | {row['seed']} | {row['seconds']:.2f} s | "
            f"{' | '.join(naive)} |"
        )
    slowest: dict[str, float] = {}
    for row in document["hard"]:
        slowest[row["case"]] = max(slowest.get(row["case"], 0.0), row["seconds"])
    harder = ", ".join(f"{case}: {seconds:.1f} s" for case, seconds in slowest.items())
    return [*lines, "", f"Harder programs of 46 x 197, the slowest of the seeds: {harder}."]


SECTIONS: dict[str, Callable[[dict[str, Any]], list[str]]] = {
    "quickstart": quickstart,
    "cifar": cifar,
    "quality": quality,
    "lut": lut,
    "solver": solver,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    parts = []
    for name, section in SECTIONS.items():
        path = RESULTS / f"{name}.json"
        if path.is_file():
            parts.append("\n".join(section(read_json(path, "result"))) + "\n")
    readme = ROOT / "README.md"
    text = readme.read_text(encoding="utf-8")
    wanted = MARKS.sub(lambda m: m[1] + "\n" + "\n".join(parts) + "\n" + m[2], text)
    if options.check:
        sys.exit("README.md is out of date: run scripts/readme.py" if wanted != text else 0)
    write_text(readme, wanted)


if __name__ == "__main__":
    main()
