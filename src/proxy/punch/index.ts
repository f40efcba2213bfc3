export { whyNotPunched } from './candidates.ts'
export { DatagramObserver } from './datagram-observer.ts'
export { NO_PUNCHING, type PunchDeps } from './deps.ts'
export { PUNCH_FIRST_BYTE } from './format.ts'
export { PunchInvited } from './invited.ts'
export {
  MAX_MEETINGS,
  MAX_MEETINGS_PER_HOST,
  MAX_PUNCH_HOSTS,
  MEET_AFTER_MS,
  MEET_FOUND_MS,
  MEET_PAUSES,
  MEET_TIMEOUT_MS,
  PUNCH_RATE,
  PUNCHED_DIAL_TIMEOUT_MS
} from './limits.ts'
export { natChanges } from './nat-changes.ts'
export { type Family, type Outside, OutsidePort } from './outside-port.ts'
export { Rendezvous } from './rendezvous.ts'
export { PunchRequester } from './requester.ts'
