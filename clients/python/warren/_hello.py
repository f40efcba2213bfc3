"""The frame with which the agent begins a connection: who is at the other end, or why there is nobody."""

from __future__ import annotations

import dataclasses
import socket
import time
from collections.abc import Iterator

from .errors import ErrorCode, WarrenError, code_of, truncated

MAX_HELLO_BYTES = 16_384
_LENGTH_BYTES = 4


@dataclasses.dataclass(frozen=True)
class Peer:
    """The workload at the other end of a connection, as the agents have verified it."""

    spiffe_id: str
    #: Five components.
    address: str
    #: Names the flow in the logs of both agents.
    flow_id: str


def read_hello(connected: socket.socket, timeout: float | None) -> Peer:
    """Reads the hello of `connected` and leaves later bytes unread. For programs that bind `listen_path` themselves.

    Raises the error that the frame carries, STREAM_TRUNCATED if the connection ends before it, or TIMEOUT. Close the
    socket then.
    """
    peer = decode_hello(_read_frame(connected, timeout))
    if peer is None:
        raise WarrenError(ErrorCode.MESSAGE_MALFORMED, "a probe where a connection was expected")
    return peer


def frame_length(header: bytes | bytearray) -> int:
    """Length of the frame after its first four bytes."""
    length = int.from_bytes(header, "big")
    if length > MAX_HELLO_BYTES:
        raise WarrenError(ErrorCode.MESSAGE_TOO_LARGE, f"a hello of {length} bytes exceeds {MAX_HELLO_BYTES}")
    return length


def decode_hello(frame: bytes) -> Peer | None:
    """Decodes a warren.proxy.v1.FlowHello; None if it is a health check. Raises the error that it carries."""
    fields = dict(_fields(frame))
    error = fields.get(3)
    if isinstance(error, bytes):
        detail = dict(_fields(error))
        code = code_of(_text(detail.get(1)))
        raise WarrenError(code or ErrorCode.CANNOT_CONNECT, _text(detail.get(2)))
    if fields.get(4):
        return None
    spiffe_id = _text(fields.get(2))
    # The agent has verified the identity; this only changes its form.
    return Peer(spiffe_id, ".".join(spiffe_id.split("/")[3:]), _text(fields.get(1)))


def _read_frame(connected: socket.socket, timeout: float | None) -> bytes:
    deadline = None if timeout is None else time.monotonic() + timeout
    try:
        header = _read_exactly(connected, _LENGTH_BYTES, deadline)
        return _read_exactly(connected, frame_length(header), deadline)
    except TimeoutError as err:
        raise WarrenError(ErrorCode.TIMEOUT, "no hello from the agent in time") from err
    except (ConnectionResetError, BrokenPipeError) as err:
        raise truncated() from err


def _read_exactly(connected: socket.socket, size: int, deadline: float | None) -> bytes:
    parts = bytearray()
    while len(parts) < size:
        if deadline is not None:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            connected.settimeout(left)
        chunk = connected.recv(size - len(parts))
        if not chunk:
            raise truncated()
        parts += chunk
    return bytes(parts)


def _text(value: int | bytes | None) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else ""


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The fields of a protobuf message; those of a later version are among them."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        kind = tag & 7
        if kind == 0:
            value, at = _varint(message, at)
            yield tag >> 3, value
            continue
        if kind == 2:
            size, at = _varint(message, at)
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
        else:
            raise _malformed()
        if at + size > len(message):
            raise _malformed()
        yield tag >> 3, message[at : at + size]
        at += size


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(message):
            break
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise _malformed()


def _malformed() -> WarrenError:
    return WarrenError(ErrorCode.MESSAGE_MALFORMED, "the hello of the agent cannot be decoded")
