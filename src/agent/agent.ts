import { setFlagsFromString } from 'node:v8'
import { type Clock, type Logger, systemClock } from '../core/index.ts'
import { assemble } from './assemble.ts'
import { type AgentConfig, type HostPort, type ResolvedConfig, resolveConfig } from './config.ts'
import { createLogger } from './logger.ts'
import { establish } from './membership/index.ts'
import { openRuntimeDir } from './runtime-dir.ts'
import { openDatabase } from './state/database.ts'
import { requireDatabaseFile, requireFiles } from './state/losses.ts'
import { DATABASE } from './state/names.ts'
import { Store } from './state/store.ts'
import { Vault } from './state/vault.ts'

/** A running agent. */
export interface RunningAgent {
  readonly machine: string
  readonly trustDomain: string
  readonly runtimeDir: string
  /** Multiaddrs of the mesh listener. */
  readonly meshAddresses: () => string[]
  /** Where the data listener is bound. */
  readonly dataAddress: () => HostPort
  /**
   * Opens no more flows, tells the others, and lets those that are open finish; what is left after `timeoutMs` is reset.
   * For `stop` to follow.
   */
  readonly drain: (timeoutMs: number) => Promise<void>
  /** Ends everything, in the reverse order of its start. Idempotent; never throws. */
  readonly stop: () => Promise<void>
}

/**
 * Starts the agent of this host and resolves once it serves.
 *
 * Founds or joins a trust domain first if the configuration asks for it and the host is no member yet. Rejects with a
 * WarrenError, having undone what it had begun.
 */
export async function startAgent(config: AgentConfig, clock: Clock = systemClock): Promise<RunningAgent> {
  const resolved = resolveConfig(config)
  const log = createLogger(resolved.logLevel)
  // What this process makes is for its user alone, unless it says otherwise.
  process.umask(0o077)
  // Brokered bytes are garbage a moment after they came, and V8 answers by growing its young generation, all of it
  // resident. Measured over 200 MB each way at once: 64 to 81 MiB of growth, with this 17 to 42, and not slower.
  setFlagsFromString('--semi-space-growth-factor=1')
  // Buffers count towards one limit with the heap, and not beside it: many flows at once had V8 mark the whole heap several
  // times a second. Measured with 400 MB through 64 flows: 1,040 to 1,310 ms of the source's agent, with this 910 to 960.
  setFlagsFromString('--external-memory-accounted-in-global-limit')
  const resources = new AsyncDisposableStack()
  try {
    const agent = await start(resolved, resources, clock, log)
    let stopped: Promise<void> | undefined
    const stop = (): Promise<void> => {
      stopped ??= resources.disposeAsync().catch((err: unknown) => log.error('the agent did not stop cleanly', { err }))
      return stopped
    }
    return Object.freeze({ ...agent, runtimeDir: resolved.runtimeDir, stop })
  } catch (err) {
    await resources.disposeAsync().catch((failure: unknown) => log.error('clean-up failed', { err: failure }))
    throw err
  }
}

async function start(
  config: ResolvedConfig,
  resources: AsyncDisposableStack,
  clock: Clock,
  log: Logger
): Promise<Omit<RunningAgent, 'stop' | 'runtimeDir'>> {
  const { listenDir, release } = await openRuntimeDir(config.runtimeDir)
  resources.defer(release)
  const vault = new Vault(config.stateDir)
  const losses = { accept: config.acceptLostState, log }
  requireDatabaseFile(vault, losses.accept)
  // Before the membership: two agents must not both found or join into one directory.
  const store = new Store(openDatabase(vault.path(DATABASE)))
  resources.defer(() => store.close())
  requireFiles(vault, store, losses)
  const stopping = new AbortController()
  const established = await establish({ vault, store, config, losses, nowMs: clock.wallMs, signal: stopping.signal })
  return await assemble({ config, listenDir, vault, store, ...established, clock, log, resources })
}
