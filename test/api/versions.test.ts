import assert from 'node:assert/strict'
import { createServer, type IncomingHttpHeaders } from 'node:http2'
import { join } from 'node:path'
import { test } from 'node:test'
import { unknownCall, VERSION_HEADER } from '../../src/api/unknown-call.ts'
import { AgentClient } from '../../src/client/index.ts'
import { ErrorCode, packageVersion, type WarrenError } from '../../src/core/index.ts'
import { tempDir } from './support.ts'

test('a call that an agent does not have is refused with the version of the agent and that of the caller', () => {
  const later = unknownCall('/warren.api.v2.AdminService/Later', '9.9.9')
  assert.equal(later.code, ErrorCode.Unsupported)
  assert.match(later.reason, new RegExp(`this agent is warren ${packageVersion()}, with version 1 of the local API`))
  assert.match(
    later.reason,
    /has no call warren\.api\.v2\.AdminService\/Later; the program that asks is warren 9\.9\.9$/
  )
  assert.match(later.hint ?? '', /restart the agent/)
  // Nothing of what is no call or no version is repeated.
  for (const version of ['9\u001b[2J', 'x'.repeat(40), undefined, ['1']]) {
    assert.match(unknownCall('/\u001b[2J', version).reason, /and has no such call$/)
  }
})

test('a program that asks an agent of before versions for a call that it does not have says which of the two is older', async t => {
  const runtimeDir = await tempDir(t)
  let asked: IncomingHttpHeaders = {}
  // What such an agent answers.
  const server = createServer((request, response) => {
    asked = request.headers
    const headers = { 'content-type': 'application/json', 'warren-error': 'NOT_FOUND', 'warren-reason': 'no such call' }
    response.writeHead(404, headers)
    response.end(JSON.stringify({ code: 'not_found', message: 'NOT_FOUND: no such call' }))
  })
  await new Promise<void>(resolve => server.listen(join(runtimeDir, 'admin.sock'), resolve))
  t.after(() => server.close())
  await using client = new AgentClient({ runtimeDir })
  await assert.rejects(client.admin.listMembers({}), (err: WarrenError) => {
    assert.equal(err.code, ErrorCode.Unsupported)
    assert.match(err.reason, new RegExp(`admin.sock is older than this program, warren ${packageVersion()}`))
    assert.match(err.hint ?? '', /Restart the agent/)
    return true
  })
  assert.equal(asked[VERSION_HEADER], packageVersion())
})
