"""The local API of one agent: JSON over HTTP/1.1 on its unix socket, in the Connect protocol."""

from __future__ import annotations

import errno
import http.client
import json
import os
import socket
import struct
import threading
import urllib.parse
from collections.abc import Callable, Iterator
from typing import Any

from ._dial import dial_agent
from ._runtime_dir import agent_dir
from .errors import ErrorCode, WarrenError, code_of

_SERVICE = "/warren.api.v1.WorkloadService/"
_CALL_TIMEOUT = 60.0
_MAX_ANSWER_BYTES = 64 * 1024 * 1024
_END_STREAM = 2
_ENVELOPE = struct.Struct(">BI")

_CODES = {
    "deadline_exceeded": ErrorCode.TIMEOUT,
    "invalid_argument": ErrorCode.INVALID_ARGUMENT,
    "resource_exhausted": ErrorCode.LIMIT_EXCEEDED,
    "unimplemented": ErrorCode.UNSUPPORTED,
    # The agent ended during the call.
    "unavailable": ErrorCode.AGENT_NOT_RUNNING,
    "aborted": ErrorCode.AGENT_NOT_RUNNING,
    "canceled": ErrorCode.AGENT_NOT_RUNNING,
}


class AgentClient:
    """The calls of one agent, and the registrations and connections that were made with it.

    `close` ends its registrations. Calls raise WarrenError: AGENT_NOT_RUNNING if no agent listens or it ends,
    PERMISSION_DENIED if the socket is another user's, else the agent's error. Safe for use by several threads.
    """

    def __init__(self, runtime_dir: str | None = None) -> None:
        self.runtime_dir = agent_dir() if runtime_dir is None else runtime_dir
        self.path = os.path.join(self.runtime_dir, "agent.sock")
        self._closers: set[Callable[[], object]] = set()
        self._lock = threading.Lock()
        #: The registrations that connections of this client share.
        self.sources: Any = None

    def call(self, method: str, request: dict[str, Any], timeout: float | None = None) -> dict[str, Any]:
        """One call of warren.api.v1.WorkloadService, with its messages as JSON. `timeout` is in seconds."""
        limit = _CALL_TIMEOUT if timeout is None else max(timeout, 0.001)
        headers = {"content-type": "application/json", "connect-timeout-ms": str(max(1, int(limit * 1000)))}
        connection = _Connection(self, limit)
        try:
            connection.request("POST", _SERVICE + method, json.dumps(request).encode(), headers)
            response = connection.getresponse()
            body = response.read(_MAX_ANSWER_BYTES + 1)
            if response.status == 200 and len(body) <= _MAX_ANSWER_BYTES:
                answer: dict[str, Any] = json.loads(body)
                return answer
            raise _failure(body, lambda name: response.headers.get(name))
        except (OSError, http.client.HTTPException, ValueError) as err:
            raise _transport_error(err, self.path) from err
        finally:
            connection.close()

    def stream(self, method: str, request: dict[str, Any]) -> Stream:
        """A call that is answered by a stream of messages. Iterate over it; `close` ends it, also from another thread."""
        return Stream(self, method, request)

    def on_close(self, closer: Callable[[], object]) -> Callable[[], None]:
        """Makes `close` call `closer` first. The returned function undoes that."""
        with self._lock:
            self._closers.add(closer)

        def undo() -> None:
            with self._lock:
                self._closers.discard(closer)

        return undo

    def close(self) -> None:
        """Ends the registrations of this client. Idempotent."""
        with self._lock:
            closers = list(self._closers)
            self._closers.clear()
        for closer in closers:
            closer()

    def __enter__(self) -> AgentClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Stream:
    """The answers of one call, as they arrive."""

    def __init__(self, client: AgentClient, method: str, request: dict[str, Any]) -> None:
        self._path = client.path
        self._connection = _Connection(client, _CALL_TIMEOUT)
        self._is_closed = False
        body = json.dumps(request).encode()
        try:
            self._connection.request(
                "POST",
                _SERVICE + method,
                _ENVELOPE.pack(0, len(body)) + body,
                {"content-type": "application/connect+json"},
            )
            # The socket itself, since a response without an end takes it from the connection.
            self._socket: socket.socket | None = self._connection.sock
        except (OSError, http.client.HTTPException) as err:
            self._connection.close()
            raise _transport_error(err, self._path) from err

    def __iter__(self) -> Iterator[dict[str, Any]]:
        try:
            # The headers come with the first answer.
            response = self._connection.getresponse()
            if response.status != 200:
                raise _failure(response.read(_MAX_ANSWER_BYTES), lambda name: response.headers.get(name))
            if self._socket is not None:
                self._socket.settimeout(None)
            while True:
                header = response.read(_ENVELOPE.size)
                if len(header) < _ENVELOPE.size:
                    raise http.client.IncompleteRead(header)
                flags, size = _ENVELOPE.unpack(header)
                if size > _MAX_ANSWER_BYTES:
                    raise WarrenError(ErrorCode.MESSAGE_TOO_LARGE, f"an answer of {size} bytes")
                message = response.read(size)
                if len(message) < size:
                    raise http.client.IncompleteRead(message)
                if flags & _END_STREAM:
                    _raise_end(message)
                    return
                yield json.loads(message)
        except (OSError, http.client.HTTPException, ValueError) as err:
            raise _transport_error(err, self._path) from err
        finally:
            self._connection.close()

    def close(self) -> None:
        self._is_closed = True
        try:
            # Wakes the thread that reads.
            if self._socket is not None:
                self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


