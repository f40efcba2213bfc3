import { legCompliance } from './support/leg-compliance.ts'
import { joiningPair, pooledPair, socketPair, streamPair } from './support/leg-pairs.ts'

for (const kind of ['unix', 'tcp'] as const) {
  for (const isReused of [false, true]) {
    legCompliance({
      name: `a workload's socket (${kind}${isReused ? ', read into one buffer' : ''})`,
      makePair: scope => socketPair(scope, kind, isReused),
      tells: kind === 'tcp' ? 'reset' : 'an end that takes nothing'
    })
  }
}

for (const nearEnd of ['opener', 'other'] as const) {
  legCompliance({
    name: `a stream of a session, at the ${nearEnd}`,
    makePair: scope => streamPair(scope, nearEnd),
    tells: 'the reason'
  })
  legCompliance({
    name: `a record connection of a flow that moves, at the ${nearEnd}`,
    makePair: scope => joiningPair(scope, nearEnd),
    // The reason comes on the stream, which is another leg.
    tells: 'link'
  })
  legCompliance({
    name: `a pooled record connection, at the ${nearEnd}`,
    makePair: scope => pooledPair(scope, nearEnd),
    tells: 'the reason'
  })
}
