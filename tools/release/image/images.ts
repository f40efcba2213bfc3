import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { archive } from '../archive.ts'
import type { Platform } from '../platforms.ts'
import { type Descriptor, ImageLayout, type Layer } from './layout.ts'
import { DIRECTORIES, libraries, type ProgramOptions, program, USER_ID } from './root.ts'

export interface ImagesOptions {
  readonly root: string
  readonly version: string
  readonly work: string
  /** Where the files go. */
  readonly out: string
  readonly epochSeconds: number
}

/** Writes images for containers, without a daemon: one file for each architecture, and one with all. */
export class Images {
  readonly #options: ImagesOptions
  readonly #all: ImageLayout
  readonly #manifests: Descriptor[] = []

  constructor(options: ImagesOptions) {
    this.#options = options
    this.#all = new ImageLayout(options.work)
  }

  /** Writes the image for an architecture as `docker load` and `podman load` take it. Returns the name of its file. */
  add(platform: Platform, made: Pick<ProgramOptions, 'executable' | 'licenses' | 'sbom'>): string {
    const { root, work, version, out, epochSeconds } = this.#options
    const common = { arch: platform.deb, work, epochSeconds }
    const owned = { id: USER_ID, paths: Object.values(DIRECTORIES).map(path => `.${path}`) }
    const own = new ImageLayout(work)
    const layers = [
      layer(own, libraries(common), { work, epochSeconds }),
      layer(own, program({ ...common, root, ...made }), { work, epochSeconds, owned })
    ]
    const config = this.#config(platform)
    const image = own.addImage(config, layers)
    own.nameForDocker(this.#name, image)
    const file = `warren-${version}-linux-${platform.arch}.image.tar`
    own.write({ name: this.#name, image: image.manifest, file: join(out, file), epochSeconds })
    // The same bytes once more, among those of other architectures.
    for (const { descriptor } of layers) this.#all.addBlob(own.blob(descriptor), descriptor.mediaType)
    const { manifest } = this.#all.addImage(config, layers)
    this.#manifests.push({ ...manifest, platform: { os: 'linux', architecture: platform.deb } })
    return file
  }

  /** Writes the image for all architectures that were added, as registries take it. Returns the name of its file. */
  writeAll(): string {
    const { version, out, epochSeconds } = this.#options
    const file = `warren-${version}-oci.tar`
    const image = this.#all.addIndex(this.#manifests)
    this.#all.write({ name: this.#name, image, file: join(out, file), epochSeconds })
    return file
  }

  get #name(): string {
    return `localhost/warren:${this.#options.version}`
  }

  #config({ deb }: Platform): Readonly<Record<string, unknown>> {
    const created = new Date(this.#options.epochSeconds * 1_000).toISOString()
    return {
      created,
      architecture: deb,
      os: 'linux',
      config: {
        User: `${USER_ID}:${USER_ID}`,
        ExposedPorts: { '7460/tcp': {}, '7461/tcp': {}, '7461/udp': {} },
        Env: ['PATH=/usr/bin', `WARREN_STATE_DIR=${DIRECTORIES.state}`, `WARREN_RUNTIME_DIR=${DIRECTORIES.runtime}`],
        Entrypoint: ['/usr/bin/warren'],
        Cmd: ['up'],
        Volumes: Object.fromEntries(Object.values(DIRECTORIES).map(path => [path, {}])),
        WorkingDir: '/',
        StopSignal: 'SIGTERM',
        Labels: {
          'org.opencontainers.image.title': 'warren',
          'org.opencontainers.image.description': 'mesh agent: workload identity, discovery and brokered sockets',
          'org.opencontainers.image.version': this.#options.version,
          'org.opencontainers.image.licenses': 'Apache-2.0',
          'org.opencontainers.image.created': created
        }
      },
      history: [
        { created, created_by: 'libraries of Debian' },
        { created, created_by: 'warren' }
      ]
    }
  }
}

interface LayerOptions {
  readonly work: string
  readonly epochSeconds: number
  readonly owned?: { readonly id: number; readonly paths: readonly string[] }
}

function layer(layout: ImageLayout, parent: string, { work, ...options }: LayerOptions): Layer {
  const file = join(work, 'layer.tar')
  archive({ parent, name: '.', file, ...options })
  return layout.addLayer(readFileSync(file))
}
