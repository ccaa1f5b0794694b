"""The program of Vela's worker process: reads requests, compiles models, writes what Vela reports.

It runs by path and imports nothing of hot, so that it starts in a fifth of a second. One request
and one reply is one line of JSON each, on standard input and output; Vela's own words go to the
standard error. The compiler ends the process on a malformed model, which is why it has its own.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any


def _report(compiled: Any) -> dict[str, Any]:
    """Totals, memories and rows of a compiled model, as JSON types."""
    perf = compiled.perf_report
    memories = {
        str(memory.memoryName): {
            "peak_bytes": memory.peakUsage,
            "traffic_bytes": sum(a.bytesRead + a.bytesWritten for a in memory.accesses.values()),
        }
        for memory in perf.memories.values()
    }
    tables = compiled.opt_database.tables
    return {
        "cycles": perf.totalCycles,
        "npu_cycles": perf.npuCycles,
        "cpu_ops": perf.cpuOps,
        "npu_ops": perf.npuOps,
        "macs": perf.macCount,
        "weight_bytes": perf.originalWeights,
        "encoded_weight_bytes": perf.encodedWeights,
        "read_only_bytes": perf.readOnlyPeakUsage,
        "memories": memories,
        "rows": _table(tables["perf"]),
        "source": _table(tables["source"]),
    }


def _table(table: Any) -> list[dict[str, str]]:
    return [dict(zip(table.header, row, strict=True)) for row in table.data]


def _answer(request: dict[str, str], regor: Any) -> dict[str, Any]:
    try:
        model = Path(request["path"]).read_bytes()
    except OSError as error:
        return {"error": f"cannot be read: {error.strerror or error}"}
    try:
        return _report(
            regor.compile(
                request["architecture"],
                model,
                "TFLITE",
                request["system"],
                options=request["options"],
                verbose=True,
            )
        )
    except (RuntimeError, ValueError) as error:  # what Vela raises on models it refuses
        return {"error": str(error)}
    except (AttributeError, KeyError, TypeError) as error:  # not the Vela this was written for
        return {"unusable": f"{type(error).__name__}: {error}"}


def _serve() -> None:
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what Vela prints must not come between the replies
    try:
        from ethosu import regor
    except ImportError as error:
        replies.write(json.dumps({"unusable": str(error)}) + "\n")
        replies.flush()
        return
    for line in sys.stdin:
        reply = _answer(json.loads(line), regor)
        replies.write(json.dumps(reply) + "\n")
        replies.flush()


if __name__ == "__main__":
    _serve()
