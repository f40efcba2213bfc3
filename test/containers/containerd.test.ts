import assert from 'node:assert/strict'
import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import { chmodSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { SignJWT } from 'jose'
import { asRoot, needsCommand, type Scope, scopeOf, TestAgent } from '../harness/index.ts'
import { Probe } from '../integration/support/probe.ts'
import { Containerd } from './support/containerd.ts'
import type { Pod } from './support/cri.ts'

const skip =
  asRoot.skip === false
    ? process.env['TEST_CONTAINERS'] !== 'yes' && 'is asked for by npm run test:containers'
    : asRoot.skip
const WEB = 'dev.web.site.default'
const SHOP = 'dev.shop.cart.default'
const ACCOUNT = 'dev.shop.account.default'
const SOCKET = '/run/warren/agent.sock'
/** What a pod and an image claim, in the words in which containerd says it. */
const CLAIMS = {
  'io.kubernetes.cri.sandbox-namespace': 'shop',
  'io.kubernetes.cri.sandbox-name': 'cart-0',
  'io.kubernetes.cri.sandbox-uid': '00000000-0000-0000-0000-000000000000',
  'io.kubernetes.cri.container-name': 'cart',
  'io.kubernetes.cri.container-type': 'container',
  'io.kubernetes.pod.namespace': 'shop',
  'io.kubernetes.pod.name': 'cart-0',
  // With which runc itself is misled.
  bundle: '/tmp'
}

interface Cluster {
  readonly key: KeyObject
  /** The file of its public keys. */
  readonly keys: string
}

function clusterOf(scope: Scope): Cluster {
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2_048 })
  const keys = join(scope.directory(), 'keys.json')
  const key = { ...publicKey.export({ format: 'jwk' }), kid: 'one', use: 'sig', alg: 'RS256' }
  writeFileSync(keys, JSON.stringify({ keys: [key] }), { mode: 0o644 })
  return { key: privateKey, keys }
}

/** A token as the API server makes one for a pod. */
async function tokenOf(key: KeyObject, pod: Pick<Pod, 'namespace' | 'name' | 'uid'>, account: string): Promise<string> {
  const { namespace, name, uid } = pod
  const nowS = Math.floor(Date.now() / 1_000)
  const claims = {
    namespace,
    node: { name: 'a' },
    pod: { name, uid },
    serviceaccount: { name: account, uid: 'x' },
    warnafter: nowS
  }
  return await new SignJWT({ 'kubernetes.io': claims })
    .setProtectedHeader({ alg: 'RS256', kid: 'one' })
    .setIssuer('https://kubernetes.default.svc.cluster.local')
    .setAudience(['https://kubernetes.default.svc.cluster.local'])
    .setSubject(`system:serviceaccount:${namespace}:${account}`)
    .setIssuedAt(nowS)
    .setNotBefore(nowS)
    .setExpirationTime(nowS + 3_607)
    .sign(key)
}

/** Puts it where the kubelet does, as the kubelet does, and returns what to mount. */
function tokenVolume(scope: Scope, pod: Pick<Pod, 'uid'>, token: string): string {
  const volume = join(scope.directory(), 'pods', pod.uid, 'volumes', 'kubernetes.io~projected', 'kube-api-access-1')
  mkdirSync(join(volume, '..2026_11_30'), { recursive: true })
  writeFileSync(join(volume, '..2026_11_30', 'token'), token)
  symlinkSync('..2026_11_30', join(volume, '..data'))
  symlinkSync('..data/token', join(volume, 'token'))
  return `${volume}:/srv`
}

async function stage(t: TestContext) {
  if (!needsCommand(t, 'containerd') || !needsCommand(t, 'runc')) return undefined
  const scope = scopeOf(t)
  const cluster = clusterOf(scope)
  const a = new TestAgent(scope, { name: 'a', args: ['--init', 'example.org'] })
  const share = join(a.runtimeDir, 'share')
  await a.start(['--init', 'example.org', '--share', share, '--kubernetes-keys', cluster.keys])
  chmodSync(join(a.runtimeDir, '..'), 0o755)
  const containerd = await Containerd.start(scope, CLAIMS)
  return { scope, a, cluster, containerd, mounts: [`${share}:/run/warren`] }
}

const register = async (probe: Probe, address: string, socket = SOCKET): Promise<string> =>
  await probe.call(socket, 'WorkloadService/Register', { address })

