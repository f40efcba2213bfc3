export { RootRotation, type RootStatus } from './root-rotation.ts'
