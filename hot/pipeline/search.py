"""Searches and sweeps of a run."""

from dataclasses import replace
from pathlib import Path

from hot.autosearch import Tables, baseline
from hot.config import QualitySection, SearchSection, SweepSection, TrainingSection
from hot.errors import InputError
from hot.lut import key_of
from hot.pipeline.assess import assess, make_evidence
from hot.pipeline.luts import space_of
from hot.pipeline.picks import find_front, find_picks
from hot.pipeline.stage import start
from hot.quality import score
from hot.records import Candidate, Front, Lut, QualityTable, RunFolder
from hot.space import Space


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
        table = score(space, quality.scorer, make_evidence(None, space, quality, training, seed))
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
