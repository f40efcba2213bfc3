export type { ReverseDeps } from './deps.ts'
export { type ReverseConnection, ReverseDialler } from './dialler.ts'
export { REVERSE_FIRST_BYTE } from './format.ts'
export { ReverseRequester } from './requester.ts'
