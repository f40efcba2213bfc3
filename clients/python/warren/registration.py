"""A registered address, kept until it is closed, also across restarts of the agent."""

from __future__ import annotations

import dataclasses
import logging
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from ._dial import ForeignDirectoryError
from .client import AgentClient, Stream, shared_client
from .errors import ErrorCode, WarrenError

Wait = Literal["all", "quorum", "local"]
Protocol = Literal["tcp", "udp"]
# Also "http:/PATH" and "grpc:SERVICE", which no literal can say.
HealthCheck = Literal["auto", "off", "connect", "http", "grpc"] | str
State = Literal["live", "lost", "closed"]

_log = logging.getLogger("warren")
_FIRST_RETRY = 0.1
_MAX_RETRY = 5.0
#: An agent that hangs must not keep its clients from ending.
_DEREGISTER_TIMEOUT = 10.0
#: Reason that an agent sends when it stops: it may be about to start again.
_AGENT_STOPPED = "agent stopped"
#: For so long after its program was replaced, what an agent lost is asked for again with the same token.
_KEPT = 10.0


@dataclasses.dataclass(frozen=True)
class ListenTarget:
    """The program binds a unix socket at `listen_path`."""

    #: Begins each connection with a hello, which `read_hello` reads.
    hello: bool = False
    #: With `udp`, each connection carries datagrams, each after two bytes of its length.
    protocol: Protocol = "tcp"
    #: With hello: the program ends a connection whose hello is a health check.
    answers_probes: bool = False

    def _to_json(self) -> dict[str, Any]:
        protocol = _protocol(self.protocol)
        return {"listen": {"hello": self.hello, "protocol": protocol, "answersProbes": self.answers_probes}}


@dataclasses.dataclass(frozen=True)
class TcpTarget:
    """A server on `host:port` of this host."""

    address: str
    #: Begins each connection with a PROXY protocol v2 header.
    proxy_protocol: bool = False
    #: The user whose server may have the port, by name or uid; `any`: no check.
    server_user: str = ""

    def _to_json(self) -> dict[str, Any]:
        return {"tcp": self.address, "proxyProtocol": self.proxy_protocol, "serverUser": self.server_user}


@dataclasses.dataclass(frozen=True)
class UdpTarget:
    """A UDP server on `host:port` of this host."""

    address: str
    server_user: str = ""

    def _to_json(self) -> dict[str, Any]:
        return {"udp": self.address, "serverUser": self.server_user}


@dataclasses.dataclass(frozen=True)
class UnixTarget:
    """A server of this user on a unix socket."""

    path: str
    proxy_protocol: bool = False

    def _to_json(self) -> dict[str, Any]:
        return {"unix": self.path, "proxyProtocol": self.proxy_protocol}


Target = ListenTarget | TcpTarget | UdpTarget | UnixTarget


@dataclasses.dataclass(frozen=True)
class Replication:
    """How far a registration has spread."""

    #: `replicated` or `partial`.
    state: str
    acked: int
    required: int
    #: Machines that did not answer in time.
    missing: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class RegistrationEnd:
    """Reason why a registration ended; `error` is None if `close` was called."""

    reason: str
    error: WarrenError | None = None


