"""The same for asyncio. Bytes of connections never leave the event loop; calls to the agent run in threads."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import threading
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any, TypeVar

from ._hello import Peer
from .client import AgentClient, shared_client
from .connecting import TIMEOUT, OpenRequest, Opened, Strategy, open_connection
from .errors import ConnectionCutError
from .listening import ServerCore
from .registration import (
    HealthCheck,
    Protocol,
    Registration,
    RegistrationEnd,
    Target,
    Wait,
)
from .registration import register as register_blocking
from .sockets import DatagramParser, Witness, flow_cut, frame

T = TypeVar("T")

_CHUNK_BYTES = 65_536
_LIMIT_BYTES = 256 * 1024
#: Reads in a row that find bytes and leave the other tasks no turn.
_READS_IN_A_ROW = 16
#: What is written ahead, so that the agent finds bytes whenever it reads: with 64 KB an echo took a fifth longer.
_WRITE_HIGH_BYTES = 1024 * 1024
_WRITE_LOW_BYTES = 256 * 1024
#: Bytes of datagrams that may wait for an agent that does not read at the moment.
_WAITING_BYTES = 4 * 1024 * 1024


class MeshStream:
    """A connection: a StreamReader and a StreamWriter, with `peer`.

    `writer.write_eof()` ends this direction. A cut raises ConnectionCutError at the reader, also where the system shows
    a clean end, as long as this direction is open.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, peer: Peer, end: _End) -> None:
        self.reader = reader
        self.writer = writer
        self.peer = peer
        self._end = end

    async def close(self) -> None:
        """Closes it. With `explicit_end`, a connection whose own direction has not ended is reset at the other end."""
        await self._end.before_close()
        self.writer.close()
        try:
            await self.writer.wait_closed()
        except ConnectionError:
            pass

    async def __aenter__(self) -> MeshStream:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


class MeshDatagrams:
    """A flow of datagrams with one other workload."""

    def __init__(self, stream: MeshStream) -> None:
        self._stream = stream
        self._parser = DatagramParser()
        self._received: deque[bytes] = deque()

    @property
    def peer(self) -> Peer:
        return self._stream.peer

    def send(self, data: bytes) -> bool:
        """Sends one datagram. False if it was dropped: the agent takes no more now, or the flow has ended."""
        framed = frame(data)
        transport = self._stream.writer.transport
        if transport.is_closing() or self._stream._end.has_ended or transport.get_write_buffer_size() > _WAITING_BYTES:
            return False
        self._stream.writer.write(framed)
        return True

    async def recv(self) -> bytes | None:
        """The next datagram; None once the other end sends no more. Raises FLOW_CUT if the flow is cut."""
        while not self._received:
            try:
                chunk = await self._stream.reader.read(_CHUNK_BYTES)
            except ConnectionCutError as err:
                if self._stream._end.has_ended:
                    return None
                raise flow_cut(err) from err
            if not chunk:
                return None
            self._received.extend(self._parser.push(chunk))
        return self._received.popleft()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while (datagram := await self.recv()) is not None:
            yield datagram

    def end(self) -> None:
        """Declares that this end sends no more."""
        if not self._stream._end.has_ended and not self._stream.writer.transport.is_closing():
            self._stream.writer.write_eof()

    async def close(self) -> None:
        """Ends the flow once all sent datagrams have left. Idempotent."""
        self.end()
        await self._stream.close()

    async def __aenter__(self) -> MeshDatagrams:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


async def connect(
    destination: str,
    *,
    as_: str | None = None,
    strategy: Strategy = "balanced",
    explicit_end: bool = False,
    timeout: float = TIMEOUT,
    application: str = "",
    wait: Wait = "local",
    client: AgentClient | None = None,
) -> MeshStream:
    """As `warren.connect`. A cancelled attempt is closed as soon as it has succeeded or failed."""
    request = OpenRequest(destination, "tcp", strategy, explicit_end)
    return await _connect(request, as_, application, wait, timeout, client or shared_client(), explicit_end)


async def connect_datagram(
    destination: str,
    *,
    as_: str | None = None,
    strategy: Strategy = "balanced",
    timeout: float = TIMEOUT,
    application: str = "",
    wait: Wait = "local",
    client: AgentClient | None = None,
) -> MeshDatagrams:
    """As `warren.connect_datagram`."""
    request = OpenRequest(destination, "udp", strategy, False)
    return MeshDatagrams(await _connect(request, as_, application, wait, timeout, client or shared_client(), False))


