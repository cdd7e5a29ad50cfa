"""Makes certificates for TLS servers that are not ours.

Usage: certificates.py FOLDER. For each algorithm NAME below, writes NAME.key.pem, NAME.pem (the
leaf, for 127.0.0.1 and localhost) and NAME.root.pem; and, of the first algorithm, `expired.pem`,
whose time is over. Prints one line of JSON with the names.
"""

import datetime
import ipaddress
import json
import pathlib
import sys

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

ALGORITHMS = {
    "ml-dsa-44": (mldsa.MLDSA44PrivateKey.generate, None),
    "ml-dsa-65": (mldsa.MLDSA65PrivateKey.generate, None),
    "ml-dsa-87": (mldsa.MLDSA87PrivateKey.generate, None),
    "ecdsa-p256": (lambda: ec.generate_private_key(ec.SECP256R1()), hashes.SHA256()),
    "ecdsa-p384": (lambda: ec.generate_private_key(ec.SECP384R1()), hashes.SHA384()),
    "ed25519": (ed25519.Ed25519PrivateKey.generate, None),
    "rsa-2048": (lambda: rsa.generate_private_key(65537, 2048), hashes.SHA256()),
}
DAY = datetime.timedelta(days=1)


def name(text):
    """A distinguished name with nothing but a common name."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def certificate(subject, key, issuer, issuer_key, digest, since, authority):
    """An X.509 certificate that is valid for two days from `since`."""
    builder = (
        x509.CertificateBuilder()
        .subject_name(name(subject))
        .issuer_name(name(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(since)
        .not_valid_after(since + 2 * DAY)
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
    )
    if not authority:
        names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        builder = builder.add_extension(usage, critical=False)
    return builder.sign(issuer_key, digest)


def main():
    """Writes every file into the folder on the command line."""
    folder = pathlib.Path(sys.argv[1])
    pem = serialization.Encoding.PEM
    since = datetime.datetime.now(datetime.timezone.utc) - DAY
    for position, (algorithm, (generate, digest)) in enumerate(ALGORITHMS.items()):
        root_key, key = generate(), generate()
        root = certificate("test root", root_key, "test root", root_key, digest, since, True)
        leaf = certificate("server", key, "test root", root_key, digest, since, False)
        private = key.private_bytes(
            pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        (folder / f"{algorithm}.key.pem").write_bytes(private)
        (folder / f"{algorithm}.key.pem").chmod(0o600)
        (folder / f"{algorithm}.pem").write_bytes(leaf.public_bytes(pem))
        (folder / f"{algorithm}.root.pem").write_bytes(root.public_bytes(pem))
        if position == 0:
            old = certificate("server", key, "test root", root_key, digest, since - 9 * DAY, False)
            (folder / "expired.pem").write_bytes(old.public_bytes(pem))
    print(json.dumps(list(ALGORITHMS)))


main()
