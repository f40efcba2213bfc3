"""Where the sockets of the agent are."""

from __future__ import annotations

import os
import re
import pwd
import stat

from .errors import ErrorCode, WarrenError

SYSTEM_DIR = "/run/warren"
_LITERAL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")


def fallback_dir() -> str:
    """The runtime directory of a user for whom nothing names another; everybody may make it."""
    return f"/tmp/warren-{os.getuid()}"


def runtime_dir() -> str:
    """The runtime directory of an agent that runs as this user, whether it runs or not."""
    named = os.environ.get("WARREN_RUNTIME_DIR")
    if named:
        return named
    if os.getuid() == 0:
        return SYSTEM_DIR
    xdg = os.environ.get("XDG_RUNTIME_DIR")
    return os.path.join(xdg, "warren") if xdg else fallback_dir()


def agent_dir() -> str:
    """The runtime directory of the agent to use: this user's, or the system's if only that one has an agent."""
    own = runtime_dir()
    if os.environ.get("WARREN_RUNTIME_DIR"):
        return own
    if own == fallback_dir():
        try:
            found = os.lstat(own)
        except FileNotFoundError:
            return _or_system(own)
        if found.st_uid != os.getuid() or not stat.S_ISDIR(found.st_mode):
            raise WarrenError(
                ErrorCode.PERMISSION_DENIED,
                f"{own} was not made by this user",
                "Set WARREN_RUNTIME_DIR to the runtime directory of the agent.",
            )
    return own if os.path.exists(os.path.join(own, "agent.sock")) else _or_system(own)


def _or_system(own: str) -> str:
    return SYSTEM_DIR if os.path.exists(os.path.join(SYSTEM_DIR, "agent.sock")) else own


def default_source(destination: str) -> str:
    """The address as which this user connects by default: `<scope of the destination>.user.<user name>.default`."""
    scope = destination.split(".", 1)[0]
    if not _LITERAL.fullmatch(scope):
        raise WarrenError(
            ErrorCode.INVALID_ARGUMENT,
            f'the scope of "{destination[:80]}" is not one name',
            'Give the address to connect as, for example as_="dev.shop.cart.default".',
        )
    try:
        name = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        # The uid has no entry in the user database, as in many containers.
        name = ""
    safe = re.sub(r"[^A-Za-z0-9_-]", "-", name).lstrip("_-")[:63] or f"uid-{os.getuid()}"
    return f"{scope}.user.{safe}.default"