async def register(
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
    client: AgentClient | None = None,
) -> AsyncRegistration:
    """As `warren.register`."""

    def run() -> Registration:
        return register_blocking(
            address,
            target=target,
            whitelist=whitelist,
            labels=labels,
            wait=wait,
            health_check=health_check,
            max_connects=max_connects,
            dns_names=dns_names,
            owner_pid=owner_pid,
            for_user=for_user,
            application=application,
            client=client,
        )

    return AsyncRegistration(await _in_thread(run, discard=lambda late: late.close()))


class AsyncRegistration:
    """A Registration, whose waiting calls are coroutines."""

    def __init__(self, registration: Registration) -> None:
        #: Its state, address and token.
        self.registration = registration

    @property
    def address(self) -> str:
        return self.registration.address

    async def wait_closed(self) -> RegistrationEnd:
        end = await _in_thread(self.registration.wait_closed)
        return end or RegistrationEnd("closed")

    async def close(self) -> None:
        await _in_thread(self.registration.close)

    async def __aenter__(self) -> AsyncRegistration:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


class AsyncServer:
    """A registered address whose connections go to a handler, each in a task of its own."""

    def __init__(self, serve: Callable[[socket.socket, Peer, AgentClient], Coroutine[Any, Any, None]]) -> None:
        self._serve = serve
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._core = ServerCore(self._deliver)

    @property
    def registration(self) -> Registration:
        return self._core.registration

    @property
    def address(self) -> str:
        return self.registration.address

    async def wait_closed(self) -> RegistrationEnd:
        """Waits until it accepts no more: it was closed, or the agent ended its registration."""
        end = await _in_thread(self._core.wait_closed)
        return end or RegistrationEnd("closed")

    async def close(self) -> None:
        """Deregisters and accepts no more; the agent ends open connections. Idempotent."""
        await _in_thread(self._core.close)

    async def __aenter__(self) -> AsyncServer:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    # In the thread of the acceptor.
    def _deliver(self, raw: socket.socket, peer: Peer) -> None:
        try:
            self._loop.call_soon_threadsafe(self._begin, raw, peer)
        except RuntimeError:
            # The loop has ended.
            raw.close()

    def _begin(self, raw: socket.socket, peer: Peer) -> None:
        # The first connection may come before `register` has returned.
        task = self._loop.create_task(self._serve(raw, peer, self._client))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    _client: AgentClient


async def listen(
    address: str,
    handler: Callable[[MeshStream], Awaitable[None]],
    *,
    whitelist: Sequence[str] = (),
    labels: Mapping[str, str] | None = None,
    wait: Wait = "all",
    health_check: HealthCheck = "auto",
    max_connects: int = 0,
    dns_names: Sequence[str] = (),
    application: str = "",
    client: AgentClient | None = None,
) -> AsyncServer:
    """Registers `address` and calls `handler` with each connection, which is closed when the handler returns."""

    async def serve(raw: socket.socket, peer: Peer, used: AgentClient) -> None:
        async with await _stream(raw, peer, used, False, lambda: None) as stream:
            try:
                await handler(stream)
            except ConnectionCutError:
                pass

    chosen = client or shared_client()
    return await _listen(
        serve, address, "tcp", whitelist, labels, wait, health_check, max_connects, dns_names, application, chosen
    )


async def listen_datagram(
    address: str,
    handler: Callable[[MeshDatagrams], Awaitable[None]],
    *,
    whitelist: Sequence[str] = (),
    labels: Mapping[str, str] | None = None,
    wait: Wait = "all",
    health_check: HealthCheck = "auto",
    max_connects: int = 0,
    dns_names: Sequence[str] = (),
    application: str = "",
    client: AgentClient | None = None,
) -> AsyncServer:
    """Same as `listen`, for flows of datagrams."""

    async def serve(raw: socket.socket, peer: Peer, used: AgentClient) -> None:
        async with MeshDatagrams(await _stream(raw, peer, used, False, lambda: None)) as flow:
            try:
                await handler(flow)
            except ConnectionCutError:
                pass

    chosen = client or shared_client()
    return await _listen(
        serve, address, "udp", whitelist, labels, wait, health_check, max_connects, dns_names, application, chosen
    )


