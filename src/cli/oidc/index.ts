export { FreshDocuments, requireIssuer } from './fresh-documents.ts'
export { OidcServer } from './server.ts'
export { CertificateFiles } from './tls.ts'