class _Connection(http.client.HTTPConnection):
    """One call. The agent bounds connections, so that none is kept that nobody uses."""

    def __init__(self, client: AgentClient, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._client = client

    def connect(self) -> None:
        self.sock = dial_agent(self._client.path, self._client.runtime_dir, self.timeout)


def _raise_end(message: bytes) -> None:
    end = json.loads(message)
    if not isinstance(end.get("error"), dict):
        return
    metadata = {str(name).lower(): values for name, values in end.get("metadata", {}).items()}

    def header(name: str) -> str | None:
        values = metadata.get(name)
        return str(values[0]) if values else None

    raise _failure(json.dumps(end["error"]).encode(), header)


def _failure(body: bytes, header: Callable[[str], str | None]) -> WarrenError:
    try:
        parsed = json.loads(body)
    except ValueError:
        parsed = {}
    error = parsed if isinstance(parsed, dict) else {}
    message = str(error.get("message", "the agent refused the call"))
    code = code_of(header("warren-error") or "")
    if code is None:
        return WarrenError(_CODES.get(str(error.get("code")), ErrorCode.INTERNAL), message)
    reason = header("warren-reason")
    hint = header("warren-hint")
    return WarrenError(
        code,
        message if reason is None else urllib.parse.unquote(reason),
        None if hint is None else urllib.parse.unquote(hint),
    )


def _transport_error(err: Exception, path: str) -> WarrenError:
    code = err.errno if isinstance(err, OSError) else None
    if code in (errno.ENOENT, errno.ENOTDIR, errno.ECONNREFUSED):
        return WarrenError(
            ErrorCode.AGENT_NOT_RUNNING,
            f"no agent answers on {path}",
            "Start it with `warren up`, or give its runtime directory with WARREN_RUNTIME_DIR.",
        )
    if code in (errno.EACCES, errno.EPERM):
        return WarrenError(ErrorCode.PERMISSION_DENIED, f"this user may not use {path}")
    if isinstance(err, TimeoutError):
        return WarrenError(ErrorCode.TIMEOUT, f"no answer from the agent on {path} in time")
    if isinstance(err, (ConnectionError, http.client.HTTPException)):
        return WarrenError(ErrorCode.AGENT_NOT_RUNNING, f"the agent on {path} ended during the call")
    return WarrenError(ErrorCode.INTERNAL, f"the call on {path} failed: {err}")


_shared: dict[str, AgentClient] = {}
_shared_lock = threading.Lock()


def shared_client(runtime_dir: str | None = None) -> AgentClient:
    """The client of this process for one agent: the same one each time."""
    directory = agent_dir() if runtime_dir is None else runtime_dir
    with _shared_lock:
        found = _shared.get(directory)
        if found is None:
            found = _shared[directory] = AgentClient(directory)
        return found


def _after_fork() -> None:
    # The threads that keep the registrations, and the one that may have held the lock, are the parent's.
    global _shared_lock
    _shared_lock = threading.Lock()
    _shared.clear()


os.register_at_fork(after_in_child=_after_fork)
