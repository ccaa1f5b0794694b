"""The quickstart's main job, timed from an empty cache; its figures for the README.

python scripts/bench_quickstart.py
"""

import argparse
import shutil
import tempfile
import time
from pathlib import Path

from hot.config import load_config
from hot.files import validate, write_json
from hot.pipeline import run
from hot.records import provenance, to_document
from hot.report import gather

ROOT = Path(__file__).resolve().parent.parent
FIGURES = ("pareto.png", "slots.png", "prediction.png", "lut.png")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "scripts/results/quickstart.json")
    options = parser.parse_args()
    loaded = load_config(ROOT / "scripts" / "quickstart.yaml")
    with tempfile.TemporaryDirectory(prefix="hot-quickstart-") as name:
        document = loaded.model_dump(by_alias=True)
        document["lut"]["store"] = str(Path(name) / "luts.db")
        start = time.perf_counter()
        job = run(validate(type(loaded), document, "quickstart"), Path(name) / "quickstart")
        seconds = time.perf_counter() - start
        findings = gather(job)
        rows = [
            {
                "candidate": candidate.name,
                "macs": candidate.predicted.macs,
                "params": candidate.predicted.params,
                "precision": deployed.precision,
                "accuracy": deployed.metric_value,
                "predicted_ms": deployed.predicted_ms,
                "measured_ms": deployed.measured.latency_ms,
            }
            for candidate in findings.candidates
            for deployed in findings.deployments_of(candidate)
        ]
        for figure in FIGURES:
            shutil.copy(job.file("report", figure), ROOT / "docs" / figure)
        check = str(findings.lut.check)
    write_json(
        options.out,
        {
            "command": "python scripts/bench_quickstart.py",
            "provenance": to_document(provenance()),
            "seconds": seconds,
            "check": check,
            "rows": rows,
        },
    )
    best = max(row["accuracy"] for row in rows if row["precision"] == "int8")
    print(f"{seconds:.0f} s, best int8 accuracy {best:.2%}, written to {options.out}")


if __name__ == "__main__":
    main()
