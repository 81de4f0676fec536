from __future__ import annotations

import json
from typing import Any

import pytest
from untorn_conformance.probe import Kind
from untorn_stress.tree import Node, Tree, file_node
from untorn_stress.tree_check import InvalidTreeError
from untorn_stress.tree_text import describe, from_json, to_json

TREE = Tree(
    {
        "": Node(Kind.DIRECTORY, 0o700, 30),
        "a": Node(Kind.FILE, 0o640, 10, 3, ((0, b"\xff\0x"),), group=1),
        "b": Node(Kind.FILE, 0o640, 10, 3, ((0, b"\xff\0x"),), group=1),
        "l\n": Node(Kind.SYMLINK, 0o777, 20, target="../\udcff"),
        "s": Node(Kind.FILE, 0o4755, 20, 1 << 40, ((4096, b"data"),)),
    }
)
ROOT = {"path": "", "kind": "directory", "mode": "0700", "mtime_ns": 0}
FILE = {
    "path": "a",
    "kind": "file",
    "mode": "0600",
    "mtime_ns": 0,
    "size": 1,
    "runs": [[0, "eA=="]],
}


def test_a_tree_survives_json() -> None:
    assert from_json(json.loads(json.dumps(to_json(TREE)))) == TREE


def test_json_is_plain_and_says_nothing_twice() -> None:
    assert to_json(Tree({"": TREE.nodes[""], "a": file_node(b"x", mode=0o600)})) == [
        {**ROOT, "mtime_ns": 30},
        FILE,
    ]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({}, "a tree is a list of names, not {}"),
        ([], "lacks its root"),
        ([3], "name 0 of the tree is 3, not an object"),
        ([ROOT, {"path": "a"}], "name 1 of the tree lacks kind, mode, mtime_ns"),
        ([ROOT, ROOT], "'' is in the tree twice"),
        ([ROOT, {**FILE, "inode": 3}], "unknown field 'inode'"),
        ([ROOT, {**FILE, "size": "1"}], "size is '1', not int"),
        ([ROOT, {**FILE, "size": True}], "size is True, not int"),
        ([ROOT, {**FILE, "mtime_ns": 1.5}], "mtime_ns is 1.5, not int"),
        ([ROOT, {**FILE, "kind": "door"}], "'a' is of no known kind: 'door'"),
        ([ROOT, {**FILE, "kind": "device"}], "'a' is a device"),
        ([ROOT, {**FILE, "mode": "rwx"}], "'a' has no octal mode: 'rwx'"),
        ([ROOT, {**FILE, "mode": "-1"}], "'a' has mode -0o1"),
        ([ROOT, {**FILE, "runs": [[0, "%%"]]}], "not base64: '%%'"),
        ([ROOT, {**FILE, "runs": [["0", "eA=="]]}], "not offset and base64"),
        ([ROOT, {**FILE, "runs": [[True, "eA=="]]}], "not offset and base64"),
        ([ROOT, {**FILE, "runs": [[0, "eHg="]]}], "data up to 2 and a size of 1"),
        ([ROOT, {**FILE, "runs": [[-1, "eA=="]]}], "a run at -1"),
        ([ROOT, {**FILE, "path": "../a"}], "no path below the root"),
        ([ROOT, {**FILE, "path": "\ud800"}], "a name or a target that no file system can hold"),
        ([ROOT, {**FILE, "mtime_ns": 10**30}], "an mtime or a size that no file can have"),
        ([ROOT, {**FILE, "size": 2**63}], "an mtime or a size that no file can have"),
        ([ROOT, {**FILE, "group": 1}], "the only name of group 1"),
        ([ROOT, {**FILE, "kind": "x" * 500}], r"'x{59}\.\.\.$"),
    ],
)
def test_malformed_json_is_an_error_that_names_the_place(value: Any, message: str) -> None:
    with pytest.raises(InvalidTreeError, match=message):
        from_json(value)


def test_a_description_has_one_line_a_name() -> None:
    assert describe(TREE) == [
        "drwx------ t2               ./",
        "-rw-r----- t0          3 B  a  =1",
        "-rw-r----- t0          3 B  b  =1",
        "lrwxrwxrwx t1               'l\\n' -> '../\\udcff'",
        "-rwsr-xr-x t1   1099511627776 B  s  (4 B of it data)",
    ]
