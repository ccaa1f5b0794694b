"""Prometheus metrics of one server, in a registry of its own."""

import threading
from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_REQUEST_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 60.0)
_JOB_S = (0.01, 0.05, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 600.0)


class Metrics:
    """What a server counts."""

    def __init__(self) -> None:
        """Begin at zero."""
        self.registry = CollectorRegistry()
        self._lock = threading.Lock()
        self.requests = Counter(
            "hot_requests", "HTTP requests.", ("method", "path", "status"), registry=self.registry
        )
        self.request_seconds = Histogram(
            "hot_request_seconds",
            "Time to the first byte of an answer.",
            ("method", "path"),
            buckets=_REQUEST_S,
            registry=self.registry,
        )
        self.submitted = Counter(
            "hot_jobs_submitted",
            "Requests for a job, by how they were answered.",
            ("device", "answer"),
            registry=self.registry,
        )
        self.job_seconds = Histogram(
            "hot_job_seconds",
            "Time that a worker took for a job.",
            ("device",),
            buckets=_JOB_S,
            registry=self.registry,
        )
        self.workers_lost = Counter(
            "hot_workers_lost", "Workers that crashed or hung.", registry=self.registry
        )
        self.storage_errors = Counter(
            "hot_storage_errors", "Times the database could not be used.", registry=self.registry
        )
        self.uploaded_bytes = Counter(
            "hot_uploaded_bytes", "Bytes of accepted models.", registry=self.registry
        )
        self.refused_models = Counter(
            "hot_refused_models", "Uploads that are no usable model.", registry=self.registry
        )
        self.queued = Gauge(
            "hot_jobs_queued", "Jobs that wait.", ("device",), registry=self.registry
        )
        self.running = Gauge(
            "hot_devices_running", "1 where a job runs.", ("device",), registry=self.registry
        )

    def text(self, loads: dict[str, tuple[int, str | None]], keys: Iterable[str]) -> bytes:
        """All metrics in Prometheus' text form; `loads` by device key, `keys` of own devices."""
        with self._lock:
            self.queued.clear()
            self.running.clear()
            for key in sorted({*keys, *loads}):
                queued, running = loads.get(key, (0, None))
                self.queued.labels(key).set(queued)
                self.running.labels(key).set(running is not None)
            return generate_latest(self.registry)
