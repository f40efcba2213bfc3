import { openHead } from '../../src/registry/head.ts'
import { DEFAULT_LIMITS, encodeAck, step } from '../../src/registry/index.ts'
import { decodeGossip } from '../../src/registry/wire-bounds.ts'
import { TRUST_DOMAIN } from './host.ts'

/** A known bug, planted to see that the simulator finds it. */
export interface Mutation {
  readonly step?: typeof step
  readonly deletesHighWaterMarks?: boolean
  readonly verifiesNothing?: boolean
  /** It is one of sessions that compare contents. */
  readonly comparesContent?: boolean
}

export const NO_MUTATION: Mutation = Object.freeze({})

/** Each by what it does wrong. */
export const MUTATIONS: Readonly<Record<string, Mutation>> = {
  'accepts an older seq': {
    step: (state, event, now) => {
      if (event.type === 'gossip') state.highWaterMarks.clear()
      return step(state, event, now)
    }
  },
  'takes other contents for the same': {
    comparesContent: true,
    step: (state, event, now) => {
      // Gossip is lost, too: only the digest can find what is missing.
      Object.assign(state.contents, { differing: () => [] })
      const isLost = event.type === 'gossip' && event.bytes.length % 3 === 0
      return isLost ? [{ type: 'verdict', verdict: 'ignore', reason: 'lost' }] : step(state, event, now)
    }
  },
  'forgets its marks at a restart': { deletesHighWaterMarks: true },
  'verifies no signature': { verifiesNothing: true },
  'saves no marks': {
    step: (state, event, now) => step(state, event, now).filter(({ type }) => type !== 'persist')
  },
  'acknowledges before it applies': {
    step: (state, event, now) => {
      const effects = step(state, event, now)
      if (event.type !== 'gossip' || !effects.some(({ type }) => type === 'sync-with')) return effects
      const gossip = decodeGossip(event.bytes, DEFAULT_LIMITS).event
      if (gossip.case === undefined) return effects
      const head = gossip.case === 'delta' ? gossip.value.head : gossip.value
      const { owner, epoch, seq } = openHead(head, TRUST_DOMAIN, DEFAULT_LIMITS).head
      const highWaterMark = { owner, epoch, seq }
      const ack = { type: 'send-ack', to: owner, bytes: encodeAck(epoch, seq), epoch, seq } as const
      // Saved as well, so that it is not found by that.
      return [...effects, { type: 'persist', highWaterMark }, ack]
    }
  },
  'never ends a lease': {
    step: (state, event, now) => step(state, event.type === 'tick' ? { type: 'refresh' } : event, now)
  },
  'takes back what its lease had ended': {
    step: (state, event, now) => {
      const effects = step(state, event, now)
      for (const [owner, highWaterMark] of state.highWaterMarks)
        if (highWaterMark.spent) state.highWaterMarks.set(owner, { ...highWaterMark, spent: false })
      return effects
    }
  },
  'forgets a mark with its lease': {
    step: (state, event, now) =>
      step(state, event, now).flatMap(effect => {
        if (effect.type !== 'changed' || effect.cause !== 'expired') return [effect]
        state.highWaterMarks.delete(effect.owner)
        return [effect, { type: 'forget', owner: effect.owner } as const]
      })
  },
  'keeps its acknowledgements to itself': {
    step: (state, event, now) => step(state, event, now).filter(({ type }) => type !== 'send-ack')
  },
  'leaves an owner out of its digest': {
    step: (state, event, now) => {
      const effects = step(state, event, now)
      for (const effect of effects) {
        if (effect.type !== 'changed' || effect.owner === state.own.peer) continue
        const entry = state.entries.get(effect.owner)
        if (entry !== undefined) state.digests.delete(entry.owner, entry.ownerKey)
      }
      return effects
    }
  },
  'remembers every acknowledgement': {
    step: (state, event, now) => {
      const { length } = state.publications
      const effects = step(state, event, now)
      const last = state.publications.at(-1)
      if (last !== undefined && state.publications.length > length) {
        for (let copy = 0; copy < 10; copy += 1) state.publications.unshift(last)
      }
      return effects
    }
  }
}
