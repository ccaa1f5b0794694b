"""The end points of version 1 of the HTTP interface."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import PlainTextResponse, Response, StreamingResponse
from starlette.concurrency import run_in_threadpool

from hot.devices.contract import FILE_NAME
from hot.errors import unknown_name
from hot.records import to_document
from hot.server.access import require
from hot.server.downloads import Downloads
from hot.server.errors import RETRY_S, ApiError, Json, errors
from hot.server.events import events, wait_for_end
from hot.server.health import Health
from hot.server.jobs import Document, Filter, Refusal
from hot.server.models import (
    ArtifactDocument,
    DeviceList,
    HealthDocument,
    JobDocument,
    JobList,
    JobRequest,
    ServerDocument,
    Status,
)
from hot.server.schema import COMPILE, DONE
from hot.server.service import Service
from hot.server.uploads import Uploads

_STATUS = {
    "artifact_unknown": 404,
    "job_unknown": 404,
    "input_shape": 400,
    "queue_full": 429,
    "job_finished": 409,
    "job_not_ended": 409,
    "job_superseded": 409,
}
_BUSY_S = "10"
_EVERYWHERE = (401, 403, 422, 429, 503)
Id = Annotated[str, Path(pattern="^[0-9a-f]{32}$", examples=["5b" * 16])]
Sha = Annotated[str, Path(pattern="^[0-9a-f]{64}$", examples=["9f" * 32])]
Name = Annotated[str, Path(pattern=FILE_NAME, max_length=200, examples=["model_vela.tflite"])]
_BINARY = {"type": "string", "format": "binary"}
_BYTES = {
    "requestBody": {
        "required": True,
        "description": "An ONNX or TFLite file.",
        "content": {"application/octet-stream": {"schema": _BINARY}},
    }
}


def _model(kind: type[Any], description: str) -> dict[str, Any]:
    return {"model": kind, "description": description}


def _refuse(refusal: Refusal) -> ApiError:
    headers = {"Retry-After": _BUSY_S} if refusal.code == "queue_full" else None
    return ApiError(_STATUS[refusal.code], refusal.code, str(refusal), headers)


def _no_job(job: str) -> ApiError:
    return ApiError(404, "job_unknown", f"there is no job {job}")


def jobs_router(service: Service) -> APIRouter:
    """Artifacts and jobs."""
    router = APIRouter(prefix="/v1", tags=["jobs"], responses=errors(*_EVERYWHERE))
    may_read, may_measure = Depends(require(service, "read")), Depends(require(service, "measure"))
    uploads, downloads = Uploads(service), Downloads(service)

    @router.put(
        "/artifacts/{sha256}",
        status_code=201,
        response_class=Json,
        dependencies=[may_measure],
        openapi_extra=_BYTES,
        responses={
            200: _model(ArtifactDocument, "It was here already."),
            201: _model(ArtifactDocument, "It is kept."),
            **errors(400, 408, 411, 413),
        },
    )
    async def put_artifact(sha256: Sha, request: Request) -> Response:
        """Upload a model under the SHA-256 of its bytes."""
        status, document = await uploads.take(request, sha256)
        return Json(document, status)

    @router.post(
        "/jobs",
        status_code=202,
        response_class=Json,
        dependencies=[may_measure],
        responses={
            200: _model(JobDocument, "Answered from the database."),
            202: _model(JobDocument, "Accepted; an equal request in flight is the same job."),
            **errors(400, 404, 413),
        },
    )
    async def submit(wanted: JobRequest) -> Response:
        """Ask for a measurement, or for compiled files.

        Where 404 says `artifact_unknown`, upload it and ask again.
        """
        device = service.device(wanted.device)
        if device is None:
            known = service.scheduler.infos
            raise ApiError(404, "device_unknown", unknown_name("device", wanted.device, known))
        if wanted.task == COMPILE and device.key not in service.scheduler.compilers:
            raise ApiError(400, "task", f"the device {device.name} compiles nothing")
        document = service.jobs.remembered(wanted, device)
        if document is None:
            try:
                document = await run_in_threadpool(service.jobs.submit, wanted, device)
            except Refusal as refusal:
                raise _refuse(refusal) from refusal
        is_done = document["status"] == DONE
        service.metrics.submitted.labels(device.key, "cached" if is_done else "accepted").inc()
        if not is_done:
            service.scheduler.notify()
        return Json(document, 200 if is_done else 202)

    @router.get(
        "/jobs",
        response_class=Json,
        dependencies=[may_read],
        responses={200: _model(JobList, "The newest first."), **errors(404)},
    )
    def list_jobs(
        status: Annotated[Status | None, Query()] = None,
        device: Annotated[str | None, Query(max_length=100, pattern="^[!-~]+$")] = None,
        limit: Annotated[int, Query(ge=1, le=500)] = 100,
        after: Annotated[str | None, Query(pattern="^[0-9a-f]{32}$")] = None,
    ) -> Response:
        """The jobs of all servers on this database."""
        try:
            found, following = service.jobs.find(Filter(status, device, after, limit))
        except Refusal as refusal:
            raise _refuse(refusal) from refusal
        return Json({"jobs": found, "next": following})

    @router.get(
        "/jobs/{id}",
        response_class=Json,
        dependencies=[may_read],
        responses={200: _model(JobDocument, "As it stands."), **errors(404)},
    )
    async def get_job(
        id: Id, request: Request, wait_s: Annotated[float, Query(ge=0, le=60)] = 0.0
    ) -> Response:
        """One job; with `wait_s` the answer comes when it has ended, or after that time."""
        if wait_s:
            _refuse_crowds(service)
        document = await wait_for_end(service, id, wait_s, request.is_disconnected)
        if document is None:
            raise _no_job(id)
        return Json(document)

    @router.get(
        "/jobs/{id}/events",
        response_class=StreamingResponse,
        dependencies=[may_read],
        responses={
            200: {
                "description": "`event: status` or `event: progress`, `data:` the job's document.",
                "content": {"text/event-stream": {"schema": {"type": "string"}}},
            },
            **errors(404),
        },
    )
    async def get_events(id: Id) -> Response:
        """One job as server-sent events, until it has ended."""
        _refuse_crowds(service)
        if await run_in_threadpool(service.jobs.get, id) is None:
            raise _no_job(id)
        return StreamingResponse(
            events(service, id),
            media_type="text/event-stream",
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )

    @router.get(
        "/jobs/{id}/files/{name}",
        response_class=Response,
        dependencies=[may_read],
        responses={
            200: {
                "description": "The file.",
                "content": {"application/octet-stream": {"schema": _BINARY}},
            },
            **errors(404),
        },
    )
    async def get_file(id: Id, name: Name) -> Response:
        """A file that a job compiled."""
        return downloads.response(id, name)

    @router.post(
        "/jobs/{id}/cancel",
        response_class=Json,
        dependencies=[may_measure],
        responses={
            200: _model(JobDocument, "Cancelled, or, where it runs, about to be."),
            **errors(404, 409),
        },
    )
    def cancel(id: Id) -> Response:
        """Take a job out of the queue, or stop it."""
        document = _change(service, id, service.jobs.cancel)
        service.scheduler.cancel(id)
        return Json(document)

    @router.post(
        "/jobs/{id}/retry",
        response_class=Json,
        dependencies=[may_measure],
        responses={
            200: _model(JobDocument, "Queued again."),
            **errors(400, 404, 409),
        },
    )
    def retry(id: Id) -> Response:
        """Put a failed or cancelled job into the queue again."""
        document = _change(service, id, service.jobs.retry)
        service.scheduler.notify()
        return Json(document)

    return router


def _refuse_crowds(service: Service) -> None:
    """Bound those who wait: each costs a look at the database every second."""
    if service.changes.n_watching >= service.config.max_waiting:
        message = f"{service.config.max_waiting} clients wait for jobs already; ask again"
        raise ApiError(429, "crowd", message, {"Retry-After": str(RETRY_S)})


def _change(service: Service, job: str, change: Any) -> Document:
    try:
        document: Document | None = change(job)
    except Refusal as refusal:
        raise _refuse(refusal) from refusal
    if document is None:
        raise _no_job(job)
    service.changes.tell(job)
    return document


def server_router(service: Service) -> APIRouter:
    """Devices, the server itself, health and metrics."""
    router = APIRouter(tags=["server"])
    may_read = Depends(require(service, "read"))
    state = Health(service)

    @router.get(
        "/v1/devices",
        response_class=Json,
        dependencies=[may_read],
        responses={200: _model(DeviceList, "All devices."), **errors(*_EVERYWHERE)},
    )
    def devices() -> Response:
        """The devices of this server, with their queues."""
        loads = service.jobs.loads()
        shown = []
        for info in service.scheduler.infos.values():
            queued, running = loads.get(info.key, (0, None))
            shown.append(
                {
                    "info": to_document(info),
                    "key": info.key,
                    "compiles": info.key in service.scheduler.compilers,
                    "queued": queued,
                    "running": running,
                }
            )
        return Json({"devices": shown})

    @router.get(
        "/v1/server",
        response_class=Json,
        dependencies=[may_read],
        responses={200: _model(ServerDocument, "This server."), **errors(*_EVERYWHERE)},
    )
    async def server() -> Response:
        """Name, version, and since when it runs."""
        name = service.config.name
        return Json({"name": name, "version": service.version, "started": service.started})

    @router.get(
        "/health",
        response_class=Json,
        responses={200: _model(HealthDocument, "All is well."), **errors(503)},
    )
    async def health() -> Response:
        """Whether the server works, and its database did a second ago; asks for no token."""
        await state.check()
        return Json({"status": "ok", "database": "ok"})

    @router.get(
        "/metrics",
        response_class=Response,
        dependencies=[may_read],
        responses={
            200: {"description": "Prometheus' text form.", "content": {"text/plain": {}}},
            **errors(*_EVERYWHERE),
        },
    )
    def metrics() -> Response:
        """Metrics for Prometheus."""
        keys = [info.key for info in service.scheduler.infos.values()]
        text = service.metrics.text(service.jobs.loads(), keys)
        return PlainTextResponse(text, media_type="text/plain; version=0.0.4")

    return router
