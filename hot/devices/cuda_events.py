"""CUDA's own clock: events on a stream, through NVIDIA's driver."""

import ctypes
from collections.abc import Callable
from typing import Any

from hot.errors import DeviceError

_NON_BLOCKING = 1  # the stream does not wait for the default one
_Handle = ctypes.c_void_p


class Stopwatch:
    """A stream of one GPU, and the time that the GPU itself takes for what is launched on it.

    Source: CUDA Driver API, "Stream Management" and "Event Management"; events have a resolution of
    about half a microsecond.
    """

    def __init__(self, driver: Any, gpu: int) -> None:
        """Make the stream and two events in the context that the runtime's libraries share.

        Raises:
            DeviceError: the driver refuses, for example because another process has the GPU alone.
        """
        self._driver = driver
        for name, kinds in _SIGNATURES.items():
            getattr(driver, name).argtypes = kinds
        device, context = ctypes.c_int(), _Handle()
        self._stream, self._start, self._end = _Handle(), _Handle(), _Handle()
        self._call("cuDeviceGet", ctypes.byref(device), gpu)
        self._call("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
        self._call("cuCtxSetCurrent", context)
        self._call("cuStreamCreate", ctypes.byref(self._stream), _NON_BLOCKING)
        for event in (self._start, self._end):
            self._call("cuEventCreate", ctypes.byref(event), 0)

    @property
    def stream(self) -> int:
        """The address of the stream, as runtimes take one."""
        return self._stream.value or 0

    def time_ms(self, launch: Callable[[], object]) -> float:
        """The milliseconds from before to after what `launch` puts on the stream."""
        elapsed = ctypes.c_float()
        self._call("cuEventRecord", self._start, self._stream)
        launch()
        self._call("cuEventRecord", self._end, self._stream)
        self._call("cuEventSynchronize", self._end)
        self._call("cuEventElapsedTime", ctypes.byref(elapsed), self._start, self._end)
        return elapsed.value

    def _call(self, name: str, *arguments: object) -> None:
        code = getattr(self._driver, name)(*arguments)
        if code:
            text = ctypes.c_char_p()
            self._driver.cuGetErrorString(code, ctypes.byref(text))
            raise DeviceError(f"CUDA's {name}: {(text.value or b'error').decode()} ({code})")


_Int = ctypes.c_int
_Out = ctypes.POINTER(_Handle)
_SIGNATURES = {
    "cuDeviceGet": (ctypes.POINTER(_Int), _Int),
    "cuDevicePrimaryCtxRetain": (_Out, _Int),
    "cuCtxSetCurrent": (_Handle,),
    "cuStreamCreate": (_Out, ctypes.c_uint),
    "cuEventCreate": (_Out, ctypes.c_uint),
    "cuEventRecord": (_Handle, _Handle),
    "cuEventSynchronize": (_Handle,),
    "cuEventElapsedTime": (ctypes.POINTER(ctypes.c_float), _Handle, _Handle),
    "cuGetErrorString": (_Int, ctypes.POINTER(ctypes.c_char_p)),
}
