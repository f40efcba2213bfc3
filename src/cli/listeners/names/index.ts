export { MeshNames, type MeshNamesOptions } from './mesh-names.ts'
export { NameAddresses } from './name-addresses.ts'
export { NameUsers, type UserSource } from './name-users.ts'
