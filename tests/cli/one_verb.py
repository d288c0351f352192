"""A command line with one verb, for tests of what all verbs have in common."""

import pytest

from medenh.cli import main as main_module


def run_verb(monkeypatch, name, verb, *words):
    """Run ``medenh WORDS`` in this process, where `name` is the only verb there is.

    Returns
    -------
    int
        The exit code.
    """

    class Verb:
        @staticmethod
        def register(app):
            app.command(name)(verb)
            app.command("other")(lambda: None)  # of one alone typer makes no group

    monkeypatch.setattr(main_module, "VERBS", (name,))
    monkeypatch.setattr(main_module, "import_module", lambda _: Verb)
    with pytest.raises(SystemExit) as ended:
        main_module.main(list(words))
    return ended.value.code
