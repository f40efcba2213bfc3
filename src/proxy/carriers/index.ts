import { ErrorCode, WarrenError } from '../../core/index.ts'
import type { Carrier } from './carrier.ts'
import { direct } from './direct.ts'
import { type MeshCarrierDeps, mesh } from './mesh.ts'
import { type RelayCarrierDeps, relay } from './relay.ts'

export type { Carried, Carrier, Path } from './carrier.ts'
export { DIRECT_PATH } from './direct.ts'
export { MESH_PATH } from './mesh.ts'
export { relayPath } from './relay.ts'

/** Uses any carrier that reaches the other agent, the best of them first. */
export const ANY_CARRIER = 'auto'

const NOWHERE = async (): Promise<never> => {
  throw new WarrenError(ErrorCode.DestinationUnreachable, 'there is no mesh')
}

/** Every carrier, best first. */
export function carriers(deps: MeshCarrierDeps & RelayCarrierDeps): Carrier[] {
  return [direct(), mesh(deps), relay(deps)].sort((one, other) => one.rank - other.rank)
}

/** Values of `--carrier`. */
export function carrierNames(): string[] {
  return [ANY_CARRIER, ...carriers({ openStream: NOWHERE, openRelayed: NOWHERE }).map(({ name }) => name)]
}

/** Throws INVALID_OPTION unless `name` is a carrier or `auto`. */
export function requireCarrier(name: string): void {
  const names = carrierNames()
  if (names.includes(name)) return
  throw new WarrenError(ErrorCode.InvalidOption, `"${name.slice(0, 40)}" is no carrier`, {
    hint: `--carrier is one of: ${names.join(', ')}.`
  })
}
