"""An NVIDIA GPU, measured through ONNX Runtime's CUDA provider and CUDA graphs."""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from onnx import TensorProto, helper

from hot.devices.contract import Settings
from hot.devices.cuda_graph import LAUNCHES, Stream
from hot.devices.energy import MEASURED_ENERGY, find_nvml
from hot.devices.fingerprint import host_fingerprint
from hot.devices.quiet import choose_cores
from hot.devices.sampling import Run, sample_artifacts
from hot.errors import DeviceError
from hot.records import MEASURES, Artifact, DeviceInfo, Measurement

PROVIDER = "CUDAExecutionProvider"
_TEXT_BYTES = 256
_RUNS_BEFORE_CAPTURE = 3  # algorithms are chosen and memory is taken by then


@dataclass(frozen=True)
class Gpu:
    """A GPU as the driver gives it.

    Attributes:
        bus: its PCI address, by which NVML knows it.
        cuda: the newest CUDA that the driver supports, `12080` for 12.8.
    """

    name: str
    bus: str
    cuda: int


class Cuda:
    """One GPU. Whole inferences are timed: inputs are on it, and the kernels are one CUDA graph.

    A graph is launched at once, so that a small network does not wait for its kernels to be
    launched one after the other; the clock is the GPU's own, by events around the graph. There are
    no per-node times: blocks are measured alone.
    """

    def __init__(self, gpu: int = 0, tf32: bool = False) -> None:
        """Use the GPU of that number, as the driver counts from zero.

        Args:
            tf32: round the inputs of fp32 products to ten bits of mantissa, as tensor cores do.

        Raises:
            DeviceError: the GPU is not there.
        """
        gpus = find_gpus()
        if not 0 <= gpu < len(gpus):
            raise DeviceError(f"there is no GPU {gpu}: the driver gives {len(gpus)}, from 0 on")
        self._gpu, self._tf32, self._info = gpu, tf32, gpus[gpu]
        self._cores = choose_cores("cuda", 1)
        self._meter = find_nvml(self._info.bus)

    def describe(self) -> DeviceInfo:
        """The device as it stands; its host launches the work, so it is in the fingerprint too."""
        fingerprint = {
            **host_fingerprint(),
            "gpu_name": self._info.name,
            "driver_cuda": str(self._info.cuda),
            "runtime": "onnxruntime, cuda graph",
            "clock": "cuda events",
            "runtime_version": ort.__version__,
            "gpu": str(self._gpu),
            "tf32": "on" if self._tf32 else "off",
        }
        energy = None if self._meter is None else MEASURED_ENERGY
        return DeviceInfo(
            "cuda", MEASURES, ("fp32", "fp16"), fingerprint, energy=energy, method="isolated"
        )

    def measure(self, artifact: Artifact, settings: Settings) -> Measurement:
        """Latency of the artifact; see `Settings` for how a sample is taken."""
        return self.measure_all([artifact], settings)[0]

    def measure_all(self, artifacts: Sequence[Artifact], settings: Settings) -> list[Measurement]:
        """Latencies of all artifacts, sampled in rounds over them in random order."""
        runtime = _CudaRuntime(self._gpu, self._tf32)
        found = sample_artifacts(runtime, artifacts, settings, self._cores, self._meter)
        return [_of_one_inference(one) for one in found]


def _of_one_inference(found: Measurement) -> Measurement:
    """The energy of a run was that of all its launches; its time is that of the last."""
    if found.energy_mj is None:
        return found
    return replace(found, energy_mj=found.energy_mj / LAUNCHES)


