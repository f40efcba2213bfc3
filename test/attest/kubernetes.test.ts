import assert from 'node:assert/strict'
import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import { chmodSync, chownSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { type JWTPayload, SignJWT } from 'jose'
import { isOfContainerd, readContainerd } from '../../src/attest/containers/containerd.ts'
import { ServiceAccounts } from '../../src/attest/containers/index.ts'
import { kubernetesContainer } from '../../src/attest/containers/kubernetes.ts'
import { readRecord } from '../../src/attest/containers/record.ts'
import { readStored } from '../../src/attest/containers/storage.ts'
import { readKubernetesKeys } from '../../src/attest/kubernetes-keys.ts'
import { ErrorCode, systemClock, WarrenError } from '../../src/core/index.ts'
import { asRoot, temporaryDirectory } from '../harness/index.ts'

const UID = '2a4f1a0e-8a55-4c33-9f0e-6f7f3cf1f001'
const IMAGE = 'd'.repeat(64)
const OTHER = 61_271
const ofPod = { namespace: 'shop', pod: 'cart-0', podUid: UID, container: 'cart' }

function place(t: TestContext): string {
  const directory = temporaryDirectory('wt-kubernetes-')
  t.after(() => rmSync(directory, { recursive: true }))
  return directory
}

function write(path: string, value: unknown, mode = 0o600): void {
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, JSON.stringify(value), { mode })
}

interface Cluster {
  readonly key: KeyObject
  readonly path: string
}

function cluster(directory: string): Cluster {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const path = join(directory, 'keys.json')
  write(path, { keys: [{ ...publicKey.export({ format: 'jwk' }), kid: 'one', alg: 'ES256' }] })
  return { key: privateKey, path }
}

const claims = (more: object = {}): JWTPayload => ({
  sub: 'system:serviceaccount:shop:cart',
  exp: 2_000_000_000,
  'kubernetes.io': {
    namespace: 'shop',
    pod: { name: 'cart-0', uid: UID },
    serviceaccount: { name: 'cart', uid: 'x' },
    ...more
  }
})
const signed = async (key: KeyObject | Uint8Array, payload: JWTPayload, alg = 'ES256'): Promise<string> =>
  await new SignJWT(payload).setProtectedHeader({ alg, kid: 'one' }).sign(key)

test('a service account is that of the pod if the cluster has signed so for this very pod', asRoot, async t => {
  const directory = place(t)
  const { key, path } = cluster(directory)
  const volume = join(directory, 'pods', UID, 'volumes', 'kubernetes.io~projected', 'kube-api-access-1')
  const container = kubernetesContainer(ofPod, { mounts: [{ source: volume }] })
  assert.deepEqual(container?.tokenDirectories, [volume])
  const at = (nowMs: number) => new ServiceAccounts(path, { ...systemClock, wallMs: () => nowMs })
  const accounts = at(1_900_000_000_000)
  mkdirSync(volume, { recursive: true })
  const given = async (token: string, by = accounts): Promise<string | undefined> => {
    writeFileSync(join(volume, 'token'), token)
    return container === undefined ? undefined : await by.of(container)
  }
  const genuine = await signed(key, claims())
  assert.equal(await given(`${genuine}\n`), 'shop/cart')
  // Whoever wrote it, it says the same.
  chownSync(join(volume, 'token'), OTHER, OTHER)
  assert.equal(await given(genuine), 'shop/cart')

  const { exp: _exp, ...endless } = claims()
  const refused: Readonly<Record<string, string>> = {
    'of another pod': await signed(key, claims({ pod: { name: 'cart-0', uid: UID.replace('2', '3') } })),
    'of a pod of another name': await signed(key, claims({ pod: { name: 'cart-1', uid: UID } })),
    'of another namespace': await signed(key, {
      ...claims({ namespace: 'evil' }),
      sub: 'system:serviceaccount:evil:cart'
    }),
    'of no pod': await signed(key, claims({ pod: undefined })),
    'with another subject': await signed(key, { ...claims(), sub: 'system:serviceaccount:shop:root' }),
    'without an end': await signed(key, endless),
    'that has ended': await signed(key, { ...claims(), exp: 1_800_000_000 }),
    'of a user': await signed(key, { exp: 2_000_000_000, sub: 'kubernetes-admin' }),
    'of another cluster': await signed(generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey, claims()),
    'with a secret': await signed(Buffer.alloc(32), claims(), 'HS256'),
    'without a signature': `${Buffer.from('{"alg":"none"}').toString('base64url')}.${genuine.split('.')[1]}.`,
    'that is none': 'x',
    'that is empty': '',
    'that is too long': `${genuine}${' '.repeat(20_000)}`
  }
  for (const [what, token] of Object.entries(refused)) assert.equal(await given(token), undefined, what)
  assert.equal(await given(genuine, at(2_000_000_040_000)), undefined, 'later')
  // A device in its place is not opened.
  rmSync(join(volume, 'token'))
  symlinkSync('/dev/zero', join(volume, 'token'))
  assert.equal(container && (await accounts.of(container)), undefined)
  // Keys that are replaced count at once, and damaged ones sign nothing.
  rmSync(join(volume, 'token'))
  assert.equal(await given(genuine), 'shop/cart')
  const next = cluster(directory)
  assert.equal(await given(genuine), undefined)
  assert.equal(await given(await signed(next.key, claims())), 'shop/cart')
  writeFileSync(path, '{}')
  assert.equal(await given(await signed(next.key, claims())), undefined)
})

