"""The actor of the Python library, blocking calls: does what the lines of its input say."""

import json
import socket
import sys
import threading
import time

import warren

names: dict = {}
writing = threading.Lock()


def say(message):
    with writing:
        print(json.dumps(message), flush=True)


def peer_of(peer):
    return {"spiffeId": peer.spiffe_id, "address": peer.address, "flowId": peer.flow_id}


def failure(err):
    if isinstance(err, warren.WarrenError):
        return {"code": str(err.code), "reason": err.reason}
    return {"code": type(err).__name__, "reason": str(err)}


def read_all(connection):
    data = b""
    try:
        while chunk := connection.recv(65536):
            data += chunk
    except ConnectionError as err:
        return {"text": data.decode(), "how": failure(err)["code"], "reason": failure(err)["reason"]}
    return {"text": data.decode(), "how": "ended", "reason": ""}


def echo(connection):
    while chunk := connection.recv(65536):
        connection.sendall(chunk)
    connection.shutdown(socket.SHUT_WR)


def count(connection):
    total = 0
    while chunk := connection.recv(65536):
        total += len(chunk)
    connection.sendall(str(total).encode())
    connection.shutdown(socket.SHUT_WR)


def observe(mode):
    def handle(connection):
        say({"event": "connection", "peer": peer_of(connection.peer)})
        try:
            {"echo": echo, "count": count}[mode](connection)
            say({"event": "end", "how": "ended"})
        except ConnectionError as err:
            say({"event": "end", "how": failure(err)["code"], "reason": failure(err)["reason"]})

    return handle


def hold_open(connection):
    """Reads to the end and says how it was; never ends its own direction before."""
    say({"event": "connection", "peer": peer_of(connection.peer)})
    say({"event": "end", **read_all(connection)})


def echo_datagrams(flow):
    say({"event": "connection", "peer": peer_of(flow.peer)})
    try:
        for datagram in flow:
            flow.send(datagram)
    except ConnectionError:
        pass


def listen(name, address, whitelist=(), protocol="tcp", mode="echo", **_):
    if protocol == "udp":
        server = warren.listen_datagram(address, whitelist=whitelist)
        handler = echo_datagrams
    else:
        server = warren.listen(address, whitelist=whitelist)
        handler = hold_open if mode == "hold" else observe(mode)
    names[name] = server

    def serve():
        try:
            server.serve(handler)
        except warren.WarrenError:
            pass

    threading.Thread(target=serve, daemon=True).start()
    return {"address": server.address, "spiffeId": server.spiffe_id, "path": server.registration.listen_path}


def connect(name, to, protocol="tcp", explicitEnd=False, timeoutMs=15_000, **options):
    as_ = options.get("as")
    if protocol == "udp":
        names[name] = warren.connect_datagram(to, as_=as_, timeout=timeoutMs / 1000)
    else:
        names[name] = warren.connect(to, as_=as_, explicit_end=explicitEnd, timeout=timeoutMs / 1000)
    return {"peer": peer_of(names[name].peer)}


def send(name, text, **_):
    connection = names[name]
    if isinstance(connection, warren.MeshDatagramSocket):
        return {"sent": connection.send(text.encode())}
    connection.sendall(text.encode())
    return {}


def recv(name, size=0, **_):
    connection = names[name]
    if isinstance(connection, warren.MeshDatagramSocket):
        datagram = connection.recv(10)
        return {"text": None if datagram is None else datagram.decode()}
    data = b""
    while len(data) < size:
        chunk = connection.recv(size - len(data))
        if not chunk:
            break
        data += chunk
    return {"text": data.decode()}


def end(name, **_):
    connection = names[name]
    if isinstance(connection, warren.MeshDatagramSocket):
        connection.end()
    else:
        connection.shutdown(socket.SHUT_WR)
    return {}


def close(name, **_):
    names.pop(name).close()
    return {}


def register(name, address, whitelist=(), dnsNames=(), **_):
    names[name] = warren.register(address, whitelist=whitelist, dns_names=dnsNames)
    return {"address": names[name].address, "token": names[name].token}


def closed(name, **_):
    end_ = names[name].wait_closed()
    return {"reason": end_.reason, "code": "" if end_.error is None else str(end_.error.code)}


def wait_for_agent(**_):
    warren.wait_for_agent()
    return {}


def http(to, **options):
    connection = warren.MeshHTTPConnection(to, as_=options.get("as"))
    connection.request("GET", "/prices")
    response = connection.getresponse()
    return {"status": response.status, "text": response.read().decode()}


def bulk(to, bytes, **options):
    connection = warren.connect(to, as_=options.get("as"))
    block = memoryview(b"e" * 262_144)
    began = time.monotonic()

    def write():
        left = bytes
        while left > 0:
            connection.sendall(block[: min(left, len(block))])
            left -= min(left, len(block))
        connection.shutdown(socket.SHUT_WR)

    threading.Thread(target=write, daemon=True).start()
    got = 0
    buffer = bytearray(262_144)
    while size := connection.recv_into(buffer):
        got += size
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


def run(line):
    arguments = {key: value for key, value in line.items() if key not in ("id", "call")}
    try:
        say({"id": line["id"], "result": CALLS[line["call"]](**arguments)})
    except Exception as err:
        say({"id": line["id"], "error": failure(err)})


for text in sys.stdin:
    threading.Thread(target=run, args=(json.loads(text),), daemon=True).start()
