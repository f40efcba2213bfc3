import assert from 'node:assert/strict'
import test from 'node:test'
import type { ContainerFacts, ProcessFacts } from '../../src/attest/index.ts'
import { formatPolicyFile, parsePolicyFile } from '../../src/config/policy-file/index.ts'
import {
  CONTEXT,
  generatePeerKeyPair,
  parseAddress,
  parsePattern,
  rawPublicKey,
  sign
} from '../../src/identity/index.ts'
import {
  addEntry,
  type Entry,
  entryFrom,
  grantingEntry,
  type NewEntry,
  narrowingOptions,
  openBundle,
  readUnsigned,
  sealBundle,
  wantsContainer,
  wantsMore,
  whyNotGranted
} from '../../src/policy/index.ts'
import { adminPb, create, decode, grantsFields, policyPb, toBinary } from '../../src/wire/index.ts'

const TD = 'example.org'
const WEB = parseAddress('dev.web.site.default.a')
const DIGEST = `sha256:${'ab'.repeat(32)}`

const draft = (selectors: Partial<NewEntry>): NewEntry => ({
  machine: undefined,
  uid: undefined,
  user: undefined,
  gid: undefined,
  group: undefined,
  exePath: undefined,
  exeSha256: undefined,
  systemdUnit: undefined,
  cgroup: undefined,
  grants: parsePattern('dev.web.*.*'),
  reason: '',
  ...selectors
})
const entry = (selectors: Partial<NewEntry>): Entry => ({ ...draft(selectors), id: 'e1', createdAtMs: 0 })

const container: ContainerFacts = {
  runtime: 'podman',
  ownerUid: 0,
  owners: ['root'],
  id: 'c1',
  names: ['web'],
  images: [DIGEST],
  pods: ['shop', '0123'],
  serviceAccount: 'shop/cart'
}
const plain: ProcessFacts = {
  uid: 0,
  users: ['root'],
  gids: [0],
  groups: ['root'],
  exePath: undefined,
  exeSha256: undefined,
  systemdUnit: undefined,
  cgroup: undefined
}
const inside: ProcessFacts = { ...plain, container }
const ofAlice: ProcessFacts = {
  ...plain,
  uid: 1_000,
  hasOwnUserIds: true,
  container: { ...container, ownerUid: 1_000, owners: ['alice'] }
}
const isGranted = (selectors: Partial<NewEntry>, facts: ProcessFacts): boolean =>
  grantingEntry([entry(selectors)], WEB, facts) !== undefined

test('each selector of a container is met by the container of root that has it, and by no other', () => {
  const met = {
    containerRuntime: 'podman',
    containerName: 'web',
    containerImage: DIGEST,
    containerPod: 'shop',
    containerServiceAccount: 'shop/cart'
  }
  for (const [name, value] of Object.entries(met)) {
    const selectors = { [name]: value }
    assert.ok(isGranted(selectors, inside), name)
    assert.ok(!isGranted(selectors, plain), name)
    assert.ok(
      !isGranted(selectors, {
        ...inside,
        container: { ...container, runtime: 'x', names: [], images: [], pods: [], serviceAccount: 'other/cart' }
      })
    )
    // The same container of a user is another one.
    assert.ok(!isGranted(selectors, ofAlice), name)
    for (const user of ['alice', '1000']) assert.ok(isGranted({ ...selectors, containerUser: user }, ofAlice), name)
    for (const user of ['root', '0', 'bob', '1001'])
      assert.ok(!isGranted({ ...selectors, containerUser: user }, ofAlice), user)
    assert.ok(!isGranted({ ...selectors, containerUser: 'alice' }, inside))
  }
  assert.ok(isGranted({ ...met, uid: 0, containerUser: 'root' }, inside))
  assert.ok(!isGranted({ ...met, uid: 1 }, inside))
})

test('a user named as a number is one by its number, whatever others are called', () => {
  const named: ProcessFacts = { ...ofAlice, container: { ...container, ownerUid: 1_001, owners: ['1000'] } }
  assert.ok(!isGranted({ containerUser: '1000' }, named))
})

