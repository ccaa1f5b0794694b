"""A small profiling server with a few routes and no database, whose troubles a test can choose."""

import json
import ssl
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from hot.devices import Settings
from hot.records import Artifact, to_document


class SmallServer:
    """Runs `device` by the routes of `hot serve`, each job taking `wait_s`, one at a time.

    Attributes:
        seen: (method, path) of every request that got an answer of its own.
        troubles: what the next requests meet instead of an answer: a status, a pair of status and
            Retry-After, `cut` for a closed connection, or a body that is no JSON.
        refuses: a status that every request to measure gets instead; None for none.
    """

    def __init__(self, device, wait_s=0.0, token="", tls=None):
        self.device, self.wait_s, self.token, self.tls = device, wait_s, token, tls
        self.seen, self.troubles, self.refuses = [], [], None
        self.info = device.describe()
        self.artifacts, self.jobs, self.measured = {}, {}, []
        self.is_open = threading.Event()  # cleared by a test, jobs do not end
        self.is_open.set()
        self._turn, self._lock = threading.Lock(), threading.Lock()
        self._port, self._server = 0, None
        self.start()

    @property
    def url(self):
        scheme = "http" if self.tls is None else "https"
        return f"{scheme}://127.0.0.1:{self._port}/{self.info.name}"

    @property
    def is_alive(self):
        return self._server is not None

    def start(self):
        self._server = _Listener(("127.0.0.1", self._port), _Handler)
        if self.tls is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*self.tls)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._server.owner = self
        self._port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def die(self):
        """Close the port and every connection; jobs under way are lost."""
        server, self._server = self._server, None
        server.is_dead = True
        server.shutdown()
        server.server_close()
        with self._lock:
            self.jobs = {k: j for k, j in self.jobs.items() if j["status"] == "done"}

    def count(self, method, part):
        return sum(m == method and part in path for m, path in self.seen)

    # Routes --------------------------------------------------------------------------------------

    def answer(self, method, path, body):
        """(status, document) of a request."""
        match (method, *path.strip("/").split("/")):
            case ("GET", "v1", "devices"):
                return 200, {"devices": [{"info": to_document(self.info), "key": self.info.key}]}
            case ("PUT", "v1", "artifacts", name):
                if not body.startswith(b"\x08"):  # the first field of an ONNX file
                    return 400, _error("artifact_invalid", "this is no ONNX model")
                self.artifacts[name] = body
                return 201, {"sha256": name}
            case ("POST", "v1", "jobs") if self.refuses is not None:
                return self.refuses, _error("refused", "as the test wants")
            case ("POST", "v1", "jobs"):
                return self._submit(json.loads(body))
            case ("GET", "v1", "jobs", name):
                return self._wait(name)
            case ("POST", "v1", "jobs", name, "cancel"):
                with self._lock:
                    job = self.jobs[name]
                    if job["status"] in ("queued", "running"):
                        job["status"] = "cancelled"
                return 200, job
        return 404, _error("not_found", path)

    def _submit(self, request):
        key = json.dumps({k: v for k, v in request.items() if k != "priority"}, sort_keys=True)
        with self._lock:
            for job in self.jobs.values():
                if job["key"] == key and job["status"] != "cancelled":
                    is_done = job["status"] == "done"
                    return (200 if is_done else 202), {**job, "cached": is_done}
            if request["artifact"] not in self.artifacts:
                return 404, _error("artifact_unknown", "upload it")
            job = {"id": str(len(self.jobs)), "key": key, "status": "queued", "error": None}
            job |= {"device_key": self.info.key, "measurement": None, "request": request}
            self.jobs[job["id"]] = job
        threading.Thread(target=self._run, args=(job, self._server), daemon=True).start()
        return 202, job

    def _run(self, job, server):
        with self._turn:
            if job["status"] != "queued" or _is_dead(server):
                return
            job["status"] = "running"
            time.sleep(self.wait_s)
            self.is_open.wait()
            request = job["request"]
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "model.onnx"
                path.write_bytes(self.artifacts[request["artifact"]])
                shape = tuple(request["input_shape"])
                result = self.device.measure(
                    Artifact(path, request["precision"], shape), Settings(**request["settings"])
                )
            with self._lock:
                if job["status"] == "running" and not _is_dead(server):
                    self.measured.append(request["artifact"])
                    job |= {"status": "done", "measurement": to_document(result)}

    def _wait(self, path):
        name, _, query = path.partition("?")
        end = time.monotonic() + float(query.removeprefix("wait_s=") or 0)
        server = self._server
        while name in self.jobs and self.jobs[name]["status"] in ("queued", "running"):
            if time.monotonic() > end or _is_dead(server):
                break
            time.sleep(0.005)
        if name not in self.jobs:
            return 404, _error("job_unknown", "no such job")
        return 200, self.jobs[name]


def _is_dead(listener):
    return listener is None or listener.is_dead


def _error(code, message):
    return {"error": {"code": code, "message": message}}


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    is_dead = False
    owner: SmallServer

    def handle_error(self, request, client_address):
        """Connections that break are part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def _serve(self):
        owner = self.server.owner
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        trouble = owner.troubles.pop(0) if owner.troubles else None
        if trouble == "cut":
            self.close_connection = True
            return
        if isinstance(trouble, str):
            return self._send(200, trouble.encode())
        if trouble is not None:
            status, after = trouble if isinstance(trouble, tuple) else (trouble, None)
            document = _error("trouble", "as the test wants")
            return self._send(status, json.dumps(document).encode(), after)
        if owner.token and self.headers.get("Authorization") != f"Bearer {owner.token}":
            return self._send(401, json.dumps(_error("token_invalid", "unknown token")).encode())
        owner.seen.append((self.command, self.path))
        status, document = owner.answer(self.command, self.path, body)
        if self.server.is_dead:
            self.close_connection = True
            return
        self._send(status, json.dumps(document).encode())

    do_GET = do_PUT = do_POST = _serve

    def _send(self, status, body, after=None):
        self.send_response(status)
        if after is not None:
            self.send_header("Retry-After", str(after))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format, *args):
        pass
