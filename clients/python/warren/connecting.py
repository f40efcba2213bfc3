"""Connecting to an address of the mesh."""

from __future__ import annotations

import errno
import http.client
import socket
import time
from collections.abc import Callable
from typing import Literal

from ._dial import dial_agent
from ._hello import Peer, read_hello
from ._runtime_dir import default_source
from ._sources import Source, sources_of
from .client import AgentClient, shared_client
from .errors import ErrorCode, WarrenError
from .registration import Protocol, Wait
from .sockets import MeshDatagramSocket, MeshSocket, Witness

Strategy = Literal["balanced", "spread", "first", "sticky", "exact"]

TIMEOUT = 15.0
#: Time for a token that the agent no longer knows to be replaced, in seconds.
_RENEWAL = 2.0
#: A remembered endpoint that no longer exists and a stale token may each cost one more attempt.
_MAX_ATTEMPTS = 3


def connect(
    destination: str,
    *,
    as_: str | None = None,
    strategy: Strategy = "balanced",
    explicit_end: bool = False,
    timeout: float = TIMEOUT,
    application: str = "",
    wait: Wait = "local",
    client: AgentClient | None = None,
) -> MeshSocket:
    """Connects to an instance of `destination`: an address, or a pattern such as `dev.web.{nginx,caddy}.*`.

    `as_` is the address to connect as, registered for as long as it has connections; by default it is
    `<scope of the destination>.user.<user name>.default`. `timeout` is for all of it, in seconds. With `explicit_end`
    only a shutdown ends this direction: a socket that is closed before, or whose process ends, is reset at the other
    end, and every end is verified with the agent.

    Raises TIMEOUT, INVALID_SOURCE, DESTINATION_NOT_FOUND, DESTINATION_UNREACHABLE, CANNOT_CONNECT, UNAUTHORIZED,
    INVALID_ARGUMENT or AGENT_NOT_RUNNING.
    """
    chosen = client or shared_client()
    request = OpenRequest(destination, "tcp", strategy, explicit_end)
    raw, peer, release = open_connection(chosen, request, as_, application, wait, timeout)
    return MeshSocket(raw, peer, Witness(chosen, peer.flow_id), explicit_end, release)


def connect_datagram(
    destination: str,
    *,
    as_: str | None = None,
    strategy: Strategy = "balanced",
    timeout: float = TIMEOUT,
    application: str = "",
    wait: Wait = "local",
    client: AgentClient | None = None,
) -> MeshDatagramSocket:
    """Same as `connect`, for a flow of datagrams."""
    chosen = client or shared_client()
    request = OpenRequest(destination, "udp", strategy, False)
    raw, peer, release = open_connection(chosen, request, as_, application, wait, timeout)
    return MeshDatagramSocket(MeshSocket(raw, peer, Witness(chosen, peer.flow_id), False, release))


class OpenRequest:
    """What a connection is asked for."""

    def __init__(self, destination: str, protocol: Protocol, strategy: Strategy, explicit_end: bool) -> None:
        self.destination = destination
        self.call = {
            "destination": destination,
            "protocol": f"PROTOCOL_{protocol.upper()}",
            "strategy": f"STRATEGY_{strategy.upper()}",
            "hello": True,
            "explicitEnd": explicit_end,
        }
        # Endpoints differ by all of these.
        self.key = f"{protocol}:{strategy}:{explicit_end}:{destination}"


Opened = tuple[socket.socket, Peer, Callable[[], None]]


def open_connection(
    client: AgentClient, request: OpenRequest, as_: str | None, application: str, wait: Wait, timeout: float
) -> Opened:
    """The connected socket after its hello, its peer, and the function that gives its source back."""
    deadline = time.monotonic() + timeout
    address = default_source(request.destination) if as_ is None else as_
    source, release = sources_of(client).acquire(address, application, wait, timeout)
    try:
        raw, peer = _attempt(client, source, request, deadline)
        return raw, peer, release
    except BaseException as err:
        release()
        if isinstance(err, WarrenError) and time.monotonic() >= deadline:
            reason = f"{request.destination} did not answer within {timeout} s"
            raise WarrenError(ErrorCode.TIMEOUT, reason) from err
        raise


def _attempt(client: AgentClient, source: Source, request: OpenRequest, deadline: float) -> tuple[socket.socket, Peer]:
    attempts = 0
    while True:
        attempts += 1
        token = source.live().token
        known = source.endpoint(request.key)
        try:
            path = known if known is not None else _prepare(client, source, token, request, deadline)
            return _open(path, client, deadline)
        except WarrenError as err:
            source.forget(request.key)
            left = deadline - time.monotonic()
            if attempts == _MAX_ATTEMPTS or left <= 0:
                raise
            if known is not None and _is_gone(err):
                continue
            if err.code == ErrorCode.INVALID_SOURCE and source.live().wait_renewed(token, min(_RENEWAL, left)):
                continue
            if err.code != ErrorCode.STREAM_TRUNCATED:
                raise
            reason = "the agent closed the connection without a reason"
            raise WarrenError(ErrorCode.CANNOT_CONNECT, reason) from err


def _prepare(client: AgentClient, source: Source, token: str, request: OpenRequest, deadline: float) -> str:
    """Asks the agent for an endpoint, which performs all checks up to the other end."""
    path = str(client.call("Connect", {"token": token, **request.call}, deadline - time.monotonic())["path"])
    source.remember(request.key, path)
    return path


def _open(path: str, client: AgentClient, deadline: float) -> tuple[socket.socket, Peer]:
    left = max(deadline - time.monotonic(), 0.001)
    try:
        dialled = dial_agent(path, client.runtime_dir, left)
    except PermissionError as err:
        raise WarrenError(ErrorCode.PERMISSION_DENIED, "the endpoint belongs to another user") from err
    except TimeoutError as err:
        raise WarrenError(ErrorCode.TIMEOUT, "the endpoint does not answer in time") from err
    except OSError as err:
        name = errno.errorcode.get(err.errno or 0, str(err))
        raise WarrenError(ErrorCode.CANNOT_CONNECT, f"the endpoint does not answer: {name}") from err
    try:
        return dialled, read_hello(dialled, max(deadline - time.monotonic(), 0.001))
    except BaseException:
        dialled.close()
        raise


def _is_gone(err: WarrenError) -> bool:
    """Whether the endpoint was removed, or its agent restarted or ended before the hello."""
    if err.code in (ErrorCode.STREAM_TRUNCATED, ErrorCode.INVALID_SOURCE):
        return True
    cause = err.__cause__
    gone = (errno.ENOENT, errno.ECONNREFUSED, errno.ECONNRESET)
    return isinstance(cause, OSError) and cause.errno in gone


class MeshHTTPConnection(http.client.HTTPConnection):
    """An `http.client.HTTPConnection` through the mesh: its host is the destination.

    conn = MeshHTTPConnection("dev.web.site.default", as_="dev.shop.cart.default")
    """

    def __init__(
        self, destination: str, *, as_: str | None = None, timeout: float = TIMEOUT, client: AgentClient | None = None
    ) -> None:
        super().__init__(destination, timeout=timeout)
        self._destination = destination
        self._as = as_
        self._client = client
        self._connect_timeout = timeout

    def connect(self) -> None:
        self.sock = connect(self._destination, as_=self._as, timeout=self._connect_timeout, client=self._client)
        self.sock.settimeout(self.timeout)
