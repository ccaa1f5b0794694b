"""The chain, written once: LUT, search, training, deployment and report of one run folder."""

import logging
import os
from dataclasses import replace
from pathlib import Path

from hot.autosearch import Tables, autosearch, baseline
from hot.config import Config, LutSection, SearchSection, TrainingSection
from hot.deploy import deploy
from hot.devices import Device, Settings, make_device
from hot.errors import HotError, InputError, LutError
from hot.lut import (
    LEAST_NETWORKS,
    LutStore,
    build_lut,
    check_lut,
    count_unseen,
    find_luts,
    key_of,
    load_lut,
    sentinel_drift,
)
from hot.precheck import check_config
from hot.quality import score
from hot.records import (
    MEASURES,
    Candidate,
    DataSpec,
    Deployment,
    Lut,
    Prediction,
    RunFolder,
    TrainResult,
    parse_budget,
    parse_quality,
    save_record,
)
from hot.report import check_figure, write_report
from hot.space import Space, SpaceSpec, load_spec
from hot.tasks import DataOptions, ImageData, find_task
from hot.training import optimise

log = logging.getLogger(__name__)


def run(config: Config, folder: str | os.PathLike[str]) -> RunFolder:
    """The whole chain in one run folder; called again, it goes on where it stopped.

    Raises:
        HotError: a stage cannot go on; what was finished before stays.
    """
    device = make_device(config.device.name, **config.device.options())
    if not Path(folder, "candidates").is_dir():
        check_config(config, load_spec(config.space.spec()), device)
    job = start(folder, config.space.spec(), config.text())
    lut = measure(job, device, config.lut, config.seed)
    search(job, lut, config.search, config.quality)
    train(job, config.training, config.seed)
    for precision in config.deployment.precisions:
        deploy_all(job, device, precision)
    write_report(job)
    return job


def start(folder: str | os.PathLike[str], spec: SpaceSpec, config: str) -> RunFolder:
    """A run folder that holds its space: a new one, or that of an earlier call of equal `config`.

    Raises:
        InputError: the folder holds a run of another configuration, or other files.
    """
    job = RunFolder.create(folder, config)
    if not job.file("space.json").is_file():
        job.save_space(spec)
    return job


def measure(job: RunFolder, device: Device, section: LutSection, seed: int = 0) -> Lut:
    """The LUT of a run on `device`: its own, the one in the section's file, or a new one; checked.

    Raises:
        LutError: the file is damaged, or made for another space or device.
    """
    space = job.space()
    if job.file("lut.json").is_file():
        lut = load_lut(job.file("lut.json"), space, device.describe())
    elif section.file is not None:
        lut = open_lut(section.file, space, device)
    else:
        lut = make_lut(space, device, section, seed)
        job.save(lut, "lut.json")
        return lut
    _watch(lut, space, device)
    job.save(lut, "lut.json")
    return lut


def _watch(lut: Lut, space: Space, device: Device) -> None:
    """Warn where the device measures and is no longer as fast as when the LUT was built."""
    if device.describe().kind == MEASURES:
        sentinel_drift(lut, space, device)


def default_store() -> Path:
    """The database of LUTs: `luts.db` in the folder `HOT_CACHE`, by default `~/.cache/hot`."""
    return Path(os.environ.get("HOT_CACHE") or Path.home() / ".cache" / "hot") / "luts.db"


def make_lut(
    space: Space, device: Device, section: LutSection, seed: int = 0, is_fresh: bool = False
) -> Lut:
    """The LUT of a space on a device, from the database or built now, checked and stored there.

    One from the database warns where its sentinel networks no longer run as they did.
    """
    store = LutStore(section.store or default_store())
    try:
        n_before = len(store.keys())
        lut = build_lut(
            space,
            device,
            section.precision,
            section.method,
            store=store,
            seed=seed,
            is_fresh=is_fresh,
        )
        if lut.check is None and section.check_networks:
            n = min(section.check_networks, count_unseen(lut, space))
            if n < LEAST_NETWORKS:
                log.warning(
                    "the LUT stays unchecked: %s has %d networks that were not used to build it",
                    space.key, n,
                )  # fmt: skip
            else:
                check = check_lut(lut, space, device, n, seed + 1)
                store.add_check(key_of(lut), check)
                lut = replace(lut, check=check)
        if len(store.keys()) == n_before:
            _watch(lut, space, device)
    finally:
        store.close()
    return lut


