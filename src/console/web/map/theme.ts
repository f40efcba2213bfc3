/** The colours of the map, from the style sheet: those of a dark page are others. */
export interface Theme {
  readonly card: string
  readonly border: string
  readonly text: string
  readonly good: string
  readonly bad: string
  readonly warning: string
  readonly unknown: string
  readonly found: string
  readonly carriers: Readonly<Record<string, string>>
}

export function themeOf(): Theme {
  const style = getComputedStyle(document.documentElement)
  const colour = (name: string): string => style.getPropertyValue(`--${name}`).trim()
  return {
    card: colour('raised'),
    border: colour('border'),
    text: colour('text'),
    good: colour('good'),
    bad: colour('bad'),
    warning: colour('warning'),
    unknown: colour('muted'),
    found: colour('accent'),
    carriers: {
      direct: colour('direct'),
      'mesh-port': colour('direct'),
      reverse: colour('direct'),
      mesh: colour('mesh'),
      relay: colour('relay'),
      udp: colour('direct'),
      local: colour('muted')
    }
  }
}