async def _listen(
    serve: Callable[[socket.socket, Peer, AgentClient], Coroutine[Any, Any, None]],
    address: str,
    protocol: Protocol,
    whitelist: Sequence[str],
    labels: Mapping[str, str] | None,
    wait: Wait,
    health_check: HealthCheck,
    max_connects: int,
    dns_names: Sequence[str],
    application: str,
    client: AgentClient,
) -> AsyncServer:
    server = AsyncServer(serve)
    server._client = client

    def start() -> None:
        core = server._core
        core.start(
            address, protocol, whitelist, labels, wait, health_check, max_connects, dns_names, application, client
        )

    await _in_thread(start, discard=lambda _: server._core.close())
    return server


async def _connect(
    request: OpenRequest,
    as_: str | None,
    application: str,
    wait: Wait,
    timeout: float,
    client: AgentClient,
    explicit_end: bool,
) -> MeshStream:
    def run() -> Opened:
        return open_connection(client, request, as_, application, wait, timeout)

    def discard(late: Opened) -> None:
        late[0].close()
        late[2]()

    raw, peer, release = await _in_thread(run, discard=discard)
    return await _stream(raw, peer, client, explicit_end, release)


async def _stream(
    raw: socket.socket, peer: Peer, client: AgentClient, explicit_end: bool, release: Callable[[], None]
) -> MeshStream:
    loop = asyncio.get_running_loop()
    reader = _Reader(raw, loop)
    end = _End(reader, Witness(client, peer.flow_id), explicit_end, release)
    protocol = _Protocol(reader, end)
    raw.setblocking(False)
    transport, _ = await loop.create_unix_connection(lambda: protocol, sock=raw)
    transport.set_write_buffer_limits(_WRITE_HIGH_BYTES, _WRITE_LOW_BYTES)
    writer = _Writer(transport, protocol, reader, loop, end)
    return MeshStream(reader, writer, peer, end)