def open_lut(name_or_path: str, space: Space | None = None, device: Device | None = None) -> Lut:
    """A LUT that ships with hot, by name, or from a file.

    Raises:
        LutError: no such LUT, damaged, or made for another space or device.
    """
    return load_lut(find_lut(name_or_path), space, device.describe() if device else None)


def find_lut(name_or_path: str) -> Path:
    """The file of a LUT that ships with hot, by name, or the file at a path.

    Raises:
        LutError: neither.
    """
    known = find_luts()
    path = known.get(name_or_path, Path(name_or_path))
    if not path.exists():
        raise LutError(
            f"no LUT at {name_or_path}; check the path, or make one with hot build-lut --out"
            + (f". By name there are: {', '.join(known)}" if known else "")
        )
    return path


def search(
    job: RunFolder, lut: Lut, sections: list[SearchSection], quality: str = "macs"
) -> list[Candidate]:
    """The baseline and the picks of every search, saved in the run; best first within a search.

    An architecture that two searches pick is kept once, under its first name.

    Raises:
        InfeasibleError: no architecture meets the limits of a search.
        InputError: a limit without a unit, or two searches of one name.
    """
    space = job.space()
    table = score(space, quality)
    tables = Tables(space, lut.table(space), table, lut.precision)
    origin = baseline(tables)
    found = {origin.architecture: origin}
    names = [section.name or section.objective for section in sections]
    if len(set(names)) < len(names):
        raise InputError(f"two searches have one name ({', '.join(names)}); give each a 'name'")
    for name, section in zip(names, sections, strict=True):
        for pick in find_picks(tables, section, origin.predicted):
            pick = replace(pick, name=f"{name}-{pick.rank}")
            _check_kept(job, pick)
            first = found.setdefault(pick.architecture, pick)
            if first is not pick:
                note = f"is also {pick.name}"
                found[pick.architecture] = replace(first, notes=(*first.notes, note))
    _check_kept(job, origin)
    job.save(lut, "lut.json")
    job.save(table, "quality.json")
    for candidate in found.values():
        job.save(candidate, "candidates", f"{candidate.name}.json")
    return list(found.values())


def _check_kept(job: RunFolder, candidate: Candidate) -> None:
    """Raise `InputError` where the run holds another candidate of the same name."""
    if not job.file("candidates", f"{candidate.name}.json").is_file():
        return
    kept = job.load(Candidate, "candidates", f"{candidate.name}.json")
    if (kept.architecture, kept.budget, kept.predicted) != (
        candidate.architecture, candidate.budget, candidate.predicted,
    ):  # fmt: skip
        raise InputError(
            f"{job.path} holds another {candidate.name!r} and its like, of a search with "
            f"{kept.budget or 'another quality or LUT'}; they stay: choose another run folder"
        )


def find_picks(tables: Tables, section: SearchSection, reference: Prediction) -> list[Candidate]:
    """The picks of one search; shares in its limits refer to the prediction `reference`."""
    budget = parse_budget(
        latency=section.latency_budget,
        memory=section.memory_budget,
        activations=section.activation_budget,
        energy=section.energy_budget,
        macs=section.macs_budget,
        reference=reference,
    )
    picks = autosearch(
        tables.space,
        tables.latency,
        budget,
        section.objective,
        quality=tables.quality,
        min_quality=parse_quality(section.min_quality, reference),
        k=section.top_k,
        solver=section.solver,
        time_limit_s=section.time_limit_s,
        precision=tables.precision,
    )
    return [replace(pick, budget=budget) for pick in picks]


def search_once(
    lut: Lut, space: Space | None, section: SearchSection, quality: str, folder: Path | None
) -> list[Candidate]:
    """The baseline and the picks of one search on a LUT; saved in a run folder where given.

    Args:
        space: the LUT's space; None takes the one the LUT was made for.
        folder: a new run, or one of the same LUT, to which the picks are added.

    Raises:
        InputError: the LUT does not know its space, or the run has another LUT.
    """
    space = space or space_of(lut)
    if folder is None:
        tables = Tables(space, lut.table(space), score(space, quality), lut.precision)
        origin = baseline(tables)
        return [origin, *find_picks(tables, section, origin.predicted)]
    if space.spec is None:
        raise InputError(f"the space {space.key} has no file, so a run cannot keep it")
    text = f"# made by hot autosearch\nlut: {key_of(lut)}\n"
    return search(start(folder, space.spec, text), lut, [section], quality)


