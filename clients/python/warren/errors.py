"""Failures: one exception class with stable codes, as docs/errors.md lists them."""

from __future__ import annotations

import enum


class ErrorCode(str, enum.Enum):
    """Stable codes. The agent, the hello of a connection and this library use the same ones."""

    TIMEOUT = "TIMEOUT"
    INVALID_SOURCE = "INVALID_SOURCE"
    DESTINATION_NOT_FOUND = "DESTINATION_NOT_FOUND"
    DESTINATION_UNREACHABLE = "DESTINATION_UNREACHABLE"
    CANNOT_CONNECT = "CANNOT_CONNECT"
    UNAUTHORIZED = "UNAUTHORIZED"
    INVALID_ARGUMENT = "INVALID_ARGUMENT"
    INVALID_OPTION = "INVALID_OPTION"
    INVALID_CONFIG = "INVALID_CONFIG"
    AGENT_NOT_RUNNING = "AGENT_NOT_RUNNING"
    PERMISSION_DENIED = "PERMISSION_DENIED"
    NOT_FOUND = "NOT_FOUND"
    ALREADY_EXISTS = "ALREADY_EXISTS"
    NOT_READY = "NOT_READY"
    PORT_IN_USE = "PORT_IN_USE"
    TOKEN_REFUSED = "TOKEN_REFUSED"
    JOIN_FAILED = "JOIN_FAILED"
    NOT_AUTHORITY = "NOT_AUTHORITY"
    NOT_ADMIN = "NOT_ADMIN"
    SIGNER_NEEDED = "SIGNER_NEEDED"
    ALREADY_INITIALIZED = "ALREADY_INITIALIZED"
    NOT_INITIALIZED = "NOT_INITIALIZED"
    CERTIFICATE_REFUSED = "CERTIFICATE_REFUSED"
    REVOKED = "REVOKED"
    RENEWAL_REFUSED = "RENEWAL_REFUSED"
    CERTIFICATE_EXPIRED = "CERTIFICATE_EXPIRED"
    SIGNATURE_INVALID = "SIGNATURE_INVALID"
    MESSAGE_TOO_LARGE = "MESSAGE_TOO_LARGE"
    MESSAGE_MALFORMED = "MESSAGE_MALFORMED"
    INVARIANT_BROKEN = "INVARIANT_BROKEN"
    LIMIT_EXCEEDED = "LIMIT_EXCEEDED"
    STREAM_TRUNCATED = "STREAM_TRUNCATED"
    FLOW_CUT = "FLOW_CUT"
    STATE_UNUSABLE = "STATE_UNUSABLE"
    PASSPHRASE_WRONG = "PASSPHRASE_WRONG"
    FILE_DAMAGED = "FILE_DAMAGED"
    UNSUPPORTED = "UNSUPPORTED"
    HOOK_FAILED = "HOOK_FAILED"
    INTERNAL = "INTERNAL"

    def __str__(self) -> str:
        return self.value


class WarrenError(Exception):
    """Every failure of this library.

    `code` is stable, `reason` is for people, `hint` says what to do, where that is known.
    """

    def __init__(self, code: ErrorCode, reason: str, hint: str | None = None) -> None:
        super().__init__(f"{code}: {reason}")
        self.code = code
        self.reason = reason
        self.hint = hint


class ConnectionCutError(WarrenError, ConnectionResetError):
    """A connection was cut before its end: STREAM_TRUNCATED, or FLOW_CUT of a flow of datagrams.

    It is a ConnectionResetError, too, so that code which was written for sockets handles it.
    """


def code_of(text: str) -> ErrorCode | None:
    """Returns the code that `text` names; None for one of a later version."""
    try:
        return ErrorCode(text)
    except ValueError:
        return None


def truncated(reason: str | None = None) -> ConnectionCutError:
    text = "the connection was cut before its end"
    return ConnectionCutError(ErrorCode.STREAM_TRUNCATED, text if reason is None else f"{text}: {reason}")
