import { readFileSync, statSync } from 'node:fs'

const MAX_BYTES = 4 * 1024 * 1024

/**
 * The names of users and groups in /etc/passwd and /etc/group, read anew when a file changes.
 *
 * Users of a directory service are not in these files; entries name them by number. A file that cannot be read has no
 * names.
 */
export class UserDatabase {
  readonly #users: NameFile
  readonly #groups: NameFile

  constructor(directory = '/etc') {
    this.#users = new NameFile(`${directory}/passwd`)
    this.#groups = new NameFile(`${directory}/group`)
  }

  usersOf(uid: number): readonly string[] {
    return this.#users.namesOf(uid)
  }

  groupsOf(gids: readonly number[]): readonly string[] {
    return gids.flatMap(gid => [...this.#groups.namesOf(gid)])
  }
}

/** Lines of "name:password:id:…". */
class NameFile {
  readonly #path: string
  #version = ''
  #names = new Map<number, string[]>()

  constructor(path: string) {
    this.#path = path
  }

  namesOf(id: number): readonly string[] {
    try {
      const { ino, mtimeMs, ctimeMs, size } = statSync(this.#path)
      const version = [ino, mtimeMs, ctimeMs, size].join()
      if (version !== this.#version) {
        this.#names = size > MAX_BYTES ? new Map() : parse(readFileSync(this.#path, 'utf8'))
        this.#version = version
      }
    } catch {
      this.#names = new Map()
      this.#version = ''
    }
    return this.#names.get(id) ?? []
  }
}

function parse(text: string): Map<number, string[]> {
  const names = new Map<number, string[]>()
  for (const line of text.split('\n')) {
    const [name = '', , id = ''] = line.split(':')
    if (name === '' || !/^\d+$/.test(id)) continue
    names.set(Number(id), [...(names.get(Number(id)) ?? []), name])
  }
  return names
}
