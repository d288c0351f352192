"""Fair measurement: pairs, frozen protocols, downstream tasks, statistics.

`pairs` measures the user's own files, `benchmark` runs a protocol; both return an
`Evaluation` (`result`), which `output` writes as JSON and CSV.
"""

from __future__ import annotations