test('the ids of a user namespace alone are those of nobody', () => {
  for (const selectors of [{ uid: 1_000 }, { user: 'root' }, { gid: 0 }, { uid: 1_000, selinux: 'u:r:t' }])
    assert.ok(!isGranted(selectors, { ...ofAlice, selinux: 'u:r:t' }), JSON.stringify(selectors))
  assert.match(whyNotGranted([entry({ uid: 1_000 })], WEB, ofAlice), /an entry must name the container/)
})

test('labels are met as a whole, or by their beginning up to a colon', () => {
  const facts = { ...plain, selinux: 'system_u:system_r:container_t:s0:c1,c2', apparmor: 'web' }
  for (const selinux of ['system_u:system_r:container_t', 'system_u:system_r:container_t:s0', facts.selinux])
    assert.ok(isGranted({ uid: 0, selinux }, facts), selinux)
  for (const selinux of ['system_u:system_r:container', 'system_u:system_r:container_t:s0:c1', 'system_u:system_r:x'])
    assert.ok(!isGranted({ uid: 0, selinux }, facts), selinux)
  assert.ok(isGranted({ uid: 0, apparmor: 'web' }, facts))
  assert.ok(!isGranted({ uid: 0, apparmor: 'we' }, facts))
  assert.ok(!isGranted({ uid: 0, apparmor: 'web' }, plain))
})

test('a container is looked for when an entry could grant by it, and not otherwise', () => {
  const wants = (selectors: Partial<NewEntry>, facts: ProcessFacts): boolean =>
    wantsContainer([entry(selectors)], WEB, facts)
  assert.ok(wants({ containerName: 'web' }, plain))
  assert.ok(wants({ containerName: 'web', exePath: '/bin/x', uid: 0 }, plain))
  assert.ok(wants({ containerUser: 'alice' }, plain))
  assert.ok(!wants({ containerName: 'web', uid: 1 }, plain))
  assert.ok(!wants({ uid: 0 }, plain))
  assert.ok(!wants({ uid: 0 }, { ...plain, hasOwnUserIds: true }))
  assert.ok(!wants({ containerName: 'other' }, inside))
  assert.ok(wantsMore([entry({ containerName: 'web' })], WEB, plain))
})

test('a refusal says which container it is, and suggests an entry as narrow', () => {
  const others = [entry({ containerName: 'shop', containerImage: DIGEST })]
  assert.match(whyNotGranted(others, WEB, inside), /its container is web, and the entry asks for shop/)
  assert.match(
    whyNotGranted(others, WEB, plain),
    /its container is not established.*its container runtime is not known/
  )
  assert.match(
    whyNotGranted(others, WEB, ofAlice),
    /its container runtime is that of alice, and the entry asks for that of root/
  )
  assert.equal(narrowingOptions(others, WEB, inside), ` --container web --image ${DIGEST}`)
  assert.equal(narrowingOptions(others, WEB, ofAlice), ` --container web --image ${DIGEST} --container-user alice`)
  // A person copies it into a shell.
  const planted = { ...plain, exePath: '/tmp/x; reboot $(y)' }
  assert.equal(narrowingOptions([entry({ exePath: '/bin/x' })], WEB, planted), " --exe '/tmp/x; reboot $(y)'")
})

test('an entry of a container is in a list of its own, which agents that do not know it do not read', () => {
  const admin = generatePeerKeyPair()
  const all = {
    containerRuntime: 'podman',
    containerName: 'web',
    containerImage: DIGEST,
    containerPod: 'shop',
    containerUser: 'alice',
    selinux: 'u:r:t:s0',
    apparmor: 'profile'
  }
  const first = addEntry(undefined, draft({ uid: 0, ...all }), 1).entries
  const second = { ...draft({ uid: 7 }), id: 'e9', createdAtMs: 2 }
  const third = { ...draft({ uid: 8, apparmor: 'x' }), id: 'e10', createdAtMs: 2 }
  const bytes = sealBundle(undefined, { entries: [...first, second, third], trustDomain: TD, nowMs: 1 }, one =>
    sign(admin, CONTEXT.policyBundle, one)
  )
  const envelope = decode(policyPb.SignedBundleSchema, bytes, bytes.length)
  const message = decode(policyPb.BundleSchema, envelope.bundle, bytes.length)
  assert.deepEqual(
    message.entries.map(({ id }) => id),
    ['e9']
  )
  const { entries } = openBundle(bytes, rawPublicKey(admin), TD)
  assert.deepEqual(
    entries.map(({ id }) => id),
    ['e9', 'e1', 'e10']
  )
  assert.deepEqual(Object.fromEntries(Object.keys(all).map(name => [name, entries[1]?.[name as keyof Entry]])), all)
})

