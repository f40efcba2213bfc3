import { requireNode } from '../core/index.ts'

requireNode(24, 'the agent of warren')
