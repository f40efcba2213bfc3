export { Authorities, type AuthorityView } from './authorities.ts'
export { AuthorityService } from './authority-service.ts'
export { IssuedStore } from './issued-store.ts'
export { askAuthority, wireAuthorities } from './wiring.ts'
