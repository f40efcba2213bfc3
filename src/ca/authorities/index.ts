export { Authorities, type AuthorityView } from './authorities.ts'
export { AuthorityDesk } from './authority-service.ts'
export { IssuedBook } from './issued-store.ts'
export { askAuthority, wireAuthorities } from './wiring.ts'