test('a container of Kubernetes is what containerd says of its pod, whatever the pod and its image say', {
  skip
}, async t => {
  const on = await stage(t)
  if (on === undefined) return
  const { scope, a, cluster, containerd, mounts } = on
  const { cri } = containerd
  const shop = await cri.pod({ namespace: 'shop', name: 'cart-0' })
  // Another tenant chooses the same names, and claims the rest.
  const evil = await cri.pod({ namespace: 'evil', name: 'cart-0', annotations: CLAIMS })
  await a.cli('entry', 'add', '--runtime', 'containerd', '--container', 'shop/cart', WEB)
  await a.cli('entry', 'add', '--pod', 'shop/cart-0', SHOP)
  await a.cli('entry', 'add', '--service-account', 'shop/cart', ACCOUNT)
  await a.cli('entry', 'add', '--pod', shop.uid, 'dev.shop.uid.default')

  const genuine = await tokenOf(cluster.key, shop, 'cart')
  const cart = await cri.probe(shop, 'cart', [...mounts, tokenVolume(scope, shop, genuine)])
  for (const address of [WEB, SHOP, ACCOUNT, 'dev.shop.uid.default'])
    assert.match(await register(cart, address), /"token"/)
  // Another container of the pod, to which the kubelet gives no token.
  const side = await cri.probe(shop, 'side', mounts)
  assert.match(
    await register(side, WEB),
    /PERMISSION_DENIED.*its container is shop\/side, and the entry asks for shop\/cart/
  )
  assert.match(await register(side, SHOP), /"token"/)
  assert.match(await register(side, ACCOUNT), /PERMISSION_DENIED.*its service account is not established/)

  // It has the token of the other pod, one that somebody else signed, and one of its own.
  const { privateKey: strange } = generateKeyPairSync('rsa', { modulusLength: 2_048 })
  const tokens = [
    genuine,
    await tokenOf(strange, { ...evil, namespace: 'shop' }, 'cart'),
    await tokenOf(cluster.key, evil, 'cart')
  ]
  for (const [index, token] of tokens.entries()) {
    const thief = await cri.probe(evil, `cart${index || ''}`, [...mounts, tokenVolume(scope, evil, token)])
    for (const address of [WEB, SHOP, 'dev.shop.uid.default'])
      assert.match(await register(thief, address), /PERMISSION_DENIED.*(evil\/cart)/)
    const account = index === 2 ? 'evil/cart' : 'not established'
    assert.match(await register(thief, ACCOUNT), new RegExp(`PERMISSION_DENIED.*its service account is ${account}`))
  }
  // Who enters the namespaces of the container from outside stays in its own cgroup.
  const state = JSON.parse(readFileSync(`/run/containerd/runc/k8s.io/${cart.containerId}/state.json`, 'utf8'))
  const pid = String((state as { init_process_pid: number }).init_process_pid)
  const entered = await Probe.start(scope, argv => ['nsenter', '--target', pid, '--pid', '--', ...argv])
  assert.match(await register(entered, SHOP, a.socket), /PERMISSION_DENIED.*its pod is not established/)
})

test('containers that share the processes of their pod, or of the host, are told apart by their cgroups', {
  skip
}, async t => {
  const on = await stage(t)
  if (on === undefined) return
  const { a, containerd, mounts } = on
  await a.cli('entry', 'add', '--container', 'shop/cart', WEB)
  for (const pids of ['pod', 'host'] as const) {
    const pod = await containerd.cri.pod({ namespace: 'shop', name: `of-${pids}`, pids })
    assert.match(await register(await containerd.cri.probe(pod, 'cart', mounts), WEB), /"token"/, pids)
    const side = await containerd.cri.probe(pod, 'side', mounts)
    assert.match(await register(side, WEB), /PERMISSION_DENIED.*its container is shop\/side/, pids)
  }
})

test('a container of containerd alone is its id, and none of Kubernetes', { skip }, async t => {
  const on = await stage(t)
  if (on === undefined) return
  const { scope, a, containerd, mounts } = on
  await a.cli('entry', 'add', '--runtime', 'containerd', '--container', 'cart', WEB)
  await a.cli('entry', 'add', '--container', 'shop/cart', SHOP)
  const annotations = Object.entries(CLAIMS).flatMap(([name, value]) => ['--annotation', `${name}=${value}`])
  const probe = await containerd.probe('cart', mounts, annotations)
  assert.match(await register(probe, WEB), /"token"/)
  assert.match(
    await register(probe, SHOP),
    /PERMISSION_DENIED.*its container is cart, and the entry asks for shop\/cart/
  )
  const other = await containerd.probe('other', mounts)
  assert.match(await register(other, WEB), /PERMISSION_DENIED.*its container is other/)
  const outside = await Probe.start(scope)
  await a.cli('entry', 'strict', 'on')
  assert.match(await register(outside, WEB, a.socket), /PERMISSION_DENIED.*its container is not established/)
})
