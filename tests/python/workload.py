"""A SPIFFE workload as others write them: fetches SVIDs with the `spiffe` package, and checks them with `cryptography`.

Usage: workload.py SOCKET [AUDIENCE]

Prints one JSON object: id, key and bundle as the package read them, and, with an AUDIENCE, what the
JWT-SVID says. Exits 1 with the package's own words when it is refused.
"""

import json
import sys

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from spiffe import WorkloadApiClient


def verified(svid, bundle):
    """Whether a root of the bundle signed the leaf, and the key is the leaf's."""
    leaf = svid.leaf
    same = svid.private_key.public_key().public_numbers() == leaf.public_key().public_numbers()
    for root in bundle.x509_authorities:
        if root.subject == leaf.issuer:
            leaf.verify_directly_issued_by(root)
            return same
    return False


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    with WorkloadApiClient(f"unix:{sys.argv[1]}") as client:
        context = client.fetch_x509_context()
        svid = context.default_svid
        domain = svid.spiffe_id.trust_domain
        bundle = client.fetch_x509_bundles().get_bundle_for_trust_domain(domain)
        kinds = {"ec": ec.EllipticCurvePrivateKey, "rsa": rsa.RSAPrivateKey}
        found = {
            "id": str(svid.spiffe_id),
            "ids": [str(one.spiffe_id) for one in context.x509_svids],
            "key": next((name for name, kind in kinds.items() if isinstance(svid.private_key, kind)), "other"),
            "roots": len(bundle.x509_authorities),
            "verified": verified(svid, bundle),
        }
        if len(sys.argv) == 3:
            audience = sys.argv[2]
            token = client.fetch_jwt_svid(audience={audience})
            checked = client.validate_jwt_svid(token.token, audience)
            found["jwt"] = {"id": str(token.spiffe_id), "validated": str(checked.spiffe_id)}
            keys = client.fetch_jwt_bundles().get_bundle_for_trust_domain(domain).jwt_authorities
            found["jwt"]["keys"] = len(keys)
    print(json.dumps(found))


try:
    main()
except Exception as error:  # what the package says is what a person would read
    print(f"{type(error).__name__}: {error}", file=sys.stderr)
    sys.exit(1)
