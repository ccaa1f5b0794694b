"""TVM: artifacts compiled to this machine's processor, or to a board that a tracker knows."""

import hashlib
import json
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import tvm
from tvm import relax
from tvm.relax.frontend.onnx import from_onnx

from hot.devices.contract import Settings
from hot.devices.energy import MEASURED_ENERGY, find_rapl
from hot.devices.fingerprint import host_fingerprint
from hot.devices.quiet import choose_cores
from hot.devices.sampling import Run, host_timed, sample_artifacts
from hot.devices.tvm_board import Board
from hot.devices.tvm_tune import tuned
from hot.errors import InputError
from hot.files import cache_folder, sha256
from hot.records import MEASURES, Artifact, DeviceInfo, Measurement

_KEPT = 24  # compiled artifacts: sentinel networks come back again and again


class Tvm:
    """ONNX through Relax to LLVM. Code that is not tuned is marked wherever its figures go."""

    def __init__(
        self,
        trials: int = 0,
        target: str = "",
        tracker: str = "",
        board: str = "",
        compiler: str = "",
    ) -> None:
        """Compile for one thread.

        Args:
            trials: of every operator, whose records are kept; 0 for TVM's code as it comes.
            target: TVM's target as JSON; by default this machine's processor with one core.
            tracker: `host:port` of TVM's RPC tracker; by default artifacts run here.
            board: the key under which the tracker lends boards.
            compiler: the linker for the board, for example `aarch64-linux-gnu-g++`.

        Raises:
            InputError: an option that TVM does not take, or a board without tracker and target.
        """
        if trials < 0:
            raise InputError(f"the option 'trials' of the device 'tvm' is {trials}; 0 or more")
        if bool(tracker) != bool(board) or (tracker and not target):
            raise InputError(
                "a board needs the options tracker (host:port), board (its key) and target"
            )
        self._trials, self._target = trials, _make_target(target)
        self._board = Board(tracker, board, compiler) if tracker else None
        self._cores = choose_cores("tvm", 1)
        self._meter = None if self._board else find_rapl()
        self._runtime = _TvmRuntime(self._target, trials, self._board, self.records)

    def describe(self) -> DeviceInfo:
        """The device as it stands; without trials it says that its figures are of untuned code."""
        place = host_fingerprint() if self._board is None else self._board.fingerprint
        fingerprint = {
            **place,
            "runtime": "tvm",
            "runtime_version": tvm.__version__,
            "target": str(self._target),
            "trials": str(self._trials),
            "tuning": f"{self._trials} trials an operator" if self._trials else "untuned",
        }
        untuned = "untuned: code as TVM makes it, often many times slower than with trials=64"
        return DeviceInfo(
            "tvm",
            MEASURES,
            ("fp32",),
            fingerprint,
            energy=None if self._meter is None else MEASURED_ENERGY,
            notes=() if self._trials else (untuned,),
            method="isolated",
        )

    def measure(self, artifact: Artifact, settings: Settings) -> Measurement:
        """Latency of the artifact; see `Settings` for how a sample is taken."""
        return self.measure_all([artifact], settings)[0]

    def measure_all(self, artifacts: Sequence[Artifact], settings: Settings) -> list[Measurement]:
        """Latencies of all artifacts; operators that lack records are tuned before."""
        try:
            return sample_artifacts(self._runtime, artifacts, settings, self._cores, self._meter)
        finally:
            if self._board is not None:
                self._board.release()

    @property
    def records(self) -> Path:
        """Where records of this target are kept: two versions, or numbers of trials, never mix."""
        place = "" if self._board is None else self._board.key
        text = f"{tvm.__version__} {self._target} {place} {self._trials}"
        mark = hashlib.sha256(text.encode()).hexdigest()[:12]
        return cache_folder() / "tvm" / f"{self._target.attrs.get('mcpu', 'target')}-{mark}"


class _TvmRuntime:
    """Compiles artifacts, the last ones kept, and runs them here or on a board."""

    name = "tvm"

    def __init__(self, target: Any, trials: int, board: Board | None, folder: Path) -> None:
        self._target, self._trials, self._board, self._folder = target, trials, board, folder
        self._compiled: OrderedDict[str, Any] = OrderedDict()

    def open(self, artifact: Artifact, rng: np.random.Generator) -> Run:
        """A virtual machine of the compiled artifact."""
        executable = self._compile(artifact.path)
        image = rng.standard_normal(artifact.input_shape).astype(np.float32)
        if self._board is None:
            machine = relax.VirtualMachine(executable, tvm.cpu())
            function, tensor = machine["main"], tvm.runtime.tensor(image)
            return host_timed(lambda: function(tensor))
        return self._board.open(executable, image)

    def open_profiled(self, artifact: Artifact, rng: np.random.Generator, folder: Path) -> None:
        """Nothing: the names of nodes do not outlive Relax."""
        return None

    def _compile(self, path: Path) -> Any:
        key = sha256(path)
        if key not in self._compiled:
            self._compiled[key] = self._build(path)
            if len(self._compiled) > _KEPT:
                self._compiled.popitem(last=False)
        self._compiled.move_to_end(key)
        return self._compiled[key]

    def _build(self, path: Path) -> Any:
        module = from_onnx(onnx.load(path), keep_params_in_input=False)
        with self._target:
            module = tvm.transform.Sequential(
                [
                    relax.transform.DecomposeOpsForInference(),
                    relax.transform.CanonicalizeBindings(),
                    relax.get_pipeline("zero"),
                ]
            )(module)
        if self._trials:
            runner = None
            if self._board is not None:
                self._board.release()
                runner = self._board.runner()
            with (
                tuned(module, self._target, self._trials, self._folder, runner) as database,
                self._target,
                database,
            ):
                module = relax.transform.MetaScheduleApplyDatabase()(module)
        return tvm.compile(module, self._target)


def _make_target(text: str) -> Any:
    """The target in a JSON text; of this machine's processor for an empty one."""
    if not text:
        cpu = tvm.target.codegen.llvm_get_system_cpu()
        return tvm.target.Target({"kind": "llvm", "mcpu": cpu, "num-cores": 1})
    try:
        return tvm.target.Target(json.loads(text))
    except (ValueError, TypeError, RuntimeError) as error:
        raise InputError(
            f"the option 'target' of the device 'tvm' is no target of TVM: {text!r}; for example "
            '{"kind": "llvm", "mtriple": "aarch64-linux-gnu", "num-cores": 4}'
        ) from error
