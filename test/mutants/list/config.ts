import type { Mutant } from '../mutant.ts'

/** Of the configuration files: who may declare what, and for whom. */
export const CONFIG: readonly Mutant[] = [
  {
    breaks: 'A file that its group can write declares nothing.',
    file: 'src/config/files/open.ts',
    find: 'if ((mode & WRITABLE_FOR_OTHERS) === 0) return undefined',
    replace: 'if ((mode & 0o002) === 0) return undefined',
    tests: ['test/config/files.test.ts']
  },
  {
    breaks: 'A file of another user declares nothing, whoever runs the agent.',
    file: 'src/config/files/open.ts',
    find: 'if (uid !== ROOT && uid !== ownUid) {',
    replace: 'if (uid !== ROOT && uid === ownUid) {',
    tests: ['test/config/files.test.ts']
  },
  {
    breaks: 'A directory that others can write adds nothing to the configuration.',
    file: 'src/config/files/open.ts',
    find: 'if (wrong !== undefined) return { paths: [], faults',
    replace: 'if (wrong?.text === directory) return { paths: [], faults',
    tests: ['test/config/files.test.ts']
  },
  {
    breaks: 'A file of the user of the agent names nobody but that user.',
    file: 'src/config/files/items.ts',
    find: 'if (self.includes(String(user))) return',
    replace: 'if (self.length > 0) return',
    tests: ['test/config/files.test.ts']
  }
]
