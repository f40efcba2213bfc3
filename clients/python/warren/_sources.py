"""The registrations that connections of one process come from: one for each address, shared by its connections."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable

from .client import AgentClient
from .errors import ErrorCode, WarrenError
from .registration import Registration, Wait, register

#: Time that a registration outlives its last connection, in seconds: the next connection then starts faster.
_LINGER = 1.0
#: Endpoints remembered for one source. The oldest is removed: asking again costs one call.
_MAX_ENDPOINTS = 1_024


class Source:
    """A registration, with the paths of its endpoints."""

    def __init__(self) -> None:
        self.registration: Registration | None = None
        self.error: BaseException | None = None
        self.ready = threading.Event()
        self.users = 0
        self.linger: threading.Timer | None = None
        self._endpoints: OrderedDict[str, str] = OrderedDict()
        self._lock = threading.Lock()

    def live(self) -> Registration:
        if self.registration is None:
            raise WarrenError(ErrorCode.INVALID_SOURCE, "the source is not registered")
        return self.registration

    def endpoint(self, key: str) -> str | None:
        with self._lock:
            return self._endpoints.get(key)

    def remember(self, key: str, path: str) -> None:
        with self._lock:
            self._endpoints[key] = path
            if len(self._endpoints) > _MAX_ENDPOINTS:
                self._endpoints.popitem(last=False)

    def forget(self, key: str) -> None:
        with self._lock:
            self._endpoints.pop(key, None)


class Sources:
    def __init__(self, client: AgentClient) -> None:
        self._client = client
        self._lock = threading.Lock()
        self._entries: dict[str, Source] = {}

    def acquire(
        self, as_: str, application: str, wait: Wait, timeout: float
    ) -> tuple[Source, Callable[[], None]]:
        """Returns the source of `as_`, made if there is none, and the function that gives it back, once."""
        with self._lock:
            source = self._entries.get(as_)
            # A registration that the agent has ended must not be returned again.
            is_ended = source is not None and source.registration is not None and source.registration.state == "closed"
            if source is None or is_ended:
                source = self._entries[as_] = Source()
                # Others may wait for the same registration, so that it has a thread of its own.
                open_ = threading.Thread(target=self._open, args=(as_, source, application, wait), daemon=True)
                open_.start()
            source.users += 1
            if source.linger is not None:
                source.linger.cancel()
                source.linger = None
        held = source
        is_held = [True]

        def release() -> None:
            with self._lock:
                if not is_held[0]:
                    return
                is_held[0] = False
                held.users -= 1
                if held.users == 0 and self._entries.get(as_) is held:
                    held.linger = threading.Timer(_LINGER, self._end, (as_, held))
                    held.linger.daemon = True
                    held.linger.start()

        if not source.ready.wait(timeout):
            release()
            raise WarrenError(ErrorCode.TIMEOUT, f"{as_} was not registered in time")
        if source.error is not None:
            release()
            raise source.error
        return source, release

    def _open(self, as_: str, source: Source, application: str, wait: Wait) -> None:
        try:
            source.registration = register(as_, application=application, wait=wait, client=self._client)
        except BaseException as err:
            source.error = err
            with self._lock:
                if self._entries.get(as_) is source:
                    del self._entries[as_]
        source.ready.set()

    def _end(self, as_: str, source: Source) -> None:
        with self._lock:
            if source.users > 0 or self._entries.get(as_) is not source:
                return
            del self._entries[as_]
        if source.registration is not None:
            source.registration.close()


_lock = threading.Lock()


def _after_fork() -> None:
    # A thread of the parent may have held it, which does not exist in the child.
    global _lock
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_after_fork)


def sources_of(client: AgentClient) -> Sources:
    with _lock:
        if client.sources is None:
            client.sources = Sources(client)
        sources: Sources = client.sources
        return sources
