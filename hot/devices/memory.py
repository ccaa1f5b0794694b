"""Peak memory of an artifact, taken in a process of its own."""

import subprocess
import sys

from hot.records import Artifact

_TIMEOUT_S = 120
# Resident pages before the model is loaded and at the worst moment after.
_HEAD = """
import sys
import numpy

def field(name):
    with open("/proc/self/status") as file:
        return next(int(row.split()[1]) * 1024 for row in file if row.startswith(name + ":"))

shape = tuple(int(part) for part in sys.argv[2].split("x"))
image = numpy.zeros(shape, numpy.float32)
"""
_TAIL = """
print(max(0, field("VmHWM") - before))
"""
# By runtime: load the model in sys.argv[1] and run `image` through it; `before` comes first.
PROGRAMS = {
    "onnxruntime": """
import onnxruntime
before = field("VmRSS")
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
options.log_severity_level = 4
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
for _ in range(3):
    session.run(None, {session.get_inputs()[0].name: image})
""",
    "litert": """
from ai_edge_litert.interpreter import Interpreter
before = field("VmRSS")
interpreter = Interpreter(sys.argv[1], num_threads=1)
interpreter.allocate_tensors()
(entry,) = interpreter.get_input_details()
interpreter.set_tensor(entry["index"], numpy.zeros(entry["shape"], entry["dtype"]))
for _ in range(3):
    interpreter.invoke()
""",
    "openvino": """
sys.modules["openvino_telemetry"] = None  # see hot.devices.openvino
import openvino
before = field("VmRSS")
core = openvino.Core()
settings = {"INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1, "INFERENCE_PRECISION_HINT": "f32"}
request = core.compile_model(sys.argv[1], "CPU", settings).create_infer_request()
for _ in range(3):
    request.infer([image])
""",
}


def peak_memory_bytes(artifact: Artifact, runtime: str = "onnxruntime") -> int | None:
    """Most memory that loading and running the artifact adds to a process, runtime included.

    None where the system does not tell (no /proc), `PROGRAMS` does not know the runtime, or the
    process did not end well.
    """
    if not sys.platform.startswith("linux") or runtime not in PROGRAMS:
        return None
    shape = "x".join(str(side) for side in artifact.input_shape)
    program = _HEAD + PROGRAMS[runtime] + _TAIL
    command = [sys.executable, "-c", program, str(artifact.path), shape]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        return None
    return int(done.stdout) if done.returncode == 0 else None
