export { Authorities, type AuthorityView } from './authorities.ts'
export { AuthorityDesk } from './authority-desk.ts'
export { IssuedBook } from './issued-book.ts'
export { askAuthority, wireAuthorities } from './wiring.ts'