class Registration:
    """An address that this process holds until it is closed or the agent no longer grants it.

    While the agent is away it is `lost`, and made again as soon as the agent answers. `registration_id`, `token` and
    `listen_path` change then, unless the agent has kept it: its program was replaced.
    """

    def __init__(
        self,
        client: AgentClient,
        request: dict[str, Any],
        on_live: Callable[[Registration], None] | None,
        on_problem: Callable[[Registration], None] | None,
    ) -> None:
        self.client = client
        self._request = request
        self._on_live = on_live
        self._on_problem = on_problem
        self._changed = threading.Condition()
        self._held: dict[str, Any] = {}
        self._problem = ""
        self._state: State = "lost"
        self._end: RegistrationEnd | None = None
        self._stopping = threading.Event()
        self._stream: Stream | None = None
        self._retry = _FIRST_RETRY
        self._may_be_kept = False
        self._kept_at = -_KEPT
        self._closing = threading.Lock()
        self._undo: Callable[[], None] = lambda: None
        self._thread: threading.Thread | None = None

    @property
    def address(self) -> str:
        """Five components."""
        return str(self._held.get("address", ""))

    @property
    def spiffe_id(self) -> str:
        return str(self._held.get("spiffeId", ""))

    @property
    def registration_id(self) -> str:
        return str(self._held.get("registrationId", ""))

    @property
    def token(self) -> str:
        """Secret: a process of this user that knows it can act as this registration."""
        return str(self._held.get("token", ""))

    @property
    def listen_path(self) -> str:
        """Path to bind, if the target is a ListenTarget; else empty."""
        return str(self._held.get("listenPath", ""))

    @property
    def replication(self) -> Replication | None:
        return _replication(self._held)

    @property
    def problem(self) -> str:
        """Why connections are refused, as last heard: another user has the port. Empty if nothing is known."""
        return self._problem

    @property
    def state(self) -> State:
        return self._state

    @property
    def end(self) -> RegistrationEnd | None:
        """Why it ended; None before."""
        return self._end

    def wait_closed(self, timeout: float | None = None) -> RegistrationEnd | None:
        """Waits until it has ended; None if it has not within `timeout` seconds."""
        with self._changed:
            self._changed.wait_for(lambda: self._end is not None, timeout)
            return self._end

    def wait_renewed(self, stale: str, timeout: float) -> bool:
        """Waits until it is live with another token than `stale`, or was kept; False after `timeout` seconds."""
        with self._changed:
            self._changed.wait_for(lambda: self._end is not None or self._is_renewed(stale), timeout)
            return self._is_renewed(stale)

    def _is_renewed(self, stale: str) -> bool:
        was_kept = time.monotonic() - self._kept_at < _KEPT
        return self._state == "live" and (self.token != stale or was_kept)

    def close(self) -> Replication | None:
        """Deregisters: locally at once, then everywhere. Idempotent, never raises."""
        replication = None
        with self._closing:
            if not self._stopping.is_set():
                self._stopping.set()
                replication = self._deregister()
            if self._stream is not None:
                self._stream.close()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            # It may wait for an agent that hangs.
            thread.join(_DEREGISTER_TIMEOUT)
        self._finish(RegistrationEnd("closed"))
        return replication

    def __enter__(self) -> Registration:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start(self) -> None:
        try:
            self._enrol()
        except BaseException:
            self.close()
            raise
        self._undo = self.client.on_close(self.close)
        self._thread = threading.Thread(target=self._run, name="warren-keep", daemon=True)
        self._thread.start()

    # Before the end of the Keep stream, which would end the registration without a report of replication.
    def _deregister(self) -> Replication | None:
        if self._state != "live":
            return None
        call = {"token": self.token, "wait": self._request.get("wait", "WAIT_ALL")}
        try:
            return _replication(self.client.call("Deregister", call, _DEREGISTER_TIMEOUT))
        except WarrenError:
            # It has ended already, or ends with the stream.
            return None

    def _enrol(self) -> None:
        response = self.client.call("Register", self._request)
        if not self._held:
            self._problem = str(response.get("problem", ""))
        self._held = response
        self._become("live")
        if self._on_live is not None:
            self._on_live(self)

    def _run(self) -> None:
        while True:
            reason = self._keep()
            if self._stopping.is_set():
                return
            if reason is not None and reason != _AGENT_STOPPED:
                error = WarrenError(ErrorCode.INVALID_SOURCE, f"the agent ended the registration: {reason}")
                self._finish(RegistrationEnd(reason, error))
                return
            self._become("lost")
            _log.warning("registration %s lost, registering again", self.address)
            # An agent whose program was replaced still has it.
            self._may_be_kept = reason is None
            if not self._recover():
                return

    def _keep(self) -> str | None:
        """Follows the Keep stream to its end. Returns the reason of the agent, if it gave one."""
        try:
            stream = self.client.stream("Keep", {"token": self.token})
            with self._closing:
                self._stream = stream
                if self._stopping.is_set():
                    stream.close()
            for event in stream:
                if "ended" in event:
                    return str(event["ended"].get("reason", ""))
                self._retry = _FIRST_RETRY
                self._note(event.get("alive", {}).get("problem"))
        except WarrenError as err:
            _log.debug("Keep of %s ended: %s", self.address, err)
        return None

    def _recover(self) -> bool:
        """Registers again until it succeeds; returns False if that will never be."""
        while True:
            if self._stopping.wait(self._retry * (0.5 + random.random() / 2)):
                return False
            self._retry = min(self._retry * 2, _MAX_RETRY)
            try:
                if self._may_be_kept and self._is_still_there():
                    return True
                self._enrol()
                return True
            except WarrenError as err:
                self._become("lost")
                if self._stopping.is_set():
                    return False
                if _is_final(err):
                    self._finish(RegistrationEnd(err.reason, err))
                    return False
                _log.debug("cannot register %s again yet: %s", self.address, err)
            except Exception:
                # A failure of `on_live`.
                self._become("lost")
                _log.exception("cannot register %s again yet", self.address)

    def _is_still_there(self) -> bool:
        """Whether the agent that answers now has it: then it is live. Raises while no agent answers."""
        try:
            self.client.call("Heartbeat", {"token": self.token})
        except WarrenError as err:
            if err.code in (ErrorCode.AGENT_NOT_RUNNING, ErrorCode.NOT_READY):
                raise
            # Whatever else it answers: the next registration says more.
            self._may_be_kept = False
            return False
        self._kept_at = time.monotonic()
        self._become("live")
        _log.info("registration %s kept", self.address)
        return True

    def _note(self, problem: str | None) -> None:
        if problem is None or problem == self._problem:
            return
        self._problem = problem
        if self._on_problem is not None:
            self._on_problem(self)

    def _become(self, state: State) -> None:
        with self._changed:
            if self._state != "closed":
                self._state = state
            self._changed.notify_all()

    def _finish(self, end: RegistrationEnd) -> None:
        self._undo()
        with self._changed:
            if self._end is None:
                self._end = end
        self._become("closed")


