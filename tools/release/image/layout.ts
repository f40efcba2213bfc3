import { hash } from 'node:crypto'
import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { archive } from '../archive.ts'

const TYPES = {
  index: 'application/vnd.oci.image.index.v1+json',
  manifest: 'application/vnd.oci.image.manifest.v1+json',
  config: 'application/vnd.oci.image.config.v1+json',
  layer: 'application/vnd.oci.image.layer.v1.tar+gzip'
} as const

export interface Descriptor {
  readonly mediaType: string
  readonly digest: string
  readonly size: number
  readonly platform?: { readonly os: string; readonly architecture: string }
  readonly annotations?: Readonly<Record<string, string>>
}

/** A layer: what is hashed, before it is compressed and after. */
export interface Layer {
  readonly descriptor: Descriptor
  readonly diffId: string
}

/** One image for one architecture. */
export interface Image {
  readonly manifest: Descriptor
  readonly config: Descriptor
  readonly layers: readonly Descriptor[]
}

/** The files of an OCI image layout (version 1.0.0), in a directory. */
export class ImageLayout {
  readonly directory: string

  constructor(work: string) {
    this.directory = mkdtempSync(join(work, 'oci-'))
    mkdirSync(join(this.directory, 'blobs/sha256'), { recursive: true })
    this.#file('oci-layout', JSON.stringify({ imageLayoutVersion: '1.0.0' }))
  }

  /** Adds a tar as a layer. */
  addLayer(tar: Buffer): Layer {
    const compressed = gzipSync(tar, { level: 9 })
    return { descriptor: this.addBlob(compressed, TYPES.layer), diffId: `sha256:${hash('sha256', tar)}` }
  }

  addBlob(content: Buffer | string, mediaType: string): Descriptor {
    const digest = hash('sha256', content)
    this.#file(`blobs/sha256/${digest}`, content)
    return { mediaType, digest: `sha256:${digest}`, size: Buffer.byteLength(content) }
  }

  blob({ digest }: Descriptor): Buffer {
    return readFileSync(join(this.directory, blobPath(digest)))
  }

  /** Adds the configuration and the manifest of an image of `layers`, lowest first. */
  addImage(config: Readonly<Record<string, unknown>>, layers: readonly Layer[]): Image {
    const rootfs = { type: 'layers', diff_ids: layers.map(({ diffId }) => diffId) }
    const configured = this.addBlob(JSON.stringify({ ...config, rootfs }), TYPES.config)
    const descriptors = layers.map(({ descriptor }) => descriptor)
    const manifest = { schemaVersion: 2, mediaType: TYPES.manifest, config: configured, layers: descriptors }
    return {
      manifest: this.addBlob(JSON.stringify(manifest), TYPES.manifest),
      config: configured,
      layers: descriptors
    }
  }

  /** Names images as one, of which a host takes that for its architecture. */
  addIndex(manifests: readonly Descriptor[]): Descriptor {
    return this.addBlob(JSON.stringify({ schemaVersion: 2, mediaType: TYPES.index, manifests }), TYPES.index)
  }

  /** Writes the layout as one file, in which `name` is `image`. */
  write(options: {
    readonly name: string
    readonly image: Descriptor
    readonly file: string
    epochSeconds: number
  }): void {
    const { name, image, file, epochSeconds } = options
    const annotations = {
      'org.opencontainers.image.ref.name': name.slice(name.lastIndexOf(':') + 1),
      'io.containerd.image.name': name
    }
    this.#file('index.json', JSON.stringify({ schemaVersion: 2, manifests: [{ ...image, annotations }] }))
    archive({ parent: this.directory, name: '.', file, epochSeconds })
  }

  /** Names an image as `docker save` does, for programs that know no OCI layout. */
  nameForDocker(name: string, { config, layers }: Image): void {
    const entry = {
      Config: blobPath(config.digest),
      RepoTags: [name],
      Layers: layers.map(({ digest }) => blobPath(digest))
    }
    this.#file('manifest.json', JSON.stringify([entry]))
  }

  #file(name: string, content: Buffer | string): void {
    writeFileSync(join(this.directory, name), content, { mode: 0o644 })
  }
}

function blobPath(digest: string): string {
  return `blobs/${digest.replace(':', '/')}`
}