const OF_KUBERNETES = [
  { containerServiceAccount: 'shop/cart' },
  { containerName: 'shop/cart' },
  { containerPod: 'shop/cart-0' }
]
const sealed = (entries: readonly Entry[]): { bytes: Uint8Array; message: policyPb.Bundle } => {
  const bytes = sealBundle(undefined, { entries, trustDomain: TD, nowMs: 1 }, () => new Uint8Array(64))
  const { bundle } = decode(policyPb.SignedBundleSchema, bytes, bytes.length)
  return { bytes, message: decode(policyPb.BundleSchema, bundle, bytes.length) }
}
const resealed = (message: policyPb.Bundle, admin = generatePeerKeyPair()) => {
  const bundle = toBinary(policyPb.BundleSchema, message)
  const signature = sign(admin, CONTEXT.policyBundle, bundle)
  const signed = toBinary(policyPb.SignedBundleSchema, create(policyPb.SignedBundleSchema, { bundle, signature }))
  return openBundle(signed, rawPublicKey(admin), TD)
}

test('an agent that knows entries of containers and not those of Kubernetes grants nothing by these, and reads the rest', () => {
  const others = [
    { ...draft({ uid: 7 }), id: 'e7', createdAtMs: 1 },
    { ...draft({ containerName: 'web' }), id: 'e8', createdAtMs: 1 }
  ]
  const ofKubernetes = OF_KUBERNETES.map((selectors, index) => ({
    ...draft({ uid: 0, containerRuntime: 'containerd', ...selectors }),
    id: `e${index}`,
    createdAtMs: 1
  }))
  const { message } = sealed([...ofKubernetes, ...others])
  const ids = (entries: ReadonlyArray<{ readonly id: string }>): string[] => entries.map(({ id }) => id)
  const lists = [message.entries, message.containerEntries, message.kubernetesEntries]
  assert.deepEqual(lists.map(ids), [['e7'], ['e8'], ['e0', 'e1', 'e2']])
  assert.deepEqual(ids(resealed(message).entries), ['e7', 'e8', 'e0', 'e1', 'e2'])
  assert.deepEqual(ids(readUnsigned(toBinary(policyPb.BundleSchema, message)).entries), ['e7', 'e8', 'e0', 'e1', 'e2'])
  // What such an agent has read, which ignores list 14.
  const older = resealed({ ...message, kubernetesEntries: [] })
  assert.deepEqual(ids(older.entries), ['e7', 'e8'])
  assert.equal(
    grantingEntry(older.entries, WEB, { ...inside, container: { ...container, names: ['shop/cart'] } }),
    undefined
  )
  assert.equal(grantingEntry(older.entries, WEB, inside)?.id, 'e8')
  // An id is one in all of the lists.
  const [twice] = sealed([{ ...draft({ containerName: 'shop/cart' }), id: 'e8', createdAtMs: 1 }]).message
    .kubernetesEntries
  assert.throws(
    () => resealed({ ...message, kubernetesEntries: twice === undefined ? [] : [twice] }),
    /an id occurs twice/
  )
})

