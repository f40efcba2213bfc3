import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, rmSync } from 'node:fs'
import { connect as dial } from 'node:net'
import { join } from 'node:path'
import test from 'node:test'
import { Code, type ConnectError, createClient } from '@connectrpc/connect'
import { createGrpcTransport, Http2SessionManager } from '@connectrpc/connect-node'
import { AgentClient, connect, listen } from '../../src/client/index.ts'
import { apiPb } from '../../src/wire/index.ts'
import { localCall, scopeOf, TestAgent } from '../harness/index.ts'

const AS = 'dev.shop.cart.default'

test('errors of Connect: the same from the local API, the library and the command line', async t => {
  const scope = scopeOf(t)
  const agent = await new TestAgent(scope, { name: 'solo', args: ['--init', 'example.org'] }).start()
  const client = new AgentClient({ runtimeDir: agent.runtimeDir })
  scope.defer(() => client.close())
  await listen('dev.web.closed.default', { client }, socket => void socket.end())
  const gone = { address: 'dev.web.gone.default', whitelist: ['dev.*.*.*'], target: { tcp: '127.0.0.1:1' } }
  await localCall(agent.socket, 'WorkloadService/Register', { ...gone, ownerPid: process.pid, healthCheck: 1 })
  const { body } = await localCall(agent.socket, 'WorkloadService/Register', { address: AS, ownerPid: process.pid })
  const { token } = body as { token: string }
  const table = [
    ['DESTINATION_NOT_FOUND', 'dev.web.nowhere.default'],
    ['DESTINATION_UNREACHABLE', 'dev.web.gone.default'],
    ['UNAUTHORIZED', 'dev.web.closed.default']
  ] as const
  for (const [code, destination] of table) {
    const answer = await localCall(agent.socket, 'WorkloadService/Connect', { token, destination })
    assert.notEqual(answer.status, 200)
    assert.equal(answer.headers['warren-error'], code, JSON.stringify(answer.body))
    await assert.rejects(connect(destination, { client, as: AS }), { code })
    const typed = await agent.attempt(['connect', destination, '--as', AS])
    assert.equal(typed.code, 1)
    assert.match(typed.stderr, new RegExp(`warren: ${code}: `))
  }
})

test('errors of Connect: TIMEOUT after a deregistration, INVALID_SOURCE after the end of the process, whose record goes', async t => {
  const scope = scopeOf(t)
  const agent = await new TestAgent(scope, { name: 'solo', args: ['--init', 'example.org'] }).start()
  const tokenFor = async (ownerPid: number): Promise<string> => {
    const { body } = await localCall(agent.socket, 'WorkloadService/Register', { address: AS, ownerPid })
    return (body as { token: string }).token
  }
  const answerTo = async (token: string) => {
    const destination = 'dev.web.nowhere.default'
    const { headers } = await localCall(agent.socket, 'WorkloadService/Connect', { token, destination })
    return headers['warren-error']
  }
  const left = await tokenFor(process.pid)
  await localCall(agent.socket, 'WorkloadService/Deregister', { token: left })
  assert.equal(await answerTo(left), 'TIMEOUT')
  const sleeper = spawn('sleep', ['1000'])
  const ended = once(sleeper, 'exit')
  const dead = await tokenFor(sleeper.pid ?? 0)
  sleeper.kill('SIGKILL')
  await ended
  assert.equal(await answerTo(dead), 'INVALID_SOURCE')
  assert.equal((await agent.status()).registrations ?? 0, 0)
  assert.equal(await answerTo('no such token'), 'INVALID_SOURCE')
})

test('a client of gRPC does not get the code of a deadline for a token that has ended', async t => {
  const scope = scopeOf(t)
  const agent = await new TestAgent(scope, { name: 'solo', args: ['--init', 'example.org'] }).start()
  const sessionManager = new Http2SessionManager('http://agent', {}, { createConnection: () => dial(agent.socket) })
  scope.defer(() => sessionManager.abort())
  const grpc = createClient(apiPb.WorkloadService, createGrpcTransport({ baseUrl: 'http://agent', sessionManager }))
  const { token } = await grpc.register({ address: AS, ownerPid: process.pid })
  await grpc.deregister({ token })
  const calls = [
    () => grpc.connect({ token, destination: 'dev.web.nowhere.default' }),
    () => grpc.heartbeat({ token }),
    async () => {
      for await (const _ of grpc.keep({ token }));
    }
  ]
  for (const call of calls) {
    await assert.rejects(call, (err: ConnectError) => {
      assert.equal(err.code, Code.Unauthenticated, err.message)
      assert.equal(err.metadata.get('warren-error'), 'TIMEOUT')
      return true
    })
  }
})

test('errors of Connect: CANNOT_CONNECT when no socket can be made, from each entry point, and nothing stays behind', async t => {
  const scope = scopeOf(t)
  const agent = await new TestAgent(scope, { name: 'solo', args: ['--init', 'example.org'] }).start()
  const client = new AgentClient({ runtimeDir: agent.runtimeDir })
  scope.defer(() => client.close())
  const destination = 'dev.web.open.default'
  await listen(destination, { client, whitelist: ['dev.*.*.*'] }, socket => void socket.on('error', () => {}).end())
  const { body } = await localCall(agent.socket, 'WorkloadService/Register', { address: AS, ownerPid: process.pid })
  const { token } = body as { token: string }
  // As a tool that cleans up runtime directories might.
  rmSync(join(agent.runtimeDir, 'endpoints'), { recursive: true })
  const answer = await localCall(agent.socket, 'WorkloadService/Connect', { token, destination })
  assert.equal(answer.headers['warren-error'], 'CANNOT_CONNECT', JSON.stringify(answer.body))
  await assert.rejects(connect(destination, { client, as: AS }), { code: 'CANNOT_CONNECT' })
  const typed = await agent.attempt(['connect', destination, '--as', AS])
  assert.equal(typed.code, 1)
  assert.match(typed.stderr, /warren: CANNOT_CONNECT: /)
  assert.equal((await agent.status()).flows ?? 0, 0)
  assert.deepEqual(readdirSync(join(agent.runtimeDir, 'staging')), [])
})
