/** The part of the map that a window shows. */
export interface Viewport {
  /** The point of the map in the left upper corner. */
  readonly x: number
  readonly y: number
  /** Pixels for each unit of the map. */
  readonly scale: number
  /** Of the window, in pixels. */
  readonly width: number
  readonly height: number
}

export const MIN_SCALE = 0.02
export const MAX_SCALE = 4
const MARGIN = 16

/** Moves what is seen by so many pixels. */
export function panned(view: Viewport, dx: number, dy: number): Viewport {
  return { ...view, x: view.x - dx / view.scale, y: view.y - dy / view.scale }
}

/** Makes it larger or smaller around a point of the window, which stays in its place. */
export function zoomed(view: Viewport, factor: number, atX: number, atY: number): Viewport {
  const scale = Math.min(MAX_SCALE, Math.max(MIN_SCALE, view.scale * factor))
  return { ...view, scale, x: view.x + atX / view.scale - atX / scale, y: view.y + atY / view.scale - atY / scale }
}

/** Shows everything. */
export function fitted(width: number, height: number, mapWidth: number, mapHeight: number): Viewport {
  const fit = Math.min((width - 2 * MARGIN) / mapWidth, (height - 2 * MARGIN) / mapHeight)
  const scale = Math.min(1.2, Math.max(MIN_SCALE, fit))
  return { scale, width, height, x: (mapWidth - width / scale) / 2, y: (mapHeight - height / scale) / 2 }
}

/** Shows this point in the middle, large enough to read. */
export function centred(view: Viewport, x: number, y: number): Viewport {
  const scale = Math.max(view.scale, 1)
  return { ...view, scale, x: x - view.width / scale / 2, y: y - view.height / scale / 2 }
}

/** The point of the map at a point of the window. */
export function pointAt(view: Viewport, atX: number, atY: number): readonly [x: number, y: number] {
  return [view.x + atX / view.scale, view.y + atY / view.scale]
}
