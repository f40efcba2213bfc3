export { ClockKeeper } from './clock-keeper.ts'
export { DescriptorWatch } from './descriptor-watch.ts'
export { giveBackMemory } from './memory/index.ts'
export { openFiles, type Resources, readResources, requireResources } from './resources.ts'
