export { DeclaredItems, type ItemView, type Tally } from './declared-items.ts'
export { Reload, type ReloadResult } from './reload.ts'
