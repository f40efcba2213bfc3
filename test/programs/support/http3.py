"""HTTP/3 by aioquic: `serve PORT CERTIFICATE KEY`, or `get PORT CERTIFICATE BYTES`, which checks what it gets."""

import asyncio
import hashlib
import sys

from aioquic.asyncio import QuicConnectionProtocol, connect, serve
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import ProtocolNegotiated


def body_of(size):
    return (b"0123456789abcdef" * (size // 16 + 1))[:size]


class Server(QuicConnectionProtocol):
    http = None

    def quic_event_received(self, event):
        if isinstance(event, ProtocolNegotiated):
            self.http = H3Connection(self._quic)
        if self.http is None:
            return
        for each in self.http.handle_event(event):
            if isinstance(each, HeadersReceived):
                size = int(dict(each.headers)[b":path"][1:])
                self.http.send_headers(each.stream_id, [(b":status", b"200")])
                self.http.send_data(each.stream_id, body_of(size), end_stream=True)
                self.transmit()


class Client(QuicConnectionProtocol):
    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.http = H3Connection(self._quic)
        self.bodies = {}
        self.ends = {}

    async def get(self, path):
        stream = self._quic.get_next_available_stream_id()
        self.bodies[stream], self.ends[stream] = bytearray(), asyncio.get_running_loop().create_future()
        headers = [(b":method", b"GET"), (b":scheme", b"https"), (b":authority", b"site.example"), (b":path", path)]
        self.http.send_headers(stream, headers, end_stream=True)
        self.transmit()
        await self.ends[stream]
        return bytes(self.bodies[stream])

    def quic_event_received(self, event):
        for each in self.http.handle_event(event):
            if isinstance(each, DataReceived):
                self.bodies[each.stream_id] += each.data
            if each.stream_ended and not self.ends[each.stream_id].done():
                self.ends[each.stream_id].set_result(None)


async def main(command, port, certificate, last):
    if command == "serve":
        configuration = QuicConfiguration(is_client=False, alpn_protocols=H3_ALPN)
        configuration.load_cert_chain(certificate, last)
        await serve("127.0.0.1", int(port), configuration=configuration, create_protocol=Server)
        print("listening", flush=True)
        await asyncio.Future()
    configuration = QuicConfiguration(is_client=True, alpn_protocols=H3_ALPN, server_name="site.example")
    configuration.load_verify_locations(certificate)
    async with connect("127.0.0.1", int(port), configuration=configuration, create_protocol=Client) as client:
        sizes = [int(last), *range(100, 120)]
        bodies = await asyncio.gather(*(client.get(b"/%d" % size) for size in sizes))
        for size, body in zip(sizes, bodies):
            assert hashlib.sha256(body).digest() == hashlib.sha256(body_of(size)).digest(), size
        print(len(bodies), "answers")


asyncio.run(main(*sys.argv[1:]))
