"""`python -m medenh`: the command line."""

from __future__ import annotations

from medenh.cli.main import main

if __name__ == "__main__":
    main()
