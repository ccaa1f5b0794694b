"""The HTTP application: end points, pages, and one form for everything that goes wrong."""

import contextlib
import logging
from collections.abc import AsyncIterator

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from hot.errors import StorageError
from hot.server.access import require
from hot.server.config import ServerConfig
from hot.server.errors import RETRY_S, ApiError, error_response
from hot.server.front import Front
from hot.server.pages import pages_router
from hot.server.routes import jobs_router, server_router
from hot.server.service import Service
from hot.server.views_api import Folders, views_router

log = logging.getLogger(__name__)
_CODES = {400: "body", 404: "path_unknown", 405: "method", 413: "too_large"}
_ABOUT = """The profiling server of hot: a model comes in, what one of its devices says comes out.

PUT the model under its SHA-256, POST a job, GET it until it has ended. Equal requests are answered
from the database. Errors are `{"error": {"code": ..., "message": ...}}`."""


def create_app(config: ServerConfig, service: Service | None = None) -> FastAPI:
    """The application; its devices start with it, or before it where `service` is given."""
    behind = service or Service(config)

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        behind.changes.bind()
        await run_in_threadpool(behind.start)
        try:
            yield
        finally:
            await run_in_threadpool(behind.stop)

    app = FastAPI(
        title="hot",
        version=behind.version,
        description=_ABOUT,
        lifespan=lifespan,
        docs_url=None,  # it would load scripts from the internet
        redoc_url=None,
    )
    app.state.service = behind
    app.include_router(server_router(behind))
    app.include_router(jobs_router(behind))
    app.include_router(views_router(Folders(config.luts, config.runs), require(behind, "read")))
    app.include_router(pages_router())
    app.add_middleware(Front, max_request_bytes=config.max_request_bytes, metrics=behind.metrics)
    _answer_errors(app, behind)
    return app


def _allowed(app: FastAPI, request: Request) -> dict[str, str]:
    """The methods of a path; the framework alone tells those of its first end point."""
    path = getattr(request.scope.get("route"), "path", "")
    methods = app.openapi()["paths"].get(path, {})
    return {"Allow": ", ".join(sorted(methods)).upper()} if methods else {}


def _answer_errors(app: FastAPI, service: Service) -> None:
    @app.exception_handler(ApiError)
    async def refused(request: Request, error: ApiError) -> Response:
        return error_response(error.status, error.code, str(error), error.headers)

    @app.exception_handler(HTTPException)
    async def framework(request: Request, error: HTTPException) -> Response:
        code = _CODES.get(error.status_code, "request")
        headers = dict(error.headers or {})
        if error.status_code == 405:
            headers |= _allowed(app, request)
        return error_response(error.status_code, code, str(error.detail), headers)

    @app.exception_handler(RequestValidationError)
    async def malformed(request: Request, error: RequestValidationError) -> Response:
        fault = error.errors()[0]
        where = ".".join(str(part) for part in fault["loc"])
        return error_response(422, "form", f"{where}: {fault['msg']}")

    @app.exception_handler(StorageError)
    async def storage(request: Request, error: StorageError) -> Response:
        service.metrics.storage_errors.inc()
        log.warning("a request failed: %s", error)
        message = "the database or the disk cannot be used now; ask again"
        return error_response(503, "storage", message, {"Retry-After": str(RETRY_S)})

    @app.exception_handler(Exception)
    async def bug(request: Request, error: Exception) -> Response:
        log.error("a bug", exc_info=error)
        return error_response(500, "bug", "the server met a fault of its own; see its log")
