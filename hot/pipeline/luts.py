"""Look-up tables of the chain: made, opened, checked, watched."""

import logging
from dataclasses import replace
from pathlib import Path

from hot.config import LutSection
from hot.devices import Device, remake_device
from hot.errors import HotError, LutError
from hot.files import cache_folder
from hot.lut import (
    LEAST_NETWORKS,
    LutStore,
    build_lut,
    check_lut,
    correct_lut,
    count_unseen,
    find_lut,
    key_of,
    load_lut,
    sentinel_drift,
)
from hot.records import MEASURES, Lut, save_record
from hot.report import check_figure
from hot.space import Space, load_spec

log = logging.getLogger(__name__)


def default_store() -> Path:
    """The database of LUTs: `luts.db` in the folder `HOT_CACHE`, by default `~/.cache/hot`."""
    return cache_folder() / "luts.db"


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
            watch(lut, space, device)
    finally:
        store.close()
    return correct_lut(lut, space) if section.correct else lut


def open_lut(name_or_path: str, space: Space | None = None, device: Device | None = None) -> Lut:
    """A LUT that ships with hot, by name, or from a file.

    Raises:
        LutError: no such LUT, damaged, or made for another space or device.
    """
    return load_lut(find_lut(name_or_path, space), space, device.describe() if device else None)


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

    The file of a corrected table stays as it is unless it is corrected anew: its own check tells by
    which networks it was corrected.

    Args:
        is_correcting: whether these networks also correct its table, instead of any before.
    """
    path = find_lut(name_or_path)
    lut = load_lut(path)
    if is_correcting:
        lut = replace(lut, corrected=None)
    space = space_of(lut)
    check = check_lut(lut, space, device, n, seed + 1)
    is_kept = lut.corrected is not None
    lut = replace(lut, check=check)
    if is_correcting:
        lut = correct_lut(lut, space)
        check = lut.check or check
    if not is_kept:
        save_record(path, lut)
    if figure is not None:
        check_figure(check, figure)
    return lut


def watch(lut: Lut, space: Space, device: Device) -> None:
    """Warn where the device measures and is no longer as fast as when the LUT was built."""
    if device.describe().kind == MEASURES:
        sentinel_drift(lut, space, device)


def tell_origin(lut: Lut, space: Space) -> None:
    """Warn where a measured LUT is not of this machine as it is now; nor are its predictions then.

    A LUT of another machine serves a search for that machine, so it is no error here.
    """
    if lut.device.kind != MEASURES:
        return
    try:
        here = remake_device(lut.device)
    except HotError as error:
        log.warning("the LUT's device cannot be used here, so its drift is unknown: %s", error)
        return
    difference = lut.device.difference(here.describe())
    if difference:
        log.warning("the predictions are of another machine (LUT | here: %s)", difference)
    else:
        sentinel_drift(lut, space, here)
