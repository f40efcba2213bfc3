import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { needsCommand } from '../harness/index.ts'
import { CLIENTS } from './languages.ts'

/** What a program in Python with the library prints, as JSON. */
async function run(program: string): Promise<unknown> {
  const env = { ...process.env, PYTHONPATH: join(CLIENTS, 'python'), PYTHONDONTWRITEBYTECODE: '1' }
  const { stdout } = await promisify(execFile)('python3', ['-c', program], { env, timeout: 30_000 })
  return JSON.parse(stdout)
}

const CUTS = `
import json, socket, tempfile
from warren._hello import Peer
from warren.errors import ConnectionCutError
from warren.sockets import MeshSocket, truncated

class Agent:
    def cut(self):
        return truncated("by policy")

def cut_connection():
    ours, other = socket.socketpair()
    other.close()
    return MeshSocket(ours, Peer("", "", ""), Agent())

file = tempfile.TemporaryFile()
file.write(b"content")
ways = {
    "recv": lambda c: c.recv(9),
    "recv_into": lambda c: c.recv_into(bytearray(9)),
    "recvfrom": lambda c: c.recvfrom(9),
    "recvfrom_into": lambda c: c.recvfrom_into(bytearray(9)),
    "recvmsg": lambda c: c.recvmsg(9),
    "recvmsg_into": lambda c: c.recvmsg_into([bytearray(9)]),
    "makefile": lambda c: c.makefile("rb").read(),
    "send": lambda c: c.send(b"a"),
    "sendall": lambda c: c.sendall(b"a"),
    "sendmsg": lambda c: c.sendmsg([b"a"]),
    "sendfile": lambda c: c.sendfile(file),
}
lies = []
for name, way in ways.items():
    file.seek(0)
    with cut_connection() as connection:
        try:
            lies.append([name, repr(way(connection))])
        except ConnectionCutError as err:
            if "by policy" not in err.reason:
                lies.append([name, err.reason])
        except OSError as err:
            lies.append([name, repr(err)])
print(json.dumps(lies))
`

const FORK = `
import json, os, threading
import warren._dial, warren._sources, warren.client

locks = [warren._dial._lock, warren._sources._lock, warren.client._shared_lock]
for lock in locks:
    lock.acquire()
child = os.fork()
if child == 0:
    locks = [warren._dial._lock, warren._sources._lock, warren.client._shared_lock]
    os._exit(sum(not lock.acquire(blocking=False) for lock in locks))
print(json.dumps(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])))
`

const READS = `
import asyncio, json, socket, sys
from warren import aio
from warren._hello import Peer
from warren.errors import ConnectionCutError


class Agent:
    pass


class Cut:
    def call(self, method, body, timeout):
        return {"state": "cut", "reason": "by policy"}


async def pair():
    ours, other = socket.socketpair()
    other.setblocking(False)
    return await aio._stream(ours, Peer("", "", ""), Agent(), False, lambda: None), other


async def order():
    """Pieces of all sizes, read in all the ways, in the order in which they were sent."""
    stream, other = await pair()
    sent = bytes(number % 251 for number in range(400_000))

    async def send():
        at = 0
        while at < len(sent):
            size = (at * 7919) % 30_011 + 1
            await asyncio.get_running_loop().sock_sendall(other, sent[at : at + size])
            at += size
        other.shutdown(socket.SHUT_WR)

    sending = asyncio.create_task(send())
    got = b""
    while not stream.reader.at_eof():
        turn = len(got) % 4
        if turn == 0:
            got += await stream.reader.read(70_000)
        elif turn == 1:
            got += await stream.reader.read(10)
        elif turn == 2:
            got += await stream.reader.readuntil(b"\\x05") if len(got) < 300_000 else await stream.reader.read(1)
        else:
            got += await stream.reader.readexactly(3) if len(got) < 300_000 else await stream.reader.read(5)
    await sending
    await stream.close()
    return got == sent


async def cancelled():
    """A read that is cancelled in the turn in which bytes come loses none."""
    stream, other = await pair()
    lost = 0
    for attempt in range(200):
        reading = asyncio.create_task(stream.reader.read(100))
        await asyncio.sleep(0)
        other.send(b"ab")
        for _ in range(attempt % 4):
            await asyncio.sleep(0)
        reading.cancel()
        try:
            got = await reading
        except asyncio.CancelledError:
            got = b""
        other.send(b"cd")
        got += await stream.reader.readexactly(4 - len(got))
        lost += got != b"abcd"
    await stream.close()
    return lost


async def overlapping():
    """A read that begins when another is cancelled gets what that one was handed first, and ends."""
    stream, other = await pair()
    lost = 0
    for _ in range(50):
        first = asyncio.create_task(stream.reader.read(100))
        await asyncio.sleep(0)
        other.send(b"ab")
        while not stream.reader._handed:
            await asyncio.sleep(0)
        other.send(b"cd")
        first.cancel()
        got = await stream.reader.read(100)
        while len(got) < 4:
            got += await asyncio.wait_for(stream.reader.read(100), 20)
        lost += got != b"abcd"
    await stream.close()
    return lost


async def torn():
    """A reset behind the last bytes is a cut, also after the end of the own direction."""
    ours, other = socket.socketpair()
    stream = await aio._stream(ours, Peer("", "", ""), Cut(), False, lambda: None)
    stream.writer.write(b"question")
    stream.writer.write_eof()
    other.send(b"half")
    other.close()
    got = b""
    try:
        while chunk := await asyncio.wait_for(stream.reader.read(100), 20):
            got += chunk
    except ConnectionCutError:
        return got == b"half"
    return "an end"


async def fair():
    """A read that never waits leaves the other tasks their turns."""
    stream, other = await pair()
    turns = 0

    async def count():
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    for _ in range(1000):
        other.send(b"a")
        await stream.reader.read(1)
    counting.cancel()
    await stream.close()
    return turns > 10


async def main():
    print(json.dumps([await order(), await cancelled(), await overlapping(), await torn(), await fair()]))


asyncio.run(main())
`

test('each way in which a socket of Python reads or writes says that its connection was cut', async t => {
  if (!needsCommand(t, 'python3')) return
  assert.deepEqual(await run(CUTS), [])
})

test('a child of a process whose threads connect at this moment can connect', async t => {
  if (!needsCommand(t, 'python3')) return
  assert.equal(await run(FORK), 0)
})

test('reads of asyncio return all bytes in order, also when one is cancelled, and leave other tasks their turns', async t => {
  if (!needsCommand(t, 'python3')) return
  assert.deepEqual(await run(READS), [true, 0, 0, true, true])
})
