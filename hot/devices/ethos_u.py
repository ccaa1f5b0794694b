"""Arm's Ethos-U NPUs, estimated by their compiler, Vela."""

import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from hot.devices.contract import Device, Settings
from hot.devices.ethos_config import ACCELERATORS, NpuConfig, find_config
from hot.devices.row import DeviceRow, needs
from hot.devices.vela_process import VelaProcess
from hot.devices.vela_report import to_measurement
from hot.errors import DeployError, DeviceError
from hot.records import ESTIMATES, Artifact, DeviceInfo, Measurement

PRECISIONS = ("int8", "int16")  # int16: of the maps; weights have 8 bits in both
_FORMAT = "tflite"
_FRONT_END = ("litert-torch", "ai-edge-quantizer")
_TIMEOUT_S = 300.0  # a whole network takes about half a second
# As Vela's command line writes it, with its defaults, and the table of rows switched on.
_OPTIONS = """
[compiler]
enable_db=true
output_format=TFLite
cop_format=COP1

[scheduler]
optimize={optimise}
arena_size_limit={arena_bytes}
disable_feature=
cpu_tensor_alignment=16
tensor_allocator=HillClimb

[graph]
softmax_int16_neg_exp_range=10.0
"""
_SYSTEM = """[architecture]
macs={macs}
cores={cores}
[vela]
system_config_name={system_config}
memory_mode_name={memory_mode}
"""


class EthosU:
    """An Ethos-U accelerator in a system: what Vela estimates of int8 and int16 TFLite models.

    Vela calls its figures internal estimates of the compiler; they differ up to two times between
    its versions, so the version is in the fingerprint, as are those of the front-end: the same
    network from another one has other operators. They do not depend on the machine.
    """

    def __init__(
        self,
        accelerator: str = "ethos-u55-128",
        system_config: str = "",
        memory_mode: str = "",
        optimise: str = "Performance",
        timeout_s: float = _TIMEOUT_S,
    ) -> None:
        """Compile for `accelerator` in one of the systems and memory modes of Vela's `vela.ini`.

        Args:
            system_config: clock and memories; by default that of the family in `ethos_config`.
            memory_mode: what lies where; by default `Shared_Sram`, where blocks add up.
            optimise: `Performance` or `Size`.
            timeout_s: for one model.

        Raises:
            InputError: an unknown name, or one that does not fit the accelerator.
            DeviceError: Vela is not installed.
        """
        self._config = find_config(accelerator, system_config, memory_mode, optimise)
        self._process = VelaProcess(timeout_s)

    def describe(self) -> DeviceInfo:
        """The device; method `in-context` where blocks alone do not add up."""
        config = self._config
        fingerprint = {
            "vela": _version("ethos-u-vela"),
            "accelerator": config.name,
            "system_config": config.system_config,
            "memory_mode": config.memory_mode,
            "optimise": config.optimise,
            "vela.ini": config.digest,
            "front_end": ", ".join(f"{name} {_version(name)}" for name in _FRONT_END),
        }
        return DeviceInfo(
            config.name,
            ESTIMATES,
            PRECISIONS,
            fingerprint,
            formats=(_FORMAT,),
            method="isolated" if config.is_additive else "in-context",
        )

    def measure(self, artifact: Artifact, settings: Settings) -> Measurement:
        """Vela's estimate of one artifact; of the settings, only `per_node` counts.

        Raises:
            DeviceError: Vela cannot be used here.
        """
        misfit = _misfit(artifact)
        if misfit is not None:
            return Measurement(None, failure=misfit)
        config = self._config
        request = {
            "path": str(artifact.path.resolve()),
            "architecture": config.accelerator.family.regor,
            "system": _system(config),
            "options": _OPTIONS.format(optimise=config.optimise, arena_bytes=config.arena_bytes),
        }
        report, said = self._process.ask(request)
        if "unusable" in report:
            raise DeviceError(
                f"Vela {_version('ethos-u-vela')} cannot be driven from here "
                f"({report['unusable']}): pip install 'hot[npu]' installs the one that can"
            )
        if "error" in report:
            return Measurement(None, failure=f"{artifact.path}: {report['error']}")
        return to_measurement(report, said, config.clock_hz, settings.per_node, str(artifact.path))

    def measure_all(self, artifacts: Sequence[Artifact], settings: Settings) -> list[Measurement]:
        """The estimates of all artifacts."""
        return [self.measure(artifact, settings) for artifact in artifacts]

    def compile(self, artifact: Artifact, folder: Path) -> tuple[Path, ...]:
        """Write what runs on the device to `folder`: `<name>_vela.tflite`, and Vela's summary.

        This is Vela's own command line, a third of a second slower than `measure`.

        Raises:
            DeployError: Vela refuses the model, or leaves operators to the host.
        """
        measured = self.measure(artifact, Settings(per_node=False))
        if measured.failure is not None:
            raise DeployError(measured.failure)
        config = self._config
        with tempfile.TemporaryDirectory(prefix="hot-vela-") as scratch:
            command = [sys.executable, "-m", "ethosu.vela", str(artifact.path.resolve())]
            command += ["--config", "Arm/vela.ini", "--output-dir", scratch]
            command += ["--accelerator-config", config.name, "--optimise", config.optimise]
            command += ["--system-config", config.system_config]
            command += ["--memory-mode", config.memory_mode]
            try:
                done = subprocess.run(
                    command, capture_output=True, text=True, timeout=self._process.timeout_s
                )
            except subprocess.TimeoutExpired as error:
                raise DeployError(
                    f"Vela did not end on {artifact.path} within {error.timeout:g} s"
                ) from error
            made = sorted(Path(scratch).glob(f"{artifact.path.stem}_*"))
            if done.returncode or len(made) < 2:
                words = (done.stderr or done.stdout).strip().splitlines()[-1:]
                raise DeployError(f"Vela cannot compile {artifact.path}: {' '.join(words)}")
            folder.mkdir(parents=True, exist_ok=True)
            return tuple(_move(path, folder / path.name) for path in made)

    def close(self) -> None:
        """End the worker process; the next measurement starts another."""
        self._process.close()


def _move(path: Path, target: Path) -> Path:
    target.write_bytes(path.read_bytes())  # the folders may be on two disks
    return target


def _system(config: NpuConfig) -> str:
    head = _SYSTEM.format(
        macs=config.accelerator.macs,
        cores=config.accelerator.cores,
        system_config=config.system_config,
        memory_mode=config.memory_mode,
    )
    return head + config.file.read_text(encoding="utf-8")


def _misfit(artifact: Artifact) -> str | None:
    """Why the device does not take this artifact, or None."""
    if artifact.format != _FORMAT:
        return f"{artifact.path}: an Ethos-U runs {_FORMAT} models, not {artifact.format}"
    if artifact.precision not in PRECISIONS:
        return f"{artifact.path}: an Ethos-U runs {', '.join(PRECISIONS)}, not {artifact.precision}"
    return None


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "none"


# The rows of the table of devices ------------------------------------------------------------


def ethos_u_rows() -> dict[str, DeviceRow]:
    """One row for every accelerator."""
    missing = needs("npu", "ethosu.regor", "litert_torch", "ai_edge_quantizer")
    return {name: _row(name, missing) for name in ACCELERATORS}


def _row(name: str, missing: Callable[[], str | None]) -> DeviceRow:
    macs = ACCELERATORS[name].macs * ACCELERATORS[name].cores
    meaning = f"Arm's NPU with {macs} MACs a cycle, estimated by its compiler Vela"
    make: Callable[..., Device] = partial(EthosU, name)
    return DeviceRow(make, ESTIMATES, meaning, missing)
