"""What a benchmark that proves something ends with."""

import json
import sys
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parents[1] / "results"


def conclude(document: dict[str, Any], name: str) -> None:
    """Shows what was found, keeps it under a name, and fails if a claim did not hold.

    Args:
      document: With `holds`: each claim, and whether it does.
      name: Of the file; nothing is written if it is empty.
    """
    text = json.dumps(document, indent=1)
    print(text)
    if name:
        (RESULTS / f"{name}.json").write_text(text + "\n")
    sys.exit(not all(document["holds"].values()))
