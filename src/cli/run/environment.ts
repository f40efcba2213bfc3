/** What a command that is run over the mesh finds in its environment. */
export interface Surroundings {
  readonly runtimeDir: string
  /** Of the address that is registered for the command. @default none is */
  readonly spiffeId?: string | undefined
  /** The socket of the Workload API that is its own. @default that of the agent */
  readonly spiffeSocket?: string | undefined
  /** Where its proxy listens. @default none */
  readonly proxy?: string | undefined
  /** Where the files of its certificate are. @default nowhere */
  readonly svidDir?: string | undefined
}

const LOCAL = 'localhost,127.0.0.1,::1'

/** `inherited` with the variables by which programs find a proxy, the agent and their identity; both cases of each name. */
export function environmentFor(inherited: NodeJS.ProcessEnv, surroundings: Surroundings): NodeJS.ProcessEnv {
  const { runtimeDir, spiffeId, spiffeSocket = `${runtimeDir}/spiffe.sock`, proxy, svidDir } = surroundings
  const identity = {
    WARREN_RUNTIME_DIR: runtimeDir,
    ...(spiffeId !== undefined && { WARREN_SPIFFE_ID: spiffeId }),
    SPIFFE_ENDPOINT_SOCKET: `unix://${spiffeSocket}`,
    ...(svidDir !== undefined && { WARREN_SVID_DIR: svidDir })
  }
  return { ...inherited, ...identity, ...(proxy === undefined ? {} : proxyVariables(proxy, inherited)) }
}

function proxyVariables(proxy: string, inherited: NodeJS.ProcessEnv): Record<string, string> {
  const direct = inherited['NO_PROXY'] ?? inherited['no_proxy'] ?? ''
  const values = {
    ALL_PROXY: `socks5h://${proxy}`,
    HTTP_PROXY: `http://${proxy}`,
    HTTPS_PROXY: `http://${proxy}`,
    NO_PROXY: direct === '' ? LOCAL : `${LOCAL},${direct}`
  }
  const lower = Object.entries(values).map(([name, value]) => [name.toLowerCase(), value])
  // Node looks at the others only if this is set.
  return { ...values, ...Object.fromEntries(lower), NODE_USE_ENV_PROXY: '1' }
}
