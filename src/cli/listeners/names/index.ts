export { MeshNames, type MeshNamesOptions } from './mesh-names.ts'
export { NameAddresses } from './name-addresses.ts'
