"""The commands of the profiling server: `hot serve`, `hot token`."""

import json
import os
import signal
import threading
from pathlib import Path
from types import FrameType
from typing import Any

import click

from hot.errors import DeviceError, InputError

_PATH = click.Path(path_type=Path)
_NEEDED = "fastapi", "uvicorn", "prometheus_client", "starlette"

_json = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")


@click.command()
@click.option(
    "--device", "devices", multiple=True, required=True, help="NAME or NAME?option=value; repeat."
)
@click.option(
    "--store", default="hot-server.db", show_default=True, help="Database: SQLite file or URL."
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=8765, show_default=True)
@click.option(
    "--tokens", type=_PATH, help="File of tokens, see hot token; without it, this machine alone."
)
@click.option("--certificate", type=_PATH, help="PEM file; with --key, TLS alone is spoken.")
@click.option("--key", type=_PATH, help="PEM file of the certificate's key.")
@click.option("--name", default="hot", show_default=True, help="Of this server, for people.")
@click.option("--machine", help="Servers of one name take turns at measuring. [the host's name]")
@click.option("--luts", type=_PATH, help="Folder of LUTs that the pages show.")
@click.option("--runs", type=_PATH, help="Folder of runs that the pages show.")
@click.option(
    "--workers",
    "n_workers",
    type=click.IntRange(1),
    help="Estimates and compilations at a time. [cores - 1]",
)
@click.option(
    "--job-time-limit",
    "job_time_limit_s",
    type=click.FloatRange(0.1),
    default=600.0,
    show_default=True,
    help="Seconds after which a job's worker is killed.",
)
@click.option(
    "--worker-memory", default="4GiB", show_default=True, help="That a job may take, or none."
)
@click.option("--max-artifact", default="128MiB", show_default=True, help="Largest model.")
@click.option(
    "--rate",
    "rate_per_s",
    type=click.FloatRange(0.1),
    default=500.0,
    show_default=True,
    help="Requests a second of one token; twice as many at once.",
)
@_json
def serve(worker_memory: str, max_artifact: str, as_json: bool, **settings: Any) -> None:
    """Measure and estimate for others: the profiling server, on the machine of the device.

    Example: hot serve --device cpu --store jobs.db --tokens tokens.yaml
    """
    from hot.server import ServerConfig
    from hot.units import parse_quantity

    is_limited = worker_memory != "none"
    memory = int(parse_quantity(worker_memory, "memory", "--worker-memory")) if is_limited else None
    config = ServerConfig(
        worker_memory_bytes=memory,
        max_artifact_bytes=int(parse_quantity(max_artifact, "memory", "--max-artifact")),
        cores=_leave_last_core(),
        **settings,
    )
    try:
        import uvicorn

        from hot.server.app import create_app
        from hot.server.logs import log_as_json
        from hot.server.service import Service
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in _NEEDED:
            raise
        raise DeviceError(
            f"hot serve needs {error.name}, which is not installed: pip install 'hot[server]'"
        ) from error
    service = Service(config)
    options = uvicorn.Config(
        create_app(config, service),
        host=config.host,
        port=config.port,
        ssl_certfile=config.certificate,
        ssl_keyfile=config.key,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ws="none",
        timeout_keep_alive=75,
        timeout_graceful_shutdown=10,
    )
    _check_certificate(options)
    service.start()
    log_as_json()
    try:
        _run(uvicorn.Server(options), service, as_json)
    finally:
        service.stop()


@click.command()
@click.argument("name")
@click.option(
    "--role",
    type=click.Choice(["read", "measure", "admin"]),
    default="measure",
    show_default=True,
    help="Each may do what those before it may.",
)
@click.option(
    "--days", type=click.FloatRange(0, min_open=True), help="Until it expires; else never."
)
@click.option("--tokens", type=_PATH, required=True, help="File that keeps its digest.")
@_json
def token(name: str, role: str, days: float | None, tokens: Path, as_json: bool) -> None:
    """Make a token for hot serve; it is shown once. One of the same name is replaced.

    Example: hot token laptop --role measure --days 90 --tokens tokens.yaml
    """
    from hot.server.auth import add_token

    made = add_token(tokens, name, role, days)
    click.echo(json.dumps({"name": name, "role": role, "token": made}) if as_json else made)


def _leave_last_core() -> tuple[int, ...]:
    """Keep this process off the core that measurements prefer; returns those of its workers."""
    if not hasattr(os, "sched_getaffinity"):
        return ()
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) > 1:
        os.sched_setaffinity(0, cores[:-1])
    return tuple(cores)


def _check_certificate(options: Any) -> None:
    try:
        options.load()
    except OSError as error:  # ssl's errors are its children
        raise InputError(
            f"cannot use the certificate {options.ssl_certfile} with the key "
            f"{options.ssl_keyfile}: {error}; give two PEM files that belong together"
        ) from error


def _tell(service: Any, as_json: bool) -> None:
    from hot.server.config import LOOPBACK

    config = service.config
    scheme = "http" if config.certificate is None else "https"
    url = f"{scheme}://{config.host}:{config.port}"
    if as_json:
        click.echo(json.dumps({"url": url, "devices": sorted(service.scheduler.infos)}))
    click.echo(f"serving {', '.join(sorted(service.scheduler.infos))} on {url}", err=True)
    if config.tokens is None:
        click.echo("no tokens: whoever is on this machine may do everything", err=True)
    elif config.certificate is None and config.host not in LOOPBACK:
        click.echo("no certificate: tokens and models travel in the clear", err=True)


def _run(server: Any, service: Any, as_json: bool) -> None:
    """Serve until SIGTERM or SIGINT; then those who wait are answered, and jobs given back."""
    ending = threading.Event()

    def end(number: int, frame: FrameType | None) -> None:
        ending.set()

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGINT)}
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while thread.is_alive() and not server.started and not ending.wait(0.05):
            pass
        if server.started:
            _tell(service, as_json)
        while thread.is_alive() and not ending.wait(0.2):
            pass
        service.is_stopping = True
        server.should_exit = True
        thread.join()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if not server.started:
        raise DeviceError(
            f"cannot listen on {server.config.host}:{server.config.port}; choose another --port"
        )
