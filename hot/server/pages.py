"""The pages a browser shows: three documents, their scripts and styles, all out of the package.

They hold no data: their scripts ask the end points for it, with the token that the reader gave.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import jinja2
from fastapi import APIRouter, Request, Response

_FOLDER = Path(__file__).resolve().with_suffix("")
_PAGES = {"/": "devices", "/luts": "luts", "/runs": "runs"}
_MEDIA = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
}


@dataclass(frozen=True)
class _Asset:
    content: bytes
    media: str

    @property
    def tag(self) -> str:
        """What changes with the content, for a browser that has it already."""
        return f'"{hashlib.sha256(self.content).hexdigest()[:32]}"'


def pages_router() -> APIRouter:
    """The pages `/`, `/luts` and `/runs`, and what they load below `/pages/`; no token is asked."""
    router = APIRouter(include_in_schema=False)
    assets = _render() | _read()

    def answer(request: Request) -> Response:
        asset = assets.get(request.url.path)
        if asset is None:
            return Response("There is no such page.\n", 404, HEADERS, "text/plain")
        headers = {**HEADERS, "ETag": asset.tag}
        if request.headers.get("if-none-match") == asset.tag:
            return Response(status_code=304, headers=headers)
        return Response(asset.content, 200, headers, asset.media)

    for path in (*_PAGES, "/pages/{name}"):
        router.add_api_route(path, answer, methods=["GET", "HEAD"])
    return router


def _render() -> dict[str, _Asset]:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return {
        path: _Asset(
            environment.get_template(f"{name}.html").render(page=name).encode(), "text/html"
        )
        for path, name in _PAGES.items()
    }


def _read() -> dict[str, _Asset]:
    return {
        f"/pages/{path.name}": _Asset(path.read_bytes(), _MEDIA[path.suffix])
        for path in sorted(_FOLDER.iterdir())
        if path.suffix in _MEDIA
    }
