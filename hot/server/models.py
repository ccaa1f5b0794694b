"""Documents of the HTTP interface, as the OpenAPI document shows them."""

import hashlib
import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from hot.devices import Settings
from hot.devices.contract import FILE_NAME


def _whole(value: object) -> object:
    """JSON has one kind of number: 3.0 is the integer 3."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Integer = Annotated[int, BeforeValidator(_whole)]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$", examples=["9f" * 32])]
FileName = Annotated[str, Field(pattern=FILE_NAME, max_length=200, examples=["model_vela.tflite"])]
JobId = Annotated[str, Field(pattern="^[0-9a-f]{32}$", examples=["5b" * 16])]
Side = Annotated[int, Field(ge=1, le=65536), BeforeValidator(_whole)]
Count = Annotated[int, Field(ge=0)]
Status = Literal["queued", "running", "done", "failed", "cancelled"]
Task = Literal["measure", "compile"]
Precision = Literal["fp32", "fp16", "int16", "int8"]
_DEFAULT = Settings()


class ErrorBody(BaseModel):
    """What is wrong."""

    code: str = Field(description="A stable name of the fault.", examples=["artifact_unknown"])
    message: str = Field(description="For people: what is wrong, and what to do.")


class ErrorDocument(BaseModel):
    """The body of every answer from 400 upwards."""

    error: ErrorBody


class MeasureSettings(BaseModel):
    """How the artifact is measured; what is left out has the value of `hot.devices.Settings`."""

    model_config = ConfigDict(extra="forbid", strict=True)

    warmup: Integer = Field(default=_DEFAULT.warmup, ge=0, le=1000)
    repetitions: Integer = Field(default=_DEFAULT.repetitions, ge=1, le=1000)
    best_of: Integer = Field(default=_DEFAULT.best_of, ge=1, le=1000)
    spread_limit: float = Field(default=_DEFAULT.spread_limit, ge=1e-6, le=100.0)
    max_remeasure: Integer = Field(default=_DEFAULT.max_remeasure, ge=0, le=20)
    per_node: bool = _DEFAULT.per_node
    node_repetitions: Integer = Field(default=_DEFAULT.node_repetitions, ge=1, le=1000)
    memory: bool = _DEFAULT.memory
    seed: Integer = Field(default=_DEFAULT.seed, ge=0, le=2**32 - 1)


class JobRequest(BaseModel):
    """One artifact to measure, to estimate or to compile on one device of this server."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={
            "examples": [
                {
                    "device": "cpu",
                    "artifact": "9f" * 32,
                    "precision": "int8",
                    "input_shape": [1, 3, 32, 32],
                    "settings": {"per_node": True},
                    "priority": 0,
                }
            ]
        },
    )

    device: str = Field(min_length=1, max_length=100, description="A name of GET /v1/devices.")
    task: Task = Field(
        default="measure", description="`compile`: make the files that the device runs."
    )
    artifact: Sha256
    precision: Precision
    input_shape: list[Side] = Field(
        min_length=4, max_length=4, description="(1, C, H, W) in float32."
    )
    settings: MeasureSettings = MeasureSettings()
    priority: Integer = Field(default=0, ge=-1000, le=1000, description="Higher ones run first.")

    def key(self, device_key: str) -> str:
        """The digest of all that decides the result."""
        decisive: list[Any] = [
            self.artifact,
            device_key,
            self.precision,
            self.input_shape,
            self.settings.model_dump(mode="json") if self.task == "measure" else self.task,
        ]
        return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()


class NodeDocument(BaseModel):
    """One node of the artifact."""

    name: str
    operator: str
    latency_ms: float


class MeasurementDocument(BaseModel):
    """A `hot.records.Measurement` in its file form; `failure` tells why it could not run."""

    record: Literal["Measurement"]
    version: int = Field(alias="schema")
    latency_ms: float | None
    spread: float
    samples_ms: list[float]
    is_steady: bool
    peak_memory_bytes: int | None
    energy_mj: float | None
    nodes: list[NodeDocument]
    failure: str | None
    counters: dict[str, int]


class FileDocument(BaseModel):
    """A compiled file, at `/v1/jobs/{id}/files/{name}`."""

    name: FileName
    sha256: Sha256
    bytes: Count


class JobDocument(BaseModel):
    """A job as it stands."""

    id: JobId
    status: Status
    task: Task
    device: str
    fingerprint: dict[str, str] = Field(description="Of the device: hardware, runtime, options.")
    device_key: str = Field(description="The device's name and a digest of its fingerprint.")
    artifact: Sha256
    precision: str
    input_shape: list[int]
    settings: MeasureSettings
    priority: int
    position: int | None = Field(
        description="Among the device's jobs of this task: 1 is next; null: not queued."
    )
    servers: int | None = Field(
        description="How many running servers offer the device it waits for; null: not queued."
    )
    cached: bool = Field(description="Whether this answer comes from the database.")
    attempts: Count = Field(description="How often it was started.")
    created: str
    started: str | None
    finished: str | None
    progress: str
    measurement: MeasurementDocument | None
    files: list[FileDocument] | None = Field(description="Compiled, named after `model`.")
    error: str | None = Field(description="Why it failed: its worker crashed or hit a limit.")


class JobList(BaseModel):
    """Jobs, the newest first; measurements come without their nodes and samples."""

    jobs: list[JobDocument]
    next: JobId | None = Field(description="Give it as `after` for the jobs before these.")


class ArtifactDocument(BaseModel):
    """An uploaded model that passed the check."""

    sha256: Sha256
    bytes: Count
    format: Literal["onnx", "tflite"]


class DeviceInfoDocument(BaseModel):
    """A `hot.records.DeviceInfo` in its file form."""

    record: Literal["DeviceInfo"]
    version: int = Field(alias="schema")
    name: str
    kind: Literal["measured", "estimated"]
    precisions: list[str]
    fingerprint: dict[str, str]
    formats: list[str]
    energy: str | None
    notes: list[str]
    method: str


class DeviceDocument(BaseModel):
    """A device of this server and its queue."""

    info: DeviceInfoDocument
    key: str
    compiles: bool = Field(description="Whether it takes jobs of the task `compile`.")
    queued: Count
    running: JobId | None


class DeviceList(BaseModel):
    """The devices of this server."""

    devices: list[DeviceDocument]


class ServerDocument(BaseModel):
    """This server."""

    name: str
    version: str
    started: str


class HealthDocument(BaseModel):
    """This server can take requests and its database answers."""

    status: Literal["ok"]
    database: Literal["ok"]