def register(
    address: str,
    *,
    target: Target | None = None,
    whitelist: Sequence[str] = (),
    labels: Mapping[str, str] | None = None,
    wait: Wait = "all",
    health_check: HealthCheck = "auto",
    max_connects: int = 0,
    dns_names: Sequence[str] = (),
    owner_pid: int = 0,
    for_user: bool = False,
    application: str = "",
    on_live: Callable[[Registration], None] | None = None,
    on_problem: Callable[[Registration], None] | None = None,
    client: AgentClient | None = None,
) -> Registration:
    """Registers `address` (four components; the agent appends its machine) and keeps it until it is closed.

    Without a target it only connects. `dns_names` are for its certificates on `spiffe.sock`, and an entry must name each.
    `on_live` is called after each successful registration, the first one and those
    after a restart of the agent; `on_problem` when `problem` has changed. Both run in a thread of the library.
    Raises the agent's answer to the first attempt.
    """
    request: dict[str, Any] = {
        "address": address,
        "whitelist": list(whitelist),
        "labels": dict(labels or {}),
        "wait": f"WAIT_{wait.upper()}",
        "ownerPid": owner_pid,
        "forUser": for_user,
        "application": application,
        "maxConnects": max_connects,
    }
    # An agent that knows no such names refuses the field.
    if dns_names:
        request["dnsNames"] = list(dns_names)
    if health_check != "auto":
        kind, _, subject = health_check.partition(":")
        request["healthCheck"] = f"HEALTH_CHECK_{kind.upper()}"
        request["healthCheckSubject"] = subject
    if target is not None:
        request["target"] = target._to_json()
    registration = Registration(client or shared_client(), request, on_live, on_problem)
    registration._start()
    return registration


def _protocol(protocol: Protocol) -> str:
    return "PROTOCOL_UDP" if protocol == "udp" else "PROTOCOL_TCP"


def _replication(answer: dict[str, Any]) -> Replication | None:
    found = answer.get("replication")
    if not isinstance(found, dict):
        return None
    return Replication(
        str(found.get("state", "")),
        int(found.get("acked", 0)),
        int(found.get("required", 0)),
        tuple(str(each) for each in found.get("missing", [])),
    )


def _is_final(err: WarrenError) -> bool:
    """Whether a retry cannot change this answer; the others come from an agent that is away, starting or busy."""
    if err.code in (ErrorCode.INVALID_ARGUMENT, ErrorCode.UNAUTHORIZED, ErrorCode.UNSUPPORTED):
        return True
    # A starting agent opens its socket to others only after binding it; and its directory may be given back.
    is_of_system = isinstance(err, ForeignDirectoryError) or isinstance(err.__cause__, OSError)
    return err.code == ErrorCode.PERMISSION_DENIED and not is_of_system


def wait_for_agent(client: AgentClient | None = None, timeout: float = 60.0) -> None:
    """Waits until the agent answers and is ready. Raises AGENT_NOT_RUNNING or NOT_READY after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while True:
        try:
            if (client or shared_client()).call("GetStatus", {}, 5.0).get("state") in ("ready", "draining"):
                return
            last = WarrenError(ErrorCode.NOT_READY, "the agent is not ready")
        except WarrenError as err:
            if err.code not in (ErrorCode.AGENT_NOT_RUNNING, ErrorCode.NOT_READY, ErrorCode.TIMEOUT):
                raise
            last = err
        if time.monotonic() >= deadline:
            raise last
        time.sleep(_FIRST_RETRY)
