/** A name or term that the field has another one for: what is not written any more, and what is written instead. */
export interface OldWord {
  readonly old: string
  readonly now: string
  /** Finds the old one, in code, protocols, metrics, command output and pages. */
  readonly pattern: RegExp
  /** A text in which it is found, so that a pattern that finds nothing is noticed. */
  readonly example: string
}

/** Every old name. CHANGELOG.md has a row for each. */
export const OLD_WORDS: readonly OldWord[] = [
  word(
    'broker',
    'proxy, data plane',
    /\b[Bb]roker(?!ed)\w*|[a-z]Broker|broker_\w+/,
    'createBroker, warren.broker.v1, broker_flows'
  ),
  word(
    'lane',
    'fast-path connection, `RecordConnection`',
    /\b[Ll]anes?\b|\bLane[A-Z]|[a-z]Lanes?\b|\blane[A-Z]|LANES?_|_lanes/,
    'LaneDoor'
  ),
  word(
    'kept lane',
    'pooled fast-path connection, `PooledConnection`',
    /\b[Kk]ept (?:lanes?|fast-path)|KeptLane|\b(?:is|give|take)Kept\b/,
    'takeKept'
  ),
  word(
    '`LaneDoor`, `LaneWay`, `LaneWorth`, `LaneBudget`',
    '`FastPathAcceptor`, `UpgradePath`, `UpgradeThresholds`, `FastPathBudget`',
    /\bLane(?:Door|Way|Worth|Budget)\b/,
    'LaneWorth'
  ),
  word('`Once`', '`ReplayGuard`', /\b(?:class|new) Once\b/, 'new Once(8)'),
  word('`way` as a label', '`direction`, `path`', /[{,] ?way="|\bway: ?(?:\[|'in|'out|WAY)|`way`/, '{way="in"}'),
  word('doubts', 'outlier tracker', /\bDoubts\b|\bisDoubtful\b|DOUBT_/, 'new Doubts()'),
  word('passed over', 'skipped, `ineligibleReason`', /\bpass(?:ed|es|ing)? over\b|[pP]assedOver/, 'whyPassedOver'),
  word(
    '`Wish`, `aim`',
    '`OpenRequest`, `setDestination`',
    /\bWish\b|\bwish\b(?=[:,.)])|#aim\b/,
    'open(flow: Flow, wish: Wish)'
  ),
  word(
    'asker, asking',
    'responder, requester, pending request',
    /\b[aA]skers?\b|\b(?:interface|type) Asking\b|#asking\b|portAsker/,
    'interface Asker'
  ),
  word(
    '`shownBy`, `toldOf`, `refusalOf`',
    '`peerChainOf`, `toWireError`, `fromWireError`',
    /\bshownBy\b|\btoldOf\b|\brefusalOf\b/,
    'toldOf(error)'
  ),
  word('reassertion', '`PolicyEnforcer`, `reevaluate`', /[rR]eassert/, 'reassert()'),
  word(
    'judge, judgement',
    'verify, evaluate; verifier, verdict',
    /\b[jJ]udg(?:e|es|ed|ing|ements?)\b|[a-z]Judge|\bjudge[A-Z]/,
    'judgeHead'
  ),
  word('parking', '`PreconnectCache`', /\b[pP]arking\b|[pP]arkedTargets|\bmaxParked\b/, 'new Parking(8)'),
  word(
    'front, visitors, stranger lines',
    '`TlsAcceptor`, unauthenticated exchanges, `UNAUTHENTICATED_LINES`',
    /TlsFront|HandshakeGate|\bvisitors\b|serveVisitor|STRANGER_LINES|stranger-lines/,
    'TlsFront'
  ),
  word('meter, allowance', 'token bucket, quota', /\bmeters?\b(?=[:,.)])|#meters?\b|\ballowance\b/, 'flow.meters.push'),
  word(
    'office, desk, book',
    '`JoinService`, `RenewalService`, `AuthorityService`; store',
    /[a-z](?:Office|Desk)\b|\b(?:office|desk)\b|\b(?:Address|Issued|Member|Authority)Book\b|address-book/,
    'RenewalDesk'
  ),
  word(
    'patient, examine, attend, `wasWell`',
    'monitored, `runCheck`, monitor, `hasPassed`',
    /\bPatient\b|\bpatients?\b|\bexamine[sd]?\(|\bwasWell\b|\battend\(/,
    'interface Patient'
  ),
  word(
    'standing',
    '`AddressSource`, `evictionReason`, `requireNotRevoked`, authority status',
    /(?:require|has|in|verify|check|open|authority)Standing\b|StandingRequest|standingOf|\bStanding\b/,
    'requireStanding'
  ),
  word('rumour, glance', 'suspicion gossip, hint; quick probe', /[rR]umour|RUMOUR|#glances?\b/, 'onRumour'),
  word('lapsed', 'expired; `CERTIFICATE_EXPIRED`', /[lL]apsed|LAPSED/, 'CERTIFICATE_LAPSED'),
  word('superseded', 'replaced', /[sS]uperseded|SUPERSEDED/, 'isSuperseded'),
  word(
    'mark',
    'high-water mark',
    /\bHeldMark\b|\b(?:save|raise|bound)Marks\b|\bforgets?Marks?\b|warren_registry_marks/,
    'saveMarks'
  ),
  word(
    'adopt, assess, remind, `meetOwnHead`, take-state, take-ack',
    'apply, validate, `requestMissing`, `handleOwnHead`, handle-state, handle-ack',
    /\bmeetOwn[A-Z]|registry\/(?:adopt|assess|remind|take-)|\bremind\(|\bassess\(/,
    'meetOwnHead'
  ),
  word('told_all', 'sent_to_all', /told_all|toldAll/, 'toldAll'),
  word(
    '`letGo`, `freed`, `whenOver`, `rested`',
    '`releaseIdle`, `onReleased`, `onClosed`, `onIdle`',
    /\bletGo\b|\bfreed\(|#?\bwhenOver\b|\brested\b(?=[?:(])/,
    'letGo()'
  ),
  word(
    'out of rotation, put out',
    'drained, evicted',
    /\b(?:out of|in|into|from) rotation\b|\b(?:is|was|are|were) put out\b/,
    'out of rotation'
  ),
  word('no_way', 'no_path', /\bno_way\b|NoWay\b/, 'no_way')
]

function word(old: string, now: string, pattern: RegExp, example: string): OldWord {
  return { old, now, pattern, example }
}

/** A phrase that a reader whose first language is another one cannot look up word by word. */
export interface UnclearPhrase {
  /** Finds the phrase in pages and help texts. */
  readonly pattern: RegExp
  /** Examples of what to write instead. */
  readonly now: string
  /** A text in which it is found. */
  readonly example: string
}

export const UNCLEAR_PHRASES: readonly UnclearPhrase[] = [
  { pattern: /\b(?:is|are|was|were) told\b/i, now: 'is notified, is known', example: 'the caller is told' },
  { pattern: /\bhears? of\b|\bheard of\b/i, now: 'learns, receives', example: 'hears of a change' },
  { pattern: /\bby (?:itself|themselves)\b/i, now: 'automatically, alone', example: 'ends by itself' },
  { pattern: /\bnothing comes of\b/i, now: 'has no effect', example: 'nothing comes of it' },
  { pattern: /\basked wrongly\b/i, now: 'usage error', example: '2 asked wrongly' },
  { pattern: /\b(?:is|are) had\b/i, now: 'exists, is available', example: 'if none is had' },
  { pattern: /\bgo(?:es)? on\b/i, now: 'continues', example: 'goes on as before' }
]
