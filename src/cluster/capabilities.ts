import { CONTENT_DIGEST_CAPABILITY } from '../registry/index.ts'
import { QUESTIONS_CAPABILITY } from './questions/index.ts'

/** What every host of this program can do; others ask it for nothing else. */
export const CAPABILITIES: readonly string[] = Object.freeze(['tcp', CONTENT_DIGEST_CAPABILITY, QUESTIONS_CAPABILITY])
