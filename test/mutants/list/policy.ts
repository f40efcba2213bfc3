import type { Mutant } from '../mutant.ts'

/** Of the policy: what is allowed, by which rule, and which bundle counts. */
export const POLICY: readonly Mutant[] = [
  {
    breaks: 'An answer of an earlier connection ends with the policy that it was made for.',
    file: 'src/policy/decisions.ts',
    find: '    known.bundle === bundle &&',
    replace: '    (known.bundle === bundle || bundle !== undefined) &&',
    tests: ['test/policy/decisions.test.ts', 'test/cluster/authorizer.test.ts']
  },
  {
    breaks: 'An answer of an earlier connection ends when the whitelist of the destination changes.',
    file: 'src/policy/decisions.ts',
    find: '    known.question.whitelist === question.whitelist &&',
    replace: '    known.question.whitelist !== undefined &&',
    tests: ['test/policy/decisions.test.ts']
  },
  {
    breaks: 'An answer of an earlier connection ends at the date of a rule, and not after it.',
    file: 'src/policy/decisions.ts',
    find: '    nowMs < known.untilMs',
    replace: '    nowMs <= known.untilMs',
    tests: ['test/policy/decisions.test.ts', 'test/cluster/authorizer.test.ts']
  },
  {
    breaks: 'An answer of an earlier connection does not count for a time before it.',
    file: 'src/policy/decisions.ts',
    find: '    nowMs >= known.fromMs &&',
    replace: '    nowMs >= 0 &&',
    tests: ['test/policy/decisions.test.ts', 'test/cluster/authorizer.test.ts']
  },
  {
    breaks: 'A route is made anew when its host is seen in another state.',
    file: 'src/cluster/routing.ts',
    find: 'if (known?.owner === owner) return known.route',
    replace: 'if (known?.owner.peer === owner.peer) return known.route',
    tests: ['test/cluster/routing.test.ts']
  },
  {
    breaks: 'A deny rule beats an allow rule that was added before it.',
    file: 'src/policy/evaluate.ts',
    find: "applying.find(rule => rule.effect === 'deny')",
    replace: "applying.slice(0, 1).find(rule => rule.effect === 'deny')",
    tests: ['test/policy/evaluate.test.ts']
  },
  {
    breaks: 'A rule crosses scopes only if it names both of them.',
    file: 'src/policy/evaluate.ts',
    find: 'namesScope(rule.source, source.scope) && namesScope(',
    replace: 'namesScope(rule.source, source.scope) || namesScope(',
    tests: ['test/policy/evaluate.test.ts']
  },
  {
    breaks: 'A wildcard names no scope, so no rule with one crosses scopes.',
    file: 'src/identity/pattern.ts',
    find: 'return !matcher.any && matcher.names.includes(scope)',
    replace: 'return matcher.any || matcher.names.includes(scope)',
    tests: ['test/policy/evaluate.test.ts']
  },
  {
    breaks: 'A whitelist says which sources are let in, not which destinations.',
    file: 'src/policy/evaluate.ts',
    find: 'whitelist.find(pattern => matches(pattern, source))',
    replace: 'whitelist.find(pattern => matches(pattern, destination))',
    tests: ['test/policy/evaluate.test.ts']
  },
  {
    breaks: 'A whitelist does not count across scopes.',
    file: 'src/policy/evaluate.ts',
    find: '  if (crossing) {',
    replace: '  if (crossing && whitelist.length === 0) {',
    tests: ['test/policy/evaluate.test.ts']
  },
  {
    breaks: 'A revoked destination is denied as a revoked source is.',
    file: 'src/policy/evaluate.ts',
    find: 'for (const address of [source, destination]) {',
    replace: 'for (const address of [source]) {',
    tests: ['test/policy/content.test.ts']
  },
  {
    breaks: 'A rule for one protocol says nothing of the other.',
    file: 'src/policy/evaluate.ts',
    find: 'rule.protocols.includes(question.protocol)',
    replace: 'rule.protocols.length > 0',
    tests: ['test/policy/evaluate.test.ts']
  },
  {
    breaks: 'A rule ends at the very instant that it names.',
    file: 'src/policy/rule.ts',
    find: 'nowMs < rule.untilMs',
    replace: 'nowMs <= rule.untilMs',
    tests: ['test/policy/evaluate.test.ts']
  },
  {
    breaks: 'A rule begins at the very instant that it names.',
    file: 'src/policy/rule.ts',
    find: 'nowMs >= rule.notBeforeMs',
    replace: 'nowMs > rule.notBeforeMs',
    tests: ['test/policy/evaluate.test.ts']
  },
  {
    breaks: 'A rule for one protocol does not replace the rule for all protocols.',
    file: 'src/policy/rule.ts',
    find: 'a.protocols.length === b.protocols.length &&',
    replace: 'a.protocols.length <= b.protocols.length &&',
    tests: ['test/policy/bundle.test.ts']
  },
  {
    breaks: 'The next change of the policy lies ahead, or whoever waits for it never rests.',
    file: 'src/policy/bundle.ts',
    find: '.filter(date => date > nowMs)',
    replace: '.filter(date => date >= nowMs)',
    tests: ['test/policy/evaluate.test.ts']
  },
  {
    breaks: 'Two contents of one version are a conflict, also if both were signed in the same millisecond.',
    file: 'src/policy/bundle.ts',
    find: "candidate.sha256 === current.sha256 ? 'same'",
    replace: "candidate.issuedAtMs === current.issuedAtMs ? 'same'",
    tests: ['test/policy/bundle.test.ts']
  },
  {
    breaks: 'A bundle of the same version does not replace the one in force.',
    file: 'src/policy/bundle.ts',
    find: "candidate.version > current.version) return 'newer'",
    replace: "candidate.version >= current.version) return 'newer'",
    tests: ['test/policy/bundle.test.ts']
  },
  {
    breaks: 'A bundle that the admin key signed for another trust domain is refused.',
    file: 'src/policy/bundle.ts',
    find: 'if (message.trustDomain !== trustDomain) {',
    replace: "if (message.trustDomain === '') {",
    tests: ['test/policy/bundle.test.ts']
  },
  {
    breaks: 'A bundle without a version is refused.',
    file: 'src/policy/bundle.ts',
    find: 'if (message.version === 0n) throw',
    replace: 'if (message.version < 0n) throw',
    tests: ['test/policy/content.test.ts']
  },
  {
    breaks: 'A bundle in which an id occurs twice is refused.',
    file: 'src/policy/bundle.ts',
    find: '.size !== list.length) {',
    replace: '.size > list.length) {',
    tests: ['test/policy/content.test.ts']
  },
  {
    breaks: 'Each kind of content is bounded, up to the bound and not beyond.',
    file: 'src/policy/bundle.ts',
    find: 'if (list.length > max) throw',
    replace: 'if (list.length > 2 * max) throw',
    tests: ['test/policy/content.test.ts']
  },
  {
    breaks: 'The strict mode survives a change of something else.',
    file: 'src/policy/bundle.ts',
    find: 'return { rules, entries, strict, revocations, invariants, admins',
    replace: 'return { rules, entries, strict: strict && rules.length === 0, revocations, invariants, admins',
    tests: ['test/policy/content.test.ts']
  },
  {
    breaks: 'The id of a removed rule is never given to another rule.',
    file: 'src/policy/edit.ts',
    find: 'return (current?.version ?? 0n) + 1n',
    replace: 'return BigInt((current?.rules.length ?? 0) + 1)',
    tests: ['test/policy/bundle.test.ts']
  },
  {
    breaks: 'A rule that would end before it begins is refused, also if it begins in the future.',
    file: 'src/policy/edit.ts',
    find: 'rule.untilMs <= Math.max(nowMs, rule.notBeforeMs)',
    replace: 'rule.untilMs <= nowMs',
    tests: ['test/policy/bundle.test.ts']
  },
  {
    breaks: 'A host that joins again within the second of its eviction is another host.',
    file: 'src/policy/edit.ts',
    find: 'Math.floor(nowMs / 1_000) * 1_000',
    replace: 'Math.ceil(nowMs / 1_000) * 1_000',
    tests: ['test/policy/content.test.ts']
  },
  {
    breaks: 'An entry for one machine grants nothing on the others.',
    file: 'src/policy/entry.ts',
    find: 'machine === undefined || machine === address.machine',
    replace: "machine === undefined || machine !== ''",
    tests: ['test/policy/content.test.ts']
  },
  {
    breaks: 'An entry for a cgroup does not cover a sibling with a longer name.',
    file: 'src/policy/selectors.ts',
    find: '}/`) === true',
    replace: '}`) === true',
    tests: ['test/policy/content.test.ts']
  },
  {
    breaks: 'An entry grants only to a process that has all that it names.',
    file: 'src/policy/selectors.ts',
    find: 'return SELECTORS.filter(selector => {',
    replace: 'return SELECTORS.slice(0, 4).filter(selector => {',
    tests: ['test/policy/content.test.ts']
  },
  {
    breaks: 'An entry that names only a machine would grant to all of it, and is refused.',
    file: 'src/policy/entry-codec.ts',
    find: 'if (SELECTORS.every(selector => entry[selector] === undefined)) return',
    replace: 'if (SELECTORS.every(selector => entry[selector] === undefined) && entry.machine === undefined) return',
    tests: ['test/policy/content.test.ts']
  },
  {
    breaks: 'A path in an entry does not lead upwards.',
    file: 'src/policy/entry-codec.ts',
    find: " && name !== '..')",
    replace: ')',
    tests: ['test/policy/content.test.ts']
  },
  {
    breaks: 'A rule whose effect is unknown makes the bundle unusable, for it may be a denial.',
    file: 'src/policy/rule-codec.ts',
    find: 'rule.effect !== policyPb.Effect.ALLOW && rule.effect !== policyPb.Effect.DENY',
    replace: '!rule.effect',
    tests: ['test/policy/content.test.ts']
  },
  {
    breaks: 'A rule for an unknown protocol makes the bundle unusable.',
    file: 'src/policy/rule-codec.ts',
    find: "throw malformed('a rule has an unknown protocol')",
    replace: "return 'udp'",
    tests: ['test/policy/content.test.ts']
  },
  {
    breaks: 'A revocation that names nothing was meant to name something, and is refused.',
    file: 'src/policy/revocation-codec.ts',
    find: 'peerKeys.length === 0 && keySha256.length === 0) {',
    replace: 'peerKeys.length === 0 && keySha256.length > 0) {',
    tests: ['test/policy/content.test.ts']
  }
]
