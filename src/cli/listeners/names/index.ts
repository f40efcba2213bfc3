export { NameAddresses } from './name-addresses.ts'
export { MeshNames, type MeshNamesOptions } from './mesh-names.ts'
