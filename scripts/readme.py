"""Writes the results in the README from scripts/results/*.json; --check says whether they agree.

python scripts/readme.py
"""

import argparse
import re
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hot.files import read_json, write_text
from hot.lut import load_lut

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


def ranking(document: dict[str, Any]) -> list[str]:
    """How every scorer ranks trained networks."""
    ends = document["accuracies"]
    spread = " and ".join(
        f"{ends[group]['least']:.1%} to {ends[group]['most']:.1%} ({group} latency)"
        for group in ends
    )
    lines = [
        "### Which quality ranks as training does?",
        "",
        f"`{document['command']}`: Spearman's correlation of scores and test accuracies over "
        f"{document['n_networks']} networks of any latency and {document['n_networks']} within 3 % "
        f"of the baseline's, 32x32 space, CIFAR-10, each trained from scratch for "
        f"{document['epochs']} epochs of {document['n_train']:,} images, one seed; accuracies lie "
        f"between {spread}. A table's score is a sum over slots; `distill` teaches every choice "
        f"{document['steps']} steps; `corrected` is fitted to {document['n_correcting']} other "
        "networks of distilled blocks, measured without training. Images: passes through the whole "
        f"network, in units of a training step's. {where(document)}",
        "",
        "| scorer | any latency | similar latency | seconds | images |",
        "| --- | --- | --- | --- | --- |",
    ]
    for row in document["rows"]:
        any_, similar = row["spearman"]["any"], row["spearman"]["similar"]
        lines.append(
            f"| {row['scorer']} | {any_:.2f} | {similar:.2f} | {row['seconds']:.0f} | "
            f"{row['n_images']:,} |"
        )
    return lines


WAYS = {
    "distill": "`distill`, the program, inherited weights",
    "macs": "MACs, the program",
    "baseline": "the original network, with the same inheritance",
    "random": "random search",
    "tpe": "TPE (Optuna)",
    "nsga2": "NSGA-II (Optuna)",
}


def search(document: dict[str, Any]) -> list[str]:
    """Ways to search at equal compute."""
    n_seeds = len({row["seed"] for row in document["rows"]})
    lines = [
        "### Searching at equal compute",
        "",
        f"`{document['command']}`: every way sees at most {document['images']:,} CIFAR-10 images, "
        "all stages counted, and gives a network of at most 60 % of the original's latency by the "
        "same LUT, but for the original itself; "
        f"{n_seeds} seed(s), test accuracy. Random search, TPE and NSGA-II "
        f"train {document['n_tried']} networks on {document['images_per_try']:,} images each, then "
        f"the best on the rest. {where(document)}",
        "",
        "| way | accuracy | images before the last training |",
        "| --- | --- | --- |",
    ]
    ranked = sorted(document["summary"].items(), key=lambda item: -item[1]["mean"])
    for way, found in ranked:
        spent = next(
            row["images_before_last_training"] for row in document["rows"] if row["way"] == way
        )
        lines.append(f"| {WAYS[way]} | {mean_of(found, n_seeds)} | {spent:,} |")
    missing = [WAYS[way] for way in WAYS if way not in document["summary"]]
    if missing:
        lines += ["", f"Not run for this table: {', '.join(missing)}."]
    return lines


def mean_of(found: dict[str, Any], n_seeds: int) -> str:
    """A mean accuracy, with its deviation where there is one."""
    return f"{found['mean']:.2%}" + (f" ± {found['deviation']:.2%}" if n_seeds > 1 else "")


def inherit(document: dict[str, Any]) -> list[str]:
    """Inherited weights against training from scratch."""
    n_seeds = len(document["rows"][0]["accuracies"])
    lines = [
        "### Inherited weights",
        "",
        f"`{document['command']}`: the pick of most distilled quality at the original's latency, "
        f"epochs of {document['n_train']:,} CIFAR-10 images, {n_seeds} seed(s); the original "
        f"network it was distilled from has {document['original_metric']:.1%} validation accuracy. "
        f"{where(document)}",
        "",
        "| start | epochs | test accuracy |",
        "| --- | --- | --- |",
    ]
    return lines + [
        f"| {row['way']} | {row['epochs']} | {mean_of(row, n_seeds)} |" for row in document["rows"]
    ]


