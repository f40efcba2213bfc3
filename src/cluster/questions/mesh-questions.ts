import { randomBytes } from 'node:crypto'
import { detach } from '../../core/index.ts'
import { CONTEXT, rawPublicKey, sign, verifySignature } from '../../identity/index.ts'
import { owner, type RegistryState } from '../../registry/index.ts'
import { type Gathering, gatherBy, type MeshGatheringDeps, signedBytes } from '../gather/index.ts'
import { ANSWERS, CAPABILITY_FOR, MAX_QUESTION_BYTES } from './question.ts'
import { type QuestionPorts, Questions } from './questions.ts'

export interface MeshQuestionsDeps extends MeshGatheringDeps, Pick<QuestionPorts, 'mayAsk' | 'signerOf' | 'answerers'> {
  readonly state: RegistryState
  /** Signs in the context of questions, by the key of the admin of this host. */
  readonly signed: (bytes: Uint8Array) => ReturnType<QuestionPorts['sign']>
}

const PROTOCOL = '/warren/question/1'
const RESPONSE_BYTES = 64
const NOTHING = new Uint8Array()

/** Questions on the mesh. Call it before the mesh starts. */
export function questionsOnMesh(deps: MeshQuestionsDeps): Questions {
  const { mesh, state, signed, peerKey, mayAsk, signerOf, answerers, monotonicMs, log, signal } = deps
  const gathering: Gathering = gatherBy(deps, {
    protocol: '/warren/answers/1',
    format: ANSWERS,
    isNews: answer => questions.isNews(answer),
    deliver: answer => questions.deliver(answer),
    // The requester asks again, and a later way may work.
    onUndelivered: ({ requester }) => log.debug('an answer is not carried', { peer: requester })
  })
  const questions: Questions = new Questions({
    self: mesh.peer,
    isMember: peer => state.entries.has(peer),
    mayAsk,
    signerOf,
    verify: question => verifySignature(question.signer, CONTEXT.question, signedBytes(question), question.signature),
    sign: (question, signer) => {
      const bytes = signedBytes(question)
      if (signer === 'admin') return signed(bytes)
      return { signer: rawPublicKey(peerKey), signature: sign(peerKey, CONTEXT.question, bytes) }
    },
    neighbours: signer =>
      mesh.connected().filter(peer => owner(state, peer)?.capabilities.includes(CAPABILITY_FOR[signer]) === true),
    send: (peer, bytes) => {
      const sent = mesh.request(peer, PROTOCOL, bytes, { signal, maxResponseBytes: RESPONSE_BYTES }).catch(err => {
        log.debug('a question was not taken', { peer, err })
      })
      detach(log, 'question', sent, signal)
    },
    gathering,
    answerers,
    monotonicMs,
    random: Math.random,
    randomRun: () => randomBytes(8).readBigUInt64BE()
  })
  signal.addEventListener('abort', () => questions.stop(), { once: true })
  mesh.handle(
    PROTOCOL,
    async (from, request) => {
      questions.receive(from, request)
      return NOTHING
    },
    { maxRequestBytes: MAX_QUESTION_BYTES, maxResponseBytes: RESPONSE_BYTES }
  )
  return questions
}
