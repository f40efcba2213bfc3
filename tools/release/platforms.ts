/** A processor architecture that executables are made for, and its names elsewhere. */
export interface Platform {
  /** As Node calls it. */
  readonly arch: 'x64' | 'arm64'
  /** As dpkg and OCI images call it. */
  readonly deb: 'amd64' | 'arm64'
  /** As rpm and the kernel call it. */
  readonly rpm: 'x86_64' | 'aarch64'
  /** npm packages with what is built for it. `optional`: the registry of the builder may lack it. */
  readonly node: string
  readonly addons: readonly Addon[]
}

/** Native code of a package. */
export interface Addon {
  /** As the loader in the executable asks for it. */
  readonly name: string
  readonly packageName: string
  /** In the package. */
  readonly file: string
  /** The executable is made without it, if it cannot be had; what needs it then says UNSUPPORTED. */
  readonly isOptional?: boolean
}

const platform = (arch: Platform['arch'], deb: Platform['deb'], rpm: Platform['rpm']): Platform => ({
  arch,
  deb,
  rpm,
  node: `node-linux-${arch}`,
  addons: [
    { name: 'koffi', packageName: `@koromix/koffi-linux-${arch}`, file: `linux_${arch}/koffi.node` },
    {
      name: 'node-unix-socket',
      packageName: `node-unix-socket-linux-${arch}-gnu`,
      file: `node-unix-socket.linux-${arch}-gnu.node`,
      isOptional: true
    }
  ]
})

/** Linux with glibc. */
export const PLATFORMS: readonly Platform[] = [
  platform('x64', 'amd64', 'x86_64'),
  platform('arm64', 'arm64', 'aarch64')
]
