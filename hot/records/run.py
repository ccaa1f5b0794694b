"""The run folder: one search from configuration to report, resumable at every stage."""

import os
import platform
import subprocess
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TypeVar

from hot.errors import InputError
from hot.files import read_text, write_text
from hot.records.document import load_record, save_record
from hot.space import Space, SpaceSpec, keep_spec, load_kept

T = TypeVar("T")
_BEFORE_CANDIDATES = ("space.json", "space.yaml", "space.pt", "lut.json")
_PACKAGES = ("hot", "torch", "onnxruntime", "onnx", "pulp", "optuna", "numpy", "timm")


@dataclass(frozen=True)
class Provenance:
    """Where figures come from: date, machine, commit, package versions."""

    date: str
    machine: str
    commit: str
    versions: dict[str, str] = field(hash=False)


def provenance() -> Provenance:
    """The provenance of figures taken now, here."""
    return Provenance(now(), processor(), _commit(), _versions())


def now() -> str:
    """The time now, in UTC, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def processor() -> str:
    """The processor's name, its core count and the system."""
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                name = line.split(":", 1)[1].strip()
                break
    return f"{name}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}"


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def _commit() -> str:
    folder = Path(__file__).resolve().parent
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty"], cwd=folder, capture_output=True, text=True
        )
    except FileNotFoundError:
        return "unknown"
    return done.stdout.strip() if done.returncode == 0 else "unknown"


@dataclass(frozen=True)
class RunFolder:
    """A folder that holds one run; every stage writes its records here and finds them again.

    Layout: `config.yaml`, `provenance.json`, `space.json` (SpaceSpec) and what it is loaded from
    (`space.yaml`, or `space.pt` for the weights of a model), `lut.json` (Lut), `quality.json`
    (QualityTable), `candidates/NAME.json` (Candidate), `front.json` (Front), `data.json`
    (DataSpec), `study.db` (the studies), `training/NAME/trial-N/` (checkpoints, TrainResult),
    `results/NAME.json` (TrainResult of the best trial), `bundles/NAME-PRECISION/`,
    `deployments/NAME-PRECISION.json` (Deployment), `report/`.
    """

    path: Path

    @classmethod
    def create(cls, path: str | os.PathLike[str], config: str) -> "RunFolder":
        """The run at `path`, new or one to be continued with the same configuration.

        A run that has no candidates yet, as after an infeasible search, takes a new configuration.

        Raises:
            InputError: the folder holds a run of another configuration, or other files.
            StorageError: it cannot be written.
        """
        run = cls(Path(path))
        stored = run.path / "config.yaml"
        if stored.is_file():
            if read_text(stored, "configuration") == config:
                return run
            if run.file("candidates").is_dir():
                raise InputError(
                    f"{run.path} holds a run of another configuration; "
                    f"choose another folder, or go on with the one in {stored}"
                )
            for name in _BEFORE_CANDIDATES:  # it found nothing yet, so nothing is lost
                run.file(name).unlink(missing_ok=True)
            write_text(stored, config)
            return run
        if run.path.is_dir() and any(run.path.iterdir()):
            raise InputError(f"{run.path} is not empty and holds no run; choose another folder")
        save_record(run.path / "provenance.json", provenance())
        write_text(stored, config)
        return run

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> "RunFolder":
        """The existing run at `path`.

        Raises:
            InputError: there is none.
        """
        run = cls(Path(path))
        if not (run.path / "config.yaml").is_file():
            raise InputError(
                f"{path} is no run folder (it has no config.yaml); make one with hot run"
            )
        return run

    @property
    def study_url(self) -> str:
        """The database of the hyper-parameter studies."""
        return f"sqlite:///{self.path / 'study.db'}"

    def save_space(self, spec: SpaceSpec | None) -> None:
        """Keep what the space is loaded from and how, so that the run stands alone.

        Raises:
            InputError: the space was made of an object, not by name.
        """
        self.save(keep_spec(spec, self.path), "space.json")

    def space(self) -> Space:
        """The run's search space, loaded once."""
        return self._space

    @cached_property
    def _space(self) -> Space:
        return load_kept(self.load(SpaceSpec, "space.json"), self.path)

    def file(self, *parts: str) -> Path:
        """A path inside the run."""
        return self.path.joinpath(*parts)

    def save(self, record: object, *parts: str) -> None:
        """Write a record to a file of the run, atomically."""
        save_record(self.file(*parts), record)

    def load(self, kind: type[T], *parts: str) -> T:
        """The record in a file of the run."""
        return load_record(self.file(*parts), kind)

    def load_all(self, kind: type[T], folder: str) -> list[T]:
        """All records of a folder of the run, in order of file name; empty where there is none."""
        return [load_record(path, kind) for path in sorted(self.file(folder).glob("*.json"))]
