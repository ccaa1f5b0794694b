"""Everything a run holds, read once; a stage that has not run is None or empty."""

from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from hot.errors import InputError
from hot.files import read_json
from hot.records import (
    Candidate,
    Deployment,
    Front,
    LatencyTable,
    Lut,
    Provenance,
    QualityTable,
    Recipe,
    RunFolder,
    TrainResult,
    load_record,
)
from hot.space import Architecture, Counts, Space

BASELINE = "baseline"
T = TypeVar("T")


@dataclass(frozen=True)
class Trial:
    """One training of the hyper-parameter search; `value` is its best validation metric."""

    candidate: str
    number: int
    value: float
    state: str
    recipe: Recipe


@dataclass(frozen=True)
class Findings:
    """What a run has found so far.

    Attributes:
        candidates: baseline first, then by objective and rank.
        results: the best trial of each candidate, by name.
        deployments: in the order of the candidates, then by precision.
        made: when and where each deployment was made, by candidate and precision.
    """

    run: RunFolder
    provenance: Provenance | None
    space: Space | None
    lut: Lut | None
    quality: QualityTable | None
    front: Front | None
    candidates: tuple[Candidate, ...]
    results: dict[str, TrainResult]
    trials: tuple[Trial, ...]
    deployments: tuple[Deployment, ...]
    made: dict[tuple[str, str], Provenance | None]

    @cached_property
    def table(self) -> LatencyTable | None:
        """The LUT as a slot x choice table; None without a LUT or a space."""
        return self.lut.table(self.space) if self.lut and self.space else None

    @property
    def metric(self) -> str:
        """The name of the task's metric."""
        names = [r.metric for r in self.results.values()] + [d.metric for d in self.deployments]
        return names[0] if names else "metric"

    def architecture(self, candidate: Candidate) -> Architecture | None:
        """The candidate's architecture, where the run has its space."""
        return self.space.parse(candidate.architecture) if self.space else None

    def counts(self, candidate: Candidate) -> Counts | None:
        """The candidate's counts, where the run has its space."""
        architecture = self.architecture(candidate)
        return self.space.counts(architecture) if self.space and architecture else None

    def deployments_of(self, candidate: Candidate) -> list[Deployment]:
        """The candidate's deployments, by precision."""
        return [d for d in self.deployments if d.candidate == candidate.name]

    def deployment_like(self, name: str, other: Deployment) -> Deployment | None:
        """The deployment of `name` at the precision and on the device of `other`."""
        for found in self.deployments:
            same = found.precision == other.precision and found.device.key == other.device.key
            if found.candidate == name and same:
                return found
        return None


def gather(run: RunFolder) -> Findings:
    """All records of a run.

    Raises:
        InputError: a record is damaged; names the file.
    """
    candidates = sorted(
        run.load_all(Candidate, "candidates"),
        key=lambda c: (c.name != BASELINE, c.objective, c.rank, c.name),
    )
    order = {candidate.name: index for index, candidate in enumerate(candidates)}
    deployments = sorted(
        run.load_all(Deployment, "deployments"),
        key=lambda d: (order.get(d.candidate, len(order)), d.candidate, d.precision),
    )
    results = {result.candidate: result for result in run.load_all(TrainResult, "results")}
    return Findings(
        run=run,
        provenance=_load_if(run, Provenance, "provenance.json"),
        space=run.space() if run.file("space.json").is_file() else None,
        lut=_load_if(run, Lut, "lut.json"),
        quality=_load_if(run, QualityTable, "quality.json"),
        front=_load_if(run, Front, "front.json"),
        candidates=tuple(candidates),
        results=results,
        trials=_trials(run),
        deployments=tuple(deployments),
        made={(d.candidate, d.precision): _made(run, d) for d in deployments},
    )


def _load_if(run: RunFolder, kind: type[T], name: str) -> T | None:
    return run.load(kind, name) if run.file(name).is_file() else None


def _trials(run: RunFolder) -> tuple[Trial, ...]:
    paths = sorted(run.file("training").glob("*/trial-*/result.json"))
    results = [load_record(path, TrainResult) for path in paths]
    trials = [Trial(r.candidate, r.trial, r.val_metric, r.state, r.recipe) for r in results]
    return tuple(sorted(trials, key=lambda t: (t.candidate, t.number)))


def _made(run: RunFolder, deployment: Deployment) -> Provenance | None:
    """When and where a deployment was made, by its bundle; None where the bundle was moved away."""
    path = run.file(deployment.bundle, "manifest.json")
    if not path.is_file():
        return None
    document = read_json(path, "manifest")
    try:
        return TypeAdapter(Provenance).validate_python(document["provenance"])
    except (ValidationError, KeyError, TypeError) as error:
        raise InputError(f"{path} states no provenance; deploy again") from error
