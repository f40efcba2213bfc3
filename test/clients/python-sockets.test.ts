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

test('each way in which a socket of Python reads or writes says that its connection was cut', async t => {
  if (!needsCommand(t, 'python3')) return
  assert.deepEqual(await run(CUTS), [])
})

test('a child of a process whose threads connect at this moment can connect', async t => {
  if (!needsCommand(t, 'python3')) return
  assert.equal(await run(FORK), 0)
})
