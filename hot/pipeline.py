"""The chain, written once: LUT, search, training, deployment and report of one run folder."""

import logging
import os
from dataclasses import replace
from pathlib import Path

from hot.autosearch import SWEEPS, Tables, autosearch, baseline, front
from hot.config import (
    Config,
    LutSection,
    QualitySection,
    SearchSection,
    SweepSection,
    TrainingSection,
)
from hot.deploy import deploy
from hot.devices import Device, Settings, make_device
from hot.errors import HotError, InputError, LutError
from hot.lut import (
    LEAST_NETWORKS,
    LutStore,
    build_lut,
    check_lut,
    correct_lut,
    count_unseen,
    find_luts,
    key_of,
    load_lut,
    sentinel_drift,
)
from hot.nn import Library, build
from hot.precheck import check_config
from hot.quality import Evidence, agreement, correct_quality, measure_plugged, needs_of, score
from hot.records import (
    MEASURES,
    Candidate,
    DataSpec,
    Deployment,
    Front,
    LatencyTable,
    Lut,
    Prediction,
    QualityTable,
    Recipe,
    RunFolder,
    TrainResult,
    parse_budget,
    parse_quality,
    save_record,
)
from hot.report import check_figure, write_report
from hot.space import Space, SpaceSpec, load_spec
from hot.tasks import DataOptions, ImageData, find_task
from hot.training import evaluate, fit, load_weights, optimise

log = logging.getLogger(__name__)

_AGREES = 0.95  # Spearman of predicted and measured picks at which a correction ends


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
    table = assess(job, lut, config.search, config.quality, config.training, config.seed)
    search(job, lut, config.search, table)
    if config.sweep is not None:
        sweep_run(job, lut, table, config.sweep, config.search[0])
    train(job, config.training, config.seed)
    for precision in config.deployment.precisions:
        deploy_all(job, device, precision)
    write_report(job)
    return job


def start(folder: str | os.PathLike[str], spec: SpaceSpec | None, config: str) -> RunFolder:
    """A run folder that holds its space: a new one, or that of an earlier call of equal `config`.

    Raises:
        InputError: the folder holds a run of another configuration, or other files; or the space
            was made of a module that has no name.
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
    return correct_lut(lut, space) if section.correct else lut


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


def assess(
    job: RunFolder,
    lut: Lut,
    sections: list[SearchSection],
    quality: QualitySection = QualitySection(),
    training: TrainingSection = TrainingSection(),
    seed: int = 0,
) -> QualityTable:
    """The quality of every choice, by the scorer of the section; corrected where it asks for it.

    A scorer that compares with the original network trains it first, where the run's library does
    not hold it yet. Called again, all of it goes on where it stopped.

    Raises:
        InputError: an unknown scorer, or a file that does not fit the space.
        DataError: the scorer needs images, and those of `training` cannot be used.
    """
    space = job.space()
    evidence = _evidence(job, space, quality, training, seed)
    table = score(space, quality.scorer, evidence)
    if quality.corrections:
        table = _close_gap(lut.table(space), table, space, sections, evidence, quality.corrections)
    return table


def _evidence(
    job: RunFolder | None,
    space: Space,
    quality: QualitySection,
    training: TrainingSection,
    seed: int,
) -> Evidence:
    """What the scorer needs and no more: images, and the run's library."""
    needs = needs_of(quality.scorer)
    if "data" not in needs:
        return Evidence(seed=seed)
    data = load_data(training.data_spec(seed), space)
    task = find_task(training.task)
    if "library" not in needs:
        return Evidence(data=data, task=task, seed=seed)
    if job is None:
        raise InputError(
            f"the quality {quality.scorer!r} trains networks, which a run folder keeps; give --run"
        )
    return Evidence(
        data=data,
        task=task,
        library=_open_library(job, space, data, quality.original, training, seed),
        folder=job.file("quality"),
        seed=seed,
        distill=quality.distill,
    )


def _open_library(
    job: RunFolder,
    space: Space,
    data: ImageData,
    original: Recipe | None,
    training: TrainingSection,
    seed: int,
) -> Library:
    """The run's library with the trained original network, which is trained now where it is not.

    Args:
        original: how it is trained; None takes the recipe of the candidates, or, where the space
            was made from a model with weights, these weights as they are.
    """
    library = Library(job.file("library"), space)
    if library.has_original():
        return library
    task = find_task(training.task)
    network = build(space, space.original)
    if original is None and _has_weights(space):
        library.save_original(network, evaluate(network, data.val, data, task))
        return library
    recipe = replace(original or training.recipe.without_library, seed=seed)
    log.info("training the original network, %d epochs", recipe.epochs)
    folder = job.file("library", "training")
    result = fit(space, space.original, data, recipe, folder, candidate="original", task=task)
    load_weights(folder / result.checkpoint, network)
    library.save_original(network, result.val_metric)
    return library


def _has_weights(space: Space) -> bool:
    """Whether the original network of a space comes with trained weights."""
    if space.backbone is None:
        return False
    return space.spec is None or space.spec.model is None or space.spec.model.weights != "none"


