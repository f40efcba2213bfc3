import { anyPack } from '@bufbuild/protobuf/wkt'
import { create, envoyCorePb, envoyTlsPb } from '../../wire/index.ts'

/** The only type of resource that is served. */
export const SECRET_TYPE = `type.googleapis.com/${envoyTlsPb.SecretSchema.typeName}`

const SPIFFE_VALIDATOR = 'envoy.tls.cert_validator.spiffe'

/** A certificate with its key, both as PEM. */
export function keyPairSecret(name: string, certificates: string, key: string) {
  return secret(name, {
    case: 'tlsCertificate',
    value: create(envoyTlsPb.TlsCertificateSchema, { certificateChain: inline(certificates), privateKey: inline(key) })
  })
}

/**
 * The roots of a trust domain, PEM. Envoy checks the chain and the SPIFFE ID of a peer by its validator for SPIFFE, or by its usual
 * one if `isPlain`.
 */
export function rootsSecret(name: string, trustDomain: string, bundle: string, isPlain: boolean) {
  const trustBundle = inline(bundle)
  const context = isPlain
    ? { trustedCa: trustBundle }
    : { customValidatorConfig: { name: SPIFFE_VALIDATOR, typedConfig: validator(trustDomain, trustBundle) } }
  return secret(name, {
    case: 'validationContext',
    value: create(envoyTlsPb.CertificateValidationContextSchema, context)
  })
}

function validator(name: string, trustBundle: envoyCorePb.DataSource) {
  const config = create(envoyTlsPb.SPIFFECertValidatorConfigSchema, { trustDomains: [{ name, trustBundle }] })
  return anyPack(envoyTlsPb.SPIFFECertValidatorConfigSchema, config)
}

function secret(name: string, type: envoyTlsPb.Secret['type']) {
  return anyPack(envoyTlsPb.SecretSchema, create(envoyTlsPb.SecretSchema, { name, type }))
}

function inline(text: string): envoyCorePb.DataSource {
  const value = Buffer.from(text)
  return create(envoyCorePb.DataSourceSchema, { specifier: { case: 'inlineBytes', value } })
}
