"""Validates OSCAL documents with compliance-trestle, which others wrote, and shows that it refuses broken ones.

Usage: oscal.py RESULTS COMPONENT

RESULTS are assessment results, COMPONENT is a component definition. Prints what each holds and exits 0 if
trestle reads both, they are of one OSCAL version, what refers to something leads somewhere, and each of a list
of broken copies is refused; otherwise prints each fault and exits 1.
"""

import copy
import json
import pathlib
import sys
import tempfile

from trestle.oscal import OSCAL_VERSION
from trestle.oscal.assessment_results import AssessmentResults
from trestle.oscal.component import ComponentDefinition


def read(kind, document):
    """The document as trestle reads it from a file; raises what it raises."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "document.json"
        path.write_text(json.dumps(document), encoding="utf-8")
        return kind.oscal_read(path)


def set_at(*path, value):
    """A change that puts `value` in the place of what stands at `path`."""

    def change(document):
        for key in path[:-1]:
            document = document[key]
        document[path[-1]] = value

    return change


RESULT = ("assessment-results", "results", 0)
BROKEN = {
    AssessmentResults: {
        "an id that is none": set_at("assessment-results", "uuid", value="7"),
        "a control that is no token": set_at(
            *RESULT, "reviewed-controls", "control-selections", 0, "include-controls", 0, "control-id",
            value="164.312(a)(1)",
        ),
        "no time": set_at(*RESULT, "observations", 0, "collected", value="yesterday"),
        "a key that is not OSCAL's": set_at(*RESULT, "met", value="yes"),
        "no methods": set_at(*RESULT, "observations", 0, "methods", value=[]),
    },
    ComponentDefinition: {
        "no source": set_at(
            "component-definition", "components", 0, "control-implementations", 0, "source", value=None
        ),
        "no requirements": set_at(
            "component-definition", "components", 0, "control-implementations", 0, "implemented-requirements",
            value=[],
        ),
        "a title of two lines": set_at("component-definition", "components", 0, "title", value="a\nb"),
    },
}


def is_refused(kind, document):
    try:
        return read(kind, document) is None
    except Exception:  # trestle has no one class for what it refuses
        return True


def faults(kind, document):
    try:
        model = read(kind, document)
    except Exception as error:
        yield f"{kind.__name__} is refused: {error}"
        return
    # A version is a text in a type in a type.
    version = model.metadata.oscal_version.model_dump()
    if version != OSCAL_VERSION:
        yield f"{kind.__name__} is of version {version}, trestle's is {OSCAL_VERSION}"
    for name, change in BROKEN[kind].items():
        broken = copy.deepcopy(document)
        change(broken)
        if not is_refused(kind, broken):
            yield f"{kind.__name__} with {name} is not refused"


def lost(results):
    """Findings whose observation is not there, and controls without an observation."""
    result = results["assessment-results"]["results"][0]
    there = {observation["uuid"] for observation in result["observations"]}
    for finding in result.get("findings", []):
        for related in finding["related-observations"]:
            if related["observation-uuid"] not in there:
                yield f"{finding['title']} leads nowhere"
    selected = result["reviewed-controls"]["control-selections"][0]["include-controls"]
    if len(selected) != len(there):
        yield f"{len(selected)} controls and {len(there)} observations"


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    results, component = (json.loads(pathlib.Path(path).read_text(encoding="utf-8")) for path in sys.argv[1:])
    found = [*faults(AssessmentResults, results), *faults(ComponentDefinition, component), *lost(results)]
    for fault in found:
        print(fault, file=sys.stderr)
    if found:
        sys.exit(1)
    result = results["assessment-results"]["results"][0]
    requirements = component["component-definition"]["components"][0]["control-implementations"][0]
    print(
        f"valid OSCAL {OSCAL_VERSION}: {len(result['observations'])} observations, "
        f"{len(result.get('findings', []))} findings, {len(requirements['implemented-requirements'])} requirements"
    )


main()