def tell_origin(lut: Lut, space: Space) -> None:
    """Warn where a measured LUT is not of this machine as it is now; nor are its predictions then.

    A LUT of another machine serves a search for that machine, so it is no error here.
    """
    if lut.device.kind != MEASURES:
        return
    threads = lut.device.fingerprint.get("threads")
    try:
        here = make_device(lut.device.name, **({} if threads is None else {"threads": threads}))
    except HotError as error:
        log.warning("the LUT's device cannot be used here, so its drift is unknown: %s", error)
        return
    difference = lut.device.difference(here.describe())
    if difference:
        log.warning("the predictions are of another machine (LUT | here: %s)", difference)
    else:
        sentinel_drift(lut, space, here)


def space_of(lut: Lut) -> Space:
    """The space a LUT was made for.

    Raises:
        LutError: the LUT does not say, or the space's file has changed since.
    """
    if lut.spec is None:
        raise LutError(f"the LUT of {lut.space} does not say how its space is loaded; give --space")
    space = load_spec(lut.spec)
    lut.require(space)
    return space


def check_file(name_or_path: str, device: Device, n: int, seed: int, figure: Path | None) -> Lut:
    """The LUT of a file, checked anew on `n` held-out networks; the file keeps the result."""
    path = find_lut(name_or_path)
    lut = load_lut(path)
    check = check_lut(lut, space_of(lut), device, n, seed + 1)
    lut = replace(lut, check=check)
    save_record(path, lut)
    if figure is not None:
        check_figure(check, figure)
    return lut


def train(job: RunFolder, section: TrainingSection, seed: int = 0) -> list[TrainResult]:
    """The best trial of every candidate of the run, in the order of their names.

    Raises:
        InputError: the run has no candidates, or was trained on other data.
    """
    candidates = job.load_all(Candidate, "candidates")
    if not candidates:
        raise InputError(f"{job.path} has no candidates; run hot autosearch with --run {job.path}")
    data = DataSpec(
        section.task, section.data, section.n_train, section.n_val, section.n_test, seed
    )
    is_begun = job.file("study.db").is_file()  # a data set that could not be read binds no run
    if is_begun and job.file("data.json").is_file() and job.load(DataSpec, "data.json") != data:
        raise InputError(
            f"{job.path} was trained on other data ({job.load(DataSpec, 'data.json')}); "
            "give the same, or start another run"
        )
    job.save(data, "data.json")
    return optimise(
        job,
        candidates,
        data.source,
        section.recipe,
        section.hpo.settings(),
        section.hpo.workers,
        seed,
        _options(data),
        task=data.task,
    )


def deploy_all(job: RunFolder, device: Device, precision: str) -> list[Deployment]:
    """Every trained candidate of the run on the device, in the order of their names.

    Raises:
        InputError: the run is not trained yet.
    """
    results = {result.candidate: result for result in job.load_all(TrainResult, "results")}
    if not results:
        raise InputError(f"{job.path} is not trained yet; run hot train {job.path}")
    spec = job.load(DataSpec, "data.json")
    data = load_data(spec, job.space())
    deployed = []
    for candidate in job.load_all(Candidate, "candidates"):
        if candidate.name not in results:
            log.warning("%s is not trained and so not deployed", candidate.name)
            continue
        deployed.append(
            deploy(
                job,
                candidate,
                results[candidate.name],
                data,
                device,
                precision,
                Settings(memory=True),
                task=find_task(spec.task),
            )
        )
    return deployed


def load_data(spec: DataSpec, space: Space) -> ImageData:
    """The data of a run at the input shape of its space."""
    return find_task(spec.task).load(spec.source, space.stem_input, _options(spec))


def _options(spec: DataSpec) -> DataOptions:
    return DataOptions(seed=spec.seed, n_train=spec.n_train, n_val=spec.n_val, n_test=spec.n_test)
