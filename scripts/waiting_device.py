"""A device for benchmarks of servers: it estimates at once, and then waits as a measurement would.

It comes to hot as any package's device does, by an entry point (see `serving.plug_in`). Its figures
are those of the analytic device called `reference`, so that LUTs can be compared to the last digit;
how long it waits is no part of its fingerprint.
"""

import hashlib
import json
import os
import time
from collections.abc import Sequence
from dataclasses import asdict, replace

from hot.devices import Device, DeviceRow, Settings, make_device
from hot.records import MEASURES, Artifact, DeviceInfo, Measurement


class Waiting:
    """The analytic device with the manners of a measured one: one at a time, each in its time."""

    def __init__(self, wait_ms: float = 100.0, log: str = "") -> None:
        """Wait `wait_ms` for each artifact; `log` is a file that gets a line for each."""
        self._inner: Device = make_device("reference")
        self._wait_ms, self._log = wait_ms, log

    def describe(self) -> DeviceInfo:
        """The analytic device under this one's name and kind."""
        return replace(self._inner.describe(), name="waiting", kind=MEASURES)

    def measure(self, artifact: Artifact, settings: Settings) -> Measurement:
        """The estimate, once the wait is over."""
        result = self._inner.measure(artifact, settings)
        time.sleep(self._wait_ms / 1e3)
        if self._log:
            asked = [hashlib.sha256(artifact.path.read_bytes()).hexdigest(), asdict(settings)]
            handle = os.open(self._log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            os.write(handle, json.dumps(asked).encode() + b"\n")
            os.close(handle)
        return result

    def measure_all(self, artifacts: Sequence[Artifact], settings: Settings) -> list[Measurement]:
        """One after the other."""
        return [self.measure(artifact, settings) for artifact in artifacts]


ROW = DeviceRow(Waiting, MEASURES, "waits, for benchmarks of servers")
