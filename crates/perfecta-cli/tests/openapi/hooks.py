"""Keeps what is drawn within the test: every path lies in its directory, and no request runs long."""

import os

import schemathesis

PLACE = os.environ["PERFECTA_PLACE"]


def inside(path):
    """The path, below the test's directory."""
    if not isinstance(path, str) or "\0" in path:
        return path
    return PLACE + os.path.normpath("/" + path) if path.startswith("/") else path


def contain(body):
    """A request, as far as it is one."""
    if isinstance(body.get("directory"), str):
        body["directory"] = PLACE
    inputs, output, limits = body.get("inputs"), body.get("output"), body.get("limits")
    if isinstance(inputs, dict):
        if isinstance(inputs.get("files"), list):
            inputs["files"] = [inside(path) for path in inputs["files"]]
        if isinstance(inputs.get("tree"), dict) and "root" in inputs["tree"]:
            inputs["tree"]["root"] = inside(inputs["tree"]["root"])
    if isinstance(output, dict) and "directory" in output:
        output["directory"] = inside(output["directory"])
    if isinstance(limits, dict) and isinstance(limits.get("max_milliseconds"), int):
        limits["max_milliseconds"] = min(limits["max_milliseconds"], 100)


@schemathesis.hook
def before_call(context, case, kwargs):
    if isinstance(case.body, dict):
        contain(case.body)
