import type { Mutant } from '../mutant.ts'
import { CLUSTER } from './cluster.ts'
import { CONFIG } from './config.ts'
import { IDENTITY } from './identity.ts'
import { POLICY } from './policy.ts'
import { PROXY } from './proxy.ts'
import { REGISTRY } from './registry.ts'

export const MUTANTS: readonly Mutant[] = [...POLICY, ...IDENTITY, ...REGISTRY, ...PROXY, ...CLUSTER, ...CONFIG]