class _Reader(asyncio.StreamReader):
    """A reader whose end is told by `_End` alone, and not by its protocol.

    `read` takes what waits in the socket without a turn of the loop, and without a buffer between.
    """

    def __init__(self, raw: socket.socket, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(limit=_LIMIT_BYTES, loop=loop)
        self._raw = raw
        self._in_a_row = 0
        self._wanted = 0
        self._handed = b""
        # The connection was reset, and nobody else will be told.
        self.on_cut: Callable[[], None] = lambda: None

    async def read(self, n: int = -1) -> bytes:
        # Bytes that were handed to a read that is cancelled now are put back in their place before anything is read.
        if n <= 0 or self._handed or not self._reads_socket() or self._buffer or self._eof or self._exception is not None:
            return await super().read(n)
        self._in_a_row += 1
        if self._in_a_row > _READS_IN_A_ROW:
            self._in_a_row = 0
            await asyncio.sleep(0)
            # The loop may have read meanwhile.
            if self._handed or self._buffer or self._eof or self._exception is not None:
                return await super().read(n)
        if self._waiter is None and (data := self._receive(n)):
            return data
        self._in_a_row = 0
        self._wanted = n
        try:
            await self._wait_for_data("read")
        except BaseException:
            # A cancelled read has taken none of them.
            self._buffer[:0] = self._handed
            self._handed = b""
            raise
        finally:
            self._wanted = 0
        handed, self._handed = self._handed, b""
        return handed or await super().read(n)

    def feed_data(self, data: bytes | memoryview) -> None:
        if len(data) <= self._wanted and not self._buffer and not self._handed:
            self._handed = bytes(data)
            self._wakeup_waiter()
        else:
            super().feed_data(data)  # type: ignore[arg-type]

    async def _wait_for_data(self, func_name: str) -> None:
        # A read that is cancelled has not given them back yet, and must not drop the waiter of this one.
        if self._handed:
            self._buffer[:0] = self._handed
            self._handed = b""
            return
        await super()._wait_for_data(func_name)  # type: ignore[misc]

    def _reads_socket(self) -> bool:
        # With TLS, the bytes of the socket are for another protocol.
        transport = self._transport
        return transport is not None and isinstance(transport.get_protocol(), _Protocol)

    def _receive(self, n: int) -> bytes:
        # An end is for the transport, which finds it, too.
        try:
            return self._raw.recv(min(n, _CHUNK_BYTES))
        except (BrokenPipeError, ConnectionResetError):
            # The system tells it once: the transport would see an end in its place.
            self.on_cut()
            return b""
        except OSError:
            return b""

    def feed_eof(self) -> None:
        pass

    def set_exception(self, exc: Exception) -> None:
        pass

    def end(self) -> None:
        super().feed_eof()

    def fail(self, err: Exception) -> None:
        super().set_exception(err)


class _Writer(asyncio.StreamWriter):
    def __init__(
        self,
        transport: asyncio.Transport,
        protocol: _Protocol,
        reader: asyncio.StreamReader,
        loop: asyncio.AbstractEventLoop,
        end: _End,
    ) -> None:
        super().__init__(transport, protocol, reader, loop)
        self._mesh_end = end

    def write(self, data: bytes | bytearray | memoryview) -> None:
        # The transport slices what the socket did not take, which copies bytes.
        is_copied = sys.version_info < (3, 12) and isinstance(data, (bytes, bytearray))
        super().write(memoryview(data) if is_copied else data)

    def write_eof(self) -> None:
        self._mesh_end.has_ended = True
        super().write_eof()


class _End:
    """Tells a cut from an end, as MeshSocket does."""

    def __init__(
        self, reader: _Reader, witness: Witness, is_strict: bool, release: Callable[[], None]
    ) -> None:
        self.has_ended = False
        self._saw_end = False
        self._is_cut = False
        self._reader = reader
        reader.on_cut = self.cut
        self._witness = witness
        self._is_strict = is_strict
        self._release = release
        self._tasks: set[asyncio.Task[None]] = set()

    def received(self, fd: int) -> None:
        """The system shows an end."""
        if not self.has_ended:
            try:
                os.write(fd, b"")
            except (BrokenPipeError, ConnectionResetError):
                self.cut()
                return
            except OSError:
                pass
        elif self._is_strict:
            self._run(self._verify())
            return
        self._clean()

    def cut(self) -> None:
        """The connection is cut: the reader gets the error, with the reason of the agent."""
        if not self._is_cut:
            self._is_cut = True
            self._run(self._explain())

    def lost(self, err: Exception | None) -> None:
        self._release()
        if isinstance(err, (BrokenPipeError, ConnectionResetError)):
            self.cut()
        elif err is not None:
            self._reader.fail(err)
        elif not self._tasks and not self._is_cut:
            self._clean()

    async def before_close(self) -> None:
        if self._is_strict and self._saw_end and not self.has_ended:
            await _in_thread(self._witness.reset)

    def _clean(self) -> None:
        if not self._saw_end and not self._is_cut:
            self._saw_end = True
            self._reader.end()

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _explain(self) -> None:
        self._reader.fail(await _in_thread(self._witness.cut))

    async def _verify(self) -> None:
        cut = await _in_thread(self._witness.verdict)
        if cut is None:
            self._clean()
        else:
            self._reader.fail(cut)


class _Protocol(asyncio.StreamReaderProtocol, asyncio.BufferedProtocol):
    def __init__(self, reader: asyncio.StreamReader, end: _End) -> None:
        super().__init__(reader)
        self._mesh_end = end
        self._fd = -1
        # One for all reads: the system gives pages for each of the large blocks that asyncio would allocate.
        self._buffer = memoryview(bytearray(_CHUNK_BYTES))

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.data_received(self._buffer[:nbytes])  # type: ignore[arg-type]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._fd = transport.get_extra_info("socket").fileno()

    def eof_received(self) -> bool:
        self._mesh_end.received(self._fd)
        # The other direction stays open.
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self._mesh_end.lost(exc)
        super().connection_lost(exc)


async def _in_thread(run: Callable[[], T], discard: Callable[[T], object] | None = None) -> T:
    """The result of `run`, from a thread that does not keep the process. One that comes too late goes to `discard`."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def dispose(result: T) -> None:
        if discard is not None:
            threading.Thread(target=discard, args=(result,), daemon=True).start()

    def settle(result: T) -> None:
        if future.done():
            dispose(result)
        else:
            future.set_result(result)

    def fail(err: BaseException) -> None:
        if not future.done():
            future.set_exception(err)

    def work() -> None:
        try:
            result = run()
        except BaseException as err:
            failure = err
        else:
            if not _post(loop, lambda: settle(result)):
                dispose(result)
            return
        _post(loop, lambda: fail(failure))

    threading.Thread(target=work, name="warren-call", daemon=True).start()
    return await future


def _post(loop: asyncio.AbstractEventLoop, callback: Callable[[], object]) -> bool:
    try:
        loop.call_soon_threadsafe(callback)
        return True
    except RuntimeError:
        # The loop has ended.
        return False
