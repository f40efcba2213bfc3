"""Connected sockets whose cuts are errors, and flows of datagrams over them."""

from __future__ import annotations

import socket
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

from ._hello import Peer
from .client import AgentClient
from .errors import ConnectionCutError, ErrorCode, WarrenError, truncated

#: The reason of a cut is worth this much delay of its error, in seconds.
_REASON_TIMEOUT = 1.0
#: An end that may be a cut is held back for this long at most, in seconds; then it is a cut.
_VERDICT_TIMEOUT = 10.0

MAX_DATAGRAM_BYTES = 65_507
_CHUNK_BYTES = 65_536
#: Not on every system.
_NO_SIGNAL = getattr(socket, "MSG_NOSIGNAL", 0)


class Witness:
    """What the agent of this host knows of one connection."""

    def __init__(self, client: AgentClient, flow_id: str) -> None:
        self._client = client
        self._flow_id = flow_id

    def cut(self) -> ConnectionCutError:
        """The error of a cut, with its reason if the agent knows it."""
        try:
            end = self._ask(_REASON_TIMEOUT)
        except WarrenError:
            return truncated()
        return truncated(str(end.get("reason", ""))) if end.get("state") == "cut" else truncated()

    def verdict(self) -> ConnectionCutError | None:
        """The error of a cut, for an end that may be one; None if it is none."""
        try:
            end = self._ask(_VERDICT_TIMEOUT)
        except WarrenError as err:
            if err.code in (ErrorCode.UNSUPPORTED, ErrorCode.NOT_FOUND):
                # An agent that is too old for the question.
                return None
            return truncated("its agent does not answer")
        if end.get("state") in ("open", "ended"):
            return None
        return truncated(str(end["reason"]) if end.get("state") == "cut" else "the agent has started again since")

    def reset(self) -> None:
        """Resets the connection, where its socket cannot show it. Never raises."""
        try:
            self._client.call("ResetConnection", {"flowId": self._flow_id}, _REASON_TIMEOUT)
        except WarrenError:
            pass

    def _ask(self, timeout: float) -> dict[str, Any]:
        return self._client.call("GetConnectionEnd", {"flowId": self._flow_id}, timeout)


