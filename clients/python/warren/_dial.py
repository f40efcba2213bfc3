"""Connecting to sockets of the agent, and to no other user's."""

from __future__ import annotations

import os
import socket
import stat
import threading
import time

from ._runtime_dir import fallback_dir
from .errors import ErrorCode, WarrenError

_MAX_ATTEMPTS = 3
_FULL_PAUSE = 0.005
_HINT = (
    "Another user may answer there in the name of the agent. Restart the agent; or set WARREN_RUNTIME_DIR to its "
    "runtime directory and restart this program."
)

_first_owners: dict[str, int] = {}
_lock = threading.Lock()


def _after_fork() -> None:
    # A thread of the parent may have held it, which does not exist in the child.
    global _lock
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_after_fork)


class ForeignDirectoryError(WarrenError):
    """The runtime directory is another user's now. That can change: its agent may come back."""

    def __init__(self, path: str, why: str) -> None:
        super().__init__(ErrorCode.PERMISSION_DENIED, f"{path} {why}", _HINT)


def dial_agent(path: str, runtime_dir: str, timeout: float | None) -> socket.socket:
    """Connects to `path`, a socket that the agent of `runtime_dir` made.

    Raises PERMISSION_DENIED if another user may have made it: if its directory or the runtime directory can be written
    by others, or belongs neither to this user, nor to root, nor to the user who had it when this process first
    connected there. The files are compared before and after. Raises the system's error otherwise.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    for _ in range(_MAX_ATTEMPTS):
        before = _inspect(path, runtime_dir)
        dialled = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            dialled.settimeout(timeout)
            _connect(dialled, path, deadline)
            if _inspect(path, runtime_dir) == before:
                return dialled
        except BaseException:
            dialled.close()
            raise
        dialled.close()
    raise ForeignDirectoryError(path, "is replaced by another file again and again")


def _connect(dialled: socket.socket, path: str, deadline: float | None) -> None:
    while True:
        try:
            dialled.connect(path)
            return
        except BlockingIOError as err:
            # So many connect at once that the agent has yet to accept others.
            if deadline is not None and time.monotonic() >= deadline:
                raise TimeoutError from err
            time.sleep(_FULL_PAUSE)


def _inspect(path: str, runtime_dir: str) -> tuple[tuple[int, ...], ...]:
    directories = dict.fromkeys((runtime_dir, os.path.dirname(path)))
    found = os.stat(path)
    return (*(_inspect_directory(each, runtime_dir) for each in directories), (found.st_dev, found.st_ino))


def _inspect_directory(directory: str, runtime_dir: str) -> tuple[int, ...]:
    entry = os.lstat(directory)
    is_link = stat.S_ISLNK(entry.st_mode)
    # A link to a directory, if an operator named it; both must be of the right user.
    target = os.stat(directory) if is_link else entry
    is_fallback = runtime_dir == fallback_dir()
    if is_fallback and is_link:
        raise ForeignDirectoryError(directory, "is a link")
    with _lock:
        first = None if is_fallback else _first_owners.setdefault(runtime_dir, target.st_uid)
    for uid in (entry.st_uid, target.st_uid):
        if uid not in (0, os.getuid(), first):
            raise ForeignDirectoryError(directory, f"belongs to uid {uid}, who is not the user of the agent")
    if target.st_mode & 0o022:
        raise ForeignDirectoryError(directory, "can be written by others")
    return (entry.st_dev, entry.st_ino, target.st_dev, target.st_ino)
