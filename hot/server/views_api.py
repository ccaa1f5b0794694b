"""End points of LUTs and runs; a name in a request is looked up in a listing, never opened."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends
from pydantic import BaseModel

from hot.errors import HotError
from hot.lut import find_luts, load_lut
from hot.server.auth import Caller
from hot.server.errors import ApiError, Json, errors
from hot.server.grid import lay_out
from hot.server.listing import Stamp, list_luts, list_runs, stamp
from hot.server.runs import show_run
from hot.server.shown import (
    Damaged,
    LutDetail,
    LutList,
    LutSummary,
    RunDetail,
    RunList,
    RunSummary,
    show_lut,
)

T = TypeVar("T")


@dataclass(frozen=True)
class Folders:
    """What the pages may show besides the LUTs that ship with hot.

    Attributes:
        luts: a folder of LUT files, as `hot build-lut --out` writes them.
        runs: a folder of run folders, or one run folder.
    """

    luts: Path | None = None
    runs: Path | None = None


class CallerDocument(BaseModel):
    """Who asks, and what the role allows: read < measure < admin."""

    name: str
    role: str


def views_router(folders: Folders, readers: Callable[..., Any]) -> APIRouter:
    """The end points of LUTs and runs.

    Args:
        readers: a dependency that tells who asks, and refuses whoever may not read.
    """
    router = APIRouter(
        prefix="/v1",
        tags=["views"],
        responses=errors(401, 403, 429, 503),
        default_response_class=Json,
    )

    @router.get("/caller")
    def caller(who: Annotated[Caller, Depends(readers)]) -> CallerDocument:
        """Who you are to this server."""
        return CallerDocument(name=who.name, role=who.role)

    @router.get("/luts", dependencies=[Depends(readers)])
    def luts() -> LutList:
        """The latency tables of this server."""
        found, damaged = _read_all(list_luts(folders.luts), _lut)
        keys = LutSummary.model_fields.keys()
        return LutList(
            luts=tuple(LutSummary(**lut.model_dump(include=set(keys))) for lut in found),
            damaged=damaged,
        )

    @router.get("/luts/{name:path}", dependencies=[Depends(readers)], responses=errors(404, 422))
    def lut(name: str) -> LutDetail:
        """One latency table as a grid of slots and choices."""
        return _read_one("latency table", name, list_luts(folders.luts), _lut)

    @router.get("/runs", dependencies=[Depends(readers)])
    def runs() -> RunList:
        """The runs of this server."""
        found, damaged = _read_all(list_runs(folders.runs), show_run)
        keys = RunSummary.model_fields.keys()
        return RunList(
            runs=tuple(RunSummary(**run.model_dump(include=set(keys))) for run in found),
            damaged=damaged,
        )

    @router.get("/runs/{name:path}", dependencies=[Depends(readers)], responses=errors(404, 422))
    def run(name: str) -> RunDetail:
        """One run with all its architectures."""
        return _read_one("run", name, list_runs(folders.runs), show_run)

    return router


def _lut(name: str, path: Path) -> LutDetail:
    """The LUT in a file; read again only when the file changed."""
    return _show_lut(name, path, stamp([path]))


@lru_cache(maxsize=256)
def _show_lut(name: str, path: Path, stamp: Stamp) -> LutDetail:
    lut = load_lut(path)
    source = "shipped" if path in find_luts().values() else "folder"
    return show_lut(name, source, lut, lay_out(lut))


def _read_all(
    paths: dict[str, Path], read: Callable[[str, Path], T]
) -> tuple[list[T], tuple[Damaged, ...]]:
    found, damaged = [], []
    for name, path in paths.items():
        try:
            found.append(read(name, path))
        except (HotError, OSError) as error:
            damaged.append(Damaged(name=name, error=_reason(error, path)))
    return found, tuple(damaged)


def _read_one(what: str, name: str, paths: dict[str, Path], read: Callable[[str, Path], T]) -> T:
    path = paths.get(name)
    if path is None:
        raise ApiError(404, "unknown", f"this server shows no {what} of this name")
    try:
        return read(name, path)
    except (HotError, OSError) as error:
        raise ApiError(422, "damaged", _reason(error, path)) from error


def _reason(error: Exception, path: Path) -> str:
    """The message without the server's folders, as text that has a JSON form."""
    return str(error).replace(f"{path.parent}/", "").encode("utf-8", "replace").decode()