def _close_gap(
    latency: LatencyTable,
    table: QualityTable,
    space: Space,
    sections: list[SearchSection],
    evidence: Evidence,
    n_rounds: int,
) -> QualityTable:
    """The table corrected by whole networks: the picks of each round with their distilled weights.

    It ends where the measured order of the picks is the predicted one, or no pick is new.
    """
    measured: dict[str, float] = {}
    corrected = table
    for number in range(1, n_rounds + 1):
        tables = Tables(space, latency, corrected, latency.precision)
        origin = baseline(tables).predicted
        picks = [pick for one in sections for pick in find_picks(tables, one, origin)]
        keys = list(dict.fromkeys(pick.architecture for pick in picks))
        new = [space.parse(key) for key in keys if key not in measured]
        if not new:
            break
        values = measure_plugged(space, new, evidence)
        measured |= {one.key: value for one, value in zip(new, values, strict=True)}
        order = agreement(corrected, space, {key: measured[key] for key in keys})
        log.info("correction %d: order of %d picks agrees to %.2f", number, len(keys), order)
        corrected = correct_quality(table, space, measured)
        if order >= _AGREES:
            break
    return corrected


def search(
    job: RunFolder,
    lut: Lut,
    sections: list[SearchSection],
    quality: QualityTable | None = None,
) -> list[Candidate]:
    """The baseline and the picks of every search, saved in the run; best first within a search.

    An architecture that two searches pick is kept once, under its first name.

    Args:
        quality: as `assess` gives it; MACs without one, as in the paper.

    Raises:
        InfeasibleError: no architecture meets the limits of a search.
        InputError: a limit without a unit, or two searches of one name.
    """
    space = job.space()
    table = quality or score(space)
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
    budget = parse_budget(**_limits(section), reference=reference)
    picks = autosearch(
        tables.space,
        tables.latency,
        budget,
        section.objective,
        quality=tables.quality,
        min_quality=parse_quality(section.min_quality, reference),
        k=section.top_k,
        min_distance=section.min_distance,
        solver=section.solver,
        time_limit_s=section.time_limit_s,
        precision=tables.precision,
    )
    return [replace(pick, budget=budget) for pick in picks]


def find_front(
    tables: Tables, sweep: SweepSection, section: SearchSection, reference: Prediction
) -> Front:
    """The front over one resource, within the other limits of a search.

    Raises:
        InfeasibleError: nothing fits the highest budget.
        InputError: a limit without a unit, or the lowest above the highest.
    """
    limits = parse_budget(**_limits(section), reference=reference)

    name = SWEEPS[sweep.resource]

    def read(text: str | None) -> float | None:
        ends = {sweep.resource: text}
        value: float | None = getattr(parse_budget(**ends, reference=reference), name)
        return value

    is_limited = getattr(limits, name) is not None
    return front(
        tables.space,
        tables.latency,
        limits,
        sweep.resource,
        lowest=read(sweep.lowest),
        highest=read(sweep.highest or (None if is_limited else "100%")),
        step=read(sweep.step),
        quality=tables.quality,
        precision=tables.precision,
        time_limit_s=section.time_limit_s,
    )


def _limits(section: SearchSection) -> dict[str, str | None]:
    """The limits of a search as `parse_budget` names them."""
    return {
        "latency": section.latency_budget,
        "memory": section.memory_budget,
        "activations": section.activation_budget,
        "energy": section.energy_budget,
        "macs": section.macs_budget,
    }


def search_once(
    lut: Lut,
    space: Space | None,
    section: SearchSection,
    quality: QualitySection,
    training: TrainingSection,
    folder: Path | None,
    sweep: SweepSection | None = None,
    seed: int = 0,
) -> tuple[list[Candidate], Front | None]:
    """The baseline and the picks of one search on a LUT; saved in a run folder where given.

    Args:
        space: the LUT's space; None takes the one the LUT was made for.
        training: the data of a quality scorer that needs some.
        folder: a new run, or one of the same LUT, to which the picks are added.
        sweep: a front to work out as well.

    Raises:
        InputError: the LUT does not know its space, the run has another LUT, or the quality needs a
            run folder and none is given.
    """
    space = space or space_of(lut)
    if folder is None:
        table = score(space, quality.scorer, _evidence(None, space, quality, training, seed))
        tables = Tables(space, lut.table(space), table, lut.precision)
        origin = baseline(tables)
        found = [origin, *find_picks(tables, section, origin.predicted)]
        return found, find_front(tables, sweep, section, origin.predicted) if sweep else None
    job = start(folder, space.spec, f"# made by hot autosearch\nlut: {key_of(lut)}\n")
    table = assess(job, lut, [section], quality, training, seed)
    found = search(job, lut, [section], table)
    return found, sweep_run(job, lut, table, sweep, section) if sweep else None


def sweep_run(
    job: RunFolder, lut: Lut, quality: QualityTable, sweep: SweepSection, section: SearchSection
) -> Front:
    """The front of a run, saved in it; raises what `find_front` raises."""
    space = job.space()
    tables = Tables(space, lut.table(space), quality, lut.precision)
    found = find_front(tables, sweep, section, baseline(tables).predicted)
    job.save(found, "front.json")
    return found


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


def check_file(
    name_or_path: str,
    device: Device,
    n: int,
    seed: int,
    figure: Path | None,
    is_correcting: bool = False,
) -> Lut:
    """The LUT of a file, checked anew on `n` held-out networks; the file keeps the result.

    Args:
        is_correcting: whether these networks also correct its table.
    """
    path = find_lut(name_or_path)
    lut = replace(load_lut(path), corrected=None)
    space = space_of(lut)
    check = check_lut(lut, space, device, n, seed + 1)
    lut = replace(lut, check=check)
    if is_correcting:
        lut = correct_lut(lut, space)
        check = lut.check or check
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
    data = section.data_spec(seed)
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