def picks(document: dict[str, Any]) -> list[str]:
    """Diverse picks against the plain way."""
    size, rows = document["size"], document["rows"]
    lines = [
        "### Diverse picks",
        "",
        f"`{document['command']}`: {size['picks']} picks of {size['slots']} slots x "
        f"{size['choices']} choices that differ pairwise in at least {size['distance']} slots, one "
        "memory and one latency budget, each proven; against the same sequence by PuLP over the "
        "whole program in the same run. NVlabs' Puzzle code takes 238 s for this size on such a "
        f"machine. {where(document)}",
        "",
        "| seed | hot | CBC | HiGHS |",
        "| --- | --- | --- | --- |",
    ]
    for row in rows:
        plain = [
            f"{row[name]['seconds']:.1f} s" + ("" if row[name]["is_proven"] else ", not ended")
            for name in NAIVE
        ]
        lines.append(f"| {row['seed']} | {row['seconds']:.1f} s | {' | '.join(plain)} |")
    return lines


def evolution(document: dict[str, Any]) -> list[str]:
    """The proven optimum against evolution."""
    lines = [
        "### Optimum against evolution",
        "",
        f"`{document['command']}`: regularised evolution with "
        f"{document['method']['evaluations']:,} evaluations on the same tables; how far the best "
        f"of the seeds, their median and the worst stay below the proven optimum. "
        f"{where(document)}",
        "",
        "| program | proven in | evolution, a run | best | median | worst |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for row in document["rows"]:
        seconds = statistics.median(run["seconds"] for run in row["runs"])
        lines.append(
            f"| {row['program']} | {row['seconds']:.2f} s | {seconds:.1f} s | "
            f"{row['below_best']:.2%} | {row['below_median']:.2%} | {row['below_worst']:.2%} |"
        )
    return lines


def backbones(document: dict[str, Any]) -> list[str]:
    """A summary of the models; the table is a page of its own."""
    rows = document["results"]
    done = [row for row in rows if "networks" in row and "reason" not in row]
    families = {row["family"] for row in done}
    write_text(ROOT / "docs" / "backbones.md", "\n".join(backbone_page(document)) + "\n")
    return [
        "### Any backbone",
        "",
        f"`{document['command']}`: of {len(rows)} timm and torchvision models, {len(done)} of "
        f"{len(families)} families became spaces, of which three random networks each were built, "
        "run, exported, compared with torch in ONNX Runtime and measured. "
        "[All of them](docs/backbones.md), with slots, choices and, where it could not be done, "
        f"the reason. {where(document)}",
    ]


def backbone_page(document: dict[str, Any]) -> list[str]:
    """Every model with its slots and choices, or why it has none."""
    lines = [
        "# Models as spaces",
        "",
        f"`{document['command']}`. {where(document)} Choices: fewest, median and most of a slot. "
        "Latency: of the original and of three random networks, on `cpu`, one thread, while other "
        "work ran on the machine. Difference: the largest of ONNX Runtime's outputs to torch's, "
        "relative.",
        "",
        "| model | family | pixels | slots | choices | architectures | original | random |"
        " difference |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in document["results"]:
        if "reason" in row:
            reason = row["reason"].splitlines()[0].replace("|", "/")
            lines.append(f"| {row['model']} | {row['family']} | {row['resolution']} | - |"
                         f" {reason[:300]} | | | | |")  # fmt: skip
            continue
        times = [f"{one['latency_ms']:.2f}" for one in row["networks"]]
        worst = max(one["onnx_error"] for one in row["networks"])
        choices = " / ".join(map(str, row["n_choices"]))
        lines.append(
            f"| {row['model']} | {row['family']} | {row['resolution']} | {row['n_slots']} | "
            f"{choices} | 10^{row['log10_size']:.0f} | {row['original']['latency_ms']:.2f} ms | "
            f"{', '.join(times)} ms | {worst:.0e} |"
        )
    return lines


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


def npu(document: dict[str, Any]) -> list[str]:
    """Other operators on Ethos-U: what they save, and at what accuracy."""
    found = document["replacement"]
    lines = [
        "### Operator replacement on Ethos-U",
        "",
        f"`{found['command']}`: the network of least latency with no fewer MACs than MobileNetV2, "
        "by the shipped LUTs, which are estimates of Arm's compiler, and both estimated by it as a "
        "whole. Stem and head with 1000 "
        "classes stay, so that the whole network saves less than its blocks. MACs alone are a "
        "poor quality: these networks have half of MobileNetV2's parameters, and were not trained. "
        f"{where(found)}",
        "",
        "| NPU | pixels | MobileNetV2 | least | whole network | estimated as a whole | blocks | "
        "fused | sandglass |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in found["results"]:
        kinds = {
            kind: ", ".join(s for s, choice in row["slots"].items() if choice.startswith(kind))
            for kind in ("fused", "sandglass")
        }
        lines.append(
            f"| {row['npu']} | {row['resolution']} | {row['original_ms']:.2f} ms | "
            f"{row['least_ms']:.2f} ms | -{row['reduction']:.0%} | -{row['reduction_whole']:.0%} | "
            f"-{row['reduction_of_blocks']:.0%} | {kinds['fused'] or '-'} | "
            f"{kinds['sandglass'] or '-'} |"
        )
    return [*lines, "", *npu_accuracy(document.get("accuracy")), *shipped()]


def npu_accuracy(found: dict[str, Any] | None) -> list[str]:
    """Trained networks of a share of the original's latency."""
    if found is None:
        return []
    results = found["results"]
    settings = results["settings"]
    npus = list(results["best"])
    lines = [
        f"`{found['command']}`: networks of the 32x32 space within {settings['shares'][0]:.0%} of "
        "MobileNetV2's latency on an NPU, of most quality by a score, and MobileNetV2 itself, each "
        f"trained from scratch on CIFAR-10 by one recipe, {settings['epochs']} epochs of "
        f"{settings['n_train']:,} images, {settings['seeds']} seeds; accuracy on the test images, "
        f"mean and deviation. {where(found)}",
        "",
        f"| network | accuracy | gain | {' | '.join(npus)} | MACs | parameters |",
        f"| --- | --- | --- | {' | '.join('---' for _ in npus)} | --- | --- |",
    ]
    for row in results["rows"]:
        shares = " | ".join(f"{-row['reduction'][npu]:+.0%}" for npu in npus)
        lines.append(
            f"| {row['pick']} | {row['mean']:.1%} +- {row['deviation']:.1%} | {row['gain']:+.1%} | "
            f"{shares} | {row['macs'] / 1e6:.1f} M | {row['params'] / 1e6:.2f} M |"
        )
    return [*lines, ""]


def shipped() -> list[str]:
    """How well the LUTs that ship with hot predict whole networks."""
    lines = [
        "The shipped LUTs (`python scripts/build_luts.py`) on 30 networks that they were not built "
        "from; the same networks correct them, and each is predicted by the correction that the "
        "other 29 give (targets: 2 %, Spearman 0.999):",
        "",
        "| LUT | mean error | worst | Spearman |",
        "| --- | --- | --- | --- |",
    ]
    for path in sorted((ROOT / "luts").glob("ethos-*/*.json")):
        table = load_lut(path)
        if table.check is not None:
            lines.append(
                f"| {table.device.name}, {table.space.rsplit('-', 1)[0]} | "
                f"{table.check.mean_error:.1%} | {table.check.worst_error:.1%} | "
                f"{table.check.spearman:.4f} |"
            )
    return lines


def farm(document: dict[str, Any]) -> list[str]:
    """Two servers against one."""
    wait_ms = document["options"]["wait_ms"]
    return [
        "### Two servers",
        "",
        f"`{document['command']}`: {document['ratio']:.2f} times the throughput of one, on a "
        f"device whose measurement waits {wait_ms:.0f} ms. {where(document)}",
    ]


def server_faults(document: dict[str, Any]) -> list[str]:
    """Kills during a build."""
    kills = document["kills"]
    counts = ", ".join(f"{n} of the {kind}" for kind, n in sorted(kills.items()))
    equal = "equals" if document["is_equal"] else "DIFFERS from"
    return [
        "### Kills",
        "",
        f"`{document['command']}`: {sum(kills.values())} kills ({counts}) during a LUT build "
        f"over a profiling server, {document['seconds'] / 60:.0f} minutes; the LUT {equal} the "
        f"undisturbed one in keys and count. {where(document)}",
    ]


def server_load(document: dict[str, Any]) -> list[str]:
    """Many clients at once."""
    options, latency = document["options"], document["latency_ms"]
    lost = "nothing was lost" if document["is_nothing_lost"] else "SOMETHING WAS LOST"
    twice = "or measured twice" if document["is_nothing_twice"] else "SOME WERE MEASURED TWICE"
    return [
        "### Load",
        "",
        f"`{document['command']}`: {options['clients']} clients, {document['answers']:,} requests, "
        f"{document['distinct']} of them for new models, in {document['seconds']:.0f} s: {lost}, "
        f"{twice}. Answers from the database: median {1e3 * document['cached_median_s']:.0f} ms, "
        f"p99 {1e3 * document['cached_p99_s']:.0f} ms (target: 50 ms). Measured latencies under "
        f"load: {document['load_against_quiet'] - 1:+.1%} against the same models measured for one "
        f"client (median of {document['watched']}; {latency['quiet']:.2f} ms), between two quiet "
        f"measurements {document['quiet_against_quiet'] - 1:+.1%} (target: 3 %). {where(document)}",
    ]


def server_fuzz(document: dict[str, Any]) -> list[str]:
    """Damaged models and requests."""
    models, requests = document["models"], document["requests"]
    lived = "lived" if document["is_same_process"] else "DIED"
    return [
        "### Damaged models and requests",
        "",
        f"`{document['command']}`: {models['n']:,} damaged models and {requests['n']:,} requests "
        f"made from the OpenAPI document, {document['seconds'] / 60:.0f} minutes: "
        f"{document['n_5xx']} answers from 500 on, the server {lived}, its memory went from "
        f"{document['warm_bytes'] / 2**20:.0f} to {document['end_bytes'] / 2**20:.0f} MiB. "
        f"{where(document)}",
    ]


def runtimes(document: dict[str, Any]) -> list[str]:
    """LUTs of the runtimes of one machine, and int8 beside fp32."""
    lines = [
        "### Runtimes of this machine",
        "",
        f"`{document['command']}`: LUTs of {document['space']}, each checked on "
        f"{document['options']['networks']} networks it has not seen (target for LiteRT and "
        "OpenVINO: 5 %). The rows are of several runs. The networks take 0.2 to 0.6 ms, and this "
        "machine's own speed moved by 5 to 30 % within minutes, which is in these errors. "
        f"{where(document)}",
        "",
        "| device | precision | method | mean error | worst | Spearman | checked |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in document["results"]:
        lines.append(
            f"| `{row['name']}` | {row['precision']} | {row['method']} | {row['mean_error']:.1%} | "
            f"{row['worst_error']:.1%} | {row['spearman']:.3f} | {row['date']} |"
        )
    lines += [
        "",
        "int8 against fp32 by these LUTs: the original network, the choices of all slots, how much "
        "alike random networks are ranked, and where another choice is the fastest.",
        "",
        "| device | original | choices | Spearman | other fastest choice |",
        "| --- | --- | --- | --- | --- |",
    ]
    for row in document["int8_against_fp32"]:
        fp32, int8 = row["original_ms"]
        lines.append(
            f"| `{row['name']}` | {fp32:.3f} -> {int8:.3f} ms | median {row['median_ratio']:.2f} "
            f"({row['least_ratio']:.2f} to {row['largest_ratio']:.2f}) | {row['spearman']:.2f} | "
            f"{row['other_fastest']} of {row['n_slots']} slots |"
        )
    return lines


SECTIONS: dict[str, Callable[[dict[str, Any]], list[str]]] = {
    "quickstart": quickstart,
    "cifar": cifar,
    "ranking": ranking,
    "search": search,
    "inherit": inherit,
    "backbones": backbones,
    "lut": lut,
    "runtimes": runtimes,
    "npu": npu,
    "farm": farm,
    "server_load": server_load,
    "server_faults": server_faults,
    "server_fuzz": server_fuzz,
    "solver": solver,
    "picks": picks,
    "evolution": evolution,
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