class MeshSocket(socket.socket):
    """A connected socket of the mesh: a `socket.socket`, with `peer`.

    Each direction has an end of its own: `shutdown(socket.SHUT_WR)` ends this one. A cut raises ConnectionCutError,
    also where the system shows a clean end, as long as this direction is open.
    """

    def __init__(
        self,
        raw: socket.socket,
        peer: Peer,
        witness: Witness,
        explicit_end: bool = False,
        release: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(fileno=raw.detach())
        self.settimeout(None)
        self.peer = peer
        self._witness = witness
        self._is_strict = explicit_end
        self._has_ended = False
        self._saw_end = False
        self._release = weakref.finalize(self, release)
        # At the end of the process the agent sees it anyway.
        self._release.atexit = False

    def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
        try:
            data = super().recv(bufsize, flags)
        except (BrokenPipeError, ConnectionResetError) as err:
            raise self._witness.cut() from err
        if not data and bufsize > 0:
            self._check_end()
        return data

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        try:
            count = super().recv_into(buffer, nbytes, flags)
        except (BrokenPipeError, ConnectionResetError) as err:
            raise self._witness.cut() from err
        if count == 0 and len(buffer) > 0:
            self._check_end()
        return count

    def recvfrom(self, bufsize: int, flags: int = 0, /) -> tuple[bytes, Any]:
        return self.recv(bufsize, flags), None

    def recvfrom_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> tuple[int, Any]:
        return self.recv_into(buffer, nbytes, flags), None

    def recvmsg(self, bufsize: int, ancbufsize: int = 0, flags: int = 0, /) -> tuple[bytes, list[Any], int, Any]:
        try:
            data, ancillary, found, address = super().recvmsg(bufsize, ancbufsize, flags)
        except (BrokenPipeError, ConnectionResetError) as err:
            raise self._witness.cut() from err
        if not data and bufsize > 0:
            self._check_end()
        return data, ancillary, found, address

    def recvmsg_into(self, buffers: Any, ancbufsize: int = 0, flags: int = 0, /) -> tuple[int, list[Any], int, Any]:
        listed = list(buffers)
        try:
            count, ancillary, found, address = super().recvmsg_into(listed, ancbufsize, flags)
        except (BrokenPipeError, ConnectionResetError) as err:
            raise self._witness.cut() from err
        if count == 0 and any(memoryview(each).nbytes > 0 for each in listed):
            self._check_end()
        return count, ancillary, found, address

    def sendmsg(self, *args: Any) -> int:
        try:
            return super().sendmsg(*args)
        except (BrokenPipeError, ConnectionResetError) as err:
            raise self._witness.cut() from err

    def sendfile(self, file: Any, offset: int = 0, count: int | None = None) -> int:
        try:
            return super().sendfile(file, offset, count)
        except ConnectionCutError:
            raise
        except (BrokenPipeError, ConnectionResetError) as err:
            raise self._witness.cut() from err

    def send(self, data: Any, flags: int = 0, /) -> int:
        try:
            return super().send(data, flags)
        except (BrokenPipeError, ConnectionResetError) as err:
            raise self._witness.cut() from err

    def sendall(self, data: Any, flags: int = 0, /) -> None:
        try:
            super().sendall(data, flags)
        except (BrokenPipeError, ConnectionResetError) as err:
            raise self._witness.cut() from err

    def shutdown(self, how: int, /) -> None:
        if how != socket.SHUT_RD:
            self._has_ended = True
        super().shutdown(how)

    def close(self) -> None:
        """Closes it. With `explicit_end`, a connection whose own direction has not ended is reset at the other end."""
        if self.fileno() >= 0 and self._is_strict and self._saw_end and not self._has_ended:
            # The agent has ended its direction, so that it cannot tell a close from an end.
            self._witness.reset()
        super().close()
        self._release()

    # A peer that closed both directions and one that ended only its own look alike to a reader. They differ for a
    # writer: a write of no bytes fails only if no reader exists any more.
    def _check_end(self) -> None:
        if self._saw_end:
            return
        if not self._has_ended:
            try:
                super().send(b"", _NO_SIGNAL)
            except (BrokenPipeError, ConnectionResetError) as err:
                raise self._witness.cut() from err
        elif self._is_strict:
            cut = self._witness.verdict()
            if cut is not None:
                raise cut
        self._saw_end = True


class DatagramParser:
    """Splits a byte stream into datagrams, each after two bytes of its length."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def push(self, chunk: bytes) -> list[bytes]:
        data = self._bytes
        data += chunk
        found: list[bytes] = []
        at = 0
        while len(data) - at >= 2:
            end = at + 2 + int.from_bytes(data[at : at + 2], "big")
            if end > len(data):
                break
            found.append(bytes(data[at + 2 : end]))
            at = end
        del data[:at]
        return found


def frame(payload: bytes) -> bytes:
    """`payload` after its length. Raises MESSAGE_TOO_LARGE above 65,507 bytes."""
    size = len(payload)
    if size > MAX_DATAGRAM_BYTES:
        reason = f"a datagram of {size} bytes exceeds the limit of {MAX_DATAGRAM_BYTES}"
        raise WarrenError(ErrorCode.MESSAGE_TOO_LARGE, reason)
    return size.to_bytes(2, "big") + payload


def flow_cut(err: WarrenError) -> ConnectionCutError:
    _, colon, reason = err.reason.partition(": ")
    return ConnectionCutError(ErrorCode.FLOW_CUT, f"the flow was cut: {reason}" if colon else "the flow was cut")


class MeshDatagramSocket:
    """A flow of datagrams with one other workload.

    Boundaries are kept; order and arrival are not guaranteed. A flow without a datagram for two minutes ends. One
    thread may send while another receives.
    """

    def __init__(self, connected: MeshSocket) -> None:
        self._socket = connected
        self._parser = DatagramParser()
        self._received: list[bytes] = []
        self._sending = threading.Lock()
        self._has_ended = False

    @property
    def peer(self) -> Peer:
        return self._socket.peer

    def send(self, data: bytes) -> bool:
        """Sends one datagram. False if the flow has ended; True guarantees nothing, as with UDP."""
        framed = frame(data)
        with self._sending:
            if self._has_ended or self._socket.fileno() < 0:
                return False
            try:
                self._socket.sendall(framed)
                return True
            except ConnectionCutError:
                return False

    def recv(self, timeout: float | None = None) -> bytes | None:
        """The next datagram; None once the other end sends no more.

        Raises FLOW_CUT if the flow is cut, and TimeoutError if none came within `timeout` seconds.
        """
        while not self._received:
            self._socket.settimeout(timeout)
            try:
                chunk = self._socket.recv(_CHUNK_BYTES)
            except ConnectionCutError as err:
                if self._has_ended:
                    return None
                raise flow_cut(err) from err
            finally:
                if self._socket.fileno() >= 0:
                    self._socket.settimeout(None)
            if not chunk:
                return None
            self._received = self._parser.push(chunk)
        return self._received.pop(0)

    def __iter__(self) -> Iterator[bytes]:
        while (datagram := self.recv()) is not None:
            yield datagram

    def end(self) -> None:
        """Declares that this end sends no more. Answers still arrive; without one for five seconds the flow ends."""
        with self._sending:
            if not self._has_ended and self._socket.fileno() >= 0:
                self._has_ended = True
                try:
                    self._socket.shutdown(socket.SHUT_WR)
                except OSError:
                    # The flow has been cut.
                    pass

    def close(self) -> None:
        """Ends the flow. Idempotent."""
        self.end()
        self._socket.close()

    def __enter__(self) -> MeshDatagramSocket:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
