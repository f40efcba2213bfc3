import { readFileSync, statSync } from 'node:fs'
import type { DirectoryService, NameKind } from './directory-service.ts'

const MAX_BYTES = 4 * 1024 * 1024
const MAX_NAME_LENGTH = 256

type Names = Pick<DirectoryService, 'namesOf' | 'userIdOf'>

/**
 * The names of users and groups: those of /etc/passwd and /etc/group, read anew when a file changes, and for an id
 * in neither, the answer of a directory service.
 */
export class UserDatabase {
  readonly #users: NameFile
  readonly #groups: NameFile
  readonly #service: Names

  constructor(service: Names, directory = '/etc') {
    this.#service = service
    this.#users = new NameFile(`${directory}/passwd`)
    this.#groups = new NameFile(`${directory}/group`)
  }

  async usersOf(uid: number): Promise<readonly string[]> {
    return await this.#namesOf('passwd', this.#users, [uid])
  }

  /** The user of this name; undefined if nobody has it. */
  async uidOf(name: string): Promise<number | undefined> {
    // Nor a text that the program which asks the directory would take for an option.
    if (name === '' || name.length > MAX_NAME_LENGTH || /^-|[\s:\0]/.test(name)) return undefined
    return this.#users.idOf(name) ?? (await this.#service.userIdOf(name))
  }

  /** The groups of a user, the primary one first, as the two files say. None for a user that only a directory knows. */
  gidsOf(uid: number): readonly number[] {
    const names = this.#users.namesOf(uid)
    const primary = this.#users.rows().flatMap(([, , id, gid]) => (id === String(uid) ? [Number(gid)] : []))
    const others = this.#groups.rows().flatMap(([, , gid, members = '']) => {
      const isMember = members.split(',').some(member => names.includes(member))
      return isMember ? [Number(gid)] : []
    })
    return [...new Set([...primary, ...others])].filter(Number.isInteger)
  }

  async groupsOf(gids: readonly number[]): Promise<readonly string[]> {
    return await this.#namesOf('group', this.#groups, gids)
  }

  async #namesOf(kind: NameKind, file: NameFile, ids: readonly number[]): Promise<readonly string[]> {
    const local = new Map(ids.map(id => [id, file.namesOf(id)]))
    const missing = ids.filter(id => local.get(id)?.length === 0)
    if (missing.length === 0) return [...local.values()].flat()
    const remote = await this.#service.namesOf(kind, missing)
    return ids.flatMap(id => [...(local.get(id) ?? []), ...(remote.has(id) ? [remote.get(id) ?? ''] : [])])
  }
}

/** Lines of "name:password:id:…". */
class NameFile {
  readonly #path: string
  #version = ''
  #rows: readonly string[][] = []
  #names = new Map<number, string[]>()

  constructor(path: string) {
    this.#path = path
  }

  namesOf(id: number): readonly string[] {
    return this.#current().get(id) ?? []
  }

  idOf(name: string): number | undefined {
    for (const [id, names] of this.#current()) if (names.includes(name)) return id
    return undefined
  }

  /** The fields of each line. */
  rows(): readonly string[][] {
    this.#current()
    return this.#rows
  }

  #current(): ReadonlyMap<number, readonly string[]> {
    try {
      const { ino, mtimeMs, ctimeMs, size } = statSync(this.#path)
      const version = [ino, mtimeMs, ctimeMs, size].join()
      if (version !== this.#version) {
        this.#rows =
          size > MAX_BYTES
            ? []
            : readFileSync(this.#path, 'utf8')
                .split('\n')
                .map(line => line.split(':'))
        this.#names = parse(this.#rows)
        this.#version = version
      }
    } catch {
      this.#rows = []
      this.#names = new Map()
      this.#version = ''
    }
    return this.#names
  }
}

function parse(rows: readonly string[][]): Map<number, string[]> {
  const names = new Map<number, string[]>()
  for (const [name = '', , id = ''] of rows) {
    if (name === '' || !/^\d+$/.test(id)) continue
    names.set(Number(id), [...(names.get(Number(id)) ?? []), name])
  }
  return names
}
