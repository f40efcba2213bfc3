import { type AgentConfig, UP_OPTIONS, type UpOption, type UpOptionName } from './options.ts'

/** What was given for an option, if it was: a text, or all texts of one that may be repeated. */
export type Given = (name: UpOptionName) => string | readonly string[] | undefined

/** What an agent is started with because of these options. Throws what the options throw. */
export function readOptions(given: Given): AgentConfig {
  let config: AgentConfig = {}
  for (const name of Object.keys(UP_OPTIONS) as UpOptionName[]) {
    const value = given(name)
    if (value === undefined) continue
    const option: UpOption = UP_OPTIONS[name]
    const texts = [value].flat()
    const part = 'readAll' in option ? option.readAll(texts) : option.read(texts.at(-1) ?? '', `--${name}`)
    config = { ...config, ...part, lifetimes: { ...config.lifetimes, ...part.lifetimes } }
  }
  return config
}
