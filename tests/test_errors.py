import pytest

from medenh import errors


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
