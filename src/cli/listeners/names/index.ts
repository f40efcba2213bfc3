export { AddressBook } from './address-book.ts'
export { MeshNames, type MeshNamesOptions } from './mesh-names.ts'
