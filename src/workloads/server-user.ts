import { ErrorCode, WarrenError } from '../core/index.ts'

/** The user of the server at a port of this host, besides root, since its sockets may be systemd's. */
export type ServerUser =
  /** The user who registered; for root, the user whose server is found first. */
  | { readonly kind: 'registrant' }
  | { readonly kind: 'named'; readonly uid: number }
  /** No check, as for a port that address translation leads elsewhere. */
  | { readonly kind: 'any' }

// (uid_t) -1 is no user.
const MAX_UID = 0xffff_fffe

/**
 * The meaning of `--server-user`: a name, a uid, `any`, or nothing. Rejects with INVALID_ARGUMENT for a user unknown here.
 *
 * Any caller may name any user: a caller could also forward everything to that server by a process of its own.
 */
export async function serverUserOf(
  text: string,
  uidOf: (name: string) => Promise<number | undefined>
): Promise<ServerUser> {
  if (text === '') return { kind: 'registrant' }
  if (text === 'any') return { kind: 'any' }
  const uid = /^\d{1,10}$/.test(text) ? Number(text) : await uidOf(text)
  if (uid !== undefined && uid <= MAX_UID) return { kind: 'named', uid }
  throw new WarrenError(ErrorCode.InvalidArgument, `this host knows no user "${text.slice(0, 80)}"`, {
    hint: 'Give the user as which the server runs, by name or by number, or "any".'
  })
}
