"""The chain, written once: LUT, search, training, deployment and report of one run folder."""

import logging
import os
from pathlib import Path

from hot.config import Config, LutSection, TrainingSection
from hot.deploy import deploy, usual_precisions
from hot.devices import Device, Settings, make_device
from hot.errors import InputError
from hot.lut import load_lut
from hot.pipeline.assess import assess
from hot.pipeline.luts import make_lut, open_lut, watch
from hot.pipeline.search import search, sweep_run
from hot.pipeline.stage import data_options, load_data, start
from hot.precheck import check_config
from hot.records import Candidate, DataSpec, Deployment, Lut, RunFolder, TrainResult
from hot.report import write_report
from hot.space import load_spec
from hot.tasks import find_task
from hot.training import optimise

log = logging.getLogger(__name__)


def run(config: Config, folder: str | os.PathLike[str]) -> RunFolder:
    """The whole chain in one run folder; called again, it goes on where it stopped.

    Raises:
        HotError: a stage cannot go on; what was finished before stays.
    """
    device = make_device(config.device.name, **config.device.given())
    deployment = config.deployment.filled(usual_precisions(device.describe()))
    config = config.model_copy(update={"deployment": deployment})
    if not Path(folder, "candidates").is_dir():
        check_config(config, load_spec(config.space.spec()), device)
    job = start(folder, config.space.spec(), config.text())
    lut = measure(job, device, config.lut, config.seed)
    table = assess(job, lut, config.search, config.quality, config.training, config.seed)
    search(job, lut, config.search, table)
    if config.sweep is not None:
        sweep_run(job, lut, table, config.sweep, config.search[0])
    train(job, config.training, config.seed)
    for precision in deployment.precisions or ():
        deploy_all(job, device, precision)
    write_report(job)
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
    watch(lut, space, device)
    job.save(lut, "lut.json")
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
        data_options(data),
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
