"""Checks an audit log by the published specifications alone, without any code of Lockgate.

Usage: audit.py LOG VKEY [PROOF]

LOG is the log's directory, VKEY a verifier key of type 0x06 (C2SP tlog-cosignature), PROOF a .tlog-proof file. Checks, for
each line: that it is an OCSF 1.8 event by the published schema, and that it holds the hash of the line before. For each month:
that every entry bundle and every tile is there and right (C2SP tlog-tiles, RFC 6962), and that the checkpoint has the root of
that tree and a cosignature of the key over it. Prints what it counted, or the first fault.
"""

import base64
import hashlib
import json
import struct
import sys
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey
from jsonschema import Draft202012Validator
from ocsf_json_schema import OcsfJsonSchema, get_ocsf_schema
from referencing import Registry, Resource

SCHEMAS = OcsfJsonSchema(get_ocsf_schema(version="1.8.0"))
VALIDATORS = {}


def sha256(data):
    return hashlib.sha256(data).digest()


def leaf(entry):
    return sha256(b"\x00" + entry)


def node(left, right):
    return sha256(b"\x01" + left + right)


def root(leaves):
    """The Merkle tree hash, by the definition of RFC 6962 section 2.1."""
    if not leaves:
        return sha256(b"")
    if len(leaves) == 1:
        return leaves[0]
    split = 1 << ((len(leaves) - 1).bit_length() - 1)
    return node(root(leaves[:split]), root(leaves[split:]))


class Key:
    """A verifier key: NAME+ID+BASE64."""

    def __init__(self, vkey):
        self.name, shown, key = vkey.strip().split("+", 2)
        key = base64.b64decode(key, validate=True)
        self.id = sha256(self.name.encode() + b"\n" + key)[:4]
        assert self.id.hex() == shown, "the id of the verifier key is wrong"
        assert key[0] == 0x06, "not a key of ML-DSA-44 cosignatures"
        self.key = MLDSA44PublicKey.from_public_bytes(key[1:])

    def check(self, note):
        """Verifies the cosignature under a checkpoint; gives origin, size and root."""
        text, lines = note.rsplit("\n\n", 1)
        origin, size, hash_ = text.split("\n")
        size, hash_ = int(size), base64.b64decode(hash_, validate=True)
        for line in lines.splitlines():
            dash, name, blob = line.split(" ")
            blob = base64.b64decode(blob, validate=True)
            if dash == "\u2014" and name == self.name and blob[:4] == self.id:
                time = struct.unpack(">Q", blob[4:12])[0]
                short = lambda text: bytes([len(text.encode())]) + text.encode()
                message = b"subtree/v1\n\0" + short(name) + struct.pack(">Q", time) + short(origin)
                message += struct.pack(">QQ", 0, size) + hash_
                self.key.verify(blob[12:], message)
                return origin, size, hash_
        raise AssertionError("the checkpoint has no line of the key")


def tile_path(folder, level, index, width):
    groups = [f"{index % 1000:03}"]
    while index := index // 1000:
        groups.insert(0, f"x{index % 1000:03}")
    path = folder / "tile" / str(level) / "/".join(groups)
    return path if width == 256 else Path(f"{path}.p") / str(width)


def bundle(data):
    entries = []
    while data:
        length = struct.unpack(">H", data[:2])[0]
        assert len(data) >= 2 + length, "a bundle ends within an entry"
        entries.append(data[2 : 2 + length])
        data = data[2 + length :]
    return entries


def check_month(folder, key):
    """Tiles, bundles and checkpoint of a month; gives its entries and its first leaf."""
    opening = (folder / "shard").read_bytes()
    origin, size, hash_ = key.check((folder / "checkpoint").read_text())
    assert origin == json.loads(opening)["origin"], "the checkpoint is of another log"
    entries = []
    for index in range(0, size, 256):
        width = min(256, size - index)
        found = bundle(tile_path(folder, "entries", index // 256, width).read_bytes())
        assert len(found) == width, "a bundle has another width than its name says"
        entries += found
    assert entries[0] == opening, "the first entry is not the first leaf"
    hashes, level = [leaf(entry) for entry in entries], 0
    assert root(hashes) == hash_, "the root of the checkpoint is not that of the entries"
    while hashes:
        for index in range(0, len(hashes), 256):
            part = hashes[index : index + 256]
            assert tile_path(folder, level, index // 256, len(part)).read_bytes() == b"".join(part), "a tile is wrong"
        hashes = [root(hashes[i : i + 256]) for i in range(0, len(hashes) - len(hashes) % 256, 256)]
        level += 1
    return entries[1:], json.loads(opening)["first"]


def validator(event):
    """The validator for the class and the profiles of an event, with every object that they refer to."""
    profiles = tuple(event["metadata"]["profiles"])
    known = (event["class_uid"], profiles)
    if known not in VALIDATORS:
        name = SCHEMAS.lookup_class_name_from_uid(event["class_uid"])

        def retrieve(uri):
            return Resource.from_contents(SCHEMAS.get_schema_from_uri(uri))

        schema = SCHEMAS.get_class_schema(name, list(profiles))
        VALIDATORS[known] = Draft202012Validator(schema, registry=Registry(retrieve=retrieve))
    return VALIDATORS[known]


def check_lines(log):
    """Every line is chained and is a valid event; gives them by number, and the classes with their counts."""
    lines, classes, before = {}, {}, "0" * 64
    for segment in sorted(log.glob("audit-*.jsonl")):
        for line in segment.read_bytes().splitlines(keepends=True):
            event = json.loads(line)
            said = event["unmapped"]
            assert said["prev"] == before, f"record {said['seq']} does not hold the hash of the one before"
            before = sha256(line).hex()
            for fault in validator(event).iter_errors(event):
                raise AssertionError(f"record {said['seq']}, class {event['class_uid']}: {fault.json_path}: {fault.message}")
            classes[event["class_uid"]] = classes.get(event["class_uid"], 0) + 1
            lines[said["seq"]] = line.rstrip(b"\n")
    return lines, classes


def check_proof(path, key):
    """A C2SP tlog-proof, from the leaf up."""
    above, note = path.read_text().split("\n\n", 1)
    header, extra, index, *hashes = above.split("\n")
    assert header == "c2sp.org/tlog-proof@v1"
    entry = base64.b64decode(extra.removeprefix("extra "), validate=True)
    place, (_, size, hash_) = int(index.removeprefix("index ")), key.check(note)
    assert place < size
    at, last, found = place, size - 1, leaf(entry)
    for sibling in (base64.b64decode(line, validate=True) for line in hashes):
        if at & 1 or at == last:
            found = node(sibling, found)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            found = node(found, sibling)
        at, last = at >> 1, last >> 1
    assert last == 0 and found == hash_, "the proof does not lead to the root"
    return json.loads(entry)["unmapped"]["seq"]


def main():
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    log, key = Path(sys.argv[1]), Key(sys.argv[2])
    lines, classes = check_lines(log)
    covered = 0
    for month in sorted((log / "tree").iterdir()):
        entries, first = check_month(month, key)
        for number, entry in enumerate(entries, first):
            assert entry == lines[number], f"the entry of record {number} is not its line"
        covered += len(entries)
    found = {"records": len(lines), "covered": covered, "classes": classes}
    if len(sys.argv) == 4:
        found["proved"] = check_proof(Path(sys.argv[3]), key)
    print(json.dumps(found))


main()
