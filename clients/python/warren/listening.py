"""Registering an address and taking its connections."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import queue
import selectors
import socket
import stat
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

from ._hello import Peer, decode_hello, frame_length
from .client import AgentClient
from .errors import ErrorCode, WarrenError
from .registration import (
    HealthCheck,
    ListenTarget,
    Protocol,
    Registration,
    RegistrationEnd,
    Wait,
    register,
)
from .sockets import MeshDatagramSocket, MeshSocket, Witness

_log = logging.getLogger("warren")
_HELLO_TIMEOUT = 10.0
_BACKLOG = 511

Deliver = Callable[[socket.socket, Peer], None]


class Acceptor:
    """Accepts on one unix socket, reads the hello of each connection, and answers health checks, in a thread."""

    def __init__(self, path: str, deliver: Deliver) -> None:
        self._deliver = deliver
        self._path = path
        self._listener = _bind_own(path)
        self._identity = _identity(path)
        self._listener.setblocking(False)
        self._wake, self._woken = socket.socketpair()
        self._pending: dict[socket.socket, tuple[bytearray, float]] = {}
        self._thread = threading.Thread(target=self._run, name="warren-accept", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Accepts no more and removes the path."""
        try:
            self._wake.send(b"x")
        except OSError:
            pass
        if self._thread is not threading.current_thread():
            self._thread.join()

    def _run(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._listener, selectors.EVENT_READ)
            selector.register(self._woken, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select(1.0 if self._pending else None):
                    if key.fileobj is self._woken:
                        self._end()
                        return
                    if key.fileobj is self._listener:
                        self._accept(selector)
                    elif isinstance(key.fileobj, socket.socket):
                        self._read(selector, key.fileobj)
                now = time.monotonic()
                for late in [each for each, (_, deadline) in self._pending.items() if deadline < now]:
                    self._drop(selector, late)
                    late.close()

    def _end(self) -> None:
        self._listener.close()
        # Another acceptor may have bound the path since.
        if _identity(self._path) == self._identity:
            os.unlink(self._path)
        for each in (self._wake, self._woken, *self._pending):
            each.close()

    def _accept(self, selector: selectors.BaseSelector) -> None:
        try:
            accepted, _ = self._listener.accept()
        except OSError as err:
            if err.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                # The connection stays in the backlog; without a pause this thread would spin.
                _log.warning("cannot accept a connection: %s", err)
                time.sleep(0.1)
            return
        accepted.setblocking(False)
        self._pending[accepted] = (bytearray(), time.monotonic() + _HELLO_TIMEOUT)
        selector.register(accepted, selectors.EVENT_READ)

    def _read(self, selector: selectors.BaseSelector, pending: socket.socket) -> None:
        data, _ = self._pending[pending]
        try:
            # Never more than the hello: what follows belongs to the program.
            wanted = 4 if len(data) < 4 else 4 + frame_length(data[:4])
            chunk = pending.recv(wanted - len(data))
            if not chunk:
                raise ConnectionResetError
            data += chunk
            if len(data) < 4 or len(data) < 4 + frame_length(data[:4]):
                return
            peer = decode_hello(bytes(data[4:]))
        except BlockingIOError:
            return
        except (OSError, WarrenError) as err:
            _log.debug("connection without a usable hello: %s", err)
            self._drop(selector, pending)
            pending.close()
            return
        self._drop(selector, pending)
        if peer is None:
            # The end is the answer to the health check.
            pending.close()
            return
        pending.settimeout(None)
        self._deliver(pending, peer)

    def _drop(self, selector: selectors.BaseSelector, pending: socket.socket) -> None:
        selector.unregister(pending)
        del self._pending[pending]


class ServerCore:
    """A registration with a listening target, bound again after each restart of the agent."""

    def __init__(self, deliver: Deliver) -> None:
        self._deliver = deliver
        self._acceptor: Acceptor | None = None
        self._lock = threading.Lock()
        self._registration: Registration | None = None

    @property
    def registration(self) -> Registration:
        if self._registration is None:
            raise WarrenError(ErrorCode.INVALID_SOURCE, "the server is not registered")
        return self._registration

    def start(
        self,
        address: str,
        protocol: Protocol,
        whitelist: Sequence[str],
        labels: Mapping[str, str] | None,
        wait: Wait,
        health_check: HealthCheck,
        max_connects: int,
        dns_names: Sequence[str],
        application: str,
        client: AgentClient | None,
    ) -> None:
        self._registration = register(
            address,
            target=ListenTarget(hello=True, protocol=protocol, answers_probes=True),
            whitelist=whitelist,
            labels=labels,
            wait=wait,
            health_check=health_check,
            max_connects=max_connects,
            dns_names=dns_names,
            application=application,
            on_live=self._bind,
            client=client,
        )

    def wait_closed(self, timeout: float | None = None) -> RegistrationEnd | None:
        end = self.registration.wait_closed(timeout)
        if end is not None:
            self._unbind()
        return end

    def close(self) -> None:
        if self._registration is not None:
            self._registration.close()
        self._unbind()

    def _bind(self, registration: Registration) -> None:
        # An agent that restarted may return the same path again: it must be free before it is bound.
        self._unbind()
        with self._lock:
            self._acceptor = Acceptor(registration.listen_path, self._deliver)

    def _unbind(self) -> None:
        with self._lock:
            if self._acceptor is not None:
                self._acceptor.close()
                self._acceptor = None


class MeshServer:
    """A registered address whose connections arrive here. Iterate over it, or call `accept` or `serve`."""

    def __init__(self) -> None:
        self._arrived: queue.SimpleQueue[tuple[socket.socket, Peer] | None] = queue.SimpleQueue()
        self._core = ServerCore(lambda raw, peer: self._arrived.put((raw, peer)))

    @property
    def address(self) -> str:
        """The address that others connect to, with five components."""
        return self.registration.address

    @property
    def spiffe_id(self) -> str:
        return self.registration.spiffe_id

    @property
    def registration(self) -> Registration:
        return self._core.registration

    def accept(self, timeout: float | None = None) -> MeshSocket:
        """The next connection.

        Raises TimeoutError after `timeout` seconds, and the reason of its end once it accepts no more.
        """
        raw, peer = self._next(timeout)
        return MeshSocket(raw, peer, Witness(self.registration.client, peer.flow_id))

    def __iter__(self) -> Iterator[MeshSocket]:
        """The connections, until `close`. Raises the reason if the agent ends the registration."""
        while True:
            try:
                yield self.accept()
            except WarrenError:
                end = self.registration.end
                if end is None or end.error is not None:
                    raise
                return

    def serve(self, handler: Callable[[MeshSocket], None]) -> None:
        """Calls `handler` with each connection, in a thread of its own, and closes it afterwards. Until `close`."""

        def run(connection: MeshSocket) -> None:
            with connection:
                try:
                    handler(connection)
                except ConnectionError as err:
                    _log.debug("connection of %s: %s", connection.peer.address, err)

        for connection in self:
            threading.Thread(target=run, args=(connection,), name="warren-serve", daemon=True).start()

    def wait_closed(self, timeout: float | None = None) -> RegistrationEnd | None:
        """Waits until it accepts no more: it was closed, or the agent ended its registration."""
        return self._core.wait_closed(timeout)

    def close(self) -> None:
        """Deregisters, removes the socket and accepts no more; the agent ends open connections. Idempotent."""
        self._core.close()
        self._arrived.put(None)

    def __enter__(self) -> MeshServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _next(self, timeout: float | None) -> tuple[socket.socket, Peer]:
        try:
            arrived = self._arrived.get(timeout=timeout)
        except queue.Empty:
            raise TimeoutError("no connection in time") from None
        if arrived is not None:
            return arrived
        # For the other threads that wait.
        self._arrived.put(None)
        end = self.registration.end
        raise (end and end.error) or WarrenError(ErrorCode.INVALID_SOURCE, "the server is closed")

    def _watch(self) -> None:
        def wait() -> None:
            self._core.wait_closed()
            self._arrived.put(None)

        threading.Thread(target=wait, name="warren-end", daemon=True).start()


class MeshDatagramServer(MeshServer):
    """Same as MeshServer, for flows of datagrams: one for each client."""

    def accept(self, timeout: float | None = None) -> MeshDatagramSocket:  # type: ignore[override]
        raw, peer = self._next(timeout)
        return MeshDatagramSocket(MeshSocket(raw, peer, Witness(self.registration.client, peer.flow_id)))


def listen(
    address: str,
    *,
    whitelist: Sequence[str] = (),
    labels: Mapping[str, str] | None = None,
    wait: Wait = "all",
    health_check: HealthCheck = "auto",
    max_connects: int = 0,
    dns_names: Sequence[str] = (),
    application: str = "",
    client: AgentClient | None = None,
) -> MeshServer:
    """Registers `address` (four components) and takes its connections, each with its verified peer.

    After a restart of the agent it registers and binds again automatically. Raises as `register`, and CANNOT_CONNECT
    if the path from the agent cannot be bound.
    """
    server = MeshServer()
    server._core.start(address, "tcp", whitelist, labels, wait, health_check, max_connects, dns_names, application, client)
    server._watch()
    return server


def listen_datagram(
    address: str,
    *,
    whitelist: Sequence[str] = (),
    labels: Mapping[str, str] | None = None,
    wait: Wait = "all",
    health_check: HealthCheck = "auto",
    max_connects: int = 0,
    dns_names: Sequence[str] = (),
    application: str = "",
    client: AgentClient | None = None,
) -> MeshDatagramServer:
    """Same as `listen`, for flows of datagrams."""
    server = MeshDatagramServer()
    server._core.start(address, "udp", whitelist, labels, wait, health_check, max_connects, dns_names, application, client)
    server._watch()
    return server


def _bind_own(path: str) -> socket.socket:
    """Listens on `path` so that only this uid (and root) can connect. Replaces the socket of an earlier registration."""
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        found = None
    except OSError as err:
        raise _cannot_bind(path, err) from err
    if found is not None and not stat.S_ISSOCK(found.st_mode):
        raise WarrenError(ErrorCode.CANNOT_CONNECT, f"{path} exists and is not a socket")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if found is not None:
            os.unlink(path)
        with contextlib.suppress(OSError):
            # The mode of the file, on Linux; elsewhere it fails, and the directory and `chmod` protect it.
            os.fchmod(listener.fileno(), 0o600)
        listener.bind(path)
        os.chmod(path, 0o600)
        listener.listen(_BACKLOG)
        return listener
    except OSError as err:
        listener.close()
        raise _cannot_bind(path, err) from err


def _cannot_bind(path: str, err: OSError) -> WarrenError:
    code = errno.errorcode.get(err.errno or 0, str(err))
    hint = None
    if err.errno in (errno.EROFS, errno.ENOENT, errno.EACCES):
        directory = os.path.dirname(path)
        hint = f"In a container, mount {directory} writable under the same path, or use warren expose --unix."
    return WarrenError(ErrorCode.CANNOT_CONNECT, f"cannot bind {path}: {code}", hint)


def _identity(path: str) -> tuple[int, int] | None:
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return (found.st_dev, found.st_ino)
