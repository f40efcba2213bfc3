"""The actor of the Python library, asyncio: does what the lines of its input say."""

import asyncio
import json
import sys
import time

import warren
from warren import aio

names: dict = {}


def say(message):
    print(json.dumps(message), flush=True)


def peer_of(peer):
    return {"spiffeId": peer.spiffe_id, "address": peer.address, "flowId": peer.flow_id}


def failure(err):
    if isinstance(err, warren.WarrenError):
        return {"code": str(err.code), "reason": err.reason}
    return {"code": type(err).__name__, "reason": str(err)}


async def read_all(stream):
    data = b""
    try:
        while chunk := await stream.reader.read(65536):
            data += chunk
    except ConnectionError as err:
        return {"text": data.decode(), "how": failure(err)["code"], "reason": failure(err)["reason"]}
    return {"text": data.decode(), "how": "ended", "reason": ""}


async def echo(stream):
    while chunk := await stream.reader.read(262_144):
        stream.writer.write(chunk)
        await stream.writer.drain()
    stream.writer.write_eof()


async def count(stream):
    total = 0
    while chunk := await stream.reader.read(65536):
        total += len(chunk)
    stream.writer.write(str(total).encode())
    stream.writer.write_eof()


def observe(mode):
    async def handle(stream):
        say({"event": "connection", "peer": peer_of(stream.peer)})
        if mode == "hold":
            say({"event": "end", **await read_all(stream)})
            return
        try:
            await {"echo": echo, "count": count}[mode](stream)
            say({"event": "end", "how": "ended"})
        except ConnectionError as err:
            say({"event": "end", "how": failure(err)["code"], "reason": failure(err)["reason"]})

    return handle


async def echo_datagrams(flow):
    say({"event": "connection", "peer": peer_of(flow.peer)})
    async for datagram in flow:
        flow.send(datagram)


async def listen(name, address, whitelist=(), protocol="tcp", mode="echo", **_):
    if protocol == "udp":
        server = await aio.listen_datagram(address, echo_datagrams, whitelist=whitelist)
    else:
        server = await aio.listen(address, observe(mode), whitelist=whitelist)
    names[name] = server
    registration = server.registration
    return {"address": server.address, "spiffeId": registration.spiffe_id, "path": registration.listen_path}


async def connect(name, to, protocol="tcp", explicitEnd=False, timeoutMs=15_000, **options):
    as_ = options.get("as")
    if protocol == "udp":
        names[name] = await aio.connect_datagram(to, as_=as_, timeout=timeoutMs / 1000)
    else:
        names[name] = await aio.connect(to, as_=as_, explicit_end=explicitEnd, timeout=timeoutMs / 1000)
    return {"peer": peer_of(names[name].peer)}


async def send(name, text, **_):
    connection = names[name]
    if isinstance(connection, aio.MeshDatagrams):
        return {"sent": connection.send(text.encode())}
    connection.writer.write(text.encode())
    await connection.writer.drain()
    return {}


async def recv(name, size=0, **_):
    connection = names[name]
    if isinstance(connection, aio.MeshDatagrams):
        datagram = await asyncio.wait_for(connection.recv(), 10)
        return {"text": None if datagram is None else datagram.decode()}
    try:
        return {"text": (await connection.reader.readexactly(size)).decode()}
    except asyncio.IncompleteReadError as err:
        return {"text": err.partial.decode()}


async def end(name, **_):
    connection = names[name]
    if isinstance(connection, aio.MeshDatagrams):
        connection.end()
    else:
        connection.writer.write_eof()
    return {}


async def close(name, **_):
    await names.pop(name).close()
    return {}


async def register(name, address, whitelist=(), dnsNames=(), **_):
    names[name] = await aio.register(address, whitelist=whitelist, dns_names=dnsNames)
    return {"address": names[name].address, "token": names[name].registration.token}


async def closed(name, **_):
    end_ = await names[name].wait_closed()
    return {"reason": end_.reason, "code": "" if end_.error is None else str(end_.error.code)}


async def wait_for_agent(**_):
    await asyncio.to_thread(warren.wait_for_agent)
    return {}


async def http(to, **options):
    stream = await aio.connect(to, as_=options.get("as"))
    stream.writer.write(b"GET /prices HTTP/1.1\r\nhost: mesh\r\nconnection: close\r\n\r\n")
    head, _, body = (await read_all(stream))["text"].partition("\r\n\r\n")
    return {"status": int(head.split(" ")[1]), "text": body}


async def bulk(to, bytes, **options):
    stream = await aio.connect(to, as_=options.get("as"))
    block = b"e" * 262_144
    began = time.monotonic()

    async def write():
        left = bytes
        while left > 0:
            stream.writer.write(block[:left])
            await stream.writer.drain()
            left -= min(left, len(block))
        stream.writer.write_eof()

    writing = asyncio.create_task(write())
    got = 0
    while chunk := await stream.reader.read(262_144):
        got += len(chunk)
    await writing
    return {"bytes": got, "seconds": time.monotonic() - began}


CALLS = {
    "listen": listen,
    "connect": connect,
    "send": send,
    "recv": recv,
    "end": end,
    "close": close,
    "register": register,
    "closed": closed,
    "readAll": lambda name, **_: read_all(names[name]),
    "waitForAgent": wait_for_agent,
    "http": http,
    "bulk": bulk,
}


async def run(line):
    arguments = {key: value for key, value in line.items() if key not in ("id", "call")}
    try:
        say({"id": line["id"], "result": await CALLS[line["call"]](**arguments)})
    except Exception as err:
        say({"id": line["id"], "error": failure(err)})


async def main():
    lines = asyncio.StreamReader(limit=1 << 20)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    tasks = set()
    while text := await lines.readline():
        task = asyncio.create_task(run(json.loads(text)))
        tasks.add(task)
        task.add_done_callback(tasks.discard)


asyncio.run(main())