class _CudaRuntime:
    """ONNX Runtime with all nodes on the GPU; a node that it would run on the host is refused."""

    name = "onnxruntime cuda"

    def __init__(self, gpu: int, tf32: bool) -> None:
        self._gpu = gpu
        self._stream = Stream(_driver(), gpu)
        self._captured: list[tuple[Any, Any]] = []
        self._provider = {
            "device_id": str(gpu),
            "user_compute_stream": str(self._stream.address),
            "use_tf32": str(int(tf32)),
            "cudnn_conv_algo_search": "EXHAUSTIVE",
        }
        _require_libraries()

    def open(self, artifact: Artifact, rng: np.random.Generator) -> Run:
        """A session with input and output on the GPU, its kernels as one graph."""
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 4
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
        session = _session(str(artifact.path), (PROVIDER, self._provider), options)
        (entry,), (exit_,) = session.get_inputs(), session.get_outputs()
        image = rng.standard_normal(artifact.input_shape).astype(np.float32)
        binding = session.io_binding()
        binding.bind_ortvalue_input(
            entry.name, ort.OrtValue.ortvalue_from_numpy(image, "cuda", self._gpu)
        )
        binding.bind_ortvalue_output(
            exit_.name,
            ort.OrtValue.ortvalue_from_shape_and_type(exit_.shape, np.float32, "cuda", self._gpu),
        )
        binding.synchronize_inputs()
        run = ort.RunOptions()
        run.add_run_config_entry("disable_synchronize_execution_providers", "1")
        for _ in range(_RUNS_BEFORE_CAPTURE):
            session.run_with_iobinding(binding, run)
        launch = self._stream.capture(lambda: session.run_with_iobinding(binding, run))
        self._captured.append((session, binding))  # the graph works on what these two own
        return lambda: self._stream.time_ms(launch)

    def open_profiled(self, artifact: Artifact, rng: np.random.Generator, folder: Path) -> None:
        """Nothing: nodes inside a graph are not timed."""
        return None


def _session(model: str | bytes, provider: Any, options: Any = None) -> Any:
    """A session that never goes on without the GPU."""
    return ort.InferenceSession(model, options, providers=[provider], enable_fallback=0)


@cache
def _require_libraries() -> None:
    """Load the provider's own libraries, once.

    Raises:
        DeviceError: they cannot be loaded.
    """
    ort.preload_dlls()
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"])],
        "probe",
        [value("x", TensorProto.FLOAT, [1])],
        [value("y", TensorProto.FLOAT, [1])],
    )
    opsets = [helper.make_opsetid("", 17)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()
    if PROVIDER not in _session(model, PROVIDER).get_providers():
        raise DeviceError(
            "ONNX Runtime's CUDA provider cannot load its libraries (cuBLAS, cuDNN): "
            "pip install 'onnxruntime-gpu[cuda,cudnn]'"
        )


@cache
def _driver() -> Any:
    """NVIDIA's driver library; None where there is none."""
    try:
        return ctypes.CDLL("libcuda.so.1")
    except OSError:
        return None


@cache
def find_gpus() -> tuple[Gpu, ...]:
    """The GPUs that NVIDIA's driver gives this process; none without a driver."""
    driver, n = _driver(), ctypes.c_int()
    if driver is None or driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(n)):
        return ()
    return tuple(_describe(driver, index) for index in range(n.value))


def _describe(driver: Any, index: int) -> Gpu:
    device, cuda = ctypes.c_int(), ctypes.c_int()
    name, bus = (ctypes.create_string_buffer(_TEXT_BYTES) for _ in range(2))
    driver.cuDeviceGet(ctypes.byref(device), index)
    driver.cuDeviceGetName(name, _TEXT_BYTES, device)
    driver.cuDeviceGetPCIBusId(bus, _TEXT_BYTES, device)
    driver.cuDriverGetVersion(ctypes.byref(cuda))
    return Gpu(name.value.decode(), bus.value.decode(), cuda.value)


def missing_cuda() -> str | None:
    """What stands between this machine and the device; None where it can be used."""
    lacks = []
    if not find_gpus():
        lacks.append("NVIDIA's driver gives no GPU here")
    if PROVIDER not in ort.get_available_providers():
        lacks.append(
            f"onnxruntime {ort.__version__} is built without CUDA: pip install 'hot[cuda]' && "
            "pip install --force-reinstall --no-deps onnxruntime-gpu"
        )
    return "; ".join(lacks) or None
