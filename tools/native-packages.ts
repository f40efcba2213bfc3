/** Packages that are not bundled: they find their native code by their own place on disk. */
export const NATIVE_PACKAGES = ['koffi', 'node-unix-socket'] as const