test('a token is looked for where the runtime mounted one of this pod, and not elsewhere', () => {
  const volume = (pod: string, more = ''): string =>
    `/var/lib/kubelet/pods/${pod}/volumes/kubernetes.io~projected/a${more}`
  const sources = (...all: readonly unknown[]) =>
    kubernetesContainer(ofPod, { mounts: all.map(source => ({ source })) })?.tokenDirectories
  assert.deepEqual(sources('/etc', volume(UID), volume('other'), volume(UID, '/b'), 7, undefined), [volume(UID)])
  assert.equal(sources(...Array.from({ length: 50 }, () => volume(UID)))?.length, 8)
  for (const config of [undefined, 7, {}, { mounts: 'x' }, { mounts: [null, 'x'] }])
    assert.deepEqual(kubernetesContainer(ofPod, config)?.tokenDirectories, [])
  for (const name of ['', 'a/b', '..', 'a b'])
    assert.equal(kubernetesContainer({ ...ofPod, namespace: name }, {}), undefined)
})

test('keys that others may write, or that are no public ones, are refused at the start of the agent', asRoot, t => {
  const directory = place(t)
  const { path } = cluster(directory)
  assert.match(readKubernetesKeys(path), /"keys"/)
  const refuses = (why: RegExp): void =>
    assert.throws(
      () => readKubernetesKeys(path),
      err => WarrenError.is(err, ErrorCode.InvalidOption) && why.test(err.reason)
    )
  chmodSync(path, 0o620)
  refuses(/written by other users/)
  chmodSync(path, 0o600)
  chownSync(path, OTHER, OTHER)
  refuses(/written by other users/)
  chownSync(path, 0, 0)
  for (const [text, why] of [
    ['x', /no JSON/],
    ['{}', /no keys/],
    ['{"keys":[]}', /no keys/],
    ['{"keys":[{"kty":"oct","k":"AA"}]}', /not public/],
    [`{"keys":[${'{},'.repeat(64)}{}]}`, /more than 64/],
    [' '.repeat(70_000), /too large/]
  ] as const) {
    writeFileSync(path, text)
    refuses(why)
  }
  rmSync(path)
  refuses(/cannot be read/)
  mkdirSync(path)
  refuses(/no file/)
})

test('containerd is believed about its own containers, in files that root alone may write', asRoot, async t => {
  const bundle = join(place(t), 'io.containerd.runtime.v2.task', 'k8s.io', 'c1')
  const annotations = (more: object = {}): object => ({
    'io.kubernetes.cri.sandbox-namespace': 'shop',
    'io.kubernetes.cri.sandbox-name': 'cart-0',
    'io.kubernetes.cri.sandbox-uid': UID,
    'io.kubernetes.cri.container-name': 'cart',
    'io.kubernetes.cri.container-type': 'container',
    ...more
  })
  const config = join(bundle, 'config.json')
  write(config, { annotations: annotations() })
  assert.ok(isOfContainerd('/run/containerd/runc/k8s.io', bundle))
  for (const directory of ['/run/containerd/runc/default', '/run/runc', '/run/containerd/runc/moby'])
    assert.ok(!isOfContainerd(directory, bundle), directory)
  assert.ok(!isOfContainerd('/run/x/k8s.io', '/var/lib/containers/storage/overlay-containers/c1/userdata'))
  assert.deepEqual(await readContainerd(bundle, 'c1'), { kubernetes: { ...ofPod, tokenDirectories: [] } })
  assert.equal(await readContainerd(bundle, 'c2'), undefined)
  // What only holds the namespaces of the pod has no name.
  write(config, { annotations: annotations({ 'io.kubernetes.cri.container-type': 'sandbox' }) })
  assert.equal((await readContainerd(bundle, 'c1'))?.kubernetes?.container, undefined)
  for (const damaged of [{}, { annotations: annotations({ 'io.kubernetes.cri.sandbox-uid': '../x' }) }]) {
    write(config, damaged)
    assert.equal(await readContainerd(bundle, 'c1'), undefined)
  }
  write(config, { annotations: annotations() })
  chmodSync(config, 0o622)
  assert.equal(await readContainerd(bundle, 'c1'), undefined)
})

