export { openKey } from './key-source.ts'
export { SigningClient } from './signing.ts'
