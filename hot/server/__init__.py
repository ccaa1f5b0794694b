"""The profiling server: models come in over HTTP, measurements go out, a database keeps all."""

from importlib import import_module
from typing import Any

from hot.server.config import ServerConfig

# FastAPI is loaded with the first use; the worker processes of this room do without.
_HOME = {"create_app": "hot.server.app", "Service": "hot.server.service"}

__all__ = ["ServerConfig", "Service", "create_app"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'hot.server' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
