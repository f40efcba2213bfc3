import { requireNode } from '../core/index.ts'

// Before the rest is used: an older Node lacks what it is made of, and would fail in the middle of a call.
requireNode(22, 'the library of warren')
