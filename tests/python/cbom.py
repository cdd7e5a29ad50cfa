"""Validates a CBOM against the published schema, with a library that others wrote.

Usage: cbom.py FILE   (or `-` for standard input)

Prints what it counted and exits 0 if FILE is a CycloneDX 1.7 document whose references all lead
somewhere; otherwise prints each fault and exits 1.
"""

import json
import sys
from collections import Counter

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator


def references(node):
    """Every value of a `ref`, `dependsOn` or `algorithms` in the document."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "ref":
                yield value
            elif key in ("dependsOn", "algorithms"):
                yield from value
            else:
                yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def faults(text):
    error = JsonStrictValidator(SchemaVersion.V1_7).validate_str(text)
    if error is not None:
        yield f"schema: {error}"
        return
    bom = json.loads(text)
    names = [bom["metadata"]["component"]["bom-ref"]]
    names += [part["bom-ref"] for part in bom["components"] + bom.get("services", [])]
    yield from (f"twice: {name}" for name, count in Counter(names).items() if count > 1)
    yield from (f"leads nowhere: {name}" for name in references(bom) if name not in names)


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    text = sys.stdin.read() if sys.argv[1] == "-" else open(sys.argv[1], encoding="utf-8").read()
    found = list(faults(text))
    for fault in found:
        print(fault, file=sys.stderr)
    if found:
        sys.exit(1)
    kinds = Counter(part.get("cryptoProperties", {}).get("assetType", part["type"]) for part in json.loads(text)["components"])
    print("valid CycloneDX 1.7: " + ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items())))


main()
