export { joiningLeg, pooledLeg, type Started } from './record-leg.ts'
export { abortSocket, readLittle, reuseReads, socketLeg } from './socket-leg.ts'
export { abortStream, streamLeg } from './stream-leg.ts'
export { collectYoungGarbage } from './young-garbage.ts'
