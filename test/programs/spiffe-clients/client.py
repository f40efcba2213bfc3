"""py-spiffe: prints a line for all that it got, and another one when its certificate was renewed."""
import sys
import threading

from spiffe import JwtSvid, WorkloadApiClient

client = WorkloadApiClient(sys.argv[1])
contexts = []
heard = threading.Semaphore(0)


def on_success(context):
    contexts.append(context)
    heard.release()


client.stream_x509_contexts(on_success=on_success, on_error=lambda err: print('failed', err, flush=True))
heard.acquire()
first = contexts[0].default_svid
token = client.fetch_jwt_svid(audience={'db'})
bundle = client.fetch_jwt_bundles().get_bundle_for_trust_domain(token.spiffe_id.trust_domain)
local = JwtSvid.parse_and_validate(token.token, bundle, {'db'})
client.validate_jwt_svid(token.token, audience='db')
print('got', first.spiffe_id, local.spiffe_id, flush=True)
while contexts[-1].default_svid.leaf.serial_number == first.leaf.serial_number:
    heard.acquire()
print('renewed', first.spiffe_id, flush=True)
