import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { PackageOptions } from './deb.ts'
import { DESCRIPTION, packageVersion, SUMMARY } from './describe.ts'
import { run } from './run.ts'
import { CONFIG_FILES, pathsOf } from './tree.ts'

/** Directories that belong to no package in particular, or to that of the file system. */
const SHARED = /^\/(?:etc|usr(?:\/(?:bin|lib(?:\/(?:systemd(?:\/(?:system|user))?|sysusers\.d))?|share(?:\/doc)?))?)$/

/**
 * Directories of man, which every system has. Those of shells are ours as well: on a system without the shell nobody else would
 * remove them, and rpm keeps what another package has or what is not empty.
 */
const OTHERS = /^\/usr\/share\/man(?:\/|$)/

/**
 * Writes a package for Fedora, Red Hat, SUSE and their kin. It depends on the libraries that the executable is linked with, by
 * their own names, since distributions call their packages differently, and on no Node.
 */
export function rpm(options: PackageOptions<'x86_64' | 'aarch64'> & { readonly work: string }): void {
  const { tree, arch, file, epochSeconds, work } = options
  const top = mkdtempSync(join(work, 'rpm-'))
  const spec = join(top, 'warren.spec')
  writeFileSync(spec, specOf(options))
  const defined = {
    _topdir: top,
    _rpmdir: top,
    // The same on every machine and at every time.
    _buildhost: 'warren.invalid',
    use_source_date_epoch_as_buildtime: '1',
    clamp_mtime_to_source_date_epoch: '1',
    source_date_epoch_from_changelog: '0',
    _binary_payload: 'w12.zstdio',
    _build_id_links: 'none',
    // What would strip the executable, and with that remove the program from it.
    __os_install_post: '%{nil}',
    debug_package: '%{nil}',
    warren_tree: tree
  }
  const definitions = Object.entries(defined).flatMap(([name, value]) => ['--define', `${name} ${value}`])
  const env = { SOURCE_DATE_EPOCH: String(epochSeconds), LC_ALL: 'C' }
  run('rpmbuild', ['-bb', '--quiet', '--target', `${arch}-linux`, ...definitions, spec], { env })
  const made = readdirSync(top, { recursive: true, encoding: 'utf8' }).find(name => name.endsWith('.rpm'))
  if (made === undefined) throw new Error('rpmbuild made no package')
  mkdirSync(work, { recursive: true })
  copyFileSync(join(top, made), file)
}

function specOf({ root, tree, version, maintainer }: PackageOptions<string>): string {
  const script = (name: string): string => readFileSync(join(root, 'packaging', 'rpm', name), 'utf8')
  return `Name: warren
Version: ${packageVersion(version)}
Release: 1
Summary: ${SUMMARY}
License: Apache-2.0
Packager: ${maintainer}
AutoReqProv: no
Requires: libatomic.so.1()(64bit), libstdc++.so.6()(64bit), libc.so.6(GLIBC_2.28)(64bit)
Requires(post): /bin/sh
Requires(preun): /bin/sh
Requires(postun): /bin/sh

%description
${DESCRIPTION.join('\n')}

%install
mkdir -p %{buildroot}
cp -a %{warren_tree}/. %{buildroot}/

%post
${script('post')}
%preun
${script('preun')}
%postun
${script('postun')}
%files
%defattr(-,root,root,-)
${pathsOf(tree).flatMap(fileLine).join('\n')}
`
}

function fileLine({ path, isDirectory }: { readonly path: string; readonly isDirectory: boolean }): string[] {
  if (SHARED.test(path) || (isDirectory && OTHERS.test(path))) return []
  if (isDirectory) return [`%dir "${path}"`]
  if (CONFIG_FILES.includes(path)) return [`%config(noreplace) "${path}"`]
  return [`${/^\/usr\/share\/(?:doc|man)\//.test(path) ? '%doc ' : ''}"${path}"`]
}
