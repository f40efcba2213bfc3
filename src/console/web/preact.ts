import type { JSX } from 'preact'

// The only name of a package in the pages: a checkout serves the package in place of this file (../web-files.ts).
export { type ComponentChild, type ComponentChildren, h, render } from 'preact'

/** A piece of a page. */
export type View = JSX.Element
