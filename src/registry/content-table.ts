import { hash } from 'node:crypto'
import { GroupTable, type OwnerLine } from './digest-table.ts'
import { encodeHead, type SealedHead } from './head.ts'
import { MIN_LEASE_MS } from './lease.ts'

/** What one owner says, without what each renewal changes. */
interface ContentLine extends OwnerLine {
  readonly sealed: SealedHead
}

/**
 * 64 hashes over what the owners say: two hosts that differ only in renewals of leases have equal ones.
 *
 * Among a thousand hosts some lease is renewed all the time. Digests of whole heads differed in every group, and each listed all
 * owners: 156 KB a second.
 */
export class ContentTable extends GroupTable<ContentLine> {
  constructor(trustDomain: string) {
    const digests = new WeakMap<SealedHead, string>()
    super(({ owner, sealed }) => {
      const digest = digests.get(sealed) ?? contentDigest(sealed, trustDomain)
      digests.set(sealed, digest)
      return `${owner} ${digest}\n`
    })
  }
}

function contentDigest({ head }: SealedHead, trustDomain: string): string {
  // These change with each renewal, or belong to the one head that has them.
  const said = {
    ...head,
    seq: head.recordSeq,
    issuedAtMs: 0,
    leaseMs: MIN_LEASE_MS,
    acks: 'none',
    audit: undefined
  } as const
  return hash('sha256', encodeHead(said, trustDomain), 'hex').slice(0, 32)
}
