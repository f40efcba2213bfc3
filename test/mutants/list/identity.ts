import type { Mutant } from '../mutant.ts'

/** Of the verification of certificates, chains and bindings. */
export const IDENTITY: readonly Mutant[] = [
  {
    breaks: 'A certificate whose date is no number is never in date.',
    file: 'src/identity/verify/checks.ts',
    find: 'if (!(nowMs >= notBeforeMs)) {',
    replace: 'if (nowMs < notBeforeMs) {',
    tests: ['test/identity/verify-encoding.test.ts']
  },
  {
    breaks: 'A certificate has ended at the very instant of its end.',
    file: 'src/identity/verify/checks.ts',
    find: '!(nowMs < notAfterMs)',
    replace: '!(nowMs <= notAfterMs)',
    tests: ['test/identity/verify-authority.test.ts']
  },
  {
    breaks: 'A certificate whose constraints name no CA is none.',
    file: 'src/identity/verify/checks.ts',
    find: 'basicConstraints?.ca !== true',
    replace: 'basicConstraints === undefined',
    tests: ['test/identity/verify-node.test.ts']
  },
  {
    breaks: 'A CA has exactly the path length of its place, and no greater one.',
    file: 'src/identity/verify/checks.ts',
    find: 'basicConstraints.pathLength !== pathLength',
    replace: '(basicConstraints.pathLength ?? 9) < (pathLength ?? 0)',
    tests: ['test/identity/verify-authority.test.ts']
  },
  {
    breaks: 'A CA without key usages may not sign.',
    file: 'src/identity/verify/checks.ts',
    find: 'keyUsage === undefined || (keyUsage & KEY_CERT_SIGN) === 0',
    replace: 'keyUsage !== undefined && (keyUsage & KEY_CERT_SIGN) === 0',
    tests: ['test/identity/verify-authority.test.ts']
  },
  {
    breaks: 'An end entity may not sign lists of revoked certificates.',
    file: 'src/identity/verify/checks.ts',
    find: '(keyUsage & (KEY_CERT_SIGN | CRL_SIGN)) !== 0',
    replace: '(keyUsage & KEY_CERT_SIGN) !== 0',
    tests: ['test/identity/verify-workload.test.ts']
  },
  {
    breaks: 'A certificate that binds a host is no end entity.',
    file: 'src/identity/verify/checks.ts',
    find: ' || binding !== undefined) throw',
    replace: ') throw',
    tests: ['test/identity/verify-workload.test.ts']
  },
  {
    breaks: 'A workload certificate is for both directions of TLS.',
    file: 'src/identity/verify/checks.ts',
    find: ' || !extendedKeyUsage.includes(CLIENT_AUTH)',
    replace: '',
    tests: ['test/identity/verify-workload.test.ts']
  },
  {
    breaks: 'A certificate with two URIs names nobody.',
    file: 'src/identity/verify/checks.ts',
    find: 'uris.length !== 1)',
    replace: 'uris.length < 1)',
    tests: ['test/identity/verify-workload.test.ts']
  },
  {
    breaks: 'An extension that occurs twice is refused, whichever of the two a parser reads.',
    file: 'src/identity/verify/checks.ts',
    find: ' || repeatedExtension) {',
    replace: ') {',
    tests: ['test/identity/verify-encoding.test.ts']
  },
  {
    breaks: 'A chain of four certificates is refused, whatever its fourth is.',
    file: 'src/identity/verify/node.ts',
    find: 'if (chainDer.length !== 3)',
    replace: 'if (chainDer.length < 3)',
    tests: ['test/identity/verify-node.test.ts']
  },
  {
    breaks: 'An identity ends with the first certificate of its chain that ends.',
    file: 'src/identity/verify/node.ts',
    find: 'Math.min(node.notAfterMs, authority.notAfterMs, root.notAfterMs)',
    replace: 'Math.min(node.notAfterMs, root.notAfterMs)',
    tests: ['test/identity/verify-authority.test.ts']
  },
  {
    breaks: 'A host is renewed within the grace, and not at its last instant.',
    file: 'src/identity/verify/node.ts',
    find: 'nowMs - endMs >= graceMs',
    replace: 'nowMs - endMs > graceMs',
    tests: ['test/identity/renew.test.ts']
  },
  {
    breaks: 'The grace counts from when the first of node CA and authority ended.',
    file: 'src/identity/verify/node.ts',
    find: 'const endMs = Math.min(node.notAfterMs, authority.notAfterMs)',
    replace: 'const endMs = Math.max(node.notAfterMs, authority.notAfterMs)',
    tests: ['test/identity/renew.test.ts']
  },
  {
    breaks: 'A host that was verified in one trust domain is nobody in another.',
    file: 'src/identity/verify/node.ts',
    find: ' || known.trustDomain !== trust.trustDomain) {',
    replace: ') {',
    tests: ['test/identity/verify-workload.test.ts']
  },
  {
    breaks: 'A host verified before is good only as long as each certificate above it.',
    file: 'src/identity/verify/node.ts',
    find: 'for (const certificate of known.chain) checkDates(',
    replace: 'for (const certificate of known.chain.slice(0, 1)) checkDates(',
    tests: ['test/identity/verify-authority.test.ts']
  },
  {
    breaks: 'The root of a chain is one of the trusted certificates, not another one with its key.',
    file: 'src/identity/verify/node.ts',
    find: 'candidate.sha256 === root.sha256',
    replace: 'root.isSignedBy(candidate)',
    tests: ['test/identity/verify-authority.test.ts']
  },
  {
    breaks: 'The URI of a CA is that of the trust domain, and no path below it.',
    file: 'src/identity/verify/node.ts',
    find: 'onlyUri(certificate, what) !==',
    replace: "onlyUri(certificate, what).split('/', 3).join('/') !==",
    tests: ['test/identity/verify-authority.test.ts']
  },
  {
    breaks: 'A binding is for the whole hash of a CA key, and not for the beginning of one.',
    file: 'src/identity/verify/node.ts',
    find: 'binding.nodeKeySha256[at] === byte',
    replace: 'at > 7 || binding.nodeKeySha256[at] === byte',
    tests: ['test/identity/verify-node.test.ts']
  },
  {
    breaks: 'A binding counts only if the peer key that it names has signed it.',
    file: 'src/identity/verify/node.ts',
    find: 'if (!verifySignature(peerPublicKey,',
    replace: 'if (peerPublicKey.length !== 32 && !verifySignature(peerPublicKey,',
    tests: ['test/identity/verify-node.test.ts']
  },
  {
    breaks: 'A binding for another trust domain is refused.',
    file: 'src/identity/verify/node.ts',
    find: 'if (binding.trustDomain !== trustDomain) {',
    replace: "if (binding.trustDomain === '') {",
    tests: ['test/identity/verify-node.test.ts']
  },
  {
    breaks: 'No host is given the reserved scope.',
    file: 'src/identity/verify/node.ts',
    find: ' || scopes.includes(RESERVED_SCOPE)) {',
    replace: ') {',
    tests: ['test/identity/verify-node.test.ts']
  },
  {
    breaks: 'A revoked key takes along all that it signed, hosts of a revoked authority among them.',
    file: 'src/identity/verify/node.ts',
    find: 'const keys = chain.map(certificate',
    replace: 'const keys = chain.slice(0, 1).map(certificate',
    tests: ['test/identity/revocation.test.ts']
  },
  {
    breaks: 'A scope is a whole name: a host with the scope dev may not run what is of devops.',
    file: 'src/identity/verify/leaf.ts',
    find: '!signer.scopes.includes(address.scope)',
    replace: '!signer.scopes.some(scope => address.scope.startsWith(scope))',
    tests: ['test/identity/verify-workload.test.ts']
  },
  {
    breaks: 'A host signs for workloads of its own machine only.',
    file: 'src/identity/verify/leaf.ts',
    find: 'if (address.machine !== signer.machine) {',
    replace: "if (address.machine === '') {",
    tests: ['test/identity/verify-workload.test.ts']
  },
  {
    breaks: 'A workload identity does not outlive its host.',
    file: 'src/identity/verify/leaf.ts',
    find: 'Math.min(certificate.notAfterMs, signer.notAfterMs)',
    replace: 'certificate.notAfterMs',
    tests: ['test/identity/verify-workload.test.ts']
  },
  {
    breaks: 'A workload is refused once the trust in its host is withdrawn, though the host was verified before.',
    file: 'src/identity/verify/leaf.ts',
    find: 'checkStillValid(signer, trust, nowMs)',
    replace: 'checkStillValid(signer, { ...trust, revocations: [] }, nowMs)',
    tests: ['test/identity/revocation.test.ts']
  },
  {
    breaks: 'The machine that a certificate claims is not read from one of several names.',
    file: 'src/identity/verify/leaf.ts',
    find: '/^URI:([^,"]+)$/',
    replace: '/^URI:([^,"]+)/',
    tests: ['test/identity/verify-workload.test.ts']
  },
  {
    breaks: 'An authority has ended when its grace is over, to the millisecond.',
    file: 'src/identity/verify/authority.ts',
    find: 'nowMs - notAfterMs >= graceMs',
    replace: 'nowMs - notAfterMs > graceMs',
    tests: ['test/identity/authorities.test.ts']
  },
  {
    breaks: 'An authority below a root that is no longer trusted is none.',
    file: 'src/identity/verify/authority.ts',
    find: 'if (known?.roots === roots) return known.root',
    replace: 'if (known !== undefined) return known.root',
    tests: ['test/identity/authorities.test.ts']
  },
  {
    breaks: 'An authority ends with its root.',
    file: 'src/identity/verify/authority.ts',
    find: 'Math.min(notAfterMs, root.notAfterMs)',
    replace: 'notAfterMs',
    tests: ['test/identity/authorities.test.ts']
  },
  {
    breaks: 'An authority whose key is revoked signs nobody any more.',
    file: 'src/identity/verify/authority.ts',
    find: 'keys.includes(keySha256))',
    replace: 'keys.at(-1) === keySha256.slice(1))',
    tests: ['test/identity/authorities.test.ts']
  },
  {
    breaks: 'A later admission under the name of an evicted host is another host.',
    file: 'src/identity/revocation.ts',
    find: 'host.notBeforeMs < beforeMs',
    replace: 'host.notBeforeMs <= beforeMs',
    tests: ['test/identity/revocation.test.ts']
  },
  {
    breaks: 'A revocation of several hosts refuses each of them.',
    file: 'src/identity/revocation.ts',
    find: 'peers.includes(host.peer)',
    replace: 'peers[0] === host.peer',
    tests: ['test/identity/revocation.test.ts']
  }
]