test('CRI-O has its bundles apart from its store, and its pod in the record of what holds the pod', asRoot, async t => {
  const [run, store] = [place(t), place(t)]
  const bundle = join(run, 'overlay-containers', 'c1', 'userdata')
  const records = [
    {
      id: 's1',
      names: ['k8s_POD'],
      metadata: JSON.stringify({ 'pod-id': 's1', 'metadata-name': 'cart-0', namespace: 'shop', uid: UID })
    },
    {
      id: 'c1',
      names: ['k8s_cart'],
      image: IMAGE,
      metadata: JSON.stringify({ 'pod-id': 's1', 'metadata-name': 'cart' })
    }
  ]
  write(join(run, 'overlay-containers', 'volatile-containers.json'), records)
  write(join(store, 'overlay-images', 'images.json'), [{ id: IMAGE }])
  write(join(bundle, 'config.json'), { root: { path: `${store}/overlay/${'1'.repeat(64)}/merged` } })
  assert.deepEqual(await readStored(bundle, 'c1', 0), {
    names: ['k8s_cart'],
    images: [`sha256:${IMAGE}`],
    pod: 's1',
    kubernetes: { ...ofPod, tokenDirectories: [] }
  })
  const sandbox = await readStored(join(run, 'overlay-containers', 's1', 'userdata'), 's1', 0)
  assert.equal(sandbox?.kubernetes?.container, undefined)
})

test('a configuration that a user made to be slow is not read, as if there were a pod', asRoot, async t => {
  const run = place(t)
  const bundle = join(run, 'overlay-containers', 'c1', 'userdata')
  const put = (path: string, value: unknown): void => {
    write(path, value)
    chownSync(path, OTHER, OTHER)
  }
  put(join(run, 'overlay-containers', 'containers.json'), [{ id: 'c1', names: ['web'], metadata: '{"pod-id":"s1"}' }])
  put(join(bundle, 'config.json'), { slow: 'x'.repeat(100_000) })
  const parse = t.mock.method(JSON, 'parse')
  assert.deepEqual((await readStored(bundle, 'c1', OTHER))?.names, ['web'])
  const lengths = parse.mock.calls.map(({ arguments: [text] }) => text.length)
  assert.ok(Math.max(...lengths) < 64 * 1024, lengths.join())
})

test('a list that a user made to be slow is read in another thread, and bounded', asRoot, async t => {
  const path = join(place(t), 'containers.json')
  const record = { id: 'c1', names: ['web'] }
  const put = (text: string): void => {
    writeFileSync(path, text, { mode: 0o600 })
    chownSync(path, OTHER, OTHER)
  }
  // How long a thread takes is nothing to go by.
  t.mock.timers.enable({ apis: ['setTimeout'] })
  let longest = 0
  const parse = JSON.parse
  t.mock.method(JSON, 'parse', (text: string) => {
    longest = Math.max(longest, text.length)
    return parse(text) as unknown
  })
  const find = async (): Promise<unknown> => await readRecord(path, OTHER, 'c1')
  put(JSON.stringify([record]))
  assert.deepEqual(await find(), record)
  const other = Array.from({ length: 60_000 }, (_, index) => `{"${index}":1}`).join()
  put(`[null,7,"c1",${other},${JSON.stringify(record)}]`)
  assert.deepEqual(await find(), record)
  for (const text of [
    `[${other}]`,
    `${'['.repeat(400_000)}${']'.repeat(400_000)}`,
    `[${other}`,
    `{"id":"c1","a":[${other}]}`,
    // The record itself is too long, or cannot be written out.
    `[{"id":"c1","a":[${other}]}]`,
    `[{"id":"c1","a":${'['.repeat(400_000)}${']'.repeat(400_000)}}]`,
    `[${JSON.stringify(record)},"${'x'.repeat(1024 * 1024)}"]`
  ]) {
    put(text)
    assert.equal(await find(), undefined, text.slice(0, 40))
  }
  assert.ok(longest <= 64 * 1024, String(longest))
})

test('a thread for a list of a user has less time and memory than one for a list of root', asRoot, async t => {
  const path = join(place(t), 'containers.json')
  const limits: unknown[] = []
  const begin = setTimeout
  // The limit itself never comes here: how long a thread takes is nothing to go by.
  t.mock.method(globalThis, 'setTimeout', (_late: () => void, ms: number) => {
    limits.push(ms)
    return begin(() => undefined, 0)
  })
  const record = { id: 'c1', names: ['web'] }
  const put = (text: string, uid: number): void => {
    writeFileSync(path, text, { mode: 0o600 })
    chownSync(path, uid, uid)
  }
  put(`[${'7,'.repeat(40_000)}${JSON.stringify(record)}]`, OTHER)
  assert.deepEqual(await readRecord(path, OTHER, 'c1'), record)
  // Some hundred bytes of memory for three of the text.
  put(`[${'{},'.repeat(2_500_000)}${JSON.stringify(record)}]`, 0)
  assert.deepEqual(await readRecord(path, 0, 'c1'), record)
  assert.deepEqual(limits, [500, 2_000])
})
