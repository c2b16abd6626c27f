"""The page on networks: its code runs as it stands."""

import re
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "networks.md"


def test_every_block_of_the_page_runs(capsys):
    """Blocks in their order share one namespace, like a reader who types them."""
    namespace = {}
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), namespace)
    assert len(blocks) >= 4
    assert "Direct against indirect evidence" in capsys.readouterr().out
