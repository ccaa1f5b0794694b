"""CUDA graphs and CUDA's own clock on one stream, through NVIDIA's driver."""

import ctypes
from collections.abc import Callable
from typing import Any

from hot.errors import DeviceError

LAUNCHES = 2  # of the work, each time that it is timed
_NON_BLOCKING = 1  # the stream does not wait for the default one
_RELAXED = 2  # a runtime may take memory while its work is captured
_Int, _Handle = ctypes.c_int, ctypes.c_void_p
_Out = ctypes.POINTER(_Handle)
_SIGNATURES = {
    "cuDeviceGet": (ctypes.POINTER(_Int), _Int),
    "cuDevicePrimaryCtxRetain": (_Out, _Int),
    "cuCtxSetCurrent": (_Handle,),
    "cuStreamCreate": (_Out, ctypes.c_uint),
    "cuStreamSynchronize": (_Handle,),
    "cuStreamBeginCapture_v2": (_Handle, _Int),
    "cuStreamEndCapture": (_Handle, _Out),
    "cuGraphInstantiateWithFlags": (_Out, _Handle, ctypes.c_ulonglong),
    "cuGraphLaunch": (_Handle, _Handle),
    "cuEventCreate": (_Out, ctypes.c_uint),
    "cuEventRecord": (_Handle, _Handle),
    "cuEventSynchronize": (_Handle,),
    "cuEventElapsedTime": (ctypes.POINTER(ctypes.c_float), _Handle, _Handle),
    "cuGetErrorString": (_Int, ctypes.POINTER(ctypes.c_char_p)),
}


class Stream:
    """A stream of one GPU in the context that the runtime's libraries share.

    References:
        CUDA Driver API: Stream Management, Graph Management, Event Management.
    """

    def __init__(self, driver: Any, gpu: int) -> None:
        """Make the stream and two events, for the thread that calls.

        Raises:
            DeviceError: the driver refuses, for example because another process has the GPU alone.
        """
        self._driver = driver
        for name, kinds in _SIGNATURES.items():
            getattr(driver, name).argtypes = kinds
        device, context = _Int(), _Handle()
        self._stream, self._start, self._end = _Handle(), _Handle(), _Handle()
        self._call("cuDeviceGet", ctypes.byref(device), gpu)
        self._call("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
        self._call("cuCtxSetCurrent", context)
        self._call("cuStreamCreate", ctypes.byref(self._stream), _NON_BLOCKING)
        for event in (self._start, self._end):
            self._call("cuEventCreate", ctypes.byref(event), 0)

    @property
    def address(self) -> int:
        """The stream as runtimes take one."""
        return self._stream.value or 0

    def capture(self, work: Callable[[], object]) -> Callable[[], None]:
        """What launches all that `work` puts on the stream, as one graph."""
        graph, executable = _Handle(), _Handle()
        self._call("cuStreamSynchronize", self._stream)
        self._call("cuStreamBeginCapture_v2", self._stream, _RELAXED)
        try:
            work()
        finally:
            self._call("cuStreamEndCapture", self._stream, ctypes.byref(graph))
        self._call("cuGraphInstantiateWithFlags", ctypes.byref(executable), graph, 0)
        return lambda: self._call("cuGraphLaunch", executable, self._stream)

    def time_ms(self, launch: Callable[[], object]) -> float:
        """The milliseconds that the GPU itself takes for what `launch` puts on the stream.

        It is launched twice: while the GPU works on the first, the second is queued behind it, so
        that the time of this machine for launching does not count.
        """
        elapsed = ctypes.c_float()
        for _ in range(LAUNCHES - 1):
            launch()
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
