import ast
import re
from pathlib import Path

import numpy as np
import pytest

import medenh
from medenh import errors
from medenh.device import pick_device, pick_precision

PACKAGE = Path(medenh.__file__).parent
# reached from the command line alone: no notebook reads what they say
_COMMANDS = ("cli/", "publishing/", "training/", "pipeline/degrade", "reports/")


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (errors.UsageError, 2),
        (errors.NothingReadableError, 3),
        (errors.WeightsError, 4),
        (errors.OutOfMemoryError, 5),
        (errors.RefusedError, 6),
        (errors.UnreadableError, 1),
        (errors.OutputError, 1),
    ],
)
def test_exit_codes_of_the_command_line(kind, code):
    assert errors.exit_code(kind("x")) == code


def test_message_says_which_file_what_and_what_to_do():
    error = errors.UnreadableError("is cut short", path="a/b.png", hint="copy it again")
    assert str(error) == "a/b.png: is cut short (copy it again)"


def test_options_are_spelled_for_a_shell_and_for_python():
    assert errors.spelled(tasks="NAME", on_exists="skip") == (
        '--task NAME or --on-exists skip, in Python tasks=NAME or on_exists="skip"'
    )


@pytest.mark.parametrize("word", ["eye", 5, ["ct"], np.array([1, 2])])
def test_what_is_none_of_the_known_words_is_refused(word):
    pixels = np.zeros((32, 32), np.float32)
    for work in (medenh.enhance, lambda x, **k: medenh.degrade(x, "gauss-0.1", **k)):
        with pytest.raises(errors.UsageError, match="unknown modality"):
            work(pixels, modality=word)


def test_hints_of_the_library_name_the_keyword():
    with pytest.raises(errors.UsageError, match='precision="fp32"') as caught:
        pick_precision("fp16", pick_device("cpu"))
    assert "--precision fp32" in str(caught.value)


def _texts(tree):
    """Yield the strings of a module but docstrings; of an f-string the whole."""
    inner = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr):
            inner.update(map(id, ast.walk(node)))
        if isinstance(node, ast.JoinedStr):
            inner.update(map(id, node.values))
            yield ast.unparse(node)
    for node in ast.walk(tree):
        text = node.value if isinstance(node, ast.Constant) else None
        if isinstance(text, str) and id(node) not in inner:
            yield text


def test_no_text_of_the_library_knows_the_command_line_alone():
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        place = path.relative_to(PACKAGE).as_posix()
        if place.startswith(_COMMANDS):
            continue
        for text in _texts(ast.parse(path.read_text())):
            flag = re.search(r"(?<![\w}-])--?[a-z][a-z-]* ?", text)
            if flag and "in Python" not in text and " " in text:
                found.append((place, text))
    assert found == []
