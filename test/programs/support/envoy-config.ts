interface EnvoyOptions {
  /** Path of spiffe.sock. */
  readonly socket: string
  /** Where it serves over TLS, on the loopback. */
  readonly port: number
  readonly admin: number
  /** The only client that is let in. */
  readonly client: string
}

const type = (name: string) => ({ '@type': `type.googleapis.com/envoy.${name}` })
const address = (port: number) => ({ socket_address: { address: '127.0.0.1', port_value: port } })

/** Envoy that gets its certificate and roots from warren, and answers each request of one client. */
export function envoyConfig({ socket, port, admin, client }: EnvoyOptions): object {
  const sds = {
    resource_api_version: 'V3',
    api_config_source: {
      api_type: 'GRPC',
      transport_api_version: 'V3',
      grpc_services: [{ envoy_grpc: { cluster_name: 'warren' } }]
    }
  }
  const tls = {
    ...type('extensions.transport_sockets.tls.v3.DownstreamTlsContext'),
    require_client_certificate: true,
    common_tls_context: {
      tls_certificate_sds_secret_configs: [{ name: 'default', sds_config: sds }],
      combined_validation_context: {
        default_validation_context: {
          match_typed_subject_alt_names: [{ san_type: 'URI', matcher: { exact: client } }]
        },
        validation_context_sds_secret_config: { name: 'ROOTCA', sds_config: sds }
      }
    }
  }
  const answer = { match: { prefix: '/' }, direct_response: { status: 200, body: { inline_string: 'hello\n' } } }
  const http = {
    ...type('extensions.filters.network.http_connection_manager.v3.HttpConnectionManager'),
    stat_prefix: 'https',
    http_filters: [
      { name: 'envoy.filters.http.router', typed_config: type('extensions.filters.http.router.v3.Router') }
    ],
    route_config: { virtual_hosts: [{ name: 'all', domains: ['*'], routes: [answer] }] }
  }
  return {
    node: { id: 'test', cluster: 'test' },
    admin: { address: address(admin) },
    static_resources: {
      clusters: [
        {
          name: 'warren',
          connect_timeout: '5s',
          typed_extension_protocol_options: {
            'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
              ...type('extensions.upstreams.http.v3.HttpProtocolOptions'),
              explicit_http_config: { http2_protocol_options: {} }
            }
          },
          load_assignment: {
            cluster_name: 'warren',
            endpoints: [{ lb_endpoints: [{ endpoint: { address: { pipe: { path: socket } } } }] }]
          }
        }
      ],
      listeners: [
        {
          name: 'https',
          address: address(port),
          filter_chains: [
            {
              filters: [{ name: 'envoy.filters.network.http_connection_manager', typed_config: http }],
              transport_socket: { name: 'envoy.transport_sockets.tls', typed_config: tls }
            }
          ]
        }
      ]
    }
  }
}
