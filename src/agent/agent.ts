import { establish, requireWay } from '../ca/index.ts'
import type { AgentConfig } from '../config/index.ts'
import {
  type Clock,
  checkNodeInternals,
  definedOnly,
  ErrorCode,
  type HostPort,
  type Logger,
  requireTlsGroups,
  stderrLines,
  systemClock,
  WarrenError
} from '../core/index.ts'
import type { ReloadResult } from '../declared/index.ts'
import {
  DATABASE,
  endMembership,
  openDatabase,
  requireDatabaseFile,
  requireFiles,
  Store,
  Vault
} from '../state/index.ts'
import { ClockKeeper, createLogger, readResources, requireResources } from '../upkeep/index.ts'
import { withListeners } from './any-host.ts'
import { assemble } from './assemble.ts'
import { type ResolvedConfig, resolveConfig } from './config.ts'
import { openRuntimeDirs } from './runtime-dir.ts'
import type { StartOptions, StartProgress } from './start-progress.ts'

/** How long the last log lines wait for a reader that takes none, in milliseconds. */
const LAST_LINES_MS = 1_000

/** A running agent. */
export interface RunningAgent {
  readonly machine: string
  readonly trustDomain: string
  readonly runtimeDir: string
  /** Its logger. */
  readonly log: Logger
  /** Multiaddrs of the mesh listener. */
  readonly meshAddresses: () => string[]
  /** The address of the data listener. */
  readonly dataAddress: () => HostPort
  /**
   * Opens no more flows, notifies the other hosts, and lets open flows finish; the rest are reset after `timeoutMs`.
   * Call `stop` next.
   */
  readonly drain: (timeoutMs: number) => Promise<void>
  /**
   * Reads the files of the configuration anew, and applies what they declare. Rejects with INVALID_CONFIG if they are wrong: then
   * nothing has changed.
   */
  readonly reload: () => Promise<ReloadResult>
  /** Ends everything, in the reverse order of its start. Idempotent; never throws. */
  readonly stop: () => Promise<void>
}

/**
 * Starts the agent of this host and resolves once it serves.
 *
 * Founds or joins a trust domain first if the configuration asks for it and the host is no member yet. Rejects with a
 * WarrenError, after it has undone its changes. UNSUPPORTED if this version of Node, or of a library, has changed inside so
 * that the agent cannot work, or if its TLS lacks the group that all agents use.
 *
 * The umask, the flags of V8 and the listeners of signals stay as the program has them: files of the agent have their mode
 * with any umask. A program that does nothing else may call `tuneProcess` first.
 */
export async function startAgent(
  config: AgentConfig,
  clock: Clock = systemClock,
  { onProgress, restart }: StartOptions = {}
): Promise<RunningAgent> {
  const resolved = await withListeners(resolveConfig(config))
  const log = createLogger(resolved.logLevel)
  const resources = new AsyncDisposableStack()
  let isStarting = true
  const report = (progress: StartProgress): void => {
    if (isStarting) onProgress?.(progress)
  }
  try {
    const agent = await start(resolved, resources, clock, log, { onProgress: report, restart })
    let stopped: Promise<void> | undefined
    const stop = (): Promise<void> => {
      stopped ??= resources
        .disposeAsync()
        .catch((err: unknown) => log.error('the agent did not stop cleanly', { err }))
        .then(() => stderrLines().flush(LAST_LINES_MS))
      return stopped
    }
    return Object.freeze({ ...agent, runtimeDir: resolved.runtimeDir, log, stop })
  } catch (err) {
    await resources.disposeAsync().catch((failure: unknown) => log.error('clean-up failed', { err: failure }))
    throw err
  } finally {
    isStarting = false
  }
}

async function start(
  config: ResolvedConfig,
  resources: AsyncDisposableStack,
  clock: Clock,
  log: Logger,
  { onProgress = () => {}, restart }: StartOptions
): Promise<Omit<RunningAgent, 'stop' | 'runtimeDir' | 'log'>> {
  checkNodeInternals(log)
  requireTlsGroups()
  requireResources(readResources(), log)
  requireWay(config)
  const { listenDir, release } = await openRuntimeDirs(config)
  resources.defer(release)
  const vault = new Vault(config.stateDir)
  const losses = { accept: config.acceptLostState, log }
  let isEphemeral = false
  // Last of all, and only if it ran: a start that fails must not cost its membership.
  resources.defer(() => {
    if (isEphemeral) endMembership(vault)
  })
  requireDatabaseFile(vault, losses.accept)
  // Before the membership: two agents must not both found or join into one directory.
  const store = new Store(openDatabase(vault.path(DATABASE)))
  resources.defer(() => store.close())
  requireFiles(vault, store, losses)
  const stopping = new AbortController()
  const clockKeeper = new ClockKeeper({ store, clock, log })
  const onDial = (addresses: readonly string[], problem?: string): void =>
    onProgress({ waitsFor: 'authority', addresses, ...definedOnly({ problem }) })
  const onWaiting = (reason: string, peer: string): void => {
    log.warn(reason, { peer })
    onProgress({ waitsFor: 'approval', addresses: [], problem: `${reason} (PeerId ${peer})` })
  }
  const begin = (nowMs: () => number) =>
    establish({ vault, store, config, losses, nowMs, onDial, onWaiting, signal: stopping.signal })
  // A clock that was set back may be before the beginning of the certificate of this host, a wrong mark after its end.
  const established = await begin(clock.wallMs).catch(async (err: unknown) => {
    if (clockKeeper.clock.behindMs === 0 || !WarrenError.is(err, ErrorCode.StateUnusable)) throw err
    return await begin(clockKeeper.clock.wallMs)
  })
  const agent = await assemble({
    config,
    listenDir,
    vault,
    store,
    ...established,
    clock,
    clockKeeper,
    onProgress,
    restart,
    log,
    resources
  })
  isEphemeral = established.membership.credentials.node.ephemeral
  return agent
}
