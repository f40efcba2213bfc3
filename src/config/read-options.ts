import { type AgentConfig, UP_OPTIONS, type UpOption, type UpOptionName } from './options.ts'

/** The value of an option, if it was given: a text, or all texts of an option that may be repeated. */
export type Given = (name: UpOptionName, isList: boolean) => string | readonly string[] | undefined

/** The configuration that these options make. Throws the errors of the options, which name a value by `sourceOf`. */
export function readOptions(given: Given, sourceOf = (name: UpOptionName) => `--${name}`): AgentConfig {
  let config: AgentConfig = {}
  for (const name of Object.keys(UP_OPTIONS) as UpOptionName[]) {
    const option: UpOption = UP_OPTIONS[name]
    const value = given(name, 'readAll' in option)
    if (value === undefined) continue
    const texts = [value].flat()
    const part = 'readAll' in option ? option.readAll(texts) : option.read(texts.at(-1) ?? '', sourceOf(name))
    config = { ...config, ...part, lifetimes: { ...config.lifetimes, ...part.lifetimes } }
  }
  return config
}