test('a bundle with an entry of Kubernetes where an older agent would read it is malformed', () => {
  for (const selectors of OF_KUBERNETES) {
    const { message } = sealed([{ ...draft({ uid: 0, ...selectors }), id: 'e1', createdAtMs: 1 }])
    const { kubernetesEntries: entries } = message
    assert.equal(resealed(message).entries.length, 1)
    const refused = /MESSAGE_MALFORMED.*e1 is in a list of older agents/
    for (const list of ['entries', 'containerEntries'] as const)
      assert.throws(() => resealed({ ...message, kubernetesEntries: [], [list]: entries }), refused)
  }
})

test('a request with such a selector has its pattern where an older agent does not look', () => {
  const none = { grants: '', narrowGrants: '', kubernetesGrants: '' }
  const pattern = 'dev.web.*.*'
  assert.deepEqual(grantsFields(pattern, { containerName: '' }), { ...none, grants: pattern })
  const fields = { containerName: 'web', selinux: '' }
  assert.deepEqual(grantsFields(pattern, fields), { ...none, narrowGrants: pattern })
  const message = create(adminPb.EntrySchema, { ...fields, ...grantsFields(pattern, fields) })
  const read = entryFrom(message)
  assert.deepEqual([read.grants.text, read.containerName, read.selinux], [pattern, 'web', undefined])
  for (const selectors of OF_KUBERNETES) {
    const sent = { ...fields, ...selectors }
    assert.deepEqual(grantsFields(pattern, sent), { ...none, kubernetesGrants: pattern })
    const taken = entryFrom(create(adminPb.EntrySchema, { ...sent, ...grantsFields(pattern, sent) }))
    assert.deepEqual({ ...taken, ...selectors, grants: taken.grants.text }, { ...taken, grants: pattern })
  }
})

test('an entry that says nothing, or cannot be met, is refused', () => {
  const refused: ReadonlyArray<readonly [Partial<NewEntry>, RegExp]> = [
    [{ containerImage: 'nginx:latest' }, /is no digest/],
    [{ containerImage: `sha256:${'AB'.repeat(32)}` }, /is no digest/],
    [{ containerName: 'a b' }, /no name/],
    [{ containerName: '' }, /no name/],
    [{ containerPod: 'a/b/c' }, /no name/],
    [{ containerPod: '/b' }, /no name/],
    [{ containerRuntime: 'a/b' }, /no name/],
    ...['cart', 'shop/', '/cart', 'Shop/cart', 'shop/cart/x', 'shop/*', `shop/${'x'.repeat(260)}`].map(
      text => [{ containerServiceAccount: text }, /service account that is not NAMESPACE\/NAME/] as const
    ),
    [{ containerUser: 'x'.repeat(257) }, /no name/],
    [{ selinux: 'container_t', uid: 0 }, /SELinux label/],
    [{ selinux: 'u:r:t' }, /a label alone/],
    [{ apparmor: 'x', selinux: 'u:r:t' }, /a label alone/],
    [{ apparmor: 'a\nb', uid: 0 }, /label that is none/]
  ]
  for (const [selectors, why] of refused) assert.throws(() => addEntry(undefined, draft(selectors), 1), why)
  const named = { containerName: 'shop/cart', containerServiceAccount: 'shop/cart.v2' }
  for (const selectors of [{ containerName: 'web' }, named, { containerUser: 'alice' }, { apparmor: 'x', uid: 0 }])
    assert.ok(addEntry(undefined, draft(selectors), 1).added)
})

test('a policy file says the same of a container before and after it was exported', () => {
  const text = `entries:
  - grant: dev.web.*.*
    runtime: podman
    container: web
    image: ${DIGEST}
    pod: shop
    service-account: shop/cart
    container-user: alice
    selinux: u:r:t
    apparmor: a profile
`
  const { document, faults } = parsePolicyFile('p.yaml', text)
  assert.deepEqual(faults, [])
  const [read] = document.entries?.entries ?? []
  assert.ok(read)
  assert.deepEqual([read.grants, read.kubernetesGrants], ['', 'dev.web.*.*'])
  const shown = create(adminPb.EntrySchema, { ...read, grants: 'dev.web.*.*', kubernetesGrants: '' })
  assert.equal(
    formatPolicyFile({ rules: [], entries: [shown], invariants: [], strict: false }).includes(text.slice(11)),
    true
  )
})
