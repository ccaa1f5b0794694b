"""Peak memory of an artifact, taken in a process of its own."""

import subprocess
import sys

from hot.records import Artifact

_TIMEOUT_S = 120
# Resident pages before the model is loaded and at the worst moment after.
_PROGRAM = """
import sys
import numpy
import onnxruntime

def field(name):
    with open("/proc/self/status") as file:
        return next(int(row.split()[1]) * 1024 for row in file if row.startswith(name + ":"))

shape = tuple(int(part) for part in sys.argv[2].split("x"))
image = numpy.zeros(shape, numpy.float32)
before = field("VmRSS")
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
options.log_severity_level = 4
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
for _ in range(3):
    session.run(None, {session.get_inputs()[0].name: image})
print(max(0, field("VmHWM") - before))
"""


def peak_memory_bytes(artifact: Artifact) -> int | None:
    """Most memory that loading and running the artifact adds to a process, runtime included.

    None where the system does not tell (no /proc) or the process did not end well.
    """
    if not sys.platform.startswith("linux"):
        return None
    shape = "x".join(str(side) for side in artifact.input_shape)
    command = [sys.executable, "-c", _PROGRAM, str(artifact.path), shape]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        return None
    return int(done.stdout) if done.returncode == 0 else None
