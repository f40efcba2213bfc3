import { ErrorCode, WarrenError } from '../../core/index.ts'
import type { Carrier, Path } from './carrier.ts'
import { DIRECT_PATH, direct } from './direct.ts'
import type { IdentifyDeps } from './identify.ts'
import { MESH_PATH, type MeshCarrierDeps, mesh } from './mesh.ts'
import { MESH_PORT_PATH, type MeshPortCarrierDeps, meshPort } from './mesh-port.ts'
import { type PunchedCarrierDeps, punched } from './punched.ts'
import { type RelayCarrierDeps, relay, relayedStreamPath } from './relay.ts'
import { type ReverseCarrierDeps, reverse } from './reverse.ts'

export type { Carried, Carrier, Path, ProbedAgent } from './carrier.ts'
export { DIRECT_PATH as DATA_PORT_PATH } from './direct.ts'
export { type Probed, probeCarriers } from './probe.ts'
export { PUNCHED_PATH } from './punched.ts'
export { type Relay, type RelayClient, relayPath } from './relay.ts'
export { REVERSE_PATH } from './reverse.ts'
export { MESH_PORT_PATH }

/** Every carrier. A further one is a file of this folder, and its name here. */
const ALL = [direct, meshPort, reverse, punched, mesh, relay]

/** The parts of the agent that the carriers use. */
export type CarrierDeps = MeshCarrierDeps &
  MeshPortCarrierDeps &
  RelayCarrierDeps &
  ReverseCarrierDeps &
  PunchedCarrierDeps &
  IdentifyDeps

/** Uses any carrier that reaches the other agent, the best of them first. */
export const ANY_CARRIER = 'auto'

/** The carrier of a flow to another host until it has a session, for display. */
export const EXPECTED_CARRIER: string = DIRECT_PATH.name

/** How a stream travels that another agent opened to us over the mesh, and the machine `via` passes on, if any does. */
export function streamPath(via: string | undefined): Path {
  return via === undefined ? MESH_PATH : relayedStreamPath(via)
}

/** Every carrier, best first. */
export function carriers(deps: CarrierDeps): Carrier[] {
  return ALL.map(make => make(deps)).sort((one, other) => one.rank - other.rank)
}

const NOWHERE = async (): Promise<never> => {
  throw new WarrenError(ErrorCode.DestinationUnreachable, 'there is no mesh')
}
const NO_MESH: CarrierDeps = {
  trustDomain: '',
  verifyAgent: () => ({ ok: false, detail: 'there is no mesh' }),
  openStream: NOWHERE,
  askAlive: NOWHERE,
  meshPortsOf: () => [],
  isDialledBy: () => false,
  relays: { relaysTo: () => [], worked: () => {}, connect: NOWHERE },
  openRelayed: NOWHERE,
  connectBack: NOWHERE,
  punch: { canReach: () => false, connect: NOWHERE },
  helperFor: NOWHERE
}

/** What `--carrier` may be. */
export function carrierNames(): string[] {
  return [ANY_CARRIER, ...carriers(NO_MESH).map(({ name }) => name)]
}

/** Throws INVALID_OPTION unless `name` is a carrier or `auto`. */
export function requireCarrier(name: string): void {
  const names = carrierNames()
  if (names.includes(name)) return
  throw new WarrenError(ErrorCode.InvalidOption, `"${name.slice(0, 40)}" is no carrier`, {
    hint: `--carrier is one of: ${names.join(', ')}.`
  })
}
