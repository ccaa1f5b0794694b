"""How often one caller may ask: by a bucket that every request takes from."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable

_MAX_CALLERS = 10_000


class RateLimit:
    """A bucket for every caller, filled at a steady rate; a clock that only goes forward."""

    def __init__(
        self, rate_per_s: float, burst: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Let `burst` requests through at once, and `rate_per_s` after that."""
        self._rate_per_s = rate_per_s
        self._burst = burst
        self._clock = clock
        self._lock = threading.Lock()
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait_s(self, caller: str) -> float:
        """0 where the request may pass, else the seconds until one may."""
        with self._lock:
            now = self._clock()
            level, seen = self._buckets.pop(caller, (self._burst, now))
            level = min(self._burst, level + (now - seen) * self._rate_per_s)
            may_pass = level >= 1.0
            self._buckets[caller] = (level - may_pass, now)
            while len(self._buckets) > _MAX_CALLERS:
                self._buckets.popitem(last=False)
            return 0.0 if may_pass else (1.0 - level) / self._rate_per_s
